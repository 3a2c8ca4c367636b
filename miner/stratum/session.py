"""One Stratum connection, from login to close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from miner.clock import Clock, Pace, time_limit, within
from miner.errors import Cause, ConnectionLost, PoolError, PoolRefused, ProtocolError, WrongDialect
from miner.net.address import Timeouts
from miner.net.dial import Stream
from miner.stratum import pool_events
from miner.stratum.bans import Bans, banned, is_ban
from miner.stratum.client_side import ClientSide
from miner.stratum.outcomes import NO_REASON, temporary_cause
from miner.stratum.pool_memory import OptionalRequests, SentNonces
from miner.work import Outcome, Solution, Verdict

REPORT_SECONDS = 60.0
"""Interval of hashrate reports."""

KEEPALIVE_POLL_SECONDS = 5.0
"""Interval of checking whether the dialect needs keepalives."""

SILENT_SHARES = 3
"""Shares without an answer, while nothing else is received, after which the connection counts as
dead: a broken route may go unnoticed by both sides."""

UNANSWERED_SHARES = 10
"""Shares in a row without an answer after which the pool counts as not accepting shares."""

UNAUTHORIZED_SHARES = 3
"""Shares in a row refused as unauthorized after which the session ends, to log in again: a pool
behind a proxy may have lost our login."""

ODD_ANSWER_SECONDS = 3.0
"""Time for a pool's first answer after something other than JSON, or an error that names no request
of ours: Zano's daemon answers unknown methods so, but other pools send a greeting and then answer.
"""

LINES_PER_SECOND = 1000
LINES_AT_ONCE = 1000
"""Lines that are read from a pool per second, and in a burst; 512 bytes count as one more line. The
rest is read later, so that a flood does not hold up the event loop."""

JOB_LINES = 50
"""Lines that a job counts as, since it causes work in every device and view."""

READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Reports:
    """Our hashrate, for pools that accept reports."""

    hashrate: Callable[[], float]
    """Returns the current hashes per second."""
    rig: bytes
    """32 random bytes, the same during a run."""


class Session:
    """Drives one dialect over one stream and reports to `listener`, in the pool's order.

    Each submitted solution ends in exactly one call of `on_verdict`, or of `on_unsent` if the
    connection ended before it was sent. `number` is the session number of its jobs. Without
    `keepalives` the caller sends them. `left_out`, that of the dialect's opening, receives the
    optional methods that did harm.
    """

    def __init__(
        self,
        number: int,
        protocol: ClientSide,
        stream: Stream,
        clock: Clock,
        listener: pool_events.SessionListener,
        *,
        sent: SentNonces | None = None,
        limits: Timeouts | None = None,
        reports: Reports | None = None,
        keepalives: bool = True,
        left_out: set[str] | None = None,
    ) -> None:
        self.number = number
        self._protocol, self._stream, self._clock = protocol, stream, clock
        self._listener = listener
        self._sent = sent or SentNonces()
        self._limits = limits or Timeouts()
        self._reports = reports
        self._keepalives = keepalives
        self._optional = OptionalRequests(protocol, set() if left_out is None else left_out, clock)
        self._subscribed = self._authorized = False
        self._last_job = clock.now()
        self._silent = 0
        """Shares whose answer timed out since the last received byte."""
        self._unanswered = 0
        """Shares whose answer timed out since the last answered share."""
        self._share_answered = False
        self._unauthorized = 0
        """Shares in a row refused as unauthorized."""
        self._height = 0
        """Height of the newest job."""
        self._bans = Bans(clock, protocol.user)
        self._held: list[Solution] = []
        """Solutions waiting for the login."""
        self._in_flight: dict[int, tuple[Solution, float]] = {}
        """Solutions waiting for an answer, by request id, with the time of sending."""
        self._any_in_flight = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = ""
        self._odd_answer = asyncio.Event()
        """Set when a line was not a JSON object, or a refusal answered none of our requests."""
        self._leave_reason: str | None = None
        self._leave = asyncio.Event()

    @property
    def resumable(self) -> str | None:
        """Name under which another connection can resume this session."""
        return self._protocol.resumable

    @property
    def backlog(self) -> None:
        """None: a pool's connection keeps no solutions after its end."""
        return

    async def run(self) -> str:
        """Run the session until `leave`, then return its reason; the stream is closed then.

        Raises `PoolRefused` if the pool refuses the login, `Banned` if it bans us,
        `ConnectionLost` or `ProtocolError` if the pool or a time limit ends the session.
        """
        reason = "the miner stopped"
        try:
            reason = await self._run_tasks()
        except PoolError as error:
            reason = str(error)
            ended_by_pool = isinstance(error, ConnectionLost | ProtocolError)
            if ended_by_pool and error.cause not in (Cause.LOGIN_LATER, Cause.POOL_FAULT):
                if self._unanswered and not self._share_answered:
                    self._optional.leave_out_unanswered()
                self._optional.connection_failed(logged_in=self._authorized)
            if isinstance(error, ConnectionLost) and (text := self._bans.text):
                raise banned(text) from error
            raise
        finally:
            self._end(reason)
            await self._stream.close()
        return reason

    def submit(self, solution: Solution) -> None:
        """Send `solution`, after the login if needed; each (header, nonce) only once."""
        if self._ended:
            self._listener.on_unsent(solution, self._ended)
        elif not self._sent.add(solution.job.header_hash, solution.nonce):
            held = any(
                (one.nonce, one.job.header_hash) == (solution.nonce, solution.job.header_hash)
                for one in self._held
            )
            done = "already waits for the login" if held else "was already sent to this pool"
            text = f"found again; it {done}"
            self._listener.on_verdict(Verdict(solution, Outcome.DUPLICATE, text))
        else:
            self._idle.clear()
            if self._authorized:
                self._send(solution)
            else:
                self._held.append(solution)

    def leave(self, reason: str) -> None:
        """End the connection from our side; unanswered shares are lost with `reason`."""
        self._leave_reason = self._leave_reason or reason
        self._leave.set()

    async def drained(self) -> None:
        """Wait until no solution is held or in flight."""
        await self._idle.wait()

    async def _run_tasks(self) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._converse()),
                    group.create_task(self._limit_login()),
                    group.create_task(self._limit_jobs()),
                    group.create_task(self._limit_answers()),
                    group.create_task(self._send_keepalives()),
                    group.create_task(self._send_reports()),
                ]
                await self._leave.wait()
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as errors:
            known, other = errors.split(PoolError)
            if other or not known:
                raise
            first = known.exceptions[0]
            # A close by the pool just before ours is not a failure.
            if self._leave_reason is None or not isinstance(first, ConnectionLost):
                raise first from first.__cause__
        return self._leave_reason or ""

    async def _converse(self) -> None:
        self._stream.write(self._protocol.start())
        self._optional.note_sent()
        pace = Pace(self._clock, LINES_PER_SECOND, LINES_AT_ONCE)
        while True:
            await self._stream.drain()
            data = await self._stream.read(READ_BYTES)
            if not data:
                for event in self._protocol.finish():
                    self._handle(event)
                if self._protocol.stray_refusal and not self._subscribed:
                    raise self._odd_answer_error()
                early = "" if self._authorized else " before it accepted the login"
                raise ConnectionLost(f"the pool closed the connection{early}")
            self._silent = 0
            malformed = self._protocol.malformed_lines
            # Line by line: what precedes a line that ends the session still counts.
            for line in data.splitlines(keepends=True):
                await pace.spend(1 + len(line) / 512)
                for event in self._protocol.receive(line):
                    self._handle(event)
                    if isinstance(event, pool_events.JobReceived):
                        await pace.spend(JOB_LINES)
            if self._protocol.malformed_lines > malformed:
                self._optional.leave_out_harmful()
            if self._protocol.malformed_lines or self._protocol.stray_refusal:
                self._odd_answer.set()
            self._stream.write(self._protocol.data_to_send())

    def _handle(self, event: pool_events.PoolEvent) -> None:
        match event:
            case pool_events.Subscribed():
                self._subscribed = True
                self._listener.on_event(event)
            case pool_events.Authorized():
                self._authorized = True
                self._listener.on_event(event)
                if self._optional.left_out:
                    methods = ", ".join(sorted(self._optional.left_out))
                    text = f"leaving out {methods}, which was refused or ended a connection before"
                    self._listener.on_event(pool_events.Message(text, ours=True))
                held, self._held = self._held, []
                for solution in held:
                    self._send(solution)
            case pool_events.LoginRefused(text):
                raise self._refusal(text) or PoolRefused(
                    f"the pool refused the login: {text}; check user and password", Cause.LOGIN
                )
            case pool_events.WrongProtocol(text, spoken):
                raise self._refusal(text) or WrongDialect(
                    f"the pool does not speak {self._protocol.dialect.title} ({text}); check the "
                    "address, or detect the protocol with --protocol auto",
                    spoken,
                )
            case pool_events.HashrateRefused():
                self._optional.left_out |= self._protocol.dialect.hashrate_reports
            case pool_events.JobReceived(job):
                self._last_job = self._clock.now()
                self._height = job.height
                self._listener.on_event(event)
            case pool_events.ShareAnswer(number, outcome, text):
                self._handle_share_answer(number, outcome, text)
            case pool_events.Message(text, ours):
                self._listener.on_event(event)
                if not ours:
                    self._bans.message(text)
            case pool_events.Reconnect():
                self._listener.on_event(event)

    def _refusal(self, text: str) -> PoolError | None:
        """Return the error for a refusal that says nothing about login or dialect, else None."""
        if is_ban(text):
            return banned(text)
        if cause := temporary_cause(text):
            return ConnectionLost(f"the pool cannot log us in now: {text}", cause)
        return None

    def _odd_answer_error(self) -> PoolError:
        if text := self._protocol.stray_refusal:
            if is_ban(text):
                return banned(text)
            reason = f"the pool sent an error that names no request of ours: {text}"
            return ConnectionLost(reason, temporary_cause(text))
        return ProtocolError("the pool answered our first request with no JSON object")

    def _send(self, solution: Solution) -> None:
        self._stream.write(self._protocol.submit(solution))
        self._in_flight[self._protocol.last_id] = (solution, self._clock.now())
        self._any_in_flight.set()
        self._listener.on_event(pool_events.ShareWritten(solution))

    def _handle_share_answer(self, number: int, outcome: Outcome, text: str) -> None:
        self._unanswered, self._share_answered = 0, True
        self._report_verdict(number, outcome, text)
        self._bans.share_answer(text, accepted=outcome is Outcome.ACCEPTED)
        unauthorized = outcome is Outcome.UNAUTHORIZED
        self._unauthorized = self._unauthorized + 1 if unauthorized else 0
        if self._unauthorized == UNAUTHORIZED_SHARES:
            raise ConnectionLost(
                f"the pool lost our login: it refused {UNAUTHORIZED_SHARES} shares in a row "
                f"with {text!r}"
            )

    def _report_verdict(self, number: int, outcome: Outcome, text: str) -> None:
        if number in self._in_flight:
            solution, sent = self._take_from_flight(number)
            if text == NO_REASON and solution.job.height < self._height:
                outcome, text = Outcome.STALE, f"{text}, after height {self._height} began"
            verdict = Verdict(solution, outcome, text, self._clock.now() - sent)
            self._listener.on_verdict(verdict)

    def _take_from_flight(self, number: int) -> tuple[Solution, float]:
        taken = self._in_flight.pop(number)
        if not self._in_flight:
            self._any_in_flight.clear()
            if not self._held:
                self._idle.set()
        return taken

    async def _limit_answers(self) -> None:
        limit = self._limits.answer
        while True:
            await self._any_in_flight.wait()
            if not self._in_flight:
                continue  # answered before this task ran
            number, (_, sent) = next(iter(self._in_flight.items()))
            left = sent + limit - self._clock.now()
            if left > 0:
                await time_limit(self._clock, left)
            elif number in self._in_flight:
                solution, _ = self._take_from_flight(number)
                self._lose(solution, f"no answer within {limit:g} s")
                self._count_unanswered()

    def _count_unanswered(self) -> None:
        self._silent += 1
        if self._silent >= SILENT_SHARES:
            raise ConnectionLost(f"the pool is silent: {SILENT_SHARES} shares got no answer")
        self._unanswered += 1
        if self._unanswered >= UNANSWERED_SHARES:
            raise ConnectionLost(
                f"the pool ignores shares: {UNANSWERED_SHARES} in a row got no answer"
            )

    async def _limit_login(self) -> None:
        end = self._clock.now() + self._limits.login
        odd = await within(self._clock, self._limits.login, self._odd_answer.wait())
        if odd and not self._subscribed:
            await time_limit(self._clock, min(ODD_ANSWER_SECONDS, end - self._clock.now()))
            if not self._subscribed:
                raise self._odd_answer_error()
        await time_limit(self._clock, max(end - self._clock.now(), 0.0))
        if not self._subscribed or not self._authorized:
            missing = "the login" if self._subscribed else "our first request"
            raise ConnectionLost(f"no answer to {missing} within {self._limits.login:g} s")

    async def _limit_jobs(self) -> None:
        limit = self._limits.silence
        while (left := self._last_job + limit - self._clock.now()) > 0:
            await time_limit(self._clock, left)
        raise ConnectionLost(f"no new job for {limit / 60:g} minutes")

    async def _send_keepalives(self) -> None:
        """Send keepalives; the interval may only be known after login."""
        while self._keepalives:
            interval = self._protocol.keepalive_after
            await self._clock.sleep(interval or KEEPALIVE_POLL_SECONDS)
            if interval and self._authorized:
                self._stream.write(self._protocol.keepalive())
                self._optional.note_sent()

    async def _send_reports(self) -> None:
        methods = self._protocol.dialect.hashrate_reports
        while True:
            await self._clock.sleep(REPORT_SECONDS)
            if self._reports and self._authorized and self._optional.left_out.isdisjoint(methods):
                rate = int(self._reports.hashrate())
                self._stream.write(self._protocol.report_hashrate(rate, self._reports.rig))
                self._optional.note_sent()

    def _end(self, reason: str) -> None:
        self._ended = reason or "the connection ended"
        in_flight = [solution for solution, _ in self._in_flight.values()]
        held, self._held = self._held, []
        self._in_flight.clear()
        for solution in in_flight:
            self._lose(solution, self._ended)
        for solution in held:
            self._sent.forget(solution.job.header_hash, solution.nonce)
            self._listener.on_unsent(solution, self._ended)
        self._idle.set()

    def _lose(self, solution: Solution, reason: str) -> None:
        self._listener.on_verdict(Verdict(solution, Outcome.LOST, reason))
