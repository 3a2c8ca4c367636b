from __future__ import annotations

from typing import Any

import pytest

from miner.errors import ConnectionLost, PoolRefused
from tests.fakes.node import HEIGHT, PprpcNode, RpcFault, serving
from tests.solo.bench import running


@pytest.mark.parametrize(
    ("code", "text"),
    [(-9, "no connection to other nodes"), (-10, "downloading"), (-28, "starting")],
)
async def test_a_node_that_is_not_ready_is_asked_again_with_back_off(code: int, text: str) -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", *[RpcFault(code, "not yet")] * 3)
        async with running(node, "pprpc") as bench:
            await bench.job(step=0.5)
            (message,) = bench.messages
            assert text in message
            plain = [c for c in node.called("getblocktemplate") if "longpollid" not in c[0]]
            assert len(plain) == 4
            assert bench.clock.now() - 1000 >= 1 + 2 + 4


async def test_a_node_without_work_for_ten_minutes_is_left() -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", *[RpcFault(-10, "downloading blocks")] * 100)
        async with running(node, "pprpc") as bench:
            error = await bench.end(step=5)
            assert isinstance(error, ConnectionLost)
            assert "no work for 10 minutes" in str(error)
            assert bench.clock.now() - 1000 >= 600


async def test_a_server_without_getblocktemplate_is_refused() -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", RpcFault(-32601, "Method not found", 404))
        async with running(node, "pprpc") as bench:
            error = await bench.end()
            assert isinstance(error, PoolRefused)
            assert "no getblocktemplate" in str(error)


@pytest.mark.parametrize(
    ("member", "value", "text"),
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
async def test_an_inconsistent_template_is_not_mined(member: str, value: Any, text: str) -> None:
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
        assert text in bench.messages[0]
        assert bench.jobs == []
        node.template = good  # type: ignore[method-assign]
        await bench.job(step=0.5)
        assert len(bench.messages) == 1


async def test_a_lower_height_on_the_same_tip_is_not_mined() -> None:
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


async def test_a_different_epoch_number_is_reported_once() -> None:
    async with serving(PprpcNode(epoch=1)) as node, running(node, "pprpc") as bench:
        await bench.job()
        node.header = "5e" * 32
        await bench.until(lambda: len(node.called("getblocktemplate")) == 2)
        node.new_tip()
        await bench.job(2)
        (message,) = bench.messages
        assert "epoch 1" in message


async def test_a_new_tip_is_found_while_a_long_poll_hangs() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        await bench.job()
        await bench.until(lambda: len(node.called("getblocktemplate")) == 2)
        node.header, node.tip, node.height = "5e" * 32, "22" * 32, HEIGHT + 1
        job = await bench.job(2, step=5)
        assert job.height == HEIGHT + 1
        assert bench.clock.now() - 1000 < 60


async def test_a_long_poll_lasts_while_the_tip_is_the_same() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        await bench.job()
        await bench.clock.advance(0)
        await bench.until(lambda: len(node.called("getbestblockhash")) >= 18, step=10)
        assert len(node.called("getblocktemplate")) == 2
        assert len(bench.jobs) == 1


async def test_long_polls_that_return_at_once_are_rate_limited() -> None:
    node = PprpcNode()

    async def hasty(params: list[Any]) -> Any:
        return node.template()

    node.rpc_getblocktemplate = hasty  # type: ignore[method-assign]
    async with serving(node), running(node, "pprpc") as bench:
        await bench.job()
        await bench.until(lambda: len(node.called("getblocktemplate")) >= 10, step=0.5)
        assert bench.clock.now() - 1000 >= 7


async def test_long_polls_with_a_new_header_each_time_are_rate_limited() -> None:
    node = PprpcNode()

    async def hasty(params: list[Any]) -> Any:
        node.header = f"{len(node.calls):064x}"
        return node.template()

    node.rpc_getblocktemplate = hasty  # type: ignore[method-assign]
    async with serving(node), running(node, "pprpc") as bench:
        await bench.job(10, step=0.5)
        assert bench.clock.now() - 1000 >= 7


async def test_the_tip_of_a_node_without_long_polls_is_polled_each_second() -> None:
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
