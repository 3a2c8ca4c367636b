"""The client detects the dialect of a pool."""

from __future__ import annotations

import pytest

from miner.errors import Cause, ConnectionLost
from miner.net.address import PoolUrl
from miner.stratum.dialects import DIALECTS
from miner.telemetry import events
from miner.testpool.client_session import ClientSession
from tests.fakes.clock import settle
from tests.fakes.dial import FakeStream
from tests.pool.bench import FIRST, SECOND, Bench, running
from tests.stratum.dialogue import WELCOME, answer, call, line
from tests.testpool.raw_client import OnePrefix
from tests.testpool.standins import make_chain

ANY = PoolUrl("first.example", 3333, "RWallet.rig1")
"""A pool without a configured protocol."""


def opening(stream: FakeStream) -> str:
    return str(stream.requests()[0]["method"])


async def test_the_next_dialect_is_tried_if_the_first_request_is_refused() -> None:
    bench = Bench([ANY])
    refusing, stratum_1, proxy = FakeStream(), FakeStream(), FakeStream()
    for stream in (refusing, stratum_1):
        stream.feed(answer(1, None, {"code": -3, "message": "Method not found"}))
    work = ["0x" + "ab" * 32, "0x" + "00" * 32, "0x" + "0f" * 32, "0x3e8"]
    proxy.feed(answer(1) + line({"id": 0, "result": work}))
    bench.dial.ready(ANY.host, refusing, stratum_1, proxy)
    async with running(bench):
        await bench.clock.advance(5)
        assert [opening(s) for s in (refusing, stratum_1, proxy)] == [
            "mining.subscribe", "mining.subscribe", "eth_submitLogin",
        ]  # fmt: skip
        assert bench.job().height == 1000
        (remark,) = bench.events_of(events.PoolRemark)
        assert remark.text == "it speaks ETHPROXY"
        assert bench.events_of(events.PoolNotice) == []
        proxy.end()
        again = FakeStream()
        bench.dial.ready(ANY.host, again)
        await bench.clock.advance(5)
        assert opening(again) == "eth_submitLogin"


async def test_the_next_dialect_is_tried_if_the_pool_stays_silent() -> None:
    bench = Bench([ANY])
    streams = [FakeStream() for _ in range(12)]
    bench.dial.ready(ANY.host, *streams)
    async with running(bench):
        await bench.clock.advance(600)
        asked = [opening(s) for s in streams if s.requests()]
        assert asked[:4] == [
            "mining.subscribe", "mining.subscribe", "eth_submitLogin", "mining.hello",
        ]  # fmt: skip
        assert len(asked) <= 12


INTERNAL = {"code": -32603, "message": "Internal error"}


@pytest.mark.parametrize(
    ("first_answer", "seconds"),
    [
        (answer(1, None, [20, "Not supported."]), 1),
        (answer(1, None, INTERNAL), 1),
        (answer(1, False), 1),
        (b"", 1),
        (b"x" * 70000, 1),
        (b"HTTP/1.1 400 Bad Request\r\n", 1),
        (b"no json\n", 4),
        (line({"id": None, "error": INTERNAL}), 4),
        (line({"id": 0, "result": None, "error": INTERNAL}), 4),
        (line({"error": "strange request"}), 4),
    ],
)
async def test_every_unexpected_first_answer_leads_to_the_next_dialect_within_seconds(
    first_answer: bytes, seconds: float
) -> None:
    bench = Bench([ANY])
    streams = [FakeStream() for _ in DIALECTS]
    for stream in streams[:-1]:
        stream.feed(first_answer)  # nothing means that the pool closes the connection
    bench.dial.ready(ANY.host, *streams)
    async with running(bench):
        await bench.clock.advance(seconds * (len(DIALECTS) - 1) + 0.5)
        assert opening(streams[-1]) == "login"
        assert not any(lost.retry_in is None for lost in bench.events_of(events.PoolLost))


class OneDialectStream(FakeStream):
    """A connection with the test pool, which speaks one dialect only."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.session = ClientSession(OnePrefix(make_chain()), name)

    def write(self, data: bytes) -> None:
        super().write(data)
        self.session.receive(data)
        if answers := self.session.output():
            self.feed(answers)
        if self.session.close_reason:
            self.end()


@pytest.mark.parametrize(("before", "name"), list(enumerate(DIALECTS)))
async def test_a_dialect_is_detected_a_second_later_for_each_that_is_tried_before(
    before: int, name: str
) -> None:
    bench = Bench([ANY])
    bench.dial.ready(ANY.host, *(OneDialectStream(name) for _ in DIALECTS))
    async with running(bench):
        await bench.clock.advance(before + 0.5)
        assert bench.job().height
        (remark,) = bench.events_of(events.PoolRemark)
        # The login of Zano's dialect is ETHPROXY's.
        found = DIALECTS["ethproxy" if name == "zano" else name]
        assert remark.text == f"it speaks {found.title}"


async def test_a_kawpow_pool_that_failed_at_first_is_not_taken_for_another_dialects() -> None:
    bench = Bench([ANY])
    closed = FakeStream()
    closed.end()
    bench.dial.ready(ANY.host, closed, *(OneDialectStream("kawpow") for _ in DIALECTS))
    async with running(bench):
        await bench.clock.advance(3.5)
        assert bench.dial.streams[1].closed  # of EthereumStratum/1.0.0, whose login it accepts
        remarks = [event.text for event in bench.events_of(events.PoolRemark)]
        assert [text for text in remarks if "speaks" in text][-1] == "it speaks KawPow Stratum"
        assert bench.job().session == 3


async def test_a_port_for_tls_is_not_asked_in_other_dialects() -> None:
    bench = Bench([ANY])
    streams = [FakeStream() for _ in range(3)]
    for stream in streams:
        stream.breaks(ConnectionLost("the port is for TLS", Cause.NO_TLS))
    bench.dial.ready(ANY.host, *streams)
    async with running(bench):
        await bench.clock.advance(10)
        assert [s.requests()[0]["params"] for s in streams] == [["progpow-miner/0"]] * 3


@pytest.mark.parametrize("number", [1, None])
async def test_a_busy_pool_is_asked_again_in_the_same_dialect(number: int | None) -> None:
    bench = Bench([ANY])
    busy = [FakeStream() for _ in range(4)]
    for stream in busy:
        stream.say({"id": number, "result": None, "error": [20, "server busy, try again later"]})
        stream.end()
    bench.dial.ready(ANY.host, *busy)
    ready = bench.prepare(ANY)
    async with running(bench):
        await bench.clock.advance(60)
        assert [s.requests()[0]["params"] for s in (*busy, ready)] == [["progpow-miner/0"]] * 5
        assert bench.job().height


async def test_a_pool_with_internal_errors_at_first_is_not_given_up() -> None:
    bench = Bench([ANY])
    for name in DIALECTS:
        stream = FakeStream()
        fails = name in ("kawpow", "ethstratum")
        stream.feed(answer(1, None, INTERNAL if fails else [20, "Not supported."]))
        bench.dial.ready(ANY.host, stream)
    ready = bench.prepare(ANY)
    async with running(bench):
        await bench.clock.advance(len(DIALECTS) + 0.5)
        assert ready.requests()[0]["params"] == ["progpow-miner/0"]
        assert bench.job().height


async def test_detection_at_a_failing_pool_leads_to_the_next_pool() -> None:
    bench = Bench([ANY, SECOND])
    for _ in range(20):
        stream = FakeStream()
        stream.end()
        bench.dial.ready(ANY.host, stream)
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        assert bench.hosts() == ["first"] * (len(DIALECTS) + 2) + ["second"]
        assert bench.job().pool == SECOND.label


ZANOD = (
    b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"unknown method is requested: '
    b'mining.subscribe\nJSON request: {"id":1,"method":"mining.subscribe"}"}}\n'
)
"""Of Zano's daemon: the text has a bare newline and bare quotation marks."""


async def test_an_answer_that_is_not_json_moves_the_detection_on_within_seconds() -> None:
    bench = Bench([ANY])
    kawpow, stratum_1, proxy = FakeStream(), FakeStream(), FakeStream()
    for stream in (kawpow, stratum_1):
        stream.feed(ZANOD)
    work = ["0x" + "ab" * 32, "0x" + "00" * 32, "0x" + "0f" * 32, "0x3e8"]
    proxy.feed(answer(1) + line({"id": 0, "result": work}))
    bench.dial.ready(ANY.host, kawpow, stratum_1, proxy)
    async with running(bench):
        await bench.clock.advance(15)
        assert opening(proxy) == "eth_submitLogin"
        assert bench.job().height == 1000


async def test_a_pool_with_a_greeting_that_is_not_json_is_mined_on() -> None:
    bench = Bench([ANY])
    stream = FakeStream()
    bench.dial.ready(ANY.host, stream)
    stream.feed(b"220 welcome\n")
    async with running(bench):
        await bench.clock.advance(1)
        stream.feed(WELCOME)
        await bench.clock.advance(100)
        assert not stream.closed
        assert bench.job().session == 1


async def test_a_job_of_another_dialect_moves_the_detection_on() -> None:
    bench = Bench([ANY])
    kawpow, stratum_1 = FakeStream(), FakeStream()
    subscription = [["mining.notify", "ab", "EthereumStratum/1.0.0"], "080c"]
    job = ["bf", "00" * 32, "ab" * 32, "0x3e8", True]
    for stream in (kawpow, stratum_1):
        stream.feed(answer(1, subscription) + answer(2) + call("mining.notify", *job))
    bench.dial.ready(ANY.host, kawpow, stratum_1)
    async with running(bench):
        await bench.clock.advance(5)
        assert bench.job().height == 1000
        assert stratum_1.requests()[0]["params"][1] == "EthereumStratum/1.0.0"
        assert not stratum_1.closed


async def test_a_pool_that_was_down_before_it_refused_the_login_of_a_dialect_is_kept() -> None:
    bench = Bench([ANY])
    for name in DIALECTS:
        stream = FakeStream()
        if name in ("kawpow", "ethstratum"):
            stream.end()
        else:
            refusal = [24, "unauthorized"] if name == "ethproxy" else [20, "Not supported."]
            stream.feed(answer(1, None, refusal))
        bench.dial.ready(ANY.host, stream)
    bench.prepare(ANY)
    async with running(bench):
        await bench.clock.advance(len(DIALECTS) + 0.5)
        assert bench.job().height


async def test_detection_that_begins_again_after_each_login_leads_to_the_next_pool() -> None:
    bench = Bench([ANY, SECOND])
    subscription = [["mining.notify", "ab", "EthereumStratum/1.0.0"], "080c"]
    foreign = call("mining.notify", "bf", "00" * 32, "ab" * 32, "0x3e8", True)
    for number in range(60):
        stream = FakeStream()
        if number % len(DIALECTS) == 0:
            stream.feed(answer(1, subscription) + answer(2) + foreign)
        elif number % len(DIALECTS) > 1:
            stream.feed(answer(1, None, [20, "Not supported."]))
        else:
            stream.end()
        bench.dial.ready(ANY.host, stream)
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(60)
        assert bench.hosts()[-1] == "second"


async def test_a_pool_that_refuses_every_dialect_is_given_up() -> None:
    bench = Bench([ANY])
    for _ in DIALECTS:
        bench.prepare(ANY, answer(1, None, {"code": -32601, "message": "Method not found"}))
    async with running(bench):
        await bench.clock.advance(30)
        assert "the pool accepts none of the known protocols" in bench.given_up
        assert len(bench.dial.opened) == len(DIALECTS)


async def test_the_error_for_a_refused_configured_dialect_says_what_to_do() -> None:
    bench = Bench()
    bench.prepare(FIRST, answer(1, None, {"code": -3, "message": "Method not found"}))
    async with running(bench):
        await settle()
        assert "does not speak KawPow Stratum" in bench.given_up
        assert "--protocol auto" in bench.given_up


async def test_a_detected_dialect_survives_one_refusal() -> None:
    bench = Bench([ANY])
    bench.prepare(ANY).end()
    bench.prepare(ANY, answer(1, None, [20, "the server is starting"]))
    again = bench.prepare(ANY)
    async with running(bench):
        await bench.clock.advance(10)
        assert [request["method"] for request in again.requests()][:1] == ["mining.subscribe"]
        assert again.requests()[0]["params"] == ["progpow-miner/0"]
        assert bench.job().session == 3


async def test_detection_starts_again_if_a_pool_keeps_refusing_its_dialect() -> None:
    bench = Bench([ANY])
    bench.prepare(ANY).end()
    for _ in range(2):
        bench.prepare(ANY, answer(1, None, [20, "Method not found"]))
    other = FakeStream()
    bench.dial.ready(ANY.host, other)
    async with running(bench):
        await bench.clock.advance(15)
        assert other.requests()[0]["params"] == ["progpow-miner/0", "EthereumStratum/1.0.0"]


async def test_reconnects_back_off_if_each_login_ends_with_a_wrong_dialect() -> None:
    bench = Bench([ANY])
    subscription = [["mining.notify", "ab", "EthereumStratum/1.0.0"], "080c"]
    foreign = call("mining.notify", "bf", "00" * 32, "ab" * 32, "0x3e8", True)
    for _ in range(200):
        stream = FakeStream()
        stream.feed(answer(1, subscription) + answer(2) + foreign)
        stream.end()
        bench.dial.ready(ANY.host, stream)
    async with running(bench):
        await bench.clock.advance(300)
        assert len(bench.dial.opened) <= 20
