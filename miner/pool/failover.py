"""Failover: which pool is tried next, and after which delay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

from miner.clock import Clock
from miner.net.pool_url import PoolUrl
from miner.stratum.dialects import Detection
from miner.stratum.session import SentNonces

SHORTEST = 1.0
LONGEST = 60.0


def delays(random: Random) -> Iterator[float]:
    """Yield seconds without end: 1 to 2, then 2 to 4, and so on up to 30 to 60.

    Each is drawn evenly from its span, so that the rigs of a farm that lost their pool at the
    same moment do not come back at the same moment.
    """
    longest = 2 * SHORTEST
    while True:
        yield random.uniform(longest / 2, longest)
        longest = min(2 * longest, LONGEST)


class Patience:
    """Lasts `seconds` from its latest renewal; None: for ever."""

    def __init__(self, seconds: float | None, clock: Clock) -> None:
        self.seconds = inf if seconds is None else seconds
        self._clock = clock
        self._since = clock.now()

    @property
    def left(self) -> float:
        """Seconds until it is over; infinity where it never is."""
        return self._since + self.seconds - self._clock.now()

    def renew(self) -> None:
        """Begin anew: a login held until now."""
        self._since = self._clock.now()


TRIES = 3
"""Failures in a row after which the next pool of the list has its turn."""

RETURN_SECONDS = 600.0
"""While another pool is mined on, the first is looked for so often; twice as seldom after each
return that did not hold, up to `RETURN_LONGEST`."""

RETURN_LONGEST = 4800.0

BAN_SECONDS = 900.0
"""A pool that shut us out is left alone for so long, and up to a half more."""

SHUT_SLACK_SECONDS = 0.01
"""By which a sleep may end too early."""


@dataclass(slots=True, eq=False)
class Standing:
    """How one pool of the list has done so far."""

    url: PoolUrl
    detection: Detection
    waits: Iterator[float]
    """Seconds to wait after each further failure."""
    sent: SentNonces = field(default_factory=SentNonces)
    accepted: bool = False
    """Its login worked once: a later refusal is its trouble, and may pass."""
    shut_until: float = 0.0
    """Clock seconds; before, it is left alone."""
    resumable: str | None = None
    """Its name of our last dialogue, where that can be gone on with."""


class Turns:
    """The pools in order of preference, and whose turn it is.

    Methods that say how it went return the seconds to wait before the next try, of whichever
    pool has its turn then.
    """

    def __init__(
        self,
        urls: Sequence[PoolUrl],
        clock: Clock,
        random: Random,
        detection: Callable[[PoolUrl], Detection],
    ) -> None:
        self._detection = detection
        self._clock, self._random = clock, random
        self._known: dict[PoolUrl, Standing] = {}
        """Of every list so far."""
        self._pools = [self._standing(url) for url in urls]
        self._at = 0
        self._failures = 0
        self.look_after = RETURN_SECONDS
        """Seconds after which the first pool is looked for, where another one has its turn."""

    def __bool__(self) -> bool:
        return bool(self._pools)

    @property
    def current(self) -> Standing:
        """The pool whose turn it is."""
        return self._pools[self._at]

    @property
    def first(self) -> Standing:
        """The pool that is preferred to all others."""
        return self._pools[0]

    @property
    def has_another(self) -> bool:
        """Whether a pool other than the current one may be tried now."""
        return any(pool is not self.current and not self.is_shut(pool) for pool in self._pools)

    def are_of(self, pool: Standing) -> bool:
        """Return whether it is the turn of `pool`."""
        return bool(self._pools) and self.current is pool

    def replace(self, urls: Sequence[PoolUrl], *, works: bool) -> bool:
        """Take another list, in which pools that were in an old one keep their standing; return
        whether the current pool keeps its turn.

        It does where it is still listed and `works`. Where it does not work, another one may have
        become preferred to it, or it may be to be left alone while another one is not.
        """
        current = self.current if self._pools else None
        first = self.first if self._pools else None
        self._pools = [self._standing(url) for url in urls]
        self._at = min(range(len(urls)), key=lambda at: self.shut_for(self._pools[at]), default=0)
        if not self._pools or self.first is not first:
            self.look_after = RETURN_SECONDS
        if current is not None and current in self._pools and not self.is_shut(current):
            gives_way = current is first and not works and current is not self.current
            if not gives_way:
                self._at = self._pools.index(current)
        if self._pools and self.current is current:
            return True
        self._failures = 0
        return False

    def _standing(self, url: PoolUrl) -> Standing:
        if url not in self._known:
            fresh = Standing(url, self._detection(url), delays(self._random))
            for other in self._known.values():
                if other.url.is_beside(url):
                    # A pool knows what it was sent under whatever login.
                    fresh.sent = other.sent
            self._known[url] = fresh
        return self._known[url]

    def forgive(self) -> None:
        """Forget earlier failures: the current pool held long enough."""
        self._failures = 0
        self.current.waits = delays(self._random)
        if self._at == 0:
            self.look_after = RETURN_SECONDS

    def failed(self, wait: float = 0.0) -> float:
        """The connection failed; wait `wait` seconds at least."""
        self._failures += 1
        wait = max(wait, next(self.current.waits))
        if self._failures >= TRIES:
            self._pass_on()
            wait = max(wait, self.shut_for(self.current))
        return wait

    def shut_out(self) -> float:
        """The pool banned us: it is left alone, another has its turn at once."""
        seconds = BAN_SECONDS * self._random.uniform(1.0, 1.5)
        self.current.shut_until = self._clock.now() + seconds
        self._pass_on()
        return max(self.shut_for(self.current), next(self.current.waits))

    def barren(self) -> float:
        """The pool takes us in and brings us nothing: another has its turn at once."""
        if not self.has_another:
            return self.failed()
        self._pass_on()
        return 0.0

    def drop(self) -> None:
        """Try the current pool no more; `shut_for` says whether the next is to be waited for."""
        del self._pools[self._at]
        self._at -= 1
        if self._pools:
            self._pass_on()

    def return_to_first(self) -> float:
        """It is the first's turn; where it fails at once, the next has its own."""
        self._at, self._failures = 0, TRIES - 1
        self.look_after = min(2 * self.look_after, RETURN_LONGEST)
        return 0.0

    def go_to(self, pool: Standing) -> None:
        """Give `pool` its turn, where it is still listed.

        Failures count on: pools that send us to each other give way like any other.
        """
        if pool in self._pools and not self.is_shut(pool):
            self._at = self._pools.index(pool)

    def at(self, host: str, port: int | None) -> Standing | None:
        """Return the pool that is listed there; if none is, that of the host, the current one
        before others. None where there is none that may be tried now."""
        there = [pool for pool in self._pools if pool.url.host == host]
        meant = [pool for pool in there if pool.url.port == port] or there
        if self.current in meant:
            return self.current
        return next((pool for pool in meant if not self.is_shut(pool)), None)

    def is_shut(self, pool: Standing) -> bool:
        """Return whether `pool` is to be left alone now."""
        return self.shut_for(pool) > 0

    def shut_for(self, pool: Standing) -> float:
        """Return the seconds for which `pool` is to be left alone."""
        left = pool.shut_until - self._clock.now()
        return left if left > SHUT_SLACK_SECONDS else 0.0

    def _pass_on(self) -> None:
        """Give the next pool its turn, or the soonest where all are to be left alone."""
        count = len(self._pools)
        turns = [(self._at + step) % count for step in range(1, count + 1)]
        self._at = min(turns, key=lambda index: self.shut_for(self._pools[index]))
        self._failures = 0
