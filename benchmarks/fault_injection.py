"""Injects planned faults into a miner and its peers, and keeps what is seen of them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any
from unittest.mock import patch

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

import aiohttp  # noqa: E402
from fault_peers import FaultyNode, PoolProcess, Relay  # noqa: E402
from fault_plan import AREAS, NODE_FAULTS, POOL_JOURNAL, Planned  # noqa: E402
from fault_rig import AILING, HANGING  # noqa: E402
from mining import PATIENCE, Miner, _drain, _ports, begun, write_toy  # noqa: E402

from miner.catalog import load_variant  # noqa: E402
from miner.resources import cache_directory  # noqa: E402
from tests.e2e.agreement import post  # noqa: E402
from tests.e2e.test_solo import BITS, Prover  # noqa: E402
from tests.fakes.node import LOGIN, serving  # noqa: E402

HASHES = 60
"""Per share of the pool."""

EPOCH_BLOCKS = 20
"""So that a run sees many epochs."""

FIRST_HEIGHT = 1000
CROWD = 10
CROWD_RATE = 40.0
"""Requests per second and address of the crowd."""

SLOW_BUILD = 30.0
"""Seconds, more than a period: a kernel is built one period ahead."""

SILENT = 60
"""Half-open connections to each port."""


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

    def order(self, **orders: Any) -> None:
        """Send a command to the miner's process."""
        assert self.miner.process.stdin is not None
        self.miner.process.stdin.write(json.dumps(orders).encode() + b"\n")

    async def choose_pools(self, name: str) -> None:
        """Reload the settings, with another list of pools."""
        self.order(pools=name)
        async with aiohttp.ClientSession() as session:
            await post(session, self.miner.ports, "/api/v1/reload")

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
                drain = group.create_task(_drain(process.stdout, folder / "console.jsonl"))
                await asyncio.sleep(0.5)
                miner = Miner(process, folder, await _ports(folder / "console.jsonl"))
                scene = Scene(
                    folder, miner, pool, relay, node,
                    Load(lambda: _own_seconds(miner)),
                )  # fmt: skip
                async with aiohttp.ClientSession() as session:
                    await begun(session, miner)
                scene.begun = monotonic()
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


@dataclass
class Injected:
    """A fault that was injected."""

    area: str
    name: str
    at: float
    """Monotonic seconds."""
    seconds: float
    since: int
    """Newest entry of the journal before it."""
    journal: str | None
    note: str = ""


Inject = Callable[[Planned, Injected], Awaitable[str | None]]
"""Injects a fault until its time is over; returns a remark."""


class Injection:
    """Injects faults; knows which were injected."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.injected: list[Injected] = []
        self.statuses: Counter[str] = Counter()
        self._turns = {area: asyncio.Lock() for area in AREAS}
        scene.pool.on_fault = self._pool_fault

    async def inject(self, fault: Planned) -> None:
        """Inject `fault` and end it after its time."""
        method: Inject = getattr(self, f"_{fault.area}")
        async with self._turns[fault.area]:
            note = self._note(fault.area, fault.name, fault.seconds)
            if fault.name in ("killed", "silent", "closed port") and not self._scene.relay.is_used:
                note.journal = None  # the miner is at the node
            note.note = await method(fault, note) or ""
            note.seconds = monotonic() - note.at

    async def end(self) -> None:
        """Heal everything, and wait for the journal."""
        scene = self._scene
        scene.node.heals()
        await scene.choose_pools("pool")
        for _ in range(60):
            await asyncio.sleep(1.0)
            if all(self.seen(each) for each in self.injected):
                return

    def seen(self, fault: Injected) -> bool:
        """Return whether the journal shows `fault`, before the next one of its kind."""
        if fault.journal is None:
            return True
        later = [
            f.since for f in self.injected
            if (f.area, f.name) == (fault.area, fault.name) and f.at > fault.at
        ]  # fmt: skip
        # A suspension of the miner may delay the entry into the time of the next one.
        until = min(later, default=sys.maxsize) + 5
        return any(
            fault.since < number <= until and re.search(fault.journal, entry["text"])
            for number, entry in self._scene.entries.items()
        )

    def _note(self, area: str, name: str, seconds: float) -> Injected:
        pattern = POOL_JOURNAL.get(name) if area == "chaos" else None
        if area in AREAS:
            pattern = AREAS[area][name].journal
        if pattern is not None:
            scene = self._scene
            pattern = pattern.replace("{pool}", str(scene.relay.port))
            pattern = pattern.replace("{node}", str(scene.node.port))
        noted = Injected(area, name, monotonic(), seconds, self._scene.newest, pattern)
        self.injected.append(noted)
        return noted

    def _pool_fault(self, name: str) -> None:
        noted = self._note("chaos", name, 0.0)
        if self._scene.pool.is_half_open:
            noted.journal = None

    async def _pool(self, fault: Planned, note: Injected) -> str | None:
        scene = self._scene
        match fault.name:
            case "killed":
                await scene.pool.kill()
                await asyncio.sleep(fault.seconds)
                await scene.pool.start()
            case "no TLS":
                await scene.choose_pools("tls")
                await asyncio.sleep(fault.seconds)
                await scene.choose_pools("pool")
            case "change to the node":
                await scene.choose_pools("node")
                await self._node(fault)
                await scene.choose_pools("pool")
            case name:
                words = {"refuses logins": "refuse", "closed port": "closed"}
                await scene.relay.change(words.get(name, name))
                await asyncio.sleep(fault.seconds)
                if name in ("refuses logins", "flood"):
                    await self._until_login()
                await scene.relay.change("pass")
        return None

    async def _until_login(self) -> None:
        """Wait until the miner has met the relay, at most `PATIENCE`."""
        end = monotonic() + PATIENCE
        while not self._scene.relay.logins and monotonic() < end:
            await asyncio.sleep(1.0)
        await asyncio.sleep(2.0)

    async def _node(self, fault: Planned) -> None:
        random = Random(fault.seed)
        names = random.sample(NODE_FAULTS, len(NODE_FAULTS))
        end, each = monotonic() + fault.seconds, fault.seconds / len(names)
        for name in names:
            self._note("node", name, each)
            self._scene.node.inject(name)
            await asyncio.sleep(min(each, max(end - monotonic(), 0.0)))

    async def _machine(self, fault: Planned, note: Injected) -> str | None:
        scene, pid = self._scene, self._scene.miner.process.pid
        random = Random(fault.seed)
        before = len(scene.shares)
        match fault.name:
            case "disk full":
                # Any write into a file fails beyond its first bytes.
                _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (16, most))
                await asyncio.sleep(fault.seconds)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
            case "locked ledger":
                with sqlite3.connect(scene.ledger, isolation_level=None, timeout=10) as other:
                    other.execute("BEGIN IMMEDIATE")
                    await asyncio.sleep(fault.seconds)
                    other.execute("ROLLBACK")
                other.close()
            case "log taken away":
                log = scene.folder / "log" / "miner.log"
                if not log.exists():
                    return "there was no log file"
                log.rename(log.with_suffix(f".{len(self.injected)}"))
                await asyncio.sleep(fault.seconds)
            case "damaged cache":
                for path in (scene.folder / "cache" / "light").glob("*"):
                    junk = random.randbytes(random.choice([0, 100, path.stat().st_size]))
                    path.write_bytes(junk)
            case "clock set":
                leap = random.choice([-1, 1]) * random.choice([90.0, 3600.0, 40_000.0])
                scene.order(ahead=leap)
                await asyncio.sleep(fault.seconds)
                scene.order(ahead=0.0)
                return f"{leap:+.0f} s"
            case "suspended":
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(fault.seconds)
                os.kill(pid, signal.SIGCONT)
        if fault.name == "locked ledger" and len(scene.shares) == before:
            note.journal = None
            return "there was no share to write"
        return None

    async def _driver(self, fault: Planned, note: Injected) -> str | None:
        device = HANGING if fault.name == "hang" else Random(fault.seed).choice(AILING)
        orders: dict[str, dict[str, Any]] = {
            "launch fails": {"fail_launch": 1},
            "opening fails": {"fail_launch": 1, "fail_open": 2},
            "build fails": {"fail_build": 1},
            "slow build": {"slow_build": SLOW_BUILD},
            "wrong results": {"wrong_hits": 12},
            "no memory": {"fail_launch": 1, "no_memory": 1},
        }
        if fault.name == "hang":
            self._scene.order(hang=device)
        else:
            self._scene.order(device=device, set=orders[fault.name])
        await asyncio.sleep(fault.seconds)
        return device

    async def _readers(self, fault: Planned, note: Injected) -> str | None:
        ports = self._scene.miner.ports
        match fault.name:
            case "crowd":
                async with asyncio.TaskGroup() as group:
                    for number in range(CROWD):
                        group.create_task(self._ask(number, fault.seconds))
            case "half-open connections":
                await self._hold(b"GET / HT", fault.seconds)
            case "streams not read":
                await self._hold(b"GET /api/v1/stream HTTP/1.1\r\nHost: a\r\n\r\n", fault.seconds)
            case "panel flood":
                with suppress(OSError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", ports.ethminer)
                    ask = b'{"id":1,"jsonrpc":"2.0","method":"miner_getstat1"}\n'
                    writer.write(ask * 2000)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(), fault.seconds)
                    writer.close()
            case "wrong tokens":
                async with aiohttp.ClientSession() as session:
                    for _ in range(20):
                        headers = {"Authorization": "Bearer wrong"}
                        url = ports.url("/api/v1/pause")
                        with suppress(aiohttp.ClientError):
                            async with session.post(url, headers=headers) as answer:
                                self.statuses[str(answer.status)] += 1
        return None

    async def _ask(self, number: int, seconds: float) -> None:
        paths = ("/api/v1/events?limit=500", "/metrics", "/api/v1/status", "/livez")
        end = monotonic() + seconds
        connector = aiohttp.TCPConnector(local_addr=(f"127.0.2.{number + 1}", 0))
        async with aiohttp.ClientSession(connector=connector) as session:
            while monotonic() < end:
                url = self._scene.miner.ports.url(paths[self.statuses.total() % len(paths)])
                try:
                    async with session.get(url) as answer:
                        await answer.read()
                        self.statuses[str(answer.status)] += 1
                except (aiohttp.ClientError, OSError):
                    self.statuses["disconnected"] += 1
                await asyncio.sleep(1 / CROWD_RATE)

    async def _hold(self, request: bytes, seconds: float) -> None:
        """Open many connections from another address, send `request`, read nothing."""
        ports = self._scene.miner.ports
        held = []
        for port in (ports.http, ports.ethminer, ports.sgminer):
            for _ in range(SILENT):
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(
                        "127.0.0.1", port, local_addr=("127.0.3.1", 0)
                    )
                    writer.transport.pause_reading()  # type: ignore[attr-defined]
                    writer.write(request)
                    held.append(writer)
        await asyncio.sleep(seconds)
        for writer in held:
            writer.transport.abort()
