"""Failover: the order of the pools, which one is current, and how long to wait before a retry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

from miner.clock import Clock
from miner.net.address import PoolUrl
from miner.stratum.dialects import DIALECTS, Detection
from miner.stratum.pool_memory import SentNonces

MIN_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 60.0

MAX_FAILURES = 3
"""Failures in a row after which the next pool becomes current."""

FIRST_POOL_CHECK_SECONDS = 600.0
"""Interval at which an unreachable first pool is checked. Each return to it that does not hold
doubles the interval, up to `MAX_FIRST_POOL_CHECK_SECONDS`."""

MAX_FIRST_POOL_CHECK_SECONDS = 4800.0

BAN_SECONDS = 900.0
"""A pool that banned us without a duration is not tried for this long, plus up to half of it at
random."""

REFUSED_SECONDS = 3600.0
"""A pool that was given up is not tried for this long, plus up to half of it at random: its
operator may mend what made it refuse us."""

MIN_BAN_SECONDS = 60.0
MAX_BAN_SECONDS = 6 * 3600.0

TIMER_TOLERANCE_SECONDS = 0.01
"""Tolerance for timers that fire early."""


def retry_delays(random: Random) -> Iterator[float]:
    """Yield back-off delays in seconds without end: 1 to 2, then 2 to 4, up to 30 to 60.

    Each is drawn evenly from its range, so that the rigs of a farm that lose their pool at the
    same time reconnect at different times.
    """
    longest = 2 * MIN_RETRY_SECONDS
    while True:
        yield random.uniform(longest / 2, longest)
        longest = min(2 * longest, MAX_RETRY_SECONDS)


class GiveUpTimer:
    """Runs out `seconds` after its last restart; None: never."""

    def __init__(self, seconds: float | None, clock: Clock) -> None:
        self.seconds = inf if seconds is None else seconds
        self._clock = clock
        self._since = clock.now()

    @property
    def remaining(self) -> float:
        """Seconds until it runs out, negative afterwards."""
        return self._since + self.seconds - self._clock.now()

    def restart(self) -> None:
        self._since = self._clock.now()


@dataclass(slots=True, eq=False)
class PoolEntry:
    """One pool of the list, and what is known of it across connections."""

    url: PoolUrl
    delays: Iterator[float]
    """Seconds to wait after each further failure."""
    detection: Detection
    sent_nonces: SentNonces = field(default_factory=SentNonces)
    login_accepted: bool = False
    """A login succeeded once, so a later refusal may be temporary."""
    banned_until: float = 0.0
    """Clock seconds before which it is not tried."""
    refused: bool = False
    """It was given up, and accepted no login since."""
    resumable: str | None = None
    """Session id of the last connection, where the pool can resume that session."""
    left_out: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By dialect: optional methods that did harm."""


class Failover:
    """The pools in order of preference, one of which is current; false when none is left.

    Methods that record an event return the seconds to wait before the next attempt, with
    whichever pool is current then.
    """

    def __init__(self, urls: Sequence[PoolUrl], clock: Clock, random: Random) -> None:
        self._clock, self._random = clock, random
        self._entries: dict[PoolUrl, PoolEntry] = {}
        """All pools so far, including those of earlier lists."""
        self._pools = [self._entry(url) for url in urls]
        self._index = 0
        self._failures = 0
        self.first_check_seconds = FIRST_POOL_CHECK_SECONDS
        """Interval for checking whether the first pool is reachable, while another is used."""

    def __bool__(self) -> bool:
        return bool(self._pools)

    @property
    def current(self) -> PoolEntry:
        return self._pools[self._index]

    @property
    def first(self) -> PoolEntry:
        """The preferred pool."""
        return self._pools[0]

    @property
    def has_alternative(self) -> bool:
        """Whether a pool other than the current one may be tried now."""
        return any(pool is not self.current and not self.is_banned(pool) for pool in self._pools)

    def is_current(self, pool: PoolEntry) -> bool:
        return bool(self._pools) and self.current is pool

    def find(self, host: str, port: int | None) -> PoolEntry | None:
        """Return the listed pool at host and port, else one at `host`, the current one first.

        Of several, the first that may be tried now; None if no pool is listed there. Case and the
        dot of the DNS root make no difference.
        """
        wanted = _plain(host)
        on_host = [pool for pool in self._pools if _plain(pool.url.host) == wanted]
        found = [pool for pool in on_host if pool.url.port == port] or on_host
        if self.current in found:
            return self.current
        return next((pool for pool in found if not self.is_banned(pool)), None)

    def is_banned(self, pool: PoolEntry) -> bool:
        """Return whether `pool` must not be tried now."""
        return self.ban_remaining(pool) > 0

    def ban_remaining(self, pool: PoolEntry) -> float:
        """Return the seconds for which `pool` must not be tried."""
        left = pool.banned_until - self._clock.now()
        return left if left > TIMER_TOLERANCE_SECONDS else 0.0

    def replace(self, urls: Sequence[PoolUrl], *, works: bool) -> bool:
        """Use another list; pools of an earlier list keep their state. Return whether the current
        pool stays current; `works` is whether it accepted our login.

        It does if it is still listed and has not banned us. A first pool, unless it `works`, also
        gives way to one that is listed before it now.
        """
        current = self.current if self._pools else None
        first = self.first if self._pools else None
        self._pools = [self._entry(url) for url in urls]
        for pool in self._pools:
            if pool.refused:
                pool.refused, pool.banned_until = False, 0.0
        by_ban = [self.ban_remaining(pool) for pool in self._pools]
        self._index = by_ban.index(min(by_ban)) if by_ban else 0
        if not self._pools or self.first is not first:
            self.first_check_seconds = FIRST_POOL_CHECK_SECONDS
        if current is not None and current in self._pools and not self.is_banned(current):
            displaced = current is first and not works and current is not self.current
            if not displaced:
                self._index = self._pools.index(current)
        if self._pools and self.current is current:
            return True
        self._failures = 0
        return False

    def record_stable(self) -> None:
        """The connection with the current pool was stable: forget earlier failures."""
        self._failures = 0
        self.current.delays = retry_delays(self._random)
        if self._index == 0:
            self.first_check_seconds = FIRST_POOL_CHECK_SECONDS

    def record_failure(self, min_wait: float = 0.0) -> float:
        """The attempt failed; wait at least `min_wait` seconds."""
        self._failures += 1
        wait = max(min_wait, next(self.current.delays))
        if self._failures >= MAX_FAILURES:
            self._advance()  # to one that is not banned, as the failed pool is not
        return wait

    def record_ban(self, seconds: float | None = None) -> float:
        """The pool banned us, for `seconds` if given: advance to the next one at once."""
        seconds = BAN_SECONDS if seconds is None else seconds
        seconds = min(max(seconds, MIN_BAN_SECONDS), MAX_BAN_SECONDS)
        seconds *= self._random.uniform(1.0, 1.5)
        self.current.banned_until = self._clock.now() + seconds
        self._advance()
        return max(self.ban_remaining(self.current), next(self.current.delays))

    def record_useless(self) -> float:
        """The pool brings no work or answers no share: advance to an alternative at once."""
        if not self.has_alternative:
            return self.record_failure()
        self._advance()
        return 0.0

    def give_up_current(self, seconds: float = REFUSED_SECONDS) -> None:
        """Do not try the current pool for `seconds`, because it refused us; once all pools did,
        none is left. The next one may be banned still."""
        self.current.refused = True
        if all(pool.refused for pool in self._pools):
            self._pools.clear()
            return
        self.current.banned_until = self._clock.now() + seconds * self._random.uniform(1.0, 1.5)
        self._advance()

    def return_to_first(self) -> float:
        """Make the first pool current; a single failure then advances to the next."""
        self._index, self._failures = 0, MAX_FAILURES - 1
        self.first_check_seconds = min(2 * self.first_check_seconds, MAX_FIRST_POOL_CHECK_SECONDS)
        return 0.0

    def switch_to(self, pool: PoolEntry) -> None:
        """Make `pool` current, if it is still listed and not banned.

        Failures keep counting, so that pools that redirect to each other are left, too.
        """
        if pool in self._pools and not self.is_banned(pool):
            self._index = self._pools.index(pool)

    def _entry(self, url: PoolUrl) -> PoolEntry:
        if url not in self._entries:
            detection = Detection([url.protocol] if url.protocol else list(DIALECTS))
            entry = PoolEntry(url, retry_delays(self._random), detection)
            for other in self._entries.values():
                if other.url.is_beside(url):
                    # A pool refuses a nonce that it has seen, under any login.
                    entry.sent_nonces = other.sent_nonces
            self._entries[url] = entry
        return self._entries[url]

    def _advance(self) -> None:
        """Make the next pool current, or the one whose ban ends first if all are banned."""
        count = len(self._pools)
        order = [(self._index + step) % count for step in range(1, count + 1)]
        self._index = min(order, key=lambda index: self.ban_remaining(self._pools[index]))
        self._failures = 0


def _plain(host: str) -> str:
    return host.lower().removesuffix(".")
