"""The test pool and the miner of `rig.py` as processes, and readers of their state."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import statistics
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

import aiohttp  # noqa: E402
from rig import TOKEN  # noqa: E402

from tests.e2e.agreement import Ports, post, status  # noqa: E402

PATIENCE = 90.0
"""Seconds until a wait fails; a log has one status line per minute."""


def write_toy(path: Path, items: int = 8191) -> None:
    """Write a KawPow variant with a dataset of `items` times 128 bytes."""
    text = (CHECKOUT / "configs/variants/kawpow.toml").read_text(encoding="utf-8")
    head, mark, answers = text.partition("[[known_answers]]")
    head = re.sub(r'name = "kawpow"', 'name = "toy"', head)
    head = re.sub(r"aliases = .*", "aliases = []", head)
    sizes = f"[sizes]\nlight_items = 509\ndataset_items = {items}\nseed_epoch = 0\n\n"
    path.write_text(head + sizes + mark + answers, encoding="utf-8")


@dataclass
class Miner:
    """The miner process and its ports."""

    process: asyncio.subprocess.Process
    folder: Path
    ports: Ports

    @property
    def console(self) -> list[dict[str, Any]]:
        return records(self.folder / "console.jsonl")

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def records(path: Path) -> list[dict[str, Any]]:
    """Return the complete JSON lines of a file."""
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


@asynccontextmanager
async def mining(folder: Path, hashes: int, *more: str, block: float) -> AsyncIterator[Miner]:
    """Run pool and miner while the block runs; stop the miner with SIGINT after it."""
    toy = folder / "toy.toml"
    write_toy(toy)
    pool = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-m", "miner", "pool", f"--variant={toy}", "--listen=127.0.0.1:0",
        f"--difficulty={hashes / 2**32:.12f}", "--block-difficulty=1000000",
        f"--block-time={block}", cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert pool.stdout is not None
    port = (await pool.stdout.readline()).decode().rpartition(":")[2].strip()
    miner = None
    try:
        async with asyncio.TaskGroup() as group:
            drain = group.create_task(keep_lines(pool.stdout, folder / "pool.log"))
            with (folder / "console.jsonl").open("wb") as console:
                miner = await asyncio.create_subprocess_exec(
                    sys.executable, "-u", str(CHECKOUT / "benchmarks/rig.py"),
                    f"--variant={toy}", f"--pool={port}", f"--folder={folder}", *more,
                    stdout=console,
                )  # fmt: skip
            yield Miner(miner, folder, await ports_of(folder / "console.jsonl"))
            miner.send_signal(signal.SIGINT)
            if await miner.wait():
                raise SystemExit(f"the miner ended with {miner.returncode}")
            drain.cancel()
    finally:
        for process in (miner, pool):
            if process is not None and process.returncode is None:
                process.terminate()
                await process.wait()


async def keep_lines(stream: asyncio.StreamReader, path: Path) -> None:
    """Write what a process prints into a file."""
    with path.open("wb") as file:
        while line := await stream.readline():
            file.write(line)


async def ports_of(console: Path) -> Ports:
    """Return the ports of a miner, once it has printed them."""
    async with asyncio.timeout(PATIENCE):
        while True:
            texts = {
                r["text"].split()[0]: r["text"] for r in records(console) if r["topic"] == "api"
            }
            if len(texts) == 3:
                numbers = {
                    key: int(text.rstrip("/").rpartition(":")[2]) for key, text in texts.items()
                }
                http = next(n for key, n in numbers.items() if key.startswith("http"))
                ethminer = next(n for key, n in numbers.items() if key.startswith("ethminer"))
                sgminer = next(n for key, n in numbers.items() if key.startswith("sgminer"))
                return Ports(http, ethminer, sgminer, TOKEN)
            await asyncio.sleep(0.1)


async def begun(session: aiohttp.ClientSession, miner: Miner) -> None:
    """Wait for the first share in the ledger."""
    async with asyncio.timeout(PATIENCE):
        url = miner.ports.url("/api/v1/shares")
        while True:
            async with session.get(url) as answer:
                if (await answer.json())["shares"]:
                    return
            await asyncio.sleep(0.2)


async def settled(session: aiohttp.ClientSession, miner: Miner) -> None:
    """Pause all devices, and wait until every share has its answer."""
    await post(session, miner.ports, "/api/v1/pause")
    async with asyncio.timeout(PATIENCE):
        quiet, before = 0, None
        while quiet < 20:
            whole = await status(session, miner.ports)
            outcomes = whole["shares"]["outcomes"]
            due = whole["found"] - sum(outcomes.values()) + outcomes.get("not_sent", 0)
            now = (whole["tried"], outcomes)
            quiet = quiet + 1 if not due and now == before else 0
            before = now
            await asyncio.sleep(0.1)


def gaps(
    launched: Sequence[float], begin: float = 0.0, end: float = float("inf")
) -> dict[str, Any]:
    """Return statistics of the times between launches, in milliseconds."""
    within = [at for at in launched if begin <= at <= end]
    apart = sorted((b - a) * 1000 for a, b in pairwise(within))
    cuts = statistics.quantiles(apart, n=100, method="inclusive")
    figures = {"p50": cuts[49], "p99": cuts[98], "most": apart[-1]}
    return {"launches": len(within), **{name: round(value, 2) for name, value in figures.items()}}
