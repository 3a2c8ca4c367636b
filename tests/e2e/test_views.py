"""One run with every view open: devices fail and lie, the pool does too, and all views agree."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from miner.api.api_server import ApiOptions
from miner.clock import SystemClock
from miner.engine.threads import WorkPool
from miner.net.address import HostPort, Timeouts
from miner.pool.pool_addresses import parse_pool_url
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Digest
from miner.progpow.keccak import seed_hash
from miner.progpow.variant import Variant
from miner.run.mining import mine
from miner.run.run_config import LedgerConfig, LiveConfig, LogConfig, RunConfig
from miner.stratum.chain import Chain
from miner.stratum.share_rules import ShareJudged
from miner.telemetry import Level, Reading
from miner.testpool.faults import Script, make_fault
from miner.testpool.pool_server import PoolServer, ServerOptions
from miner.testpool.server_events import ServerEvent
from miner.variant_file import load_variant
from miner.verify import Verifier
from tests.console.test_console import TerminalStream
from tests.e2e.agreement import (
    RIG,
    Fact,
    Ports,
    disagreements,
    of_entries,
    of_line,
    of_summary,
    post,
    read_all,
    status,
)
from tests.fakes.sensors import FakeSensors
from tests.fakes.steady import Steady

TOKEN = "a-token-of-the-tests"
ENOUGH = 45.0
"""Seconds after which a wait has failed."""

DIFFICULTY = 200
"""Hashes that a share costs; both devices do 320 a second."""

BLOCK_SECONDS = 4.0
LIES = ("stale", "low_difficulty", "duplicate", "invalid")

VIEWS = {
    "status", "stream", "devices", "pools", "metrics", "shares", "ledger", "/summary", "/2/summary",
    "/mmpos", "/hiveos", "getstat1", "getstatdetail", "sgminer", "console", "console's summary",
    "log's summary", "console's shares", "log's shares",
}  # fmt: skip


@dataclass
class Pool:
    """The test pool with what it judged."""

    port: int
    judged: list[ShareJudged] = field(default_factory=list)

    def on_event(self, event: ServerEvent) -> None:
        if isinstance(event, ShareJudged):
            self.judged.append(event)


@dataclass
class Proofs:
    verifier: Verifier
    work: WorkPool

    async def prove(
        self, variant: Variant, epoch: Epoch, height: int, header_hash: bytes, nonce: int
    ) -> Digest:
        return await self.work.offload(
            self.verifier.hash, variant, height, epoch, header_hash, nonce
        )


@asynccontextmanager
async def serving(variant: Variant, verifier: Verifier, script: Script) -> AsyncIterator[Pool]:
    target = 2**256 // DIFFICULTY
    chain = Chain(variant, 1000, target, target // 10**6, Random(1), seed_hash)
    pool = Pool(0)
    with WorkPool("pool's proofs", 1) as work:
        options = ServerOptions(block_time=BLOCK_SECONDS, faults=script)
        server = PoolServer(chain, Proofs(verifier, work), SystemClock(), options, pool)
        async with server.listen():
            pool.port = server.port
            yield pool


async def until(true: Callable[[], bool], what: str) -> None:
    """Look again and again, for the run is a real one."""
    try:
        async with asyncio.timeout(ENOUGH):
            while not true():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


async def untold(session: aiohttp.ClientSession, ports: Ports, devices: list[Steady]) -> int:
    """Return how many claims of the devices have no verdict yet."""
    whole = await status(session, ports)
    shares = whole["shares"]
    told = sum(shares["outcomes"].values()) + shares["hardware"]
    made = sum(device.claimed + device.wrong for device in devices)
    in_flight = sum(device.in_flight for device in devices)
    return int(made - told + in_flight)


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def last_status(text: str) -> dict[str, Any]:
    return [one for one in records(text) if one["topic"] == "status"][-1]


def summary_of(text: str) -> list[str]:
    return [one["text"] for one in records(text) if one["topic"] == "summary"]


def port_in(text: str, pattern: str) -> int | None:
    said = [one["text"] for one in records(text) if one["topic"] == "api"]
    found = re.search(pattern, "\n".join(said))
    return int(found[1]) if found else None


def ports_in(text: str) -> Ports | None:
    patterns = (r"http://127\.0\.0\.1:(\d+)/", r"ethminer\D*127\.0\.0\.1:(\d+)",
                r"sgminer\D*127\.0\.0\.1:(\d+)")  # fmt: skip
    http, ethminer, sgminer = (port_in(text, pattern) for pattern in patterns)
    if http is None or ethminer is None or sgminer is None:
        return None
    return Ports(http, ethminer, sgminer, TOKEN)


def facts_of_devices(devices: list[Steady]) -> list[Fact]:
    """Return what the devices themselves know."""
    return [
        Fact("the device", one.name, what, value)
        for one in devices
        for what, value in (("tried", one.tried), ("hardware", one.wrong))
    ]


async def test_all_views_agree_with_the_ledger_the_devices_and_the_pool(
    toy: str, tmp_path: Path
) -> None:
    good, bad = Steady("good:0", pci="0000:0a:00.0"), Steady("bad:0")
    devices, variant, verifier = [good, bad], load_variant(Path(toy)), Verifier(disk=False)
    reading = Reading(temperature=61.0, power=100.0, fan=40.0)
    sensors = FakeSensors({"good:0": reading, "bad:0": Reading()})
    # A swallowed share may have been one for a wrong answer, so each of them is injected twice.
    lies = [
        (1.0, make_fault("wrong_answer", {"shares": 2, "say": word.replace("_", " ")}))
        for word in LIES
    ]
    script = Script([(1.0, make_fault("swallow", {"shares": 1})), *lies])
    console = TerminalStream()  # a status comes every 10 s
    log, ledger = tmp_path / "miner.log", tmp_path / "ledger.sqlite"
    async with (
        serving(variant, verifier, script) as pool,
        asyncio.TaskGroup() as group,
        aiohttp.ClientSession() as session,
    ):
        url = parse_pool_url(f"stratum+tcp://127.0.0.1:{pool.port}", "wallet", "x")
        live = LiveConfig((url,), Timeouts(answer=3.0), level=Level.DEBUG)
        mining = RunConfig(
            variant,
            [device.listed for device in devices],
            live,
            rig="rig",
            api=ApiOptions("127.0.0.1", 0, explicit=True, token=TOKEN, panels=True),
            ethminer=HostPort("127.0.0.1", 0),
            sgminer=HostPort("127.0.0.1", 0),
            log=LogConfig("json", log, "json"),
            ledger=LedgerConfig(ledger),
        )
        running = group.create_task(mine(mining, console, verifier, lambda infos, clock: sensors))
        await until(lambda: ports_in(console.getvalue()) is not None, "the ports are open")
        ports = ports_in(console.getvalue())
        assert ports is not None

        # A device fails, cannot be opened twice, and is back; the other is not disturbed.
        await until(lambda: len(bad.launched) > 20 and len(good.launched) > 20, "both mine")
        bad.wrong_hits = 2
        await until(lambda: bad.wrong == 2, "wrong hits are reported")
        bad.fail_launch, bad.fail_open = 1, 1
        await until(lambda: bad.closed == 1, "the device is closed")
        mined = len(good.launched)
        await until(lambda: bad.opened == 2, "the device is opened again")
        assert len(good.launched) > mined + 1
        again = len(bad.launched)
        await until(lambda: len(bad.launched) > again + 10, "the device mines again")
        assert bad.closed == 1
        assert good.opened == 1

        # The pool tells every lie, and leaves one share without an answer.
        outcomes: dict[str, int] = {}
        async with asyncio.timeout(ENOUGH):
            while not {*LIES, "accepted", "lost"} <= set(outcomes):
                outcomes = (await status(session, ports))["shares"]["outcomes"]
                await asyncio.sleep(0.1)

        await post(session, ports, "/api/v1/pause")
        async with asyncio.timeout(ENOUGH):
            while await untold(session, ports, devices):
                await asyncio.sleep(0.05)
        quiet = len(records(console.getvalue()))
        seen = partial(_status_since, console, quiet)
        await until(seen, "the console shows how it went")
        # The ledger writes a few times a second.
        facts: list[Fact] = []
        async with asyncio.timeout(ENOUGH):
            while not facts or disagreements(facts):
                facts = await read_all(session, ports, ledger)
                if not disagreements(facts):
                    break
                await asyncio.sleep(0.5)
        facts += of_line("console", last_status(console.getvalue()))
        facts += facts_of_devices(devices)
        assert disagreements(facts) == []

        whole = {fact.what: fact.value for fact in facts if fact.of == RIG}
        sent = whole["accepted"] + whole["refused"] + whole["lost"]
        assert len(pool.judged) == sent
        assert whole["hardware"] == 2
        os.kill(os.getpid(), signal.SIGINT)
        accepted = await running

    for name, text in (("console", console.getvalue()), ("log", log.read_text())):
        facts += of_summary(f"{name}'s summary", summary_of(text))
        facts += of_entries(f"{name}'s shares", records(text))
    assert disagreements(facts) == []
    assert {fact.view for fact in facts if fact.what == "accepted"} == VIEWS
    assert accepted == whole["accepted"]
    assert sensors.closed


def _status_since(console: io.StringIO, number: int) -> bool:
    return any(one["topic"] == "status" for one in records(console.getvalue())[number:])
