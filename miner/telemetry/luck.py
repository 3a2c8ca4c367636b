"""Shares found compared with shares expected."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import exp, sqrt
from statistics import NormalDist

from miner.telemetry.field_metadata import Metric, described

CONFIDENCE = 0.95
"""Probability of bands and intervals."""

_LARGEST_EXACT_MEAN = 400.0
"""For a larger mean, the Poisson distribution is approximated by a normal one."""


@dataclass(frozen=True, slots=True)
class Band:
    """The numbers of shares, bounds included, that 95 % of all runs find."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Luck:
    """Shares found, and shares expected of as many hashes at the difficulties of their jobs.

    Finding shares is a Poisson process: the number that a working device finds lies in the band
    with a probability of 95 %.
    """

    expected: float = described(
        "Average number of shares that this many hashes find",
        metric=Metric(
            "shares_expected_total",
            "Average number of shares that the hashes find at the requested difficulties",
        ),
        default=0.0,
    )
    found: int = 0
    effort: float = described(
        "Work since the last share; 1 is the average cost of a share",
        metric=Metric(
            "device_effort_ratio",
            "Work of the device since its last share; 1 is the average cost of a share",
        ),
        default=0.0,
    )

    @property
    def ratio(self) -> float | None:
        """Found divided by expected; above 1 is good luck. None if nothing is expected yet."""
        return self.found / self.expected if self.expected > 0 else None

    @property
    def band(self) -> Band:
        return poisson_band(self.expected)

    @property
    def plausible(self) -> bool:
        """Whether the number found lies in the band."""
        band = self.band
        return band.low <= self.found <= band.high


@lru_cache(maxsize=64)  # several views show the same one
def poisson_band(mean: float) -> Band:
    """Return the central band of `CONFIDENCE` of the Poisson distribution with `mean`."""
    if mean <= 0:
        return Band(0, 0)
    tail = (1 - CONFIDENCE) / 2
    if mean > _LARGEST_EXACT_MEAN:
        spread = NormalDist().inv_cdf(1 - tail) * sqrt(mean)
        return Band(int(mean - spread), int(mean + spread) + 1)
    below, low = 0.0, -1
    count, term = 0, exp(-mean)
    while True:
        below += term
        if low < 0 and below > tail:
            low = count
        if below >= 1 - tail:
            return Band(low, count)
        count += 1
        term *= mean / count
