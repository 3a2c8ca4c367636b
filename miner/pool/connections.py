"""How a connection to a pool or a node is made, whatever is spoken over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from miner.clock import Clock
from miner.errors import PoolError, PoolRefused
from miner.net.dial import Dial, Stream, Timeouts
from miner.net.pool_url import PoolUrl
from miner.pool.failover import Standing
from miner.progpow.variant import Variant
from miner.stratum.client_side import ClientSide, Opening
from miner.stratum.dialects import PROTOCOLS
from miner.stratum.pool_events import PoolEvent
from miner.stratum.session import Reports, Session
from miner.work import Solution, Verdict


class Connection(Protocol):
    """One connection's life, over Stratum or with a node."""

    number: int

    @property
    def resumable(self) -> str | None:
        """Name under which it can be gone on with on another connection, where it can."""

    async def run(self) -> str: ...
    def submit(self, solution: Solution) -> None: ...
    def leave(self, reason: str) -> None: ...
    async def drained(self) -> None: ...


class Tape(Protocol):
    """What keeps a record of the sessions."""

    def opened(
        self, stream: Stream, url: PoolUrl, protocol: str, opening: Opening, rig: bytes
    ) -> Stream:
        """Return a stream that does as `stream` and is recorded."""

    def found(self, solution: Solution) -> None:
        """Note that `solution` is handed in."""


NodeSessions = Callable[
    [int, PoolUrl, Callable[[PoolEvent], None], Callable[[Verdict], None]], Connection
]
"""(number, url, report, on_verdict) -> a session with a node."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """Who is told what comes over a connection."""

    on_event: Callable[[PoolEvent], None]
    on_verdict: Callable[[Verdict], None]
    on_unsent: Callable[[Solution, str], None]
    """Given solutions that the connection's end kept from being sent, with the reason."""


class Connections:
    """Makes connections, numbered from 1; `count` is the number of the newest."""

    def __init__(
        self,
        variant: Variant,
        dial: Dial,
        clock: Clock,
        agent: str,
        *,
        seed_of: Callable[[int], bytes] | None = None,
        diff1: int | None = None,
        limits: Timeouts | None = None,
        reports: Reports | None = None,
        tape: Tape | None = None,
        node_session: NodeSessions | None = None,
    ) -> None:
        self._variant, self._dial, self._clock, self._agent = variant, dial, clock, agent
        self._seed_of, self._diff1 = seed_of, diff1
        self._reports, self._tape = reports, tape
        self.limits = limits or Timeouts()
        """Of the connections from the next one on."""
        self._node_session = node_session
        self._rig = reports.rig if reports else bytes(32)
        self.count = 0

    async def open(self, to: PoolUrl, pool: Standing, hearing: Hearing) -> Connection:
        """Return a connection to `to`, not running yet; `pool` says which protocol is spoken.

        Raises `PoolError` where it cannot be had.
        """
        name = pool.detection.current
        if name in PROTOCOLS:
            stream = await self._dial.open(to)
            self.count += 1
            opening = self._opening(to, pool.resumable)
            if self._tape:
                stream = self._tape.opened(stream, to, name, opening, self._rig)
            return self._session(PROTOCOLS[name](opening), stream, pool, hearing)
        if self._node_session is None:
            raise PoolRefused(f"{to.label}: mining with a node is not possible here")
        self.count += 1
        return self._node_session(self.count, to, hearing.on_event, hearing.on_verdict)

    def found(self, solution: Solution) -> None:
        """Note for the record that `solution` is handed in."""
        if self._tape:
            self._tape.found(solution)

    async def can_open(self, to: PoolUrl) -> bool:
        """Return whether there is an answer at `to`; raises nothing."""
        try:
            stream = await self._dial.open(to)
        except PoolError:
            return False
        await stream.close()
        return True

    def _opening(self, to: PoolUrl, resume: str | None) -> Opening:
        return Opening(
            user=to.user,
            password=to.password,
            agent=self._agent,
            variant=self._variant,
            session=self.count,
            host=to.host,
            port=to.port,
            diff1=self._diff1,
            seed_of=self._seed_of,
            resume=resume,
        )

    def _session(
        self, protocol: ClientSide, stream: Stream, pool: Standing, hearing: Hearing
    ) -> Session:
        return Session(
            self.count,
            protocol,
            stream,
            self._clock,
            hearing,
            sent=pool.sent,
            limits=self.limits,
            reports=self._reports,
        )
