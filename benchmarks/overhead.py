"""The cost of the host: a miner with twelve fake cards and every view open, and its start.

With a revision of git, the code of both takes turns. Figures are CPU time, which other
processes on the same cores disturb less than wall time.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import pty
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

CHECKOUT = Path(__file__).parents[1]
RIG = sys.argv[1:2] == ["--rig"]
"""Whether this is the process that mines, perhaps with the code of another revision."""

if not RIG:
    sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

    import aiohttp
    from against import worktree
    from mining import PATIENCE, ports_of, write_toy

    from tests.e2e.agreement import PANELS, Ports, answer, rpc, sgminer, status

CARDS = 12
LAUNCH_SECONDS = 0.1
SHARE_SECONDS = 5.0
"""Time between two shares of the rig."""

HASHES = 4
"""Hashes that a share takes on average."""

POLL_SECONDS = 5.0
"""Interval of requests to metrics and to each panel; the dashboard's page gets a stream."""

WARM_SECONDS = 10.0
TERMINAL = struct.pack("HHHH", 50, 132, 0, 0)
"""Rows, columns and two unused words."""


# The miner's process


def rig(folder: Path, variant: Path, pool: int) -> None:
    """Mine with the fake cards until a signal."""
    from miner.api.api_server import ApiOptions
    from miner.codegen.launch_shape import shape_named
    from miner.devices.device import LaunchResult
    from miner.devices.known_answers import EVERY_NONCE
    from miner.devices.reference.reference_device import ReferenceDevice
    from miner.devices.selection import ListedDevice
    from miner.net.address import HostPort
    from miner.pool.pool_addresses import parse_pool_url
    from miner.run.mining import mine
    from miner.run.run_config import LedgerConfig, LiveConfig, LogConfig, RunConfig
    from miner.telemetry import Reading
    from miner.variant_file import load_variant
    from miner.work import DeviceInfo, NonceRange

    class Sensors:
        missing: tuple[str, ...] = ()
        driver_errors: tuple[str, ...] = ()

        def read(self) -> dict[str, Reading]:
            return dict.fromkeys(
                (f"fake:{card}" for card in range(CARDS)),
                Reading(temperature=61.0, power=100.0 + monotonic() % 9, fan=40.0),
            )

        def close(self) -> None:
            pass

    class Card(ReferenceDevice):
        """Takes the same time for each launch; only a few launches hash, the first nonces."""

        launches = 0
        busy_until = 0.0
        shape = shape_named("gpu")

        def open(self, info: DeviceInfo) -> Any:
            return self

        def round_up(self, count: int) -> int:
            return -(-max(count, 1) // 16) * 16

        def launch(self, kernel: Any, job: Any, span: Any) -> Any:
            if job.target == EVERY_NONCE:  # the proof of a kernel
                return super().launch(kernel, job, span)
            self.launches += 1
            now = monotonic()
            self.busy_until = max(now, self.busy_until) + LAUNCH_SECONDS
            turn = round(SHARE_SECONDS / LAUNCH_SECONDS)
            finds = self.launches % (CARDS * turn) == self.info.units * turn
            tried = NonceRange(span.first, 16)
            return Launch(super().launch(kernel, job, tried) if finds else None, span, self)

    @dataclass
    class Launch:
        search: Any
        span: Any
        card: Card

        def __post_init__(self) -> None:
            self.due = self.card.busy_until

        def stop(self, calls: Any) -> None:
            """Do nothing: these launches cannot be stopped."""

        def wait(self) -> LaunchResult:
            hits = self.search.wait().hits[:1] if self.search else ()
            sleep(max(self.due - monotonic(), 0.0))
            return LaunchResult(self.span.count, hits, len(hits))

    infos = [
        DeviceInfo(
            f"fake:{card}", "fake", "NVIDIA GeForce RTX 3070", "gpu", "1.0", 2**33, 2**31, card,
            vendor="nvidia", pci=f"0000:{card + 1:02x}:00.0", uuid=f"GPU-{card:08x}",
        )
        for card in range(CARDS)
    ]  # fmt: skip
    config = RunConfig(
        load_variant(variant),
        [ListedDevice(info, Card(info)) for info in infos],  # type: ignore[arg-type]
        LiveConfig((parse_pool_url(f"stratum+tcp://127.0.0.1:{pool}", "wallet", "x"),)),
        rig="rig",
        api=ApiOptions("127.0.0.1", 0, explicit=True, token="a-token-of-the-rig", panels=True),
        ethminer=HostPort("127.0.0.1", 0),
        sgminer=HostPort("127.0.0.1", 0),
        log=LogConfig("live", folder / "miner.log", "json"),
        ledger=LedgerConfig(folder / "ledger.sqlite"),
    )
    asyncio.run(mine(config, sensor_opener=lambda infos, clock: Sensors()))


# The measuring process


@dataclass(frozen=True)
class Side:
    """One of the two versions of the code that take turns."""

    name: str
    checkout: Path

    def start(self, *arguments: str, output: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start Python with the modules of this side."""
        environment = {**os.environ, "PYTHONPATH": str(self.checkout), "TERM": "xterm-256color"}
        return subprocess.Popen(
            [sys.executable, "-P", *arguments],
            env=environment, stdout=output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def cpu(pid: int) -> float:
    """Return the CPU seconds that the threads of a process have used."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has ended
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def memory(pid: int) -> float:
    """Return the resident memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def command(side: Side, *arguments: str) -> float:
    """Run a command of the miner; return the CPU milliseconds that it takes."""
    process = side.start("-m", "miner", *arguments, output=subprocess.DEVNULL)
    return 1000 * sum(os.wait4(process.pid, 0)[2][:2])


def until(side: Side, mark: str, *arguments: str) -> float:
    """Run a command of the miner until it prints `mark`; return the CPU milliseconds until then."""
    with side.start("-u", "-m", "miner", *arguments) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if mark in line:
                break
        else:
            raise SystemExit(f"{' '.join(arguments)}: printed no {mark!r}")
        seconds = cpu(process.pid)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    return 1000 * seconds


@contextmanager
def pool(folder: Path) -> Iterator[int]:
    """Run the test pool; give its port."""
    write_toy(folder / "toy.toml")
    process = Side("", CHECKOUT).start(
        "-u", "-m", "miner", "pool", f"--variant={folder / 'toy.toml'}", "--listen=127.0.0.1:0",
        f"--difficulty={HASHES / 2**32:.12f}", "--block-difficulty=1000000", "--block-time=20",
    )  # fmt: skip
    assert process.stdout is not None
    port = int(process.stdout.readline().rpartition(":")[2])
    threading.Thread(target=process.stdout.read, daemon=True).start()
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def terminal() -> Iterator[int]:
    """Give a terminal whose output is read and dropped."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, TERMINAL)

    def read() -> None:
        with suppress(OSError):
            while os.read(ours, 1 << 16):
                pass

    threading.Thread(target=read, daemon=True).start()
    try:
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


async def running(side: Side, port: int, toy: Path, seconds: float) -> dict[str, float]:
    """Mine with every view open; return what it costs."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as name, terminal() as screen:
        folder = Path(name)
        log = folder / "miner.log"
        log.touch()
        process = side.start(__file__, "--rig", str(folder), str(toy), str(port), output=screen)
        try:
            ports = await ports_of(log)
            async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
                views = [
                    group.create_task(browse(session, ports)),
                    group.create_task(poll(session, ports)),
                ]
                await asyncio.sleep(WARM_SECONDS)
                spent, begun = cpu(process.pid), monotonic()
                await asyncio.sleep(seconds)
                share = (cpu(process.pid) - spent) / (monotonic() - begun)
                resident = memory(process.pid)
                after = await status(session, ports)
                for view in views:
                    view.cancel()
            process.send_signal(signal.SIGINT)
            await asyncio.to_thread(process.wait, PATIENCE)
        finally:
            process.kill()
            process.wait()
    if process.returncode or not after["shares"]["accepted"]:
        raise SystemExit(f"the miner ended with {process.returncode}: {after['shares']}")
    return {"percent of a core": 100 * share, "MiB": resident}


async def browse(session: aiohttp.ClientSession, ports: Ports) -> None:
    """Keep the dashboard's stream open."""
    for path in ("/", "/api/v1/history?step=10", "/api/v1/shares?limit=50"):
        await answer(session, ports, path)
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(ports.url("/api/v1/stream"), timeout=timeout) as stream:
        async for _ in stream.content:
            pass


async def poll(session: aiohttp.ClientSession, ports: Ports) -> None:
    """Request metrics and panels regularly."""
    while True:
        await asyncio.sleep(POLL_SECONDS)
        for path in ("/metrics", *PANELS):
            await answer(session, ports, path)
        await rpc(ports.ethminer, "miner_getstat1")
        await sgminer(ports.sgminer, "summary")


def measured(side: Side, port: int, toy: Path, seconds: float) -> dict[str, float]:
    """Return all figures of one turn."""
    mine = ("mine", "-a", str(toy), "-o", f"127.0.0.1:{port}", "-u", "wallet", "--no-ledger")
    mine = (*mine, "--api=off", "--backend=ref", "--console=plain", "--log-level=debug")
    found = {
        "--help, ms": command(side, "--help"),
        "mine --help, ms": command(side, "mine", "--help"),
        "mine with a wrong flag, ms": command(side, "mine", "--nope"),
        "first line of mine, ms": until(side, "looking for devices", *mine),
        "first launch of mine, ms": until(side, "switched to the new job", *mine),
    }
    if seconds:
        found |= asyncio.run(running(side, port, toy, seconds))
    return found


def main() -> None:
    """Measure and print the medians."""
    if RIG:
        rig(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revision", nargs="?", help="of git, to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="of mining; 0: only starts")
    asked = parser.parse_args()
    with (
        worktree(asked.revision) if asked.revision else nullcontext() as other,
        tempfile.TemporaryDirectory(prefix="overhead-") as folder,
        pool(Path(folder)) as port,
    ):
        sides = [Side("present", CHECKOUT)]
        sides += [Side(asked.revision, other)] if other else []
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for turn in range(asked.rounds + 1):
            for side in sides if turn % 2 else sides[::-1]:
                toy = Path(folder) / "toy.toml"
                # The first turn fills the caches.
                for what, value in measured(side, port, toy, asked.seconds * (turn > 0)).items():
                    found[what, side.name] += [value] if turn else []
    for what in dict.fromkeys(what for what, _ in found):
        values = {side.name: statistics.median(found[what, side.name]) for side in sides}
        print(f"{what:>28}  " + "  ".join(f"{v:8.1f} {name}" for name, v in values.items()))


if __name__ == "__main__":
    main()
