"""How much is put up with of a device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a device rests, is opened again, or parked; times are seconds."""

    first_rest: float = 1.0
    """After the first failure; it doubles with each one in a row."""
    longest_rest: float = 60.0
    failures: int = 5
    """Failures in a row that park a device for the rest of the run."""
    steady: float = 60.0
    """A failure this long after the first launch is not in a row with those before it, unless
    it is a wrong result."""
    wrong: int = 10
    """Wrong candidates among the last `judged` that have the device reopened."""
    judged: int = 20
    unproved: int = 64
    """Candidates of one device that may wait for the CPU; beyond that it searches no further."""
    stop: float = 4.0
    """How long a stop waits for the devices' threads."""
