"""How the shares found compare with the shares to be expected."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, lgamma, log, sqrt

from miner.telemetry.field_metadata import Metric, described

CONFIDENCE = 0.95
"""Share of all runs that end inside the band."""

_EXACT = 400.0
"""Up to this mean the distribution is summed, beyond it is taken for a normal one."""

_NORMAL_QUANTILE = 1.959963984540054
"""Standard deviations on either side that hold 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Band:
    """The numbers of shares, both included, that 95 % of all runs would have found."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Luck:
    """Shares found against the mean that as many hashes bring at the difficulties asked.

    Finding shares is a Poisson process: a band that holds the number found is what an honest
    device shows 95 times in 100.
    """

    expected: float = field(
        default=0.0,
        metadata=described(
            "Average number of shares that this many hashes find",
            metric=Metric(
                "shares_expected_total",
                "Average number of shares that the hashes find at the requested difficulties",
            ),
        ),
    )
    found: int = 0
    since: float = field(
        default=0.0,
        metadata=described(
            "Expected shares of the hashes since the last share",
            metric=Metric(
                "device_effort_ratio",
                "Work of the device since its last share; 1 is the average cost of a share",
            ),
            api=False,
        ),
    )

    @property
    def effort(self) -> float:
        """Work since the last share, 1 being what a share costs on average."""
        return self.since

    @property
    def ratio(self) -> float | None:
        """Found per expected; above 1 is good luck. None before anything could be expected."""
        return self.found / self.expected if self.expected > 0 else None

    @property
    def band(self) -> Band:
        return poisson_band(self.expected)

    @property
    def plausible(self) -> bool:
        """Whether the number found lies in the band."""
        band = self.band
        return band.low <= self.found <= band.high


def poisson_band(mean: float) -> Band:
    """Return the central band of `CONFIDENCE` around `mean` expected events."""
    if mean <= 0:
        return Band(0, 0)
    if mean > _EXACT:
        # With the correction of skewness that Cornish and Fisher gave.
        spread, skew = _NORMAL_QUANTILE * sqrt(mean), (_NORMAL_QUANTILE**2 - 1) / 6
        return Band(int(mean + skew - spread), int(mean + skew + spread) + 1)
    tail = (1 - CONFIDENCE) / 2
    below, low = 0.0, -1
    count = 0
    while True:
        below += exp(count * log(mean) - mean - lgamma(count + 1))
        if low < 0 and below > tail:
            low = count
        if below >= 1 - tail:
            return Band(low, count)
        count += 1
