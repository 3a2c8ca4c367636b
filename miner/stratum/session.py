"""One Stratum connection, from login to close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from miner.clock import Clock
from miner.errors import Banned, ConnectionLost, PoolError, PoolRefused, WrongDialect
from miner.net.dial import Stream, Timeouts
from miner.stratum.bans import Bans
from miner.stratum.client_side import ClientSide
from miner.stratum.outcomes import NO_REASON, is_ban
from miner.stratum.pool_events import (
    Authorized,
    HashrateRefused,
    JobReceived,
    LoginRefused,
    Message,
    PoolEvent,
    Reconnect,
    SessionListener,
    ShareAnswer,
    ShareWritten,
    Subscribed,
    WrongProtocol,
)
from miner.work import Outcome, Solution, Verdict

KEPT_HEADERS = 64
"""Headers whose nonces are remembered, so that none is sent twice."""


class SentNonces:
    """What one pool was sent, over all connections: no nonce goes out twice for one header."""

    def __init__(self) -> None:
        self._sent: dict[bytes, set[int]] = {}

    def add(self, header_hash: bytes, nonce: int) -> bool:
        """Note a nonce that is about to be sent; False where it was sent before."""
        nonces = self._sent.setdefault(header_hash, set())
        if nonce in nonces:
            return False
        nonces.add(nonce)
        while len(self._sent) > KEPT_HEADERS:
            del self._sent[next(iter(self._sent))]
        return True

    def forget(self, header_hash: bytes, nonce: int) -> None:
        """Note that a nonce was not sent after all."""
        self._sent.get(header_hash, set()).discard(nonce)


REPORT_SECONDS = 60.0
"""Between two reports of our hashrate, where they are wanted."""

NUDGE_LOOK_SECONDS = 5.0
"""How soon after the opening a dialect's wish to be nudged is learnt."""

MUTE_SHARES = 3
"""Shares without an answer, and nothing else heard meanwhile, after which a pool is taken for
dead: its line may be cut where neither side can see it."""

IGNORED_SHARES = 10
"""Shares in a row without an answer after which a pool is taken to take none, whatever it says."""

FORGOTTEN_SHARES = 3
"""Shares in a row that are called unauthorized, after which the login is made anew: a pool behind
a proxy may have lost it."""

READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Reports:
    """Our hashrate, for pools that take it."""

    hashrate: Callable[[], float]
    """Hashes a second now."""
    rig: bytes
    """32 random bytes, the same during a run."""


class Session:
    """Drives one dialect over one stream and reports to `listener`, in the pool's order.

    Each submitted solution ends in exactly one call of `on_verdict`, or of `on_unsent` if the
    connection ended before it was sent. `number` is the session number of its jobs.
    """

    def __init__(
        self,
        number: int,
        protocol: ClientSide,
        stream: Stream,
        clock: Clock,
        listener: SessionListener,
        *,
        sent: SentNonces | None = None,
        limits: Timeouts | None = None,
        reports: Reports | None = None,
    ) -> None:
        self.number = number
        self._protocol, self._stream, self._clock = protocol, stream, clock
        self._listener = listener
        self._sent = sent or SentNonces()
        self._limits = limits or Timeouts()
        self._reports = reports
        self._subscribed = self._authorized = False
        self._last_job = clock.now()
        self._mute = 0
        """Shares that got no answer since the pool was last heard."""
        self._ignored = 0
        """Shares that got no answer since the pool last answered one."""
        self._unauthorized = 0
        """Answers in a row that call a share so."""
        self._height = 0
        """Of the newest job."""
        self._bans = Bans(clock)
        self._held: list[Solution] = []
        self._flying: dict[int, tuple[Solution, float]] = {}
        """Shares that wait for an answer, with the second of their sending, oldest first."""
        self._any_flying = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = ""
        self._leaving: str | None = None
        self._leave = asyncio.Event()

    @property
    def resumable(self) -> str | None:
        """Name under which the dialogue can be gone on with on another connection."""
        return self._protocol.resumable

    @property
    def backlog(self) -> None:
        """None: a pool's connection keeps no solutions after its end."""
        return

    async def run(self) -> str:
        """Talk until `leave`, then return its reason.

        Raises `PoolRefused` for a refused login, `Banned` where the pool shuts us out,
        `ConnectionLost` or `ProtocolError` where the other side or a time limit ends it. The
        stream is closed then, and what was not answered is lost.
        """
        reason = "the miner stopped"
        try:
            reason = await self._in_group()
        except PoolError as error:
            reason = str(error)
            if isinstance(error, ConnectionLost) and (words := self._bans.words):
                raise Banned(f"the pool shut us out: {words}") from error
            raise
        finally:
            self._end(reason)
            await self._stream.close()
        return reason

    def submit(self, solution: Solution) -> None:
        """Send `solution`, once the login is accepted; each (header, nonce) only once."""
        if self._ended:
            self._listener.on_unsent(solution, self._ended)
        elif not self._sent.add(solution.job.header_hash, solution.nonce):
            held = any(
                (one.nonce, one.job.header_hash) == (solution.nonce, solution.job.header_hash)
                for one in self._held
            )
            done = "waits for the login already" if held else "was sent to this pool before"
            self._listener.on_verdict(
                Verdict(solution, Outcome.DUPLICATE, f"found again; it {done}")
            )
        else:
            self._idle.clear()
            if self._authorized:
                self._send(solution)
            else:
                self._held.append(solution)

    def leave(self, reason: str) -> None:
        """End the connection on our side; `reason` becomes that of shares not answered."""
        self._leaving = self._leaving or reason
        self._leave.set()

    async def drained(self) -> None:
        """Wait until no solution is held or waits for its answer."""
        await self._idle.wait()

    async def _in_group(self) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._converse()),
                    group.create_task(self._limit_handshake()),
                    group.create_task(self._limit_jobs()),
                    group.create_task(self._limit_answers()),
                    group.create_task(self._keep_nudging()),
                    group.create_task(self._keep_reporting()),
                ]
                await self._leave.wait()
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as errors:
            known, other = errors.split(PoolError)
            if other or not known:
                raise
            first = known.exceptions[0]
            if self._leaving is None or not isinstance(first, ConnectionLost):
                raise first from first.__cause__
            # The pool was faster with the end that both sides wanted.
        return self._leaving or ""

    async def _converse(self) -> None:
        self._stream.write(self._protocol.start())
        while True:
            await self._stream.drain()
            data = await self._stream.read(READ_BYTES)
            if not data:
                early = "" if self._authorized else " before it accepted the login"
                raise ConnectionLost(f"the pool closed the connection{early}")
            self._mute = 0
            # Line by line, so that what came before a line that ends it all still counts.
            for line in data.splitlines(keepends=True):
                for event in self._protocol.receive(line):
                    self._take(event)
            self._stream.write(self._protocol.data_to_send())

    def _take(self, event: PoolEvent) -> None:
        match event:
            case Subscribed():
                self._subscribed = True
                self._listener.on_event(event)
            case Authorized():
                self._authorized = True
                self._listener.on_event(event)
                held, self._held = self._held, []
                for solution in held:
                    self._send(solution)
            case LoginRefused(text) if is_ban(text):
                raise Banned(f"the pool shut us out: {text}")
            case LoginRefused(text):
                raise PoolRefused(f"the pool refused the login: {text}; check user and password")
            case WrongProtocol(text) if is_ban(text):
                raise Banned(f"the pool shut us out: {text}")
            case WrongProtocol(text):
                raise WrongDialect(
                    f"the pool does not take {self._protocol.title} (it says: {text}); check the "
                    "address, or have its protocol found with --protocol auto"
                )
            case HashrateRefused():
                self._reports = None
            case JobReceived(job):
                self._last_job = self._clock.now()
                self._height = job.height
                self._listener.on_event(event)
            case ShareAnswer(number, outcome, text):
                self._ignored = 0
                self._answered(number, outcome, text)
                self._bans.answered(text, accepted=outcome is Outcome.ACCEPTED)
                again = outcome is Outcome.UNAUTHORIZED
                self._unauthorized = self._unauthorized + 1 if again else 0
                if self._unauthorized == FORGOTTEN_SHARES:
                    raise ConnectionLost(
                        f"the pool knows our login no more: {FORGOTTEN_SHARES} shares in a row "
                        f"were refused with {text!r}"
                    )
            case Message(text, ours):
                self._listener.on_event(event)
                if not ours:
                    self._bans.told(text)
            case Reconnect():
                self._listener.on_event(event)

    def _send(self, solution: Solution) -> None:
        self._stream.write(self._protocol.submit(solution))
        self._flying[self._protocol.last_id] = (solution, self._clock.now())
        self._any_flying.set()
        self._listener.on_event(ShareWritten(solution))

    def _answered(self, number: int, outcome: Outcome, text: str) -> None:
        if number in self._flying:
            solution, sent = self._landed(number)
            if text == NO_REASON and solution.job.height < self._height:
                outcome, text = Outcome.STALE, f"{text}, after height {self._height} had begun"
            self._listener.on_verdict(Verdict(solution, outcome, text, self._clock.now() - sent))

    def _landed(self, number: int) -> tuple[Solution, float]:
        landed = self._flying.pop(number)
        if not self._flying:
            self._any_flying.clear()
            if not self._held:
                self._idle.set()
        return landed

    async def _limit_answers(self) -> None:
        limit = self._limits.answer
        while True:
            await self._any_flying.wait()
            if not self._flying:
                continue  # the answer was faster than this task
            number, (_, sent) = next(iter(self._flying.items()))
            left = sent + limit - self._clock.now()
            if left > 0:
                await self._clock.sleep(left)
            elif number in self._flying:
                solution, _ = self._landed(number)
                text = f"no answer within {limit:g} s"
                self._listener.on_verdict(Verdict(solution, Outcome.LOST, text))
                self._mute += 1
                if self._mute >= MUTE_SHARES:
                    raise ConnectionLost(f"the pool is mute: {MUTE_SHARES} shares got no answer")
                self._ignored += 1
                if self._ignored >= IGNORED_SHARES:
                    raise ConnectionLost(
                        f"the pool takes no shares: {IGNORED_SHARES} in a row got no answer"
                    )

    async def _limit_handshake(self) -> None:
        await self._clock.sleep(self._limits.login)
        if not self._subscribed or not self._authorized:
            missing = "the login" if self._subscribed else "our first request"
            raise ConnectionLost(f"no answer to {missing} within {self._limits.login:g} s")

    async def _limit_jobs(self) -> None:
        limit = self._limits.silence
        while (left := self._last_job + limit - self._clock.now()) > 0:
            await self._clock.sleep(left)
        raise ConnectionLost(f"no new job for {limit / 60:g} minutes")

    async def _keep_nudging(self) -> None:
        """Say now and then what the dialect needs to stay in talk; how often is learnt late."""
        while True:
            after = self._protocol.nudge_after
            await self._clock.sleep(after or NUDGE_LOOK_SECONDS)
            if after and self._authorized:
                self._stream.write(self._protocol.nudge())

    async def _keep_reporting(self) -> None:
        while True:
            await self._clock.sleep(REPORT_SECONDS)
            if self._reports and self._authorized:
                rate = int(self._reports.hashrate())
                self._stream.write(self._protocol.report_hashrate(rate, self._reports.rig))

    def _end(self, reason: str) -> None:
        self._ended = reason or "the connection ended"
        flying = [solution for solution, _ in self._flying.values()]
        held, self._held = self._held, []
        self._flying.clear()
        for solution in flying:
            self._lose(solution, self._ended)
        for solution in held:
            self._sent.forget(solution.job.header_hash, solution.nonce)
            self._listener.on_unsent(solution, self._ended)
        self._idle.set()

    def _lose(self, solution: Solution, reason: str) -> None:
        self._listener.on_verdict(Verdict(solution, Outcome.LOST, reason))
