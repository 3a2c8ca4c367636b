"""Injects planned faults into a miner and its peers, and finds their entries in the journal."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

import aiohttp  # noqa: E402
from fault_plan import AREAS, NODE_FAULTS, POOL_JOURNAL, Planned  # noqa: E402
from fault_rig import AILING, HANGING  # noqa: E402
from fault_scene import Scene  # noqa: E402
from mining import PATIENCE  # noqa: E402

CROWD = 10
CROWD_RATE = 40.0
"""Requests per second and address of the crowd."""

SLOW_BUILD = 30.0
"""Seconds of a build, about one period: kernels are built one period ahead, which hides most of
it."""

MOST_LATE = 5
"""Newest faults whose entries may come after the last one."""

SILENT = 60
"""Half-open connections to each port."""


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
            if monotonic() > self._scene.begun + self._scene.seconds:
                return  # others took longer
            if fault.area == "pool":
                await self._until(lambda: self._scene.relay.is_used)
            note = self._note(fault.area, fault.name, fault.seconds)
            note.note = await method(fault, note) or ""
            note.seconds = monotonic() - note.at
            await self._until(lambda: self.seen(note))

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` is true, at most `PATIENCE`."""
        end = monotonic() + PATIENCE
        while not condition() and monotonic() < end:
            await asyncio.sleep(0.5)

    async def end(self) -> None:
        """Heal everything, and wait for the journal."""
        scene = self._scene
        scene.node.heals()
        await scene.choose_pools("pool")
        await self._until(lambda: all(self.seen(each) for each in self.injected[-MOST_LATE:]))

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
                    await self._until(lambda: scene.relay.logins > 0)
                    await asyncio.sleep(2.0)
                await scene.relay.change("pass")
        return None

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
        await self._until(lambda: device in self._scene.searching)
        orders: dict[str, dict[str, Any]] = {
            "launch fails": {"fail_launch": 1},
            "opening fails": {"fail_launch": 1, "fail_open": 2},
            "build fails": {"fail_build": 2},
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
