from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from miner import clock as simulation
from miner.errors import Banned, ConnectionLost, WrongDialect
from miner.net.pool_url import PoolUrl, Transport
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
from tests.fakes.dial import FakeDial, FakeStream
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import HEADER, SEED, answer, call, notify

URL = PoolUrl("pool.example", 3333, "probe", "hunter2")
LOGIN = answer(1, [None, "0b8e5b"]) + answer(2)


def said(*pieces: bytes, end: bool = False) -> FakeStream:
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
    """Return what was found, after how many seconds, and what was opened."""
    dial = FakeDial()
    dial.ready(url.host, *streams)
    clock = simulation.LoopClock()
    question = ProbeRequest(
        url, KAWPOW, "progpow-miner/0", seconds, protocols, lambda index: bytes.fromhex(seed)
    )

    async def timed() -> tuple[ProbeResult, float]:
        return await ask(question, dial, clock), clock.now()

    finding, seconds = simulation.run(timed())
    return finding, seconds, dial


def test_what_a_pool_says_of_itself() -> None:
    stream = said(LOGIN + notify())
    finding, seconds, dial = probe(stream)
    assert finding == ProbeResult(
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


def test_a_refused_login_still_tells_what_was_learnt() -> None:
    refused = answer(1, [None, "0b8e5b"]) + notify() + answer(2, False, [24, "unknown wallet"])
    finding, _, _ = probe(said(refused))
    assert (finding.accepted, finding.refusal) == (False, "unknown wallet")
    assert (finding.height, finding.free_bits) == (1866617, 40)


@pytest.mark.parametrize(
    ("seed", "said_seed", "found"),
    [
        (SEED, SEED, SeedCheck.FITS),
        ("00" * 32, SEED, SeedCheck.DIFFERS),
        (SEED, "", SeedCheck.ABSENT),
    ],
)
def test_the_seed_hash_is_held_against_the_height(
    seed: str, said_seed: str, found: SeedCheck
) -> None:
    finding, _, _ = probe(said(LOGIN + notify((2, said_seed))), seed=seed)
    assert finding.seed is found
    assert bool(finding.quirks) == (found is SeedCheck.DIFFERS)


def test_oddities_are_told_once_each() -> None:
    wish = call("client.reconnect", "other.example", 4444, 5)
    words = call("client.show_message", "we move on Monday")
    finding, _, _ = probe(said(LOGIN + b"no json\n" + words + words + wish + notify()))
    assert finding.quirks == [
        "the pool sent a line that is not a JSON object; ignoring it",
        "we move on Monday",
        "the pool asks to reconnect to other.example, port 4444, in 5 s",
    ]


def test_a_pool_that_talks_without_end_is_not_listed_to_its_end() -> None:
    talk = b"".join(call("client.show_message", f"news {n}") for n in range(QUIRKS_LIMIT + 9))
    finding, _, _ = probe(said(LOGIN + talk + notify()))
    assert len(finding.quirks) == QUIRKS_LIMIT


def test_a_target_without_a_job_is_a_difficulty_all_the_same() -> None:
    finding, seconds, _ = probe(said(LOGIN + call("mining.set_target", "00" * 4 + "ff" * 28)))
    assert finding.expected_hashes == 2**32
    assert finding.height is None
    assert seconds == pytest.approx(20, abs=0.01)


ES1 = (
    answer(1, [["mining.notify", "ae6812eb", "EthereumStratum/1.0.0"], "08"])
    + answer(2)
    + answer(3)
    + call("mining.set_difficulty", 0.5)
    + call("mining.notify", "bf0488aa", SEED, HEADER, 1866617, True)
)


@pytest.mark.parametrize(
    ("first", "why", "after"),
    [
        (said(answer(1, None, [20, "Not supported."])), "Not supported.", 0.0),
        (said(end=True), "the pool closed the connection", 0.0),
        (said(), "no answer within 10 s", SILENCE_SECONDS),
        (said(ES1), "its jobs are those of EthereumStratum/1.0.0", 0.0),
        (said(b"x" * 70000), "a line is longer than 65536 bytes", 0.0),
    ],
)
def test_the_next_dialect_is_tried(first: FakeStream, why: str, after: float) -> None:
    finding, seconds, dial = probe(first, said(ES1), protocols=["kawpow", "ethstratum"])
    assert finding.protocol == "ethstratum"
    assert finding.misfits == {"kawpow": why}
    assert (finding.height, finding.extranonce_bytes) == (1866617, 1)
    assert len(dial.opened) == 2
    assert all(stream.closed for stream in dial.streams)
    assert seconds == pytest.approx(after + PAUSE_SECONDS + LINGER_SECONDS, abs=0.01)


def test_no_answer_in_any_dialect_is_one_sentence() -> None:
    with pytest.raises(WrongDialect) as caught:
        probe(said(end=True), said(), protocols=["kawpow", "ethproxy"])
    assert str(caught.value) == (
        "stratum+tcp://pool.example:3333: no answer in any protocol that was tried (kawpow: the "
        "pool closed the connection; ethproxy: no answer within 10 s); check the address and the "
        "port"
    )
    assert caught.value.exit_code == 4


def test_a_pool_that_shuts_us_out_is_asked_no_more() -> None:
    banned = said(answer(1, None, [25, "you are banned for 600 s"]))
    with pytest.raises(Banned, match="the pool banned us: you are banned") as caught:
        probe(banned, said(LOGIN), protocols=["kawpow", "ethproxy"])
    assert banned.closed
    assert "hunter2" not in str(caught.value)


def test_a_pool_that_cannot_be_reached() -> None:
    with pytest.raises(ConnectionLost, match="nothing listens there"):
        probe()


def test_what_was_learnt_before_the_pool_hung_up_is_told() -> None:
    finding, _, _ = probe(said(answer(1, [None, "0b8e5b"]), end=True))
    assert (finding.accepted, finding.free_bits) == (None, 40)
    assert finding.quirks == ["the pool closed the connection"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "certificate verified"),
        ({"tls_insecure": True}, "certificate not verified"),
        ({"tls_fingerprint": "ab" * 32}, "certificate pinned"),
    ],
)
def test_how_the_certificate_was_checked(changes: dict[str, Any], words: str) -> None:
    url = PoolUrl("pool.example", 3333, "probe", transport=Transport.TLS, **changes)
    finding, _, _ = probe(said(LOGIN + notify()), url=url)
    assert finding.tls == words
