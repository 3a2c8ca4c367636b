"""What follows from how a connection with a pool ended."""

from __future__ import annotations

from dataclasses import dataclass

from miner.clock import Clock
from miner.errors import Banned, PoolError, PoolRefused, WrongDialect
from miner.pool.backoff import LONGEST
from miner.pool.protocols.table import PROTOCOLS
from miner.pool.turns import Turns
from miner.pool.visit import Visit

ANOTHER_DIALECT_SECONDS = 1.0
"""Between two tries of different protocols with one pool that answers."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How one try of a pool ended."""

    reason: str
    wait: float | None
    """Seconds until the next try, of whichever pool; None: this one is dropped."""


class Endings:
    """Judges the pool whose turn it is by how the connection with it ended."""

    def __init__(self, turns: Turns, clock: Clock) -> None:
        self._turns, self._clock = turns, clock

    def failed(self, failure: PoolError, visit: Visit) -> Ending:
        """Return what follows where the pool failed."""
        pool = visit.pool
        if isinstance(failure, Banned):
            return Ending(str(failure), self._turns.shut_out())
        if not isinstance(failure, PoolRefused):
            if visit.misunderstood(failure) and not pool.detection.found:
                pool.detection.misfit()
            return Ending(str(failure), self._after_failure(visit))
        if isinstance(failure, WrongDialect) and not pool.detection.named:
            if pool.detection.found and visit.ready_at is None:
                pool.detection.doubt()
                return Ending(str(failure), self._after_failure(visit))
            title = PROTOCOLS[pool.detection.current].title
            if pool.detection.misfit():
                return Ending(
                    f"it does not take {title}, another protocol is tried",
                    ANOTHER_DIALECT_SECONDS,
                )
            failure = WrongDialect("it speaks no protocol of ours")
        if not pool.accepted:
            self._turns.drop()
            return Ending(str(failure), None)
        return Ending(str(failure), self._after_failure(visit))

    def left(self, visit: Visit) -> float:
        """Return how long to wait after we left a pool in peace: for another, or as it asked."""
        if visit.for_first:
            return self._turns.return_to_first()
        if visit.barren:
            return self._turns.barren()
        asked = visit.asked
        if asked is None:
            return 0.0
        wait = min(asked.wait, LONGEST)
        steady = self._steadied(visit)
        if visit.meant is not None:
            self._turns.go_to(visit.meant)
        return wait if steady else self._turns.failed(wait)

    def _after_failure(self, visit: Visit) -> float:
        if visit.for_first:
            return self._turns.return_to_first()
        if visit.barren:
            return self._turns.barren()
        self._steadied(visit)
        return self._turns.failed()

    def _steadied(self, visit: Visit) -> bool:
        """Return whether the login held; then earlier failures are forgotten."""
        steady = visit.steady(self._clock.now())
        if steady:
            self._turns.steady()
        return steady
