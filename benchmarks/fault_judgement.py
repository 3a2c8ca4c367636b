"""Judges a run under faults: shares against the peers, growth, stalls, entries of the journal."""

from __future__ import annotations

import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

from fault_injection import Injected, Injection  # noqa: E402
from fault_plan import AREAS, POOL_FAULTS  # noqa: E402
from fault_rig import HANGING  # noqa: E402
from fault_scene import Scene  # noqa: E402

from miner.ledger import Filter, LedgerReader  # noqa: E402
from miner.ledger.share_record import ShareRecord  # noqa: E402

OTHERS_MOST = 0.1
"""Part of the machine's processors that others may use in a run whose times are judged."""

LONG_SECONDS = 600.0
"""A shorter run need not be flat, and may lack faults."""

MEMORY_BOUND = 8 * 2**20
"""Bytes of growth in the last two thirds of a run."""

THREADS_BOUND = 1.0
POOL_WORKER = re.compile(r"work-[a-z]+_\d+")
"""Name of a thread of a pool, whose number of threads is bounded."""

DESCRIPTORS_BOUND = 4.0
STALL_BOUND = 1.0
"""Seconds that the event loop may stand still, beyond the suspension of the process."""

LAUNCH_BOUND = 2.0
"""Seconds between two launches of the device that is well, beyond what stops all devices."""

NO_ANSWER = ("lost", "not_sent")


def judge(scene: Scene, injection: Injection, apart: list[str]) -> dict[str, Any]:
    """Return the figures of a run, and under "wrong" a sentence for each bound that is broken."""
    rows = list(LedgerReader(scene.ledger).shares(Filter(run="last")))
    seconds = scene.samples[-1][0] - scene.samples[0][0]
    stalls = list(_stalls(scene, injection))
    grown = _grown(scene)
    injected: dict[str, Counter[str]] = defaultdict(Counter)
    for fault in injection.injected:
        injected[fault.area][fault.name] += 1
    wrong = [
        *apart,
        *(f"decreased: {what}" for what in sorted(set(scene.fell))),
        *_against_pool(rows, scene),
        *_against_node(rows, scene),
        *_of_process(scene, injected),
        *_unseen(injection),
    ]
    on_quiet = []
    worst = max(stalls, default=0.0)
    if worst > STALL_BOUND:
        on_quiet.append(f"the event loop stood still for {worst:.1f} s")
    if seconds >= LONG_SECONDS:
        wrong += _not_flat(grown)
        wrong += _not_injected(injected)
    quiet = scene.load.others <= OTHERS_MOST
    return {
        "wrong": wrong + on_quiet if quiet else wrong,
        **({} if quiet else {"on a quiet machine also wrong": on_quiet}),
        "injected": injected,
        "shares": Counter(row.outcome for row in rows),
        "facts": scene.facts, "reads": scene.reads, "unread": scene.unread,
        "pool": {"starts": scene.pool.starts, "accepted": len(_accepted(scene)),
                 "junk_bytes": scene.relay.sent},
        "node": {"accepted": len(scene.node.accepted), "calls": len(scene.node.calls)},
        "readers": injection.statuses,
        "grown": grown,
        "memory_by_minute": [round(each / 2**20, 1) for each in _by_minute(scene, 1)],
        "threads_by_minute": _by_minute(scene, 2),
        "descriptors_by_minute": _by_minute(scene, 3),
        "threads_that_came_or_went": _threads_that_came_or_went(scene),
        "worst_stall_seconds": worst,
        "stalls": stalls,
        "others": scene.load.others,
        "exit_code": scene.exit_code,
        "entries": len(scene.entries),
        "not_in_the_journal": _missing(injection),
        "faults": [
            vars(fault)
            | {"at": round(fault.at - scene.begun, 1), "seconds": round(fault.seconds, 1)}
            for fault in injection.injected
        ],
    }  # fmt: skip


def _accepted(scene: Scene) -> list[tuple[int, float]]:
    """Return height and reached hashes of each share that the pool accepted."""
    return [
        (event["height"], event["hashes"]) for event in scene.pool.events
        if event["kind"] == "ShareJudged" and event["accepted"]
    ]  # fmt: skip


def _against_pool(rows: list[ShareRecord], scene: Scene) -> Iterator[str]:
    """Yield each disagreement of the ledger with the pool."""
    port = str(scene.node.port)
    ours: dict[tuple[int, str], list[ShareRecord]] = defaultdict(list)
    for row in rows:
        if port not in row.pool and row.outcome != "hardware":
            ours[_key(row.height, row.difficulty_reached)].append(row)
    judged = Counter(_key(*share) for share in _accepted(scene))
    for key, count in judged.items():
        if count > 1:
            yield f"the pool accepted a share of height {key[0]} {count} times"
        if len(ours[key]) != 1:
            yield f"the ledger has {len(ours[key])} rows of a share that the pool accepted"
    for key, found in ours.items():
        if any(row.outcome == "accepted" for row in found) and key not in judged:
            yield f"the pool has not accepted a share of height {key[0]} that the ledger counts"
    # A pool with an injected wrong answer refuses shares that it accepted.
    refused = Counter(
        row.outcome for key, found in ours.items() for row in found
        if key in judged and row.outcome not in ("accepted", *NO_ANSWER)
    )  # fmt: skip
    injected = sum(fault["fault"] == "wrong_answer" for fault in scene.pool.faults)
    if refused.total() > 2 * injected:
        yield f"shares that the pool accepted are refused in the ledger: {dict(refused)}"


def _key(height: int, hashes: float) -> tuple[int, str]:
    return height, f"{hashes:.9g}"


def _against_node(rows: list[ShareRecord], scene: Scene) -> Iterator[str]:
    """Yield each disagreement of the ledger with the node."""
    port = str(scene.node.port)
    ours = {
        (row.header, row.nonce): row.outcome
        for row in rows if port in row.pool and row.outcome != "hardware"
    }  # fmt: skip
    for block in scene.node.accepted:
        if ours.get(block) != "accepted":
            yield f"a block in the node's chain is {ours.get(block, 'unknown')} in the ledger"
    taken = set(scene.node.accepted)
    for block, outcome in ours.items():
        if outcome == "accepted" and block not in taken:
            yield "a block that the ledger counts is not in the node's chain"
    yield from scene.node.wrong


def _of_process(scene: Scene, injected: dict[str, Counter[str]]) -> Iterator[str]:
    """Yield what is wrong with the process and its devices."""
    hung = injected["driver"]["hang"] > 0
    if scene.exit_code != (5 if hung else 0):
        yield f"the exit code is {scene.exit_code}"
    console = (scene.folder / "console.jsonl").read_text(encoding="utf-8", errors="replace")
    for word in ("Traceback", "internal error"):
        if word in console:
            yield f"the output contains {word!r}"
    for device in scene.last["devices"]:
        wanted = "hung" if hung and device["name"] == HANGING else ""
        if device["state"] in ("parked", "failed", "hung") and device["state"] != wanted:
            yield f"{device['name']} ended as {device['doing']}"
    if scene.record["opened"] != 1:
        yield f"the device that is well was opened {scene.record['opened']} times"
    uptime, true = scene.last["uptime"], scene.record["seconds"]
    if abs(uptime - true) > 60:
        yield f"the uptime is {uptime:.0f} s after {true:.0f} s"


def _unseen(injection: Injection) -> Iterator[str]:
    """Yield the kinds of faults that the journal should show and never does.

    Not each fault is visible: another one may keep the miner from meeting it.
    """
    missing = _missing(injection)
    injected = Counter(_kind(fault) for fault in injection.injected)
    for kind, count in missing.items():
        if count == injected[kind] and count > 1:
            yield f"no entry of the journal shows {kind} ({count} times)"


def _missing(injection: Injection) -> Counter[str]:
    return Counter(_kind(fault) for fault in injection.injected if not injection.seen(fault))


def _kind(fault: Injected) -> str:
    return f"{fault.area}, {fault.name}"


def _not_injected(injected: dict[str, Counter[str]]) -> Iterator[str]:
    wanted = {area: set(kinds) for area, kinds in AREAS.items()} | {"chaos": set(POOL_FAULTS)}
    for area, kinds in wanted.items():
        for name in sorted(kinds - set(injected[area])):
            yield f"never injected: {area}, {name}"


def _stalls(scene: Scene, injection: Injection) -> Iterator[float]:
    """Yield the seconds of each stall that no suspension explains."""
    left = [
        fault.seconds for fault in injection.injected
        if (fault.area, fault.name) == ("machine", "suspended")
    ]  # fmt: skip
    for _, entry in sorted(scene.entries.items()):
        if found := re.match(r"nothing was answered for ([0-9.]+) s", entry["text"]):
            seconds = float(found[1])
            mine = min(left, key=lambda each: abs(each - seconds), default=0.0)
            if left and seconds >= mine - 0.5:
                left.remove(mine)
                seconds = max(seconds - mine, 0.0)
            yield seconds


def _grown(scene: Scene) -> dict[str, float]:
    """Return the growth in the last two thirds, by a line through the samples."""
    times = [sample[0] for sample in scene.samples]
    grown = {
        name: _along_a_line(times, [float(sample[index]) for sample in scene.samples])
        for index, name in enumerate(("memory", "threads", "descriptors"), 1)
    }
    apart = _threads_apart_from_pools(scene)
    return grown | {"threads apart from pools": _along_a_line(list(range(len(apart))), apart)}


def _along_a_line(times: Sequence[float], values: Sequence[float]) -> float:
    late = [pair for pair in zip(times, values, strict=True)
            if pair[0] >= times[0] + (times[-1] - times[0]) / 3]  # fmt: skip
    if len(late) < 3:
        return 0.0
    slope = statistics.linear_regression(*zip(*late, strict=True)).slope
    return slope * (times[-1] - times[0]) * 2 / 3


def _by_minute(scene: Scene, index: int) -> list[float]:
    """Return the median of one figure of the samples in each minute."""
    minutes: dict[int, list[int]] = defaultdict(list)
    for sample in scene.samples:
        minutes[int((sample[0] - scene.samples[0][0]) // 60)].append(int(sample[index]))
    return [statistics.median(each) for each in minutes.values()]


def _thread_names(scene: Scene) -> list[Counter[str]]:
    """Return the names of the threads, once a minute."""
    return [Counter(line["threads"]) for line in scene.console if "threads" in line]


def _threads_apart_from_pools(scene: Scene) -> list[float]:
    """Return the threads of each minute without the workers of pools.

    A pool starts each of its few workers when it first needs one, maybe late in a run. Each worker
    has a name of its own; a second thread of the same name belongs to a pool too many, and counts.
    """
    return [
        threads - sum(POOL_WORKER.fullmatch(name) is not None for name in names)
        for threads, names in zip(_by_minute(scene, 2), _thread_names(scene), strict=False)
    ]


def _threads_that_came_or_went(scene: Scene) -> dict[str, list[int]]:
    """Return how many threads of each name there were in each minute, if the number changed."""
    minutes = _thread_names(scene)
    names = sorted({name for minute in minutes for name in minute})
    counts = {name: [minute[name] for minute in minutes] for name in names}
    return {name: each for name, each in counts.items() if len(set(each)) > 1}


def _not_flat(grown: dict[str, float]) -> Iterator[str]:
    bounds = {
        "memory": MEMORY_BOUND,
        "threads apart from pools": THREADS_BOUND,
        "descriptors": DESCRIPTORS_BOUND,
    }  # fmt: skip
    for name, bound in bounds.items():
        if grown[name] > bound:
            yield f"{name} grew by {grown[name]:.0f}"
