"""Handles the events of a connection: jobs, verdicts, messages."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from miner.clock import Clock
from miner.pool.attempt import Attempt
from miner.pool.failover import Failover
from miner.pool.share_router import ShareRouter
from miner.safe_text import shortened_user
from miner.stratum import pool_events
from miner.stratum.dialects import DIALECTS
from miner.telemetry import events
from miner.work import Job, JobSink, Solution, Verdict

MESSAGES_PER_MINUTE = 20
"""Messages of pools that are reported."""


class PoolMessages:
    """Reports messages of pools, up to a rate, and the miner's own remarks without limit."""

    def __init__(self, emit: events.Emit, clock: Clock) -> None:
        self._emit, self._clock = emit, clock
        self._recent: deque[float] = deque()
        """Clock seconds of the messages of the last minute."""

    def remark(self, pool: str, text: str) -> None:
        """Report the miner's own `text` on the pool labelled `pool`."""
        self._emit(events.PoolRemark(pool, text))

    def notice(self, pool: str, text: str) -> None:
        """Report a message from the pool labelled `pool`."""
        now = self._clock.now()
        while self._recent and self._recent[0] <= now - 60:
            self._recent.popleft()
        if len(self._recent) > MESSAGES_PER_MINUTE:
            return
        if len(self._recent) == MESSAGES_PER_MINUTE:
            text = f"more than {MESSAGES_PER_MINUTE} messages in a minute; the rest is left out"
            self.remark(pool, text)
        else:
            self._emit(events.PoolNotice(pool, text))
        self._recent.append(now)


class AttemptListener:
    """The `SessionListener` of one attempt: updates it, and passes on jobs and verdicts."""

    def __init__(
        self,
        attempt: Attempt,
        failover: Failover,
        shares: ShareRouter,
        jobs: JobSink,
        messages: PoolMessages,
        emit: events.Emit,
        clock: Clock,
    ) -> None:
        self._attempt, self._failover = attempt, failover
        self._shares, self._jobs = shares, jobs
        self._messages, self._emit, self._clock = messages, emit, clock
        self._label = attempt.pool.url.label

    def on_event(self, event: pool_events.PoolEvent) -> None:
        attempt = self._attempt
        match event:
            case pool_events.Subscribed(_, resumed):
                attempt.understood = True
                if resumed:
                    self._shares.resumed()
            case pool_events.Authorized():
                self._on_login()
            case pool_events.JobReceived(job):
                self._on_job(replace(job, pool=self._label))
            case pool_events.JobEnded():
                self._attempt.idle_since = self._clock.now()
                if not self._attempt.leave_reason:
                    self._jobs.work_on(None)
            case pool_events.ShareWritten(solution):
                attempt.shares_sent += 1
                self._emit(events.ShareSent(self._shares.as_found(solution)))
            case pool_events.Message(text, ours=True):
                attempt.last_message = text
                self._messages.remark(self._label, text)
            case pool_events.Message(text):
                attempt.last_message = text
                self._messages.notice(self._label, text)
            case pool_events.Reconnect():
                self._on_reconnect(event)

    def on_verdict(self, verdict: Verdict) -> None:
        if verdict.seconds is not None:
            self._attempt.share_answered = True
        self._shares.on_verdict(verdict)

    def on_unsent(self, solution: Solution, reason: str) -> None:
        self._shares.keep(solution, reason)

    def _on_login(self) -> None:
        pool = self._attempt.pool
        self._attempt.logged_in_at = self._clock.now()
        pool.login_accepted, pool.refused = True, False
        if pool.detection.confirm():
            title = DIALECTS[pool.detection.current].title
            self._messages.remark(self._label, f"it speaks {title}")
        self._emit(events.PoolReady(self._label, shortened_user(pool.url.account)))

    def _on_job(self, job: Job) -> None:
        self._attempt.understood = self._attempt.job_received = True
        self._attempt.idle_since = None
        self._shares.add_job(job)
        if not self._attempt.leave_reason:
            self._jobs.work_on(job)

    def _on_reconnect(self, request: pool_events.Reconnect) -> None:
        """Follow a request to reconnect, unless it points to an address of no listed pool, or to
        an unlisted port where the login must not be sent."""
        attempt = self._attempt
        if attempt.leave_reason:
            return
        pool = self._failover.find(request.host or attempt.url.host, request.port)
        listed = pool is not attempt.pool or request.port in (
            None, pool.url.port, attempt.url.port,
        )  # fmt: skip
        if pool is not None and (listed or pool.url.may_move_to(request.port or 0)):
            attempt.reconnect, attempt.reconnect_pool = request, pool
            attempt.leave("the pool asked us to reconnect")
        elif not attempt.reconnect_refused:
            attempt.reconnect_refused = True
            text = "the pool asked us to connect to an address that is not listed; staying here"
            self._messages.remark(self._label, text)
