from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.stratum.dialects import DIALECTS
from miner.work import NonceSpace
from tests.testpool.raw_client import FIRST, WORKER, RawClient

LOGINS: dict[str, list[tuple[str, Any]]] = {
    "kawpow": [("mining.subscribe", ["a"]), ("mining.authorize", [WORKER])],
    "ethproxy": [("eth_submitLogin", [WORKER])],
    "ethstratum": [
        ("mining.subscribe", ["a", "EthereumStratum/1.0.0"]),
        ("mining.authorize", [WORKER]),
    ],
    "ethstratum2": [
        ("mining.hello", {"proto": "EthereumStratum/2.0.0"}),
        ("mining.subscribe", None),
        ("mining.authorize", [WORKER]),
    ],
    "sero": [("sero_submitLogin", [WORKER])],
    "zano": [("eth_submitLogin", [WORKER])],
    "epic": [("login", {"login": WORKER, "pass": "", "agent": ""})],
}
METHODS = st.sampled_from(
    [f"mining.{word}" for word in ("hello", "subscribe", "authorize", "submit", "noop", "x")]
    + [f"eth_{word}" for word in ("submitLogin", "getWork", "submitWork", "submitHashrate", "x")]
    + [f"sero_{word}" for word in ("submitLogin", "getWork", "submitWork", "x")]
    + ["login", "getjobtemplate", "submit", "status", "keepalive"]
    + ["", "eth_", "\ud800"]
)
VALUES = st.one_of(
    st.sampled_from(
        [WORKER, "JOB", "HEADER", f"0x{FIRST:016x}", "0" * 12, "w-1", "s-000001", "0x" + "ab" * 32]
    ),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(
        st.sampled_from(["proto", "agent", "algorithm", "login", "pass"]),
        st.integers() | st.text(max_size=3),
    ),
    st.fixed_dictionaries(
        {
            "height": st.sampled_from([1000, 1001, True, -1, "1000", None]),
            "job_id": st.integers(-1, 3),
            "nonce": st.integers(0, 2**64) | st.floats(),
            "pow": st.sampled_from([{"ProgPow": [7] * 32}, {"ProgPow": [256] * 32}, {}, None]),
        }
    ),
)
FAULTS = ["refresh", "advance", "retarget", "extranonce", "again", "lie", "swallow"]
STEPS = st.lists(
    st.one_of(
        st.tuples(METHODS, st.lists(VALUES, max_size=5) | VALUES),
        st.sampled_from(FAULTS),
    ),
    max_size=10,
)


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=60)
@given(login=st.booleans(), steps=STEPS)
def test_no_client_message_breaks_a_dialect(name: str, login: bool, steps: list[Any]) -> None:
    raw = RawClient(protocol=name)
    for method, params in LOGINS.get(name, []) if login else []:
        raw.ask(method, params)
    for step in steps:
        dialect, job = raw.session.side, raw.chain.template
        match step:
            case (method, params):
                places = {"JOB": job.job_id, "HEADER": "0x" + job.header_hash.hex()}
                if isinstance(params, list):
                    params = [places.get(p, p) if isinstance(p, str) else p for p in params]
                broken = raw.session.close_reason
                replies = raw.ask(method, params)
                assert not broken or not replies
            case "refresh" | "advance":
                raw.chain.refresh() if step == "refresh" else raw.chain.advance()
                raw.announced()
            case "retarget":
                raw.retargeted(2**250)
            case "lie":
                dialect.answer_wrongly(1, "stale")
            case "swallow":
                dialect.leave_unanswered(1)
            case "again":
                dialect.offer(clean=False, again=True)
            case "extranonce" if dialect.has_extranonce and not dialect.close_reason:
                dialect.change_extranonce(NonceSpace(0xBEE0, 16))
    assert all(judged.accepted == (judged.code == 0) for judged in raw.judged)
    assert not login or raw.logins[0].worker == WORKER
