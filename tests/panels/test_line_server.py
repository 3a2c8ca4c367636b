"""The panels' TCP ports: listening, limits, timeouts, closing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from pydantic import ValidationError

from miner.errors import AddressTaken, ConfigError
from miner.panels import ethminer_rpc, sgminer_api
from miner.panels.line_server import (
    CONNECTIONS_OF_ONE,
    IDLE_SECONDS,
    MAX_CONNECTIONS,
    REQUEST_SECONDS,
    PanelPort,
)
from miner.settings.model import ApiSettings
from miner.stratum.wire_format import LINE_LIMIT
from tests.fakes.api import FakeControl, context_of
from tests.fakes.clock import settle
from tests.fakes.rig import Rig, busy_rig
from tests.panels import consumers

HOST = "127.0.0.1"
PING = b'{"id":0,"jsonrpc":"2.0","method":"miner_ping"}\n'
GETSTAT1 = b'{"id":0,"jsonrpc":"2.0","method":"miner_getstat1"}\n'


@pytest.fixture
async def rig() -> Rig:
    return await busy_rig()


def ethminer(rig: Rig, token: str | None = None, host: str = HOST, port: int = 0) -> PanelPort:
    context = context_of(rig.telemetry, rig.clock, FakeControl())
    return ethminer_rpc.port(context, host, port, token)


def sgminer(rig: Rig, has_token: bool = False, host: str = HOST, port: int = 0) -> PanelPort:
    context = context_of(rig.telemetry, rig.clock, FakeControl())
    return sgminer_api.port(context, host, port, has_token)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(100):
        if holds():
            return
        await settle()
    raise AssertionError


async def nc(port: PanelPort, request: bytes, half_close: bool = True) -> bytes:
    """Everything that the server sends until it closes, as nc prints it."""
    reader, writer = await asyncio.open_connection(HOST, port.port)
    writer.write(request)
    if half_close:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_hiveos_reads_ethminers_port(rig: Rig) -> None:
    async with ethminer(rig) as port:
        farm = consumers.hive_ethminer(await nc(port, GETSTAT1))
    assert (farm.khs, farm.hs, farm.temp, farm.fan) == (80_000, [35_000, 45_000], [61, 91], [57, 0])
    assert (farm.accepted, farm.rejected, farm.invalid, farm.uptime) == (4, 4, 1, 960)


async def test_hiveos_and_simplemining_read_sgminers_port(rig: Rig) -> None:
    async with sgminer(rig) as port:
        hive = await nc(port, b'{"command":"summary+devs"}\n')
        simple = await nc(port, b'{"command":"devs+summary+devs2+summary2"}', half_close=False)
        text = await nc(port, b"summary", half_close=False)
    assert consumers.hive_teamred(hive).hs == [35_000, 45_000]
    assert consumers.simple_mining(simple).khs == 80_000
    assert consumers.plain(text)[1]["KHS 30s"] == "80000.0"


async def test_sgminer_accepts_a_request_of_several_lines(rig: Rig) -> None:
    request = b'{\n "command":\n "version"\n}\n'
    async with sgminer(rig) as port:
        answer = json.loads((await nc(port, request))[:-1])
    assert answer["VERSION"]


async def test_a_client_may_send_several_requests(rig: Rig) -> None:
    async with ethminer(rig) as port:
        reader, writer = await asyncio.open_connection(HOST, port.port)
        for _ in range(3):
            await rig.clock.advance(IDLE_SECONDS - 1)
            writer.write(PING)
            assert json.loads(await reader.readline())["result"] == "pong"
        assert port.connections == 1
        writer.close()
        await writer.wait_closed()
        await until(lambda: port.connections == 0)


async def test_a_silent_client_is_disconnected(rig: Rig) -> None:
    async with ethminer(rig) as port:
        reader, writer = await asyncio.open_connection(HOST, port.port)
        writer.write(PING)
        await reader.readline()
        await rig.clock.advance(IDLE_SECONDS - 0.1)
        assert port.connections == 1
        await rig.clock.advance(0.2)
        await until(lambda: port.connections == 0)
        writer.close()


async def test_a_client_with_an_endless_request_is_disconnected(rig: Rig) -> None:
    async with ethminer(rig) as port:
        _, writer = await asyncio.open_connection(HOST, port.port)
        for byte in b"{{{{":
            writer.write(bytes([byte]))
            await until(lambda: port.connections == 1)
            await rig.clock.advance(IDLE_SECONDS / 4)
        await until(lambda: port.connections == 0)
        writer.close()


class LongAnswers:
    """Answers each line with more bytes than the buffers of a socket hold."""

    ended = False

    def split(self, data: bytes) -> list[bytes]:
        return [data]

    def receive(self, data: bytes) -> bytes:
        return b"x" * (32 << 20)

    def finish(self) -> bytes:
        return b""


async def test_a_client_that_takes_no_answer_is_disconnected(rig: Rig) -> None:
    async with PanelPort("a port", HOST, 0, LongAnswers, rig.clock, rig.journal) as port:
        reader, writer = await asyncio.open_connection(HOST, port.port, limit=1)
        writer.write(PING)
        await until(lambda: port.connections == 1)
        await rig.clock.advance(IDLE_SECONDS + 1)
        await until(lambda: port.connections == 0)
        taken = 0
        with suppress(ConnectionError):
            while data := await reader.read(1 << 20):
                taken += len(data)
        assert taken < 32 << 20
        writer.transport.abort()


@pytest.mark.parametrize("line", [PING, b"\n"])
async def test_a_flood_of_requests_does_not_delay_other_clients(rig: Rig, line: bytes) -> None:
    async with ethminer(rig) as port:
        many, flood = await asyncio.open_connection(HOST, port.port)
        flood.write(line * 5000 + PING)
        await until(lambda: port.connections == 1)
        reader, writer = await asyncio.open_connection(HOST, port.port)
        writer.write(PING)
        assert b"pong" in await reader.readline()
        await settle()
        first = await many.read(1 << 20)
        assert first.count(b"pong") == 1, "one answer in the meantime"
        for end in (flood, writer):
            end.transport.abort()


async def test_pipelined_requests_are_answered_one_by_one(rig: Rig) -> None:
    async with ethminer(rig) as port:
        reader, writer = await asyncio.open_connection(HOST, port.port)
        writer.write(PING * 3)
        for _ in range(3):
            assert b"pong" in await reader.readline()
            await rig.clock.advance(REQUEST_SECONDS)
        writer.transport.abort()


async def test_the_number_of_connections_is_bounded(rig: Rig) -> None:
    async with ethminer(rig) as port:
        ends = [
            await asyncio.open_connection(HOST, port.port, local_addr=(f"127.0.7.{n + 1}", 0))
            for n in range(MAX_CONNECTIONS)
        ]
        await until(lambda: port.connections == MAX_CONNECTIONS)
        reader, writer = await asyncio.open_connection(HOST, port.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        assert port.connections == MAX_CONNECTIONS
        ends[0][1].write(PING)
        assert json.loads(await ends[0][0].readline())["result"] == "pong"
        for _, other in [*ends, (reader, writer)]:
            other.transport.abort()
        await until(lambda: port.connections == 0)


async def test_silent_connections_of_an_address_do_not_keep_its_next_one_out(rig: Rig) -> None:
    async with ethminer(rig) as port:
        ends = [await asyncio.open_connection(HOST, port.port) for _ in range(140)]
        await until(lambda: port.connections == CONNECTIONS_OF_ONE)
        assert b"result" in await nc(port, PING)
        for _, other in ends:
            other.transport.abort()
        await until(lambda: port.connections == 0)


async def test_leaving_the_context_closes_port_and_connections(rig: Rig) -> None:
    async with ethminer(rig) as port:
        number = port.port
        reader, writer = await asyncio.open_connection(HOST, number)
        writer.write(PING)
        await reader.readline()
        assert port.connections == 1
    assert port.connections == 0
    with pytest.raises(ConfigError, match="not open"):
        _ = port.port
    with pytest.raises(OSError, match=str(number)):
        await asyncio.open_connection(HOST, number)
    async with sgminer(rig, port=number) as other:
        assert other.port == number
    writer.transport.abort()


async def test_a_long_line_ends_the_connection(rig: Rig) -> None:
    async with ethminer(rig) as port:
        reader, writer = await asyncio.open_connection(HOST, port.port)
        writer.write(b"x" * (LINE_LIMIT + 5000))
        with suppress(ConnectionError):  # unread input may cut off the answer
            await reader.read()
        await until(lambda: port.connections == 0)
        writer.transport.abort()


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PATCH", b"PROPFIND"])
@pytest.mark.parametrize("open_port", [ethminer, sgminer])
async def test_http_requests_get_no_answer(
    rig: Rig, open_port: Callable[..., PanelPort], method: bytes
) -> None:
    request = method + b" / HTTP/1.1\r\nHost: localhost:3333\r\n\r\n" + GETSTAT1
    async with open_port(rig) as port:
        reader, writer = await asyncio.open_connection(HOST, port.port)
        writer.write(request)
        with suppress(ConnectionError):  # unread input may reset the connection
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("open_port", [ethminer, sgminer])
async def test_a_port_in_use_is_an_error(rig: Rig, open_port: Callable[..., PanelPort]) -> None:
    async with sgminer(rig) as first:
        sentence = (
            rf'^\[api\] \w+ = "127.0.0.1:{first.port}": .* \(another program uses it, .*\); choose'
        )
        with pytest.raises(AddressTaken, match=sentence) as caught:
            async with open_port(rig, port=first.port):
                raise AssertionError
        assert caught.value.exit_code == 3


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "rig1.lan"])
@pytest.mark.parametrize("open_port", [ethminer, sgminer])
async def test_a_reachable_address_requires_a_token(
    rig: Rig, open_port: Callable[..., PanelPort], host: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        async with open_port(rig, host=host):
            raise AssertionError
    name = open_port.__name__
    with pytest.raises(ValidationError) as invalid:
        ApiSettings(**{name: f"[{host}]:0" if ":" in host else f"{host}:0"})
    (problem,) = invalid.value.errors()
    assert str(caught.value) == f"[api] {problem['ctx']['error']}", "the settings say the same"


@pytest.mark.parametrize(
    ("open_port", "name"), [(ethminer_rpc.port, "ethminer"), (sgminer_api.port, "sgminer")]
)
async def test_the_journal_has_the_address_of_the_port(
    rig: Rig, open_port: Callable[..., PanelPort], name: str
) -> None:
    context = context_of(rig.telemetry, rig.clock)
    async with open_port(context, HOST, 0) as port:
        (entry,) = context.journal.entries
        assert (entry.topic, entry.text) == ("api", f"{name} API on {HOST}:{port.port}")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.2"])
async def test_a_loopback_address_needs_no_token(rig: Rig, host: str) -> None:
    async with ethminer(rig, host=host) as port:
        assert port.port


async def test_with_a_token_any_address_is_allowed(rig: Rig) -> None:
    async with ethminer(rig, "secret", "0.0.0.0") as port, sgminer(rig, True, "0.0.0.0") as other:
        assert b"pong" in await nc(port, PING)
        assert b"KHS 30s" in await nc(other, b"summary")


@pytest.mark.parametrize("number", [-1, 65536])
async def test_an_impossible_port_is_an_error(rig: Rig, number: int) -> None:
    with pytest.raises(ConfigError, match="cannot listen on this address"):
        async with ethminer(rig, port=number):
            raise AssertionError
