from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from miner import clock as simulation
from miner.errors import Banned, Cause, ConnectionLost, WrongDialect
from miner.net.address import PoolUrl, Transport
from miner.stratum.dialects import DIALECTS
from miner.stratum.probing import (
    LINGER_SECONDS,
    PAUSE_SECONDS,
    QUIRKS_LIMIT,
    SILENCE_SECONDS,
    ProbeRequest,
    ProbeResult,
    SeedCheck,
)
from miner.stratum.probing import probe as ask
from miner.stratum.session import ODD_ANSWER_SECONDS
from tests.fakes.dial import FakeDial, FakeStream
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import HEADER, SEED, answer, call, line, notify

URL = PoolUrl("pool.example", 3333, "probe", "hunter2")
LOGIN = answer(1, [None, "0b8e5b"]) + answer(2)


def stream_of(*pieces: bytes, end: bool = False) -> FakeStream:
    stream = FakeStream()
    for piece in pieces:
        stream.feed(piece)
    if end:
        stream.end()
    return stream


def probe(
    *streams: FakeStream | Exception,
    protocols: Sequence[str] = ("kawpow",),
    url: PoolUrl = URL,
    seed: str = SEED,
    seconds: float = 20.0,
) -> tuple[ProbeResult, float, FakeDial]:
    """Return the result, the seconds that the probe took, and the dial."""
    dial = FakeDial()
    dial.ready(url.host, *streams)
    clock = simulation.LoopClock()
    question = ProbeRequest(
        url, KAWPOW, "progpow-miner/0", seconds, protocols, lambda index: bytes.fromhex(seed)
    )

    async def timed() -> tuple[ProbeResult, float]:
        return await ask(question, dial, clock), clock.now()

    result, seconds = simulation.run(timed())
    return result, seconds, dial


def test_result_of_a_whole_session() -> None:
    stream = stream_of(LOGIN + notify())
    result, seconds, dial = probe(stream)
    assert result == ProbeResult(
        url="stratum+tcp://pool.example:3333",
        protocol="kawpow",
        title="KawPow Stratum",
        accepted=True,
        latency_ms=0.0,
        extranonce_bytes=3,
        free_bits=40,
        expected_hashes=pytest.approx(2**256 / 0x9F6 / 2**216, rel=1e-6),
        height=1866617,
        epoch=248,
        seed=SeedCheck.FITS,
    )
    assert seconds == pytest.approx(LINGER_SECONDS, abs=0.01)
    assert len(dial.opened) == 1
    assert stream.closed
    assert not stream.requests("mining.submit")


def test_refused_login_keeps_what_was_learned_before() -> None:
    refused = answer(1, [None, "0b8e5b"]) + notify() + answer(2, False, [24, "unknown wallet"])
    result, _, _ = probe(stream_of(refused))
    assert (result.accepted, result.refusal) == (False, "unknown wallet")
    assert (result.height, result.free_bits) == (1866617, 40)


@pytest.mark.parametrize(
    ("seed", "sent_seed", "found"),
    [
        (SEED, SEED, SeedCheck.FITS),
        ("00" * 32, SEED, SeedCheck.DIFFERS),
        (SEED, "", SeedCheck.ABSENT),
    ],
)
def test_seed_hash_is_compared_with_that_of_the_height(
    seed: str, sent_seed: str, found: SeedCheck
) -> None:
    result, _, _ = probe(stream_of(LOGIN + notify((2, sent_seed))), seed=seed)
    assert result.seed is found
    assert bool(result.quirks) == (found is SeedCheck.DIFFERS)


def test_each_quirk_is_listed_once() -> None:
    reconnect = call("client.reconnect", "other.example", 4444, 5)
    message = call("client.show_message", "we move on Monday")
    result, _, _ = probe(stream_of(LOGIN + b"no json\n" + message + message + reconnect + notify()))
    assert result.quirks == [
        "the pool sent a line that is not a JSON object; ignoring it",
        "we move on Monday",
        "the pool asks to reconnect to other.example, port 4444, in 5 s",
    ]


def test_quirks_are_bounded() -> None:
    talk = b"".join(call("client.show_message", f"news {n}") for n in range(QUIRKS_LIMIT + 9))
    result, _, _ = probe(stream_of(LOGIN + talk + notify()))
    assert len(result.quirks) == QUIRKS_LIMIT


def test_announced_target_gives_the_difficulty() -> None:
    result, seconds, _ = probe(stream_of(LOGIN + call("mining.set_target", "00" * 4 + "ff" * 28)))
    assert result.expected_hashes == 2**32
    assert result.height is None
    assert seconds == pytest.approx(20, abs=0.01)


ES1 = (
    answer(1, [["mining.notify", "ae6812eb", "EthereumStratum/1.0.0"], "08"])
    + answer(2)
    + answer(3)
    + call("mining.set_difficulty", 0.5)
    + call("mining.notify", "bf0488aa", SEED, HEADER, 1866617, True)
)


STRAY_REFUSAL = line({"id": None, "error": {"code": -1, "message": "strange request"}})


@pytest.mark.parametrize(
    ("first", "why", "after"),
    [
        (stream_of(answer(1, None, [20, "Not supported."])), "Not supported.", 0.0),
        (stream_of(end=True), "the pool closed the connection", 0.0),
        (stream_of(), "no answer within 10 s", SILENCE_SECONDS),
        (stream_of(b"unknown method\n"), "its answer is not JSON", ODD_ANSWER_SECONDS),
        (stream_of(STRAY_REFUSAL), "strange request", ODD_ANSWER_SECONDS),
        (
            stream_of(answer(1, None, {"code": -32603, "message": "Internal error"})),
            "the pool cannot log us in now: Internal error",
            0.0,
        ),
        (stream_of(ES1), "its jobs are those of EthereumStratum/1.0.0", 0.0),
        (stream_of(b"x" * 70000), "a line is longer than 65536 bytes", 0.0),
    ],
)
def test_next_dialect_is_tried(first: FakeStream, why: str, after: float) -> None:
    result, seconds, dial = probe(first, stream_of(ES1), protocols=["kawpow", "ethstratum"])
    assert result.protocol == "ethstratum"
    assert result.misfits == {"kawpow": why}
    assert (result.height, result.extranonce_bytes) == (1866617, 1)
    assert len(dial.opened) == 2
    assert all(stream.closed for stream in dial.streams)
    assert seconds == pytest.approx(after + PAUSE_SECONDS + LINGER_SECONDS, abs=0.01)


def test_no_fitting_dialect_is_one_error() -> None:
    with pytest.raises(WrongDialect) as caught:
        probe(stream_of(end=True), stream_of(), protocols=["kawpow", "ethproxy"])
    assert str(caught.value) == (
        "stratum+tcp://pool.example:3333: no answer in any protocol that was tried (kawpow: the "
        "pool closed the connection; ethproxy: no answer within 10 s); check the address and the "
        "port"
    )
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    "told",
    [
        answer(1, None, [25, "you are banned for 600 s"]),
        line({"method": "client.show_message", "params": ["you are banned for 600 s"]}),
        b"you are banned for 600 s\n",
    ],
)
def test_ban_ends_the_probe(told: bytes) -> None:
    banned = stream_of(told, end=True)
    with pytest.raises(Banned, match="the pool banned us: you are banned") as caught:
        probe(banned, stream_of(LOGIN), protocols=["kawpow", "ethproxy"])
    assert banned.closed
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("protocol", "refusal"),
    [
        ("kawpow", answer(1, None, [20, "the server is starting"])),
        ("kawpow", line({"id": None, "error": [20, "the server is starting"]})),
        ("ethproxy", answer(1, None, {"code": -1, "message": "the server is starting"})),
        ("epic", line({"id": "1", "method": "login", "error": {"code": -32000, "message": "x"}})),
    ],
)
@pytest.mark.parametrize("end", [False, True])
def test_busy_pool_is_an_error_and_no_other_dialect_is_tried(
    protocol: str, refusal: bytes, end: bool
) -> None:
    with pytest.raises(ConnectionLost, match=r"cannot log us in now: .*; try later") as caught:
        probe(stream_of(refusal, end=end), stream_of(LOGIN), protocols=[protocol, "kawpow"])
    assert caught.value.cause is Cause.LOGIN_LATER


def test_pool_that_only_has_internal_errors_speaks_no_dialect() -> None:
    failing = [stream_of(answer(1, None, [20, "Internal error"]), end=True) for _ in DIALECTS]
    with pytest.raises(ConnectionLost, match="now: Internal error; try later") as caught:
        probe(*failing, protocols=list(DIALECTS))
    assert caught.value.cause is Cause.POOL_FAULT
    assert all(stream.closed for stream in failing)


def test_port_for_tls_is_an_error_and_no_other_dialect_is_tried() -> None:
    for_tls = FakeStream()
    for_tls.breaks(ConnectionLost("the port is for TLS", Cause.NO_TLS))
    with pytest.raises(ConnectionLost, match="the port is for TLS"):
        probe(for_tls, stream_of(LOGIN), protocols=["kawpow", "ethproxy"])


def test_unreachable_pool_is_an_error() -> None:
    with pytest.raises(ConnectionLost, match="nothing listens there"):
        probe()


def test_result_before_the_pool_closed_the_connection_is_kept() -> None:
    result, _, _ = probe(stream_of(answer(1, [None, "0b8e5b"]), end=True))
    assert (result.accepted, result.free_bits) == (None, 40)
    assert result.quirks == ["the pool closed the connection"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "certificate verified"),
        ({"tls_insecure": True}, "certificate not verified"),
        ({"tls_fingerprint": "ab" * 32}, "certificate pinned"),
    ],
)
def test_certificate_check_is_described(changes: dict[str, Any], text: str) -> None:
    url = PoolUrl("pool.example", 3333, "probe", transport=Transport.TLS, **changes)
    result, _, _ = probe(stream_of(LOGIN + notify()), url=url)
    assert result.tls == text
