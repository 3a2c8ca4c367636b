"""The snapshot of this moment, and what was made of it, for all who ask within it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from miner.clock import Clock
from miner.telemetry import Event, Launched, Snapshot, Telemetry

MOMENT_SECONDS = 0.25
"""How old the rates in an answer may be."""

T = TypeVar("T")
Given = TypeVarTuple("Given")


class Moment:
    """Takes a snapshot by `take` only where a moment has passed since the one before, or anything
    but a launch has happened: what is made of it for twelve cards takes milliseconds, which
    clients must not be able to ask for as often as they like."""

    def __init__(self, take: Callable[[], Snapshot], telemetry: Telemetry, clock: Clock) -> None:
        self._take, self._clock = take, clock
        self._taken: tuple[float, Snapshot] | None = None
        self._made: dict[tuple[Callable[..., Any], tuple[Any, ...]], Any] = {}
        telemetry.subscribe(self._note)

    def snapshot(self) -> Snapshot:
        """Return a snapshot no older than a moment."""
        now = self._clock.now()
        if self._taken is None or now - self._taken[0] >= MOMENT_SECONDS:
            self._made.clear()
            self._taken = now, self._take()
        return self._taken[1]

    def of(self, make: Callable[[Snapshot, *Given], T], *given: *Given) -> T:
        """Return what `make` makes of the snapshot and what else is `given`; asked again within the
        moment, the same."""
        snapshot = self.snapshot()
        if (make, given) not in self._made:
            self._made[make, given] = make(snapshot, *given)
        made: T = self._made[make, given]
        return made

    def _note(self, event: Event) -> None:
        if not isinstance(event, Launched):
            self._taken = None
