"""What pools may vary while a client logs in: the order of their messages, and members of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.stratum.dialects import DIALECTS
from miner.stratum.difficulty import DIFF1_FFFF, MAX_TARGET
from miner.stratum.pool_events import Authorized, JobReceived, PoolEvent, Subscribed
from tests.stratum.dialogue import HEADER, JOB, SEED, TARGET, jobs, line, messages, parsed
from tests.stratum.test_every_dialect import OPENING

WORK = [f"0x{HEADER}", f"0x{SEED}", f"0x{TARGET}", "0x1c7b79"]
EPIC_JOB = {
    "height": 1866617, "job_id": 0, "pre_pow": "0006", "algorithm": "progpow", "epochs": [],
    "difficulty": [["progpow", 2**34]], "block_difficulty": [["progpow", 2**40]],
}  # fmt: skip


@dataclass(frozen=True)
class Login:
    """A login as one dialect's pools answer it."""

    answers: Mapping[str, list[Any]]
    """Results by method, one of which is drawn."""
    pushed: list[dict[str, Any]]
    """Sent in this order, at any time."""
    target: int
    """Of the last job."""
    members: Mapping[str, Any] = field(default_factory=dict)
    """Optional members of this dialect's messages."""


ANY_MEMBERS = {"jsonrpc": "2.0", "algo": "kawpow", "extra": None, "reject-reason": None}
EXTRANONCE_SUBSCRIBE: dict[str, list[Any]] = {"mining.extranonce.subscribe": [True, False, None]}


def eth(prefix: str, height: str) -> Login:
    work = [*WORK[:3], height]
    return Login(
        {
            f"{prefix}_submitLogin": [True, {"status": "OK"}],
            f"{prefix}_getWork": [work, [*work, "extra"]],
        },
        [{"id": 0, "result": work}, {"result": work}],
        int(TARGET, 16),
        {"height": 7},
    )


LOGINS = {
    "kawpow": Login(
        EXTRANONCE_SUBSCRIBE
        | {
            "mining.subscribe": [[None, "0b8e5b"], ["s", "0b8e5b", 3], {"extranonce1": "0b8e5b"}],
            "mining.authorize": [True],
        },
        [
            {"id": None, "method": "mining.set_target", "params": [TARGET]},
            {"id": None, "method": "mining.notify", "params": JOB},
        ],
        int(TARGET, 16),
        {"height": 7},
    ),
    "ethstratum": Login(
        EXTRANONCE_SUBSCRIBE
        | {
            "mining.subscribe": [[["mining.notify", "ae", "EthereumStratum/1.0.0"], "08"]],
            "mining.authorize": [True],
        },
        [
            {"id": None, "method": "mining.set_difficulty", "params": [0.5], "height": ""},
            {
                "id": None,
                "method": "mining.notify",
                "params": ["bf", SEED, HEADER, True],
                "height": "1866617",
            },
        ],
        2 * DIFF1_FFFF,
    ),
    "ethstratum2": Login(
        {
            "mining.hello": [
                {"proto": "EthereumStratum/2.0.0", "resume": "0", "timeout": "b4"},
                {"proto": "EthereumStratum/2.0.0", "encoding": "plain", "timeout": 30},
            ],
            "mining.subscribe": ["s-1", None],
            "mining.authorize": ["w-1", None],
        },
        [
            {"method": "mining.set", "params": {"target": TARGET, "extranonce": "af4c"}},
            {"method": "mining.notify", "params": ["6", "1c7b79", HEADER, "1"]},
        ],
        int(TARGET, 16),
        {"height": 7},
    ),
    "ethproxy": eth("eth", "0x1c7b79"),
    "sero": eth("sero", "1866617"),
    "zano": eth("eth", "0x00000000001c7b79"),
    "epic": Login(
        {"login": ["ok"], "getjobtemplate": [EPIC_JOB, EPIC_JOB | {"xn": None}]},
        [{"id": "Stratum", "method": "job", "params": EPIC_JOB}],
        MAX_TARGET // 2**34,
    ),
}


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=50)
@given(data=st.data())
def test_neither_order_nor_optional_members_matter_in_a_login(
    name: str, data: st.DataObject
) -> None:
    login = LOGINS[name]
    client = DIALECTS[name].connect(OPENING)
    requests = parsed(client.start())
    pushed = list(login.pushed)
    events: list[PoolEvent] = []
    while requests or pushed:
        number = data.draw(st.integers(0, len(requests) - (not pushed)))
        if number < len(requests):
            message = answer_to(requests.pop(number), login, data)
        else:
            message = pushed.pop(0)
            if message.get("id", "") is None and data.draw(st.booleans()):
                message = {key: value for key, value in message.items() if key != "id"}
        events += client.receive(in_another_form(message, login, data))
        requests += parsed(client.data_to_send())
    kinds = Counter(type(event) for event in events)
    assert (kinds[Subscribed], kinds[Authorized]) == (1, 1)
    assert kinds[JobReceived] > 0
    assert messages(events) == []
    job = jobs(events)[-1]
    assert (job.height, job.share_target) == (1866617, login.target)


def answer_to(request: dict[str, Any], login: Login, data: st.DataObject) -> dict[str, Any]:
    method = request["method"]
    number = data.draw(st.sampled_from([request["id"], str(request["id"])]))
    message = {"id": number, "result": data.draw(st.sampled_from(login.answers[method]))}
    if message["result"] is None:
        message["error"] = None
    elif data.draw(st.booleans()):
        message["error"] = data.draw(st.sampled_from([None, [], {}, False, 0, ""]))
    if data.draw(st.booleans()):
        message["method"] = method
    return message


def in_another_form(message: dict[str, Any], login: Login, data: st.DataObject) -> bytes:
    """Return `message` with other optional members, and its members in another order."""
    optional = ANY_MEMBERS | dict(login.members)
    names = data.draw(st.lists(st.sampled_from(sorted(optional)), unique=True))
    message = {name: optional[name] for name in names} | message
    members = data.draw(st.permutations(sorted(message)))
    return line({name: message[name] for name in members})
