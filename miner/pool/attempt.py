"""One connection attempt: its state, the rules for leaving it, the rules for what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf
from typing import Any

from miner.clock import Clock, time_limit, within
from miner.errors import Banned, Cause, PoolError, ProtocolError, WrongDialect
from miner.net.address import PoolUrl
from miner.pool.connections import Connection, Connections
from miner.pool.failover import (
    MAX_RETRY_SECONDS,
    REFUSED_SECONDS,
    Failover,
    GiveUpTimer,
    PoolEntry,
)
from miner.pool.share_router import ShareRouter
from miner.stratum.dialects import DIALECTS, UNRELATED_CAUSES
from miner.stratum.pool_events import Reconnect
from miner.stratum.session import UNANSWERED_SHARES
from miner.work import JobSink

STABLE_SECONDS = 60.0
"""A login held for this long, with a job received, clears earlier failures."""

NEXT_DIALECT_SECONDS = 1.0
"""Wait between two dialects tried with one pool."""

QUICK_SECONDS = 10.0
"""A connection that fails within this time does not hold up the detection of the dialect."""

JOB_SECONDS = 60.0
"""Longest time without a job to mine, where another pool may be tried instead."""

LAUNCH_SECONDS = 1.0
"""Without a solution for this long, all launches that were in flight are taken to be done."""

MAX_LAUNCH_WAITS = 10
"""Waits of `LAUNCH_SECONDS` before a connection is left, at most."""

DRAIN_SECONDS = 5.0
"""Wait for the answers to the shares in flight before a connection is left."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One connection with `pool`, from before it is opened until after it ended."""

    pool: PoolEntry
    url: PoolUrl
    """The address connected to: that of `pool`, possibly with the port of a reconnect request."""
    connected_at: float | None = None
    """Clock seconds at which the connection was opened."""
    understood: bool = False
    """The pool sent a line that the dialect understood."""
    job_received: bool = False
    idle_since: float | None = None
    """Clock seconds since which there is no job to mine; None while there is one."""
    shares_sent: int = 0
    share_answered: bool = False
    logged_in_at: float | None = None
    """Clock seconds of the accepted login."""
    last_message: str = ""
    """The pool's newest message, or our remark on it."""
    reconnect: Reconnect | None = None
    """The reconnect request that is followed."""
    reconnect_pool: PoolEntry | None = None
    """The listed pool that `reconnect` points to."""
    reconnect_refused: bool = False
    """The pool asked for an unlisted address; logged once."""
    leave_reason: str = ""
    """Why the miner leaves the pool; empty while it does not."""
    to_first: bool = False
    """The miner leaves because the first pool of the list is reachable again."""
    no_work: bool = False
    """The miner leaves because no job came."""
    ended: bool = False
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when `leave` is called."""

    def leave(self, reason: str, *, to_first: bool = False, no_work: bool = False) -> None:
        """Ask for the end of the connection; only the first call counts."""
        if not self.leave_reason:
            self.leave_reason, self.to_first, self.no_work = reason, to_first, no_work
            self.leaving.set()

    @property
    def is_open(self) -> bool:
        """Whether the connection is open and not being left."""
        return self.connected_at is not None and not self.ended and not self.leave_reason

    @property
    def useless(self) -> bool:
        """Whether the pool brought no job or answered no share."""
        return self.no_work or (self.shares_sent >= UNANSWERED_SHARES and not self.share_answered)

    def was_stable(self, now: float) -> bool:
        """Return whether the login held long enough until clock second `now`, with work."""
        held = self.logged_in_at is not None and now - self.logged_in_at >= STABLE_SECONDS
        return held and self.job_received and not self.useless

    def suggests_other_dialect(self, error: PoolError) -> bool:
        """Return whether `error`, which ended it, fits a pool of another dialect: it sent
        nothing or nothing that makes sense."""
        before_login = self.connected_at is not None and self.logged_in_at is None
        made_sense = self.understood and not isinstance(error, ProtocolError | WrongDialect)
        return before_login and not made_sense and error.cause not in UNRELATED_CAUSES

    def next_url(self, url: PoolUrl) -> PoolUrl:
        """Return the address for the next attempt at the pool listed with `url`: another port if
        this pool asked for one that belongs to no listed pool."""
        same_pool = self.reconnect_pool is self.pool and url == self.pool.url
        port = self.reconnect.port if self.reconnect and same_pool else None
        if port is None or port == url.port:
            return url
        return replace(url, port=port, unlisted=True)


class LeaveRules:
    """Watches an attempt and ends it when another pool is better or this one is useless.

    `pools_changed` is set when the list of `failover` is replaced.
    """

    def __init__(
        self,
        failover: Failover,
        connections: Connections,
        shares: ShareRouter,
        jobs: JobSink,
        give_up: GiveUpTimer,
        pools_changed: asyncio.Event,
        clock: Clock,
    ) -> None:
        self._failover, self._connections, self._shares = failover, connections, shares
        self._jobs, self._give_up = jobs, give_up
        self._pools_changed, self._clock = pools_changed, clock

    def watch(
        self, connection: Connection, attempt: Attempt
    ) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return the coroutines to run beside `connection`, the connection of `attempt`."""
        return (
            self._disconnect(connection, attempt),
            self._return_to_first(attempt),
            self._limit_login(attempt),
            self._limit_idle_time(connection, attempt),
        )

    async def _disconnect(self, connection: Connection, attempt: Attempt) -> None:
        """Once the attempt is to be left, send what only this connection can deliver, then
        disconnect."""
        await attempt.leaving.wait()
        if attempt.logged_in_at is not None:
            self._jobs.work_on(None)
            for _ in range(MAX_LAUNCH_WAITS if attempt.job_received else 0):
                before = self._shares.submitted
                await self._clock.sleep(LAUNCH_SECONDS)
                if before == self._shares.submitted:
                    break
            await within(self._clock, DRAIN_SECONDS, self._shares.drained())
        connection.leave(attempt.leave_reason)

    async def _return_to_first(self, attempt: Attempt) -> None:
        """Leave for the first pool of the list as soon as it can be reached."""
        while True:
            await within(
                self._clock, self._failover.first_check_seconds, self._pools_changed.wait()
            )
            self._pools_changed.clear()
            if attempt.leave_reason:
                return
            first = self._failover.first  # the list may have been replaced
            if first is attempt.pool or self._failover.is_banned(first):
                continue
            if await self._connections.can_open(first.url) and first is self._failover.first:
                attempt.leave(f"{first.url.label} is reachable again", to_first=True)

    async def _limit_login(self, attempt: Attempt) -> None:
        """Leave a pool or node without a login when the give-up timer runs out."""
        if self._give_up.remaining < inf:
            await time_limit(self._clock, max(self._give_up.remaining, 0.0))
            if attempt.logged_in_at is None:
                last = f"; last message: {attempt.last_message}" if attempt.last_message else ""
                nothing = "the pool accepted no login and brought no job"
                if attempt.url.transport.is_http:
                    nothing = "the node brought no job"
                attempt.leave(f"{nothing}{last}")

    async def _limit_idle_time(self, connection: Connection, attempt: Attempt) -> None:
        """Leave a pool or node without a job, or one that ended its last job, for another one."""
        while not attempt.leave_reason:
            since = attempt.idle_since
            left = JOB_SECONDS if since is None else since + JOB_SECONDS - self._clock.now()
            if left > 0:
                await time_limit(self._clock, left)
                continue
            if not self._failover.has_alternative:
                await time_limit(self._clock, JOB_SECONDS)
                continue
            await connection.drained()  # an earlier block may be on its way to a node
            if attempt.idle_since == since and self._failover.has_alternative:
                attempt.leave(f"the pool brought no job within {JOB_SECONDS:g} s", no_work=True)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """Why an attempt ended, and the wait before the next one."""

    reason: str
    retry_in: float | None
    """Seconds; None: this pool is not tried again."""


class Reaction(StrEnum):
    """The reaction to a failure; the text is the one in docs/pools.md."""

    RETRY = "retry with back-off"
    BAN = "retry after the ban"
    NEXT_DIALECT = "retry with the next protocol; give up if it was named, or none is left"
    GIVE_UP = "give up"

    @property
    def final(self) -> bool:
        """Whether the pool may be given up for the rest of the run."""
        return self in (Reaction.NEXT_DIALECT, Reaction.GIVE_UP)


FAILURES: Mapping[Cause, Reaction] = {
    Cause.LOST: Reaction.RETRY,
    Cause.HOST_UNKNOWN: Reaction.RETRY,
    Cause.PORT_CLOSED: Reaction.RETRY,
    Cause.PROXY: Reaction.RETRY,
    Cause.NO_TLS: Reaction.RETRY,
    Cause.CERTIFICATE_DATE: Reaction.RETRY,  # the clock may be wrong, and pools renew certificates
    Cause.PROTOCOL: Reaction.RETRY,
    Cause.NODE_BUSY: Reaction.RETRY,
    Cause.NODE_COOKIE: Reaction.RETRY,  # a node writes a new one at each start
    Cause.LOGIN_LATER: Reaction.RETRY,
    Cause.POOL_FAULT: Reaction.RETRY,
    Cause.BANNED: Reaction.BAN,
    Cause.DIALECT: Reaction.NEXT_DIALECT,
    Cause.CERTIFICATE_AUTHORITY: Reaction.GIVE_UP,
    Cause.CERTIFICATE_HOST: Reaction.GIVE_UP,
    Cause.CERTIFICATE_PIN: Reaction.GIVE_UP,
    Cause.ADDRESS: Reaction.GIVE_UP,
    Cause.LOGIN: Reaction.GIVE_UP,
    Cause.NODE_LOGIN: Reaction.GIVE_UP,
    Cause.SETUP: Reaction.GIVE_UP,
}
"""The reaction to each failure. A pool is given up, while another one is left, only for a failure
that does not end by itself, and not if it accepted a login before."""


class FailoverRules:
    """Decides what follows an attempt, and updates `failover`."""

    def __init__(self, failover: Failover, clock: Clock) -> None:
        self._failover, self._clock = failover, clock

    def after(self, attempt: Attempt, reason: str, failure: PoolError | None) -> AttemptResult:
        """Return what follows; `failure` is None where the miner left the pool."""
        if stable := attempt.was_stable(self._clock.now()):
            self._failover.record_stable()
        if failure is None:
            return AttemptResult(reason, self._after_leaving(attempt, stable=stable))
        detection = attempt.pool.detection
        if attempt.suggests_other_dialect(failure) and not detection.found:
            return self._after_misfit(attempt, failure)
        match FAILURES[failure.cause]:
            case Reaction.BAN:
                seconds = failure.seconds if isinstance(failure, Banned) else None
                return AttemptResult(reason, self._failover.record_ban(seconds))
            case Reaction.NEXT_DIALECT if detection.named:
                return self._after_refusal(attempt, failure)
            case Reaction.NEXT_DIALECT if attempt.logged_in_at is None:
                detection.doubt()
                return AttemptResult(reason, self._after_failure(attempt))
            case Reaction.NEXT_DIALECT:
                return self._after_misfit(attempt, failure)
            case Reaction.GIVE_UP:
                return self._after_refusal(attempt, failure)
            case Reaction.RETRY:
                return AttemptResult(reason, self._after_failure(attempt))

    def _after_misfit(self, attempt: Attempt, failure: PoolError) -> AttemptResult:
        """Return what follows a failure that another dialect may explain: until each was tried,
        the next one is tried soon, without counting the failure. After a login, detection may
        begin again and again, so the failure counts; a busy pool gets more time."""
        detection = attempt.pool.detection
        reason = str(failure)
        if plain := failure.cause is Cause.DIALECT:
            reason = f"the pool does not accept {DIALECTS[detection.current].title}"
        if refusal := detection.move_on(failure):
            return self._after_refusal(attempt, refusal)
        took = self._clock.now() - (attempt.connected_at or 0.0)
        busy = failure.cause is Cause.LOGIN_LATER
        quick = plain or (detection.is_first_try and took < QUICK_SECONDS and not busy)
        if quick and attempt.logged_in_at is None:
            return AttemptResult(f"{reason}; trying another protocol", NEXT_DIALECT_SECONDS)
        return AttemptResult(reason, self._after_failure(attempt))

    def _after_refusal(self, attempt: Attempt, refusal: PoolError) -> AttemptResult:
        if attempt.pool.login_accepted:
            return AttemptResult(str(refusal), self._after_failure(attempt))
        lasting = refusal.cause in (Cause.DIALECT, Cause.ADDRESS)  # only the settings mend it
        self._failover.give_up_current(inf if lasting else REFUSED_SECONDS)
        return AttemptResult(str(refusal), None)

    def _after_leaving(self, attempt: Attempt, *, stable: bool) -> float:
        if attempt.to_first or attempt.useless:
            return self._after_failure(attempt)
        if attempt.reconnect is None:
            return 0.0
        wait = min(attempt.reconnect.wait, MAX_RETRY_SECONDS)
        if attempt.reconnect_pool is not None:
            self._failover.switch_to(attempt.reconnect_pool)
        return wait if stable else self._failover.record_failure(wait)

    def _after_failure(self, attempt: Attempt) -> float:
        if attempt.to_first:
            return self._failover.return_to_first()
        if attempt.useless:
            return self._failover.record_useless()
        return self._failover.record_failure()
