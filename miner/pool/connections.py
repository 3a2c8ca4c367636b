"""Opens connections to pools over Stratum, and to nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from miner.clock import Clock
from miner.errors import ConfigError, ConnectionLost, PoolError, PoolRefused
from miner.net.address import PoolUrl, Timeouts
from miner.net.dial import Dial, Stream
from miner.pool.failover import PoolEntry
from miner.progpow.variant import Variant
from miner.stratum.dialects import DIALECTS
from miner.stratum.opening import Opening
from miner.stratum.pool_events import SessionListener
from miner.stratum.session import Reports, Session
from miner.work import Solution


class Backlog(Protocol):
    """Solutions that outlive their connection: a node's blocks, kept until it answers."""

    def take(self, solution: Solution, reason: str) -> None:
        """Keep `solution`, which its own connection could not deliver for `reason`, and deliver
        it over the next one; its verdict follows."""

    @property
    def has_waiting(self) -> bool:
        """Whether a solution waits for a connection."""

    async def drained(self) -> None:
        """Return when no solution waits for a connection."""

    def close(self) -> None:
        """End each waiting solution with a verdict, and later ones at once."""


class Connection(Protocol):
    """One connection, to a pool over Stratum or to a node."""

    number: int

    @property
    def resumable(self) -> str | None:
        """Session id under which another connection can resume this one, if the pool allows."""

    @property
    def backlog(self) -> Backlog | None:
        """Takes solutions after the end of the connection; None: they go to another one."""

    async def run(self) -> str:
        """Run until `leave` and return its reason; raises `PoolError` where it fails."""

    def submit(self, solution: Solution) -> None:
        """Send `solution`; its verdict follows."""

    def leave(self, reason: str) -> None:
        """End the connection."""

    async def drained(self) -> None:
        """Return when each submitted solution has its verdict."""


class SessionRecorder(Protocol):
    """Records Stratum sessions."""

    def wrap(
        self, stream: Stream, url: PoolUrl, protocol: str, opening: Opening, rig: bytes
    ) -> Stream:
        """Return a stream that behaves like `stream` and is recorded."""

    def submitted(self, solution: Solution) -> None:
        """Record that `solution` is submitted."""


class NodeConnector(Protocol):
    """Opens sessions with nodes."""

    def open(self, number: int, url: PoolUrl, listener: SessionListener) -> Connection:
        """Return session `number` with the node at `url`, not running yet."""


class Connections:
    """Opens connections, numbered from 1; `count` is the number of the newest."""

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
        recorder: SessionRecorder | None = None,
        nodes: NodeConnector | None = None,
    ) -> None:
        self._variant, self._dial, self._clock, self._agent = variant, dial, clock, agent
        self._seed_of, self._diff1 = seed_of, diff1
        self._reports, self._recorder, self._nodes = reports, recorder, nodes
        self.limits = limits or Timeouts()
        """For connections opened from now on."""
        self._rig = reports.rig if reports else bytes(32)
        self.count = 0

    async def open(self, url: PoolUrl, pool: PoolEntry, listener: SessionListener) -> Connection:
        """Return a connection to `url`, not running yet, in the dialect detected for `pool`.

        Raises `PoolError`.
        """
        name = pool.detection.current
        if name not in DIALECTS:
            if self._nodes is None:
                raise PoolRefused(f"{url.label}: mining with a node is not supported here")
            self.count += 1
            return self._nodes.open(self.count, url, listener)
        stream = await self._dialled(url)
        self.count += 1
        left_out = pool.left_out[name]
        opening = Opening(
            user=url.user, password=url.password, agent=self._agent, variant=self._variant,
            session=self.count, host=url.host, port=url.port, diff1=self._diff1,
            seed_of=self._seed_of, resume=pool.resumable, left_out=left_out,
            is_uncertain=pool.detection.is_uncertain,
        )  # fmt: skip
        if self._recorder:
            stream = self._recorder.wrap(stream, url, name, opening, self._rig)
        return Session(
            self.count, DIALECTS[name].connect(opening), stream, self._clock, listener,
            sent=pool.sent_nonces, limits=self.limits, reports=self._reports, left_out=left_out,
        )  # fmt: skip

    def record_submission(self, solution: Solution) -> None:
        if self._recorder:
            self._recorder.submitted(solution)

    async def can_open(self, url: PoolUrl) -> bool:
        """Return whether a connection to `url` can be opened; it is closed at once."""
        try:
            stream = await self._dialled(url)
        except PoolError:
            return False
        await stream.close()
        return True

    async def _dialled(self, url: PoolUrl) -> Stream:
        try:
            return await self._dial.open(url)
        except ConfigError as error:  # the CA file was usable at the start and may be replaced now
            raise ConnectionLost(str(error)) from error
