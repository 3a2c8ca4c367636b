"""One connection's life, from the login to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from miner.clock import Clock
from miner.errors import ConnectionLost, PoolError, PoolRefused
from miner.pool.dial import Stream
from miner.pool.protocols.events import (
    Authorized,
    JobReceived,
    LoginRefused,
    Message,
    PoolEvent,
    Reconnect,
    ShareAnswer,
    Subscribed,
    WrongProtocol,
)
from miner.pool.protocols.stratum import Stratum
from miner.work import Outcome, Solution, Verdict

HANDSHAKE_SECONDS = 30.0
"""Limit for both answers, to subscription and login, together."""

ANSWER_SECONDS = 30.0
"""A share without an answer for so long counts as lost; it is not sent again."""

JOB_SECONDS = 600.0
"""A pool without a new job for so long is taken for dead."""

READ_BYTES = 65536

KEPT_HEADERS = 64
"""Headers whose nonces are remembered, so that none is sent twice."""


class Session:
    """Drives one dialogue over one stream; every solution taken ends in one verdict.

    `number` is that of the jobs it brings. `report` is told of jobs, the accepted login,
    messages and a wish to reconnect, in the pool's order; `on_verdict` of verdicts.
    """

    def __init__(
        self,
        number: int,
        protocol: Stratum,
        stream: Stream,
        clock: Clock,
        report: Callable[[PoolEvent], None],
        on_verdict: Callable[[Verdict], None],
    ) -> None:
        self.number = number
        self._protocol, self._stream, self._clock = protocol, stream, clock
        self._report, self._on_verdict = report, on_verdict
        self._subscribed = self._authorized = False
        self._last_job = clock.now()
        self._held: list[Solution] = []
        self._flying: dict[int, tuple[Solution, float]] = {}
        """Shares that wait for an answer, with the second of their sending, oldest first."""
        self._any_flying = asyncio.Event()
        self._sent: dict[bytes, set[int]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = ""
        self._leaving: str | None = None
        self._leave = asyncio.Event()

    async def run(self) -> str:
        """Talk until `leave`, then return its reason.

        Raises `PoolRefused` for a refused login, `ConnectionLost` or `ProtocolError` where the
        other side or a time limit ends it. The stream is closed then, and what was not answered
        is lost.
        """
        reason = "the miner stopped"
        try:
            reason = await self._in_group()
        except PoolError as error:
            reason = str(error)
            raise
        finally:
            self._end(reason)
            await self._stream.close()
        return reason

    def submit(self, solution: Solution) -> None:
        """Send `solution`, once the login is accepted; each (header, nonce) only once."""
        nonces = self._sent.setdefault(solution.job.header_hash, set())
        if self._ended:
            self._on_verdict(Verdict(solution, Outcome.LOST, self._ended))
        elif solution.nonce in nonces:
            text = "found again; it was sent on this connection before"
            self._on_verdict(Verdict(solution, Outcome.DUPLICATE, text))
        else:
            nonces.add(solution.nonce)
            self._idle.clear()
            if self._authorized:
                self._send(solution)
            else:
                self._held.append(solution)
        while len(self._sent) > KEPT_HEADERS:
            del self._sent[next(iter(self._sent))]

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
                ]
                await self._leave.wait()
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as errors:
            known, other = errors.split(PoolError)
            if other or not known:
                raise
            first = known.exceptions[0]
            raise first from first.__cause__
        return self._leaving or ""

    async def _converse(self) -> None:
        self._stream.write(self._protocol.start())
        while True:
            await self._stream.drain()
            data = await self._stream.read(READ_BYTES)
            if not data:
                early = "" if self._authorized else " before it accepted the login"
                raise ConnectionLost(f"the pool closed the connection{early}")
            for event in self._protocol.receive(data):
                self._take(event)
            self._stream.write(self._protocol.data_to_send())

    def _take(self, event: PoolEvent) -> None:
        match event:
            case Subscribed():
                self._subscribed = True
            case Authorized():
                self._authorized = True
                self._report(event)
                held, self._held = self._held, []
                for solution in held:
                    self._send(solution)
            case LoginRefused(text):
                raise PoolRefused(f"the pool refused the login: {text}; check user and password")
            case WrongProtocol(text):
                raise PoolRefused(
                    f"the pool does not take {self._protocol.title} (it says: {text}); check the "
                    "address, or name its protocol"
                )
            case JobReceived():
                self._last_job = self._clock.now()
                self._report(event)
            case ShareAnswer(number, outcome, text):
                self._answered(number, outcome, text)
            case Message() | Reconnect():
                self._report(event)

    def _send(self, solution: Solution) -> None:
        self._stream.write(self._protocol.submit(solution))
        self._flying[self._protocol.last_id] = (solution, self._clock.now())
        self._any_flying.set()

    def _answered(self, number: int, outcome: Outcome, text: str) -> None:
        if number in self._flying:
            solution, sent = self._landed(number)
            self._on_verdict(Verdict(solution, outcome, text, self._clock.now() - sent))

    def _landed(self, number: int) -> tuple[Solution, float]:
        landed = self._flying.pop(number)
        if not self._flying:
            self._any_flying.clear()
            if not self._held:
                self._idle.set()
        return landed

    async def _limit_answers(self) -> None:
        while True:
            await self._any_flying.wait()
            number, (_, sent) = next(iter(self._flying.items()))
            left = sent + ANSWER_SECONDS - self._clock.now()
            if left > 0:
                await self._clock.sleep(left)
            else:
                solution, _ = self._landed(number)
                text = f"no answer within {ANSWER_SECONDS:g} s"
                self._on_verdict(Verdict(solution, Outcome.LOST, text))

    async def _limit_handshake(self) -> None:
        await self._clock.sleep(HANDSHAKE_SECONDS)
        if not self._subscribed or not self._authorized:
            missing = "mining.authorize" if self._subscribed else "mining.subscribe"
            raise ConnectionLost(f"no answer to {missing} within {HANDSHAKE_SECONDS:g} s")

    async def _limit_jobs(self) -> None:
        while (left := self._last_job + JOB_SECONDS - self._clock.now()) > 0:
            await self._clock.sleep(left)
        raise ConnectionLost(f"no new job for {JOB_SECONDS / 60:g} minutes")

    def _end(self, reason: str) -> None:
        self._ended = reason or "the connection ended"
        lost = [solution for solution, _ in self._flying.values()] + self._held
        self._flying.clear()
        self._held.clear()
        for solution in lost:
            self._on_verdict(Verdict(solution, Outcome.LOST, self._ended))
        self._idle.set()
