"""A miner, its peers, and what is observed of them during a run under faults."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from unittest.mock import patch

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

import aiohttp  # noqa: E402
from fault_peers import FaultyNode, PoolProcess, Relay  # noqa: E402
from mining import PATIENCE, Miner, begun, keep_lines, ports_of, write_toy  # noqa: E402

from miner.resources import cache_directory  # noqa: E402
from miner.variant_file import load_variant  # noqa: E402
from tests.e2e.agreement import post, status  # noqa: E402
from tests.e2e.test_solo import BITS, Prover  # noqa: E402
from tests.fakes.node import LOGIN, serving  # noqa: E402

HASHES = 60
"""Average number of hashes for a share of the pool."""

EPOCH_BLOCKS = 20
"""Blocks of an epoch, few so that a run has many epochs."""

FIRST_HEIGHT = 1000


@dataclass
class Load:
    """Processor time of the machine that was not ours."""

    own: Callable[[], float]
    """Returns CPU seconds of the run's processes."""
    others: float = 0.0

    def __post_init__(self) -> None:
        self._began, self._busy, self._own = monotonic(), _busy_seconds(), self.own()

    def end(self) -> None:
        possible = (monotonic() - self._began) * (os.cpu_count() or 1)
        used = _busy_seconds() - self._busy - (self.own() - self._own)
        self.others = max(used, 0.0) / possible


def _busy_seconds() -> float:
    """Return the seconds that all processors were busy or stolen since the start of the machine."""
    fields = [int(text) for text in Path("/proc/stat").read_text().split()[1:9]]
    user, nice, system, _, _, irq, soft, steal = fields
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


@dataclass
class Scene:
    """A miner, its peers, and what is observed of them."""

    folder: Path
    miner: Miner
    pool: PoolProcess
    relay: Relay
    node: FaultyNode
    load: Load
    entries: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The journal, by number."""
    samples: list[tuple[float, int, int, int]] = field(default_factory=list)
    """Monotonic seconds, bytes of memory, threads, descriptors."""
    reads: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    fell: list[str] = field(default_factory=list)
    facts: int = 0
    is_suspended: bool = False
    last: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    console: list[dict[str, Any]] = field(default_factory=list)
    begun: float = 0.0
    seconds: float = 0.0
    """Of the run without its end."""
    searching: set[str] = field(default_factory=set)
    """Devices that search at present."""
    exit_code: int | None = None

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.sqlite"

    @property
    def shares(self) -> list[dict[str, Any]]:
        """Entries about shares."""
        return [entry for entry in self.entries.values() if entry["topic"] == "share"]

    @property
    def newest(self) -> int:
        return max(self.entries, default=0)

    def sample(self) -> None:
        process = Path(f"/proc/{self.miner.process.pid}")
        threads, files = (len(os.listdir(process / name)) for name in ("task", "fd"))
        self.samples.append((monotonic(), self.miner.memory(), threads, files))

    async def read_journal(self, session: aiohttp.ClientSession) -> None:
        url = self.miner.ports.url(f"/api/v1/events?after={self.newest}&limit=500")
        async with session.get(url) as answer:
            if answer.status == 200:
                for entry in (await answer.json())["events"]:
                    self.entries[entry["number"]] = entry

    async def read_devices(self, session: aiohttp.ClientSession) -> None:
        devices = (await status(session, self.miner.ports))["devices"]
        self.searching = {one["name"] for one in devices if one["state"] == "searching"}

    def order(self, **orders: Any) -> None:
        """Send a command to the miner's process."""
        assert self.miner.process.stdin is not None
        self.miner.process.stdin.write(json.dumps(orders).encode() + b"\n")

    async def choose_pools(self, name: str) -> None:
        """Reload the settings with another list of pools; repeat it if a busy miner refuses it."""
        self.order(pools=name)
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
            while True:
                with suppress(AssertionError):
                    await post(session, self.miner.ports, "/api/v1/reload")
                    return
                await asyncio.sleep(1.0)

    async def stop(self) -> None:
        self.miner.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE):
            self.exit_code = await self.miner.process.wait()


@asynccontextmanager
async def begin_scene(folder: Path, seed: int, seconds: float) -> AsyncIterator[Scene]:
    """Start pool, relay, node and miner; end them after the block."""
    toy = folder / "toy.toml"
    write_toy(toy)
    text = toy.read_text().replace("length = 7500", f"length = {EPOCH_BLOCKS}")
    toy.write_text(text)
    for name in ("log", "cache"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "cache" / "numba").symlink_to(cache_directory() / "numba")
    pool = PoolProcess(toy, HASHES / 2**32, seed, seconds)
    relay = Relay(pool)
    process = None
    node = FaultyNode(prover=Prover(load_variant(toy)), height=FIRST_HEIGHT)
    try:
        with patch("tests.fakes.node.BITS", BITS), patch("tests.fakes.block_node.BITS", BITS):
            async with serving(node), asyncio.TaskGroup() as group:
                await pool.start()
                await relay.start()
                (folder / "pools.json").write_text(json.dumps(_lists(relay.port, node.port)))
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-u", str(CHECKOUT / "benchmarks/fault_rig.py"), str(folder),
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    env=os.environ | {
                        "PROGPOW_MINER_CACHE": str(folder / "cache"),
                        "PROGPOW_MINER_STATE": str(folder / "state"),
                    },
                )  # fmt: skip
                assert process.stdout is not None
                # A pipe, because the disk of files is full at times.
                drain = group.create_task(keep_lines(process.stdout, folder / "console.jsonl"))
                await asyncio.sleep(0.5)
                miner = Miner(process, folder, await ports_of(folder / "console.jsonl"))
                scene = Scene(
                    folder, miner, pool, relay, node,
                    Load(lambda: _own_seconds(miner)),
                )  # fmt: skip
                async with aiohttp.ClientSession() as session:
                    await begun(session, miner)
                scene.begun, scene.seconds = monotonic(), seconds
                yield scene
                drain.cancel()
    finally:
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            await process.wait()
        relay.close()
        await pool.kill()


def _own_seconds(miner: Miner) -> float:
    """Return the CPU seconds of the miner, the pool and this process."""
    used = sum(os.times()[:4])
    with suppress(OSError):
        used += miner.cpu()
    return used


def _lists(relay: int, node: int) -> dict[str, list[str]]:
    pool = f"stratum+tcp://127.0.0.1:{relay}"
    solo = f"http://{LOGIN[0]}:{LOGIN[1]}@127.0.0.1:{node}"
    return {
        "pool": [pool, solo],
        "node": [solo, pool],
        "tls": [f"stratum+ssl://127.0.0.1:{relay}"],
    }
