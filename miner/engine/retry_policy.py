"""When a failing device is paused, reopened or parked."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits for one device; times are in seconds."""

    first_pause: float = 1.0
    """Pause after the first failure; each further failure in a row doubles it."""
    longest_pause: float = 60.0
    max_failures: int = 5
    """Failures in a row after which a device is parked."""
    first_park: float = 600.0
    """Pause of a parked device, while others mine; each further failure in a row doubles it."""
    longest_park: float = 3600.0
    steady: float = 60.0
    """A failure this long after the first launch starts a new count, except a wrong result."""
    max_wrong: int = 10
    """Wrong candidates among the last `judged` after which the device is reopened."""
    judged: int = 20
    max_unproved: int = 64
    """Candidates of one device waiting for the CPU at which its search pauses."""
    stop: float = 4.0
    """Time for which a stop waits for the threads of all devices."""

    def parks_after(self, failures: int) -> bool:
        """Return whether the device is parked after `failures` in a row."""
        return failures >= self.max_failures

    def pause_after(self, failures: int) -> float:
        """Return the pause after `failures` in a row."""
        if self.parks_after(failures):
            further = failures - self.max_failures
            return _doubled(self.first_park, further, self.longest_park)
        return _doubled(self.first_pause, failures - 1, self.longest_pause)


def _doubled(first: float, times: int, longest: float) -> float:
    # A device that fails for months must not overflow a float.
    return min(first * 2.0 ** min(times, 64), longest)


class CandidateRecord:
    """The CPU's results for one device's recent candidates.

    The device's thread calls `claim` and `restart`, the event loop `judge`.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._verdicts: deque[bool] = deque(maxlen=policy.judged)
        self._claimed = self._proved = 0
        self._restarted = self._judged_since = 0.0
        self.distrust: str | None = None
        """Why the device must be reopened; None while it is trusted."""

    @property
    def caught_up(self) -> bool:
        """Whether few enough candidates wait for the CPU that the search may continue."""
        return self._claimed - self._proved < self._policy.max_unproved

    def restart(self, now: float) -> None:
        """Forget candidates found before clock second `now`: the device was reopened."""
        self._restarted = now
        self.distrust = None

    def claim(self) -> None:
        """Count a candidate that the CPU will check."""
        self._claimed += 1

    def judge(self, right: bool, found_at: float) -> None:
        """Record the CPU's result for a candidate found at clock second `found_at`."""
        self._proved += 1
        restarted = self._restarted
        if restarted != self._judged_since:
            self._judged_since = restarted
            self._verdicts.clear()
        if found_at > restarted:
            self._verdicts.append(right)
        wrong = self._verdicts.count(False)
        if wrong >= self._policy.max_wrong:
            self.distrust = f"{wrong} of its last {len(self._verdicts)} candidates were wrong"
            self._verdicts.clear()
