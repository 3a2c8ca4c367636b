"""Soak test: all views must agree after mining with failing devices; then a load test of the API.

The load test measures the effect of 200 requests per second on the launches of a device with a
fixed rate. Miner, pool and load are separate processes. Phases with and without load alternate,
since other processes on the same cores move a percentile more than the API does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

import aiohttp  # noqa: E402
from host import cpu_model, source_hash, write_json  # noqa: E402
from load import HASHES, load  # noqa: E402
from mining import PATIENCE, Miner, begun, gaps, mining, records, settled  # noqa: E402

from miner.devices.selection import find_devices  # noqa: E402
from tests.e2e.agreement import (  # noqa: E402
    Fact,
    disagreements,
    of_entries,
    of_line,
    of_summary,
    read_all,
    status,
)

BOUND = 5.0
"""Most milliseconds by which load may move the 99th percentile of the time between launches."""

FAULT_SECONDS = 20.0
"""After a failure of one device, the launches of the other one are examined for this time."""

PAUSE = 1000.0
"""Milliseconds between two launches that count as a pause."""

REAL_HASHES = 4000
"""Hashes per share if a real device mines."""


@dataclass
class Watched:
    """Observations during a run."""

    polls: int = 0
    statuses: int = 0
    entries: int = 0
    fell: list[str] = field(default_factory=list)
    """Counters that decreased."""
    states: dict[str, Counter[str]] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    """Bytes, once a minute."""


async def _poll(session: aiohttp.ClientSession, miner: Miner, watched: Watched) -> None:
    """Read every view once per second."""
    before: dict[tuple[str, str, str], float] = {}
    while True:
        next_at = monotonic() + 1.0
        for fact in await read_all(session, miner.ports, miner.folder / "ledger.sqlite"):
            key = (fact.view, fact.of, fact.what)
            # Shares without a verdict get one later, so this count may fall.
            if fact.value < before.get(key, 0.0) and fact.what != "without a known outcome":
                watched.fell.append(" ".join(key))
            before[key] = fact.value
        if watched.polls % 60 == 0:
            watched.memory.append(miner.memory())
        watched.polls += 1
        await asyncio.sleep(max(next_at - monotonic(), 0.0))


async def _listen(session: aiohttp.ClientSession, miner: Miner, watched: Watched) -> None:
    """Keep an event stream open, as a browser does."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=10.0)
    async with session.get(miner.ports.url("/api/v1/stream"), timeout=timeout) as stream:
        async for line in stream.content:
            watched.statuses += line.startswith(b"event: status")
            watched.entries += line.startswith(b"event: entry")


async def _show(session: aiohttp.ClientSession, miner: Miner, watched: Watched) -> None:
    """Fetch the pages and data of the dashboard once per second."""
    paths = ("/", "/api/v1/history?step=10", "/api/v1/events?limit=100", "/api/v1/shares?limit=50")
    while True:
        for path in paths:
            async with session.get(miner.ports.url(path)) as answer:
                answer.raise_for_status()
                await answer.read()
        for one in (await status(session, miner.ports))["devices"]:
            watched.states.setdefault(one["name"], Counter())[one["state"]] += 1
        await asyncio.sleep(1.0)


async def soak(minutes: float, folder: Path) -> dict[str, Any]:
    """Mine with every view open; return the observations and the disagreements at the end."""
    seconds = 60 * minutes
    try:
        real = bool(find_devices("opencl")[0])
    except Exception as error:  # noqa: BLE001 - any failure: use the fake device
        print(f"no OpenCL device: {error}")
        real = False
    watched = Watched()
    more = (f"--second={'opencl' if real else 'steady'}", f"--recover={seconds / 4}",
            f"--park={seconds * 3 / 4}")  # fmt: skip
    hashes = REAL_HASHES if real else HASHES
    async with (
        mining(folder, hashes, *more, block=20.0) as miner,
        aiohttp.ClientSession() as session,
        asyncio.TaskGroup() as group,
    ):
        await begun(session, miner)
        watchers = [
            group.create_task(watch(session, miner, watched)) for watch in (_poll, _listen, _show)
        ]
        await asyncio.sleep(seconds)
        last = await status(session, miner.ports)
        for task in watchers:
            task.cancel()
        await settled(session, miner)
        lengths = [len(miner.console), len(records(folder / "miner.log"))]
        facts: list[Fact] = []
        async with asyncio.timeout(PATIENCE):
            while not facts or disagreements(facts):
                facts = await read_all(session, miner.ports, folder / "ledger.sqlite")
                await asyncio.sleep(0.5)
            for name, since in zip(("console.jsonl", "miner.log"), lengths, strict=True):
                while True:
                    new = [r for r in records(folder / name)[since:] if r["topic"] == "status"]
                    if new:
                        facts += of_line(name, new[-1])
                        break
                    await asyncio.sleep(0.5)
    for name in ("console.jsonl", "miner.log"):
        ended = [r["text"] for r in records(folder / name) if r["topic"] == "summary"]
        facts += of_summary(f"summary in {name}", ended)
        facts += of_entries(f"shares in {name}", records(folder / name))
    record = json.loads((folder / "record.json").read_text())
    device = {"tried": record["tried"], "found": record["claimed"]}
    facts += [Fact("the device", "steady:0", what, value) for what, value in device.items()]
    judged = Counter(re.findall(r"^share .* (accepted|refused) ", _text(folder / "pool.log"), re.M))
    facts.append(Fact("the pool", "the rig", "accepted", judged["accepted"]))
    facts.append(Fact("the pool", "the rig", "refused", judged["refused"]))
    between = gaps(record["launched"])
    apart = disagreements(facts)
    return {
        "minutes": minutes,
        "second_device": more[0].partition("=")[2],
        "facts": len(facts),
        "views": sorted({fact.view for fact in facts}),
        "disagreements": apart,
        "counts": {f.what: int(f.value) for f in facts if f.of == "the rig" and f.view == "ledger"},
        "devices_at_the_end": {one["name"]: one["doing"] for one in last["devices"]},
        "steady_opened": record["opened"],
        "steady_gaps_ms": between,
        "steady_gaps_after_faults_ms": [
            gaps(record["launched"], at, at + FAULT_SECONDS) for at in record["broken"]
        ],
        "watched": vars(watched),
    }


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _print(document: dict[str, Any]) -> bool:
    """Print the results; return whether every bound holds."""
    good = True
    if whole := document.get("soak"):
        apart, fell = whole["disagreements"], whole["watched"]["fell"]
        print(
            f"{whole['minutes']:g} minutes, {whole['facts']} facts of {len(whole['views'])} views"
        )
        print("  " + ("; ".join(apart) or "all agree with the ledger"))
        print(f"  polls {whole['watched']['polls']}, counters that decreased: {len(fell)}")
        most = whole["steady_gaps_ms"]["most"]
        after = max(each["most"] for each in whole["steady_gaps_after_faults_ms"])
        print(
            f"  steady device: at most {most:.0f} ms between launches, "
            f"{after:.0f} ms after faults of the other device"
        )
        states = [doing.partition(":")[0] for doing in whole["devices_at_the_end"].values()]
        print(f"  states at the end: {', '.join(states)}")
        kept = after < PAUSE and whole["steady_opened"] == 1 and states == ["searching", "parked"]
        good = not apart and not fell and kept
    if heavy := document.get("load"):
        for phase in heavy["phases"]:
            gaps = phase["gaps_ms"]
            print(
                f"  {'with   ' if phase['loaded'] else 'without'} load: p50 {gaps['p50']:.1f} ms, "
                f"p99 {gaps['p99']:.1f} ms, most {gaps['most']:.1f} ms, {phase['cpu']:.0%} CPU, "
                f"{phase['found']} shares found, {phase['accepted']} accepted"
            )
        moved, shares = heavy["difference_ms"], heavy["shares"]
        word = "within" if moved <= BOUND else "above"
        print(f"  99th percentile moves by {moved:.2f} ms, {word} the bound of {BOUND:g} ms")
        lost = shares["claimed"] - shares["accepted"]
        print(f"  {shares['claimed']} hits of the device, {lost} of them not accepted")
        good = good and moved <= BOUND and lost == 0
    return good


def main() -> None:
    """Run both parts and print; write the figures to the file that --json names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the soak; 0: skip it")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="per phase; 0: skip the load test"
    )
    parser.add_argument("--rounds", type=int, default=2, help="of phases without and with load")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    asked = parser.parse_args()
    document: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        if asked.minutes:
            document["soak"] = asyncio.run(soak(asked.minutes, Path(folder)))
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        if asked.seconds:
            document["load"] = asyncio.run(load(asked.seconds, asked.rounds, Path(folder)))
    good = _print(document)
    if asked.json:
        # A skipped part keeps the figures of an earlier run.
        if asked.json.exists():
            document = json.loads(asked.json.read_text(encoding="utf-8")) | document
        measured = [*(CHECKOUT / "miner").rglob("*.py")]
        document |= {
            "cpu": cpu_model(), "cores": os.cpu_count(), "python": platform.python_version(),
            "aiohttp": aiohttp.__version__, "sources_sha256": source_hash(measured),
        }  # fmt: skip
        write_json(asked.json, document)
    sys.exit(not good)


if __name__ == "__main__":
    main()
