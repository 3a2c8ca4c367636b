"""The faults of one run: which, when and for how long, the same ones for the same seed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT)]

from miner.testpool.faults import FAULTS, Fault, NumberArgument, make_fault  # noqa: E402

WARM_SECONDS = 8.0
"""Time before the first fault."""

CALM_SECONDS = 30.0
"""Time after the last fault, in which the miner recovers."""

REST = (3.0, 8.0)
"""Seconds between two faults of an area in the shortest run."""

MOST_REST = 4.0
"""Factor of `REST` in a long run."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault."""

    seconds: tuple[float, float]
    """Shortest and longest duration."""
    journal: str | None = None
    """Pattern of an entry that the miner writes about it."""
    most: int | None = None
    """Times per run; None: no limit."""


AREAS: Mapping[str, Mapping[str, Kind]] = {
    "pool": {
        "killed": Kind((3, 10), r"^connection to .*:{pool} lost"),
        "silent": Kind((35, 45), r"^connection to .*:{pool} lost"),
        "refuses logins": Kind((6, 15), r"lost \(.*(refus|unauthori)"),
        "closed port": Kind((4, 10), r"^connection to .*:{pool} lost"),
        "no TLS": Kind((6, 12), r"TLS"),
        "flood": Kind((2, 5), r"connection to .*:{pool} lost|ignor"),
        "change to the node": Kind((35, 60), r"^logged in to .*:{node}"),
    },
    "machine": {
        "disk full": Kind((8, 15), r"cannot be written"),
        "locked ledger": Kind((8, 12), r"ledger .*locked"),
        "log taken away": Kind((3, 3)),
        "damaged cache": Kind((0, 0)),
        "clock set": Kind((5, 15)),
        "suspended": Kind((4, 20), r"nothing was answered for"),
    },
    "driver": {
        "launch fails": Kind((5, 10), r"fault: .*the launch failed|in \d+ s: .*the launch failed"),
        "opening fails": Kind((8, 15), r"cannot be opened"),
        "build fails": Kind((5, 10), r"injected: it does not compile"),
        "slow build": Kind((15, 25)),
        "wrong results": Kind((15, 25), r"candidates were wrong", 6),
        "no memory": Kind((10, 15), r"not mining on epoch .*injected"),
        "hang": Kind((5, 5), r"^hung: a launch", 1),
    },
    "readers": {
        "crowd": Kind((6, 12)),
        "half-open connections": Kind((6, 12)),
        "streams not read": Kind((6, 12)),
        "panel flood": Kind((4, 8)),
        "wrong tokens": Kind((1, 1), r"sends many wrong tokens", 1),
    },
}
"""Faults that the run itself injects. Those of one area never overlap, those of others do."""

NODE_FAULTS = (
    "is starting", "has no peers", "is downloading", "has a full queue", "cuts the connection",
    "answers nonsense", "takes a block and cuts", "is slow",
)  # fmt: skip
"""Injected while the miner is at the node."""

POOL_FAULTS = [name for name in FAULTS if name != "other_algorithm"]
"""Faults that the test pool can inject into KawPow's dialect."""

POOL_JOURNAL: Mapping[str, str] = {
    "cut": r"^connection to .*:{pool} lost",
    "overlong": r"^connection to .*:{pool} lost",
    "garbage": r"ignor|:{pool} lost",
    "wrong_answer": r"^(stale|low|duplicate|invalid|refused|rejected)|:{pool} lost",
    "ban": r"banned",
    "clean_job": r"height \d+",
    "unclean_job": r"height \d+",
}
"""Patterns for those faults of the test pool that the journal must show."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault of one area."""

    at: float
    """Seconds from the start."""
    area: str
    name: str
    seconds: float
    seed: int
    """Seed of everything else that is random about it."""


def planned(seed: int, seconds: float) -> list[Planned]:
    """Return the faults of a run of `seconds`, ordered by time."""
    rest = min(max(seconds / 180, 1.0), MOST_REST)
    found = [fault for area in AREAS for fault in _of_area(area, seed, seconds, rest)]
    return sorted(found, key=lambda fault: fault.at)


def _of_area(area: str, seed: int, seconds: float, rest: float) -> Iterator[Planned]:
    random = Random(f"{seed} {area}")
    left = {name: kind.most for name, kind in AREAS[area].items()}
    at = WARM_SECONDS
    while True:
        names = [name for name in AREAS[area] if left[name] != 0]
        random.shuffle(names)
        for name in names:
            at += random.uniform(*REST) * rest
            lasting = random.uniform(*AREAS[area][name].seconds)
            if at + lasting > seconds - CALM_SECONDS:
                return
            yield Planned(at, area, name, lasting, random.randrange(2**32))
            at += lasting
            if (most := left[name]) is not None:
                left[name] = most - 1


SHORTER: Mapping[str, tuple[float, float]] = {
    "delay": (1, 10), "half_open": (5, 30), "ban": (5, 20), "reconnect": (0, 3),
}  # fmt: skip
"""Ranges of durations that would stop the pool's other faults for long."""


def pool_script(seed: int, seconds: float, count: int) -> list[tuple[float, Fault]]:
    """Return `count` faults of the test pool, each with the seconds before it; all kinds in each
    round."""
    random = Random(f"{seed} script")
    apart = min(max(seconds / 60, 3.0), 10.0)
    return list(islice(_script(random, apart), count))


def _script(random: Random, apart: float) -> Iterator[tuple[float, Fault]]:
    while True:
        names = POOL_FAULTS.copy()
        random.shuffle(names)
        for name in names:
            drawn = {argument: kind.draw(random) for argument, kind in FAULTS[name].items()}
            if name in SHORTER:
                argument, kind = next(iter(FAULTS[name].items()))
                low, high = SHORTER[name]
                whole = isinstance(kind, NumberArgument) and kind.whole
                value = random.uniform(low, high)
                drawn[argument] = round(value) if whole else round(value, 2)
            yield random.uniform(0.5, 1.5) * apart, make_fault(name, drawn)
