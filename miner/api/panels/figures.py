"""Numbers as panels take them: finite, rounded, over one and the same window."""

from __future__ import annotations

import json
from math import isfinite

from miner.telemetry import Hashrate
from miner.work import Job

LARGEST = 2**63 - 1
"""Of the whole numbers that every reader takes."""

KILO = 1e3
MEGA = 1e6


def speed(hashrate: Hashrate) -> float:
    """Return H/s over the last minute: what a shape without windows of its own shows.

    Ten seconds hold too few launches for a farm's watchdog, a quarter of an hour hides a card
    that stopped.
    """
    return hashrate.minute


def whole(value: float | None) -> int | None:
    """Return `value` rounded, `LARGEST` where it is beyond, as a pool's difficulty may be; None
    for what is unknown or no finite number."""
    if value is None or not isfinite(value):
        return None
    return max(-LARGEST, min(round(value), LARGEST))


def known(value: float | None, digits: int = 2) -> float | None:
    """Return `value` rounded to `digits`; None for what is unknown or no finite number."""
    return round(value, digits) if value is not None and isfinite(value) else None


def per_minute(count: int, seconds: float) -> float:
    """Return how many of `count` came a minute over `seconds`; 0 where no time has passed."""
    return round(60 * count / seconds, 3) if seconds > 0 else 0.0


def wanted(job: Job | None) -> int | None:
    """Return the hashes that a share costs on average; None without a job."""
    return whole(job.difficulty) if job else None


def dumps(answer: object) -> str:
    """Return `answer` as JSON on one line; a NaN or infinity in it is a ValueError."""
    return json.dumps(answer, allow_nan=False, separators=(",", ":"))
