from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from miner.errors import ConnectionLost, PoolRefused, ProtocolError
from miner.work import Outcome
from tests.fakes.node import HEIGHT, LOGIN, Cut, PprpcNode, Raw, RpcFault, serving
from tests.solo.bench import running, solved


async def test_refused_credentials_end_it_without_a_secret() -> None:
    async with (
        serving(PprpcNode()) as node,
        running(node, "pprpc", password="wr0ng") as bench,
    ):
        error = await bench.end()
        assert isinstance(error, PoolRefused)
        assert "check user and password" in str(error)
        assert "wr0ng" not in str(error)
        assert LOGIN[0] not in str(error)


async def test_a_machine_that_may_not_ask_is_told_of_rpcallowip() -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", Raw(403, b""))
        async with running(node, "pprpc") as bench:
            error = await bench.end()
            assert isinstance(error, PoolRefused)
            assert "rpcallowip=" in str(error)


async def test_the_cookie_is_read_anew(tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:00ff\n")
    async with (
        serving(PprpcNode(login=("__cookie__", "00ff"))) as node,
        running(node, "pprpc", cookie_file=str(cookie), user="", password="x") as bench,
    ):
        job = await bench.job()
        node.login = ("__cookie__", "11ee")
        cookie.write_text("__cookie__:11ee")
        assert await bench.brought(solved(job)) == (Outcome.ACCEPTED, "")


async def test_a_missing_cookie_may_come_yet(tmp_path: Path) -> None:
    missing = tmp_path / ".cookie"
    async with (
        serving(PprpcNode()) as node,
        running(node, "pprpc", cookie_file=str(missing)) as bench,
    ):
        error = await bench.end()
        assert isinstance(error, ConnectionLost)
        assert str(missing) in str(error)
        assert node.calls == []


async def test_an_empty_cookie_may_be_filled_yet(tmp_path: Path) -> None:
    (tmp_path / ".cookie").write_text("")
    async with (
        serving(PprpcNode()) as node,
        running(node, "pprpc", cookie_file=str(tmp_path / ".cookie")) as bench,
    ):
        error = await bench.end()
        assert isinstance(error, ConnectionLost)
        assert "is empty" in str(error)


async def test_a_cookie_that_changed_on_the_way_is_no_refusal(tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:00ff")

    class Restarting(PprpcNode):
        async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
            cookie.write_text("__cookie__:11ee")
            return await super().answer(request)

    async with (
        serving(Restarting(login=("__cookie__", "11ee"))) as node,
        running(node, "pprpc", cookie_file=str(cookie)) as bench,
    ):
        error = await bench.end()
        assert isinstance(error, ConnectionLost)
        assert "new cookie" in str(error)


async def test_a_file_that_is_no_cookie_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wallet.dat"
    file.write_bytes(b"\xff\xfe no text")
    async with (
        serving(PprpcNode()) as node,
        running(node, "pprpc", cookie_file=str(file)) as bench,
    ):
        assert isinstance(await bench.end(), PoolRefused)


async def test_nothing_listens() -> None:
    async with serving(PprpcNode()) as node:
        pass
    async with running(node, "pprpc") as bench:
        error = await bench.end()
        assert isinstance(error, ConnectionLost)
        assert f"port {node.port}: nothing listens there; check" in str(error)


@pytest.mark.parametrize(
    ("code", "words"), [(-9, "no other node"), (-10, "downloading"), (-28, "starting")]
)
async def test_a_node_that_is_not_ready_is_waited_for(code: int, words: str) -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", *[RpcFault(code, "not yet")] * 3)
        async with running(node, "pprpc") as bench:
            await bench.job(step=0.5)
            (message,) = bench.messages
            assert words in message
            plain = [c for c in node.called("getblocktemplate") if "longpollid" not in c[0]]
            assert len(plain) == 4
            assert bench.clock.now() - 1000 >= 1 + 2 + 4


async def test_a_node_that_never_gets_ready_gives_way() -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", *[RpcFault(-10, "downloading blocks")] * 100)
        async with running(node, "pprpc") as bench:
            error = await bench.end(step=5)
            assert isinstance(error, ConnectionLost)
            assert "no work for 10 minutes" in str(error)
            assert bench.clock.now() - 1000 >= 600


async def test_a_port_of_something_else_is_refused() -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", RpcFault(-32601, "Method not found", 404))
        async with running(node, "pprpc") as bench:
            error = await bench.end()
            assert isinstance(error, PoolRefused)
            assert "no getblocktemplate" in str(error)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Cut(), ConnectionLost),
        (Raw(503, b"Work queue depth exceeded"), ConnectionLost),
        (Raw(200, b"<html>"), ProtocolError),
        (Raw(200, b"[1]"), ProtocolError),
        (Raw(200, b"[" * 100_000), ProtocolError),
        (Raw(302, b""), ProtocolError),
    ],
    ids=str,
)
async def test_no_answer_ends_it(fault: Exception, kind: type[Exception]) -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", fault)
        async with running(node, "pprpc") as bench:
            assert isinstance(await bench.end(), kind)


async def test_a_node_that_does_not_answer_is_given_up() -> None:
    node = PprpcNode()

    async def never(params: list[Any]) -> None:
        await node.until_changed()

    node.rpc_getblocktemplate = never  # type: ignore[method-assign]
    async with serving(node), running(node, "pprpc") as bench:
        await bench.until(lambda: node.calls)
        error = await bench.end(step=10)
        assert isinstance(error, ConnectionLost)
        assert "getblocktemplate within 30 s" in str(error)


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("target", "00" * 31 + "01", "target"),
        ("bits", "1d000000", "target is 0"),
        ("bits", "zz", "bits"),
        ("bits", 5, "bits"),
        ("height", -1, "height"),
        ("height", "12ab", "height"),
        ("height", True, "height"),
        ("height", 2**64, "height"),
        ("previousblockhash", None, "previousblockhash"),
        ("pprpcheader", "00ff", "pprpcheader"),
        ("pprpcheader", 7, "pprpcheader"),
    ],
)
async def test_a_template_that_contradicts_itself_is_not_mined(
    member: str, value: Any, words: str
) -> None:
    node = PprpcNode()
    good = node.template

    def bad() -> dict[str, Any]:
        template = good()
        if value == "1d000000":
            del template["target"]
        return template | {member: value}

    node.template = bad  # type: ignore[method-assign]
    async with serving(node), running(node, "pprpc") as bench:
        await bench.until(lambda: bench.messages)
        assert words in bench.messages[0]
        assert bench.jobs == []
        node.template = good  # type: ignore[method-assign]
        await bench.job(step=0.5)
        assert len(bench.messages) == 1


async def test_a_lower_height_needs_another_tip() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        await bench.job()
        await bench.until(lambda: len(node.called("getblocktemplate")) == 2)
        node.header = "5e" * 32
        node.new_tip(node.tip, HEIGHT - 1)
        await bench.until(lambda: bench.messages)
        assert "same tip" in bench.messages[0]
        assert len(bench.jobs) == 1
        node.new_tip("33" * 32, HEIGHT - 1)
        assert (await bench.job(2, step=0.5)).height == HEIGHT - 1


async def test_an_epoch_that_is_not_ours_is_told_once() -> None:
    async with serving(PprpcNode(epoch=1)) as node, running(node, "pprpc") as bench:
        await bench.job()
        node.header = "5e" * 32
        await bench.until(lambda: len(node.called("getblocktemplate")) == 2)
        node.new_tip()
        await bench.job(2)
        (message,) = bench.messages
        assert "epoch 1" in message


async def test_a_long_poll_that_hangs_hides_no_tip() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        await bench.job()
        await bench.until(lambda: len(node.called("getblocktemplate")) == 2)
        node.header, node.tip, node.height = "5e" * 32, "22" * 32, HEIGHT + 1
        job = await bench.job(2, step=5)
        assert job.height == HEIGHT + 1
        assert bench.clock.now() - 1000 < 60


async def test_a_long_poll_outlasts_a_quiet_chain() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        await bench.job()
        await bench.clock.advance(0)
        await bench.until(lambda: len(node.called("getbestblockhash")) >= 18, step=10)
        assert len(node.called("getblocktemplate")) == 2
        assert len(bench.jobs) == 1


async def test_long_polls_that_return_at_once_are_not_asked_in_a_hurry() -> None:
    node = PprpcNode()

    async def hasty(params: list[Any]) -> Any:
        return node.template()

    node.rpc_getblocktemplate = hasty  # type: ignore[method-assign]
    async with serving(node), running(node, "pprpc") as bench:
        await bench.job()
        await bench.until(lambda: len(node.called("getblocktemplate")) >= 10, step=0.5)
        assert bench.clock.now() - 1000 >= 7


async def test_long_polls_that_always_bring_another_header_are_not_asked_in_a_hurry() -> None:
    node = PprpcNode()

    async def hasty(params: list[Any]) -> Any:
        node.header = f"{len(node.calls):064x}"
        return node.template()

    node.rpc_getblocktemplate = hasty  # type: ignore[method-assign]
    async with serving(node), running(node, "pprpc") as bench:
        await bench.job(10, step=0.5)
        assert bench.clock.now() - 1000 >= 7


async def test_a_node_without_long_polls_is_looked_at_each_second() -> None:
    node = PprpcNode()
    good = node.template
    node.template = lambda: good() | {"longpollid": None}  # type: ignore[method-assign]
    async with serving(node), running(node, "pprpc") as bench:
        await bench.job()
        await bench.until(lambda: len(node.called("getblocktemplate")) == 3, step=0.25)
        assert 10 <= bench.clock.now() - 1000 <= 14
        node.header = "5e" * 32
        node.new_tip()
        before = bench.clock.now()
        await bench.job(2, step=0.25)
        assert bench.clock.now() - before <= 2
        assert all("longpollid" not in params[0] for params in node.called("getblocktemplate"))


async def test_what_the_session_was_not_told_ends_as_lost() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        job = await bench.job()
        bench.session.leave("the miner stopped")
        await bench.end()
        outcome, text = await bench.brought(solved(job))
        assert outcome is Outcome.LOST
        assert "brought to the node at the next start" in text


async def test_a_cancelled_session_closes_everything() -> None:
    async with serving(PprpcNode()) as node:
        async with running(node, "pprpc") as bench:
            await bench.job()
        assert bench.ended is None
        await bench.session.drained()
        outcome, _ = await bench.brought(solved(bench.jobs[0]))
        assert outcome is Outcome.LOST
