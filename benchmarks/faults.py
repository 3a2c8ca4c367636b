"""Soak test under faults: pool, node, disk, clock, drivers and readers fail at seeded times.

The whole miner mines with every view open. At the end, ledger, counters, pool and node agree; its
memory, threads and descriptors are flat; each fault has its entry in the journal. The same --seed
injects the same faults at the same times. Figures that depend on the machine's load are judged
only when other processes left it alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

import aiohttp  # noqa: E402
from fault_injection import Injection  # noqa: E402
from fault_judgement import OTHERS_MOST, judge  # noqa: E402
from fault_plan import planned  # noqa: E402
from fault_scene import Scene, begin_scene  # noqa: E402
from host import cpu_model, source_hash, write_json  # noqa: E402
from mining import records, settled  # noqa: E402

from tests.e2e.agreement import disagreements, read_all, status  # noqa: E402

AGREE_SECONDS = 180.0
"""Time for all views to agree after the last fault: a retry of the disk takes up to a minute."""

READ_SECONDS = 5.0
"""Interval of reading every view."""

TROUBLE = (aiohttp.ClientError, AssertionError, OSError, TimeoutError, asyncio.IncompleteReadError)
"""Errors that a reader may get while faults are injected."""


async def _read_views(scene: Scene) -> None:
    """Read every view repeatedly; count figures that decrease."""
    before: dict[tuple[str, str, str], float] = {}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        while True:
            await asyncio.sleep(READ_SECONDS)
            try:
                facts = await read_all(session, scene.miner.ports, scene.ledger)
            except (*TROUBLE, ValueError, StopIteration) as error:
                scene.unread[type(error).__name__] += 1
                continue
            scene.reads += 1
            for fact in facts:
                key = (fact.view, fact.of, fact.what)
                # While the disk is full, the ledger's rows are late or cannot be read.
                is_final = fact.what in ("tried", "found", "faults", "accepted")
                if fact.view != "shares" and is_final and fact.value < before.get(key, 0.0):
                    scene.fell.append(" ".join(key))
                before[key] = fact.value


async def _follow(scene: Scene) -> None:
    """Keep every entry of the journal, and the size of the process."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        while True:
            await asyncio.sleep(1.0)
            scene.sample()
            if len(scene.samples) % 60 == 1:
                scene.order(threads=True)
            with suppress(*TROUBLE):
                await scene.read_journal(session)
                await scene.read_devices(session)


async def _settle(session: aiohttp.ClientSession, scene: Scene) -> list[str]:
    """Wait until no share waits for its answer and all views agree; return the disagreements that
    are left."""
    while True:
        with suppress(*TROUBLE):
            await settled(session, scene.miner)
            break
        await asyncio.sleep(READ_SECONDS)
    apart = ["the views were never read"]
    with suppress(TimeoutError):
        async with asyncio.timeout(AGREE_SECONDS):
            while apart:
                with suppress(*TROUBLE):
                    facts = await read_all(session, scene.miner.ports, scene.ledger)
                    scene.facts, apart = len(facts), disagreements(facts)
                await asyncio.sleep(1.0)
    return apart


async def soak(seed: int, minutes: float, folder: Path) -> dict[str, Any]:
    """Mine under faults; return the figures and each bound that is broken."""
    plan = planned(seed, 60 * minutes)
    async with begin_scene(folder, seed, 60 * minutes) as scene:
        async with asyncio.TaskGroup() as group:
            watchers = [group.create_task(each(scene)) for each in (_read_views, _follow)]
            injection = Injection(scene)
            begun = monotonic()
            injections = []
            for fault in plan:
                await asyncio.sleep(max(begun + fault.at - monotonic(), 0.0))
                injections.append(group.create_task(injection.inject(fault)))
            await asyncio.sleep(max(begun + 60 * minutes - monotonic(), 0.0))
            await asyncio.gather(*injections)
            await injection.end()
            for task in watchers:
                task.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
        async with aiohttp.ClientSession() as session:
            apart = await _settle(session, scene)
            scene.last = await status(session, scene.miner.ports)
            await scene.read_journal(session)
        scene.load.end()
        await scene.stop()
        scene.record = json.loads((folder / "record.json").read_text())
        scene.console = records(folder / "console.jsonl")
        return judge(scene, injection, apart) | {"seed": seed, "minutes": minutes}


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True)
        return done.stdout.strip()

    return git("rev-parse", "HEAD") + (" with changes" if git("status", "--porcelain") else "")


def _print(document: dict[str, Any]) -> None:
    print(f"seed {document['seed']}, {document['minutes']:g} minutes, commit {document['commit']}")
    for area, names in document["injected"].items():
        print(f"  {area}: " + ", ".join(f"{name} {count}" for name, count in names.items()))
    counts = ", ".join(f"{count} {word}" for word, count in document["shares"].items())
    print(f"  shares: {counts}; {document['node']['accepted']} blocks of the node")
    grown = document["grown"]
    print(
        f"  in the last two thirds: {grown['memory'] / 2**20:+.1f} MiB, "
        f"{grown['threads']:+.1f} threads, {grown['descriptors']:+.1f} descriptors"
    )
    worst = document["worst_stall_seconds"]
    print(f"  longest stall of the event loop beyond suspensions: {worst:.2f} s")
    missing = ", ".join(f"{kind} {count}" for kind, count in document["not_in_the_journal"].items())
    print(f"  faults that the journal does not show: {missing or 'none'}")
    print(f"  other processes used {document['others']:.0%} of the machine's processors")
    for word in ("wrong", "on a quiet machine also wrong"):
        for sentence in document.get(word, ()):
            print(f"  {word.upper()}: {sentence}")
    if not document["wrong"]:
        print("  every bound holds")


def main() -> None:
    """Run; exit with 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the run's files there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        document = asyncio.run(soak(asked.seed, asked.minutes, folder))
    document |= {
        "commit": _commit(), "cpu": cpu_model(), "cores": os.cpu_count(),
        "python": platform.python_version(), "aiohttp": aiohttp.__version__,
        "sources_sha256": source_hash([*(CHECKOUT / "miner").rglob("*.py")]),
        "judged_if_others_use_at_most": OTHERS_MOST,
    }  # fmt: skip
    _print(document)
    if asked.json:
        write_json(asked.json, document)
    sys.exit(bool(document["wrong"]))


if __name__ == "__main__":
    main()
