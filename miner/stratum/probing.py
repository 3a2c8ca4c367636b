"""What a pool turns out to be when it is only asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from miner.clock import Clock
from miner.errors import Banned, ConnectionLost, ProtocolError, WrongDialect
from miner.net.dial import Dial, Stream
from miner.net.pool_url import PoolUrl
from miner.progpow.variant import Variant
from miner.stratum.bans import is_ban
from miner.stratum.client_side import Opening
from miner.stratum.dialects import DIALECTS
from miner.stratum.difficulty import expected_hashes
from miner.stratum.pool_events import (
    Authorized,
    DifficultyNotice,
    JobReceived,
    LoginRefused,
    Message,
    PoolEvent,
    Reconnect,
    Subscribed,
    WrongProtocol,
)
from miner.work import Job, NonceSpace

SILENCE_SECONDS = 10.0
"""A pool that says nothing to a dialect for so long does not speak it."""

LINGER_SECONDS = 1.0
"""What a pool still says once all is known is listened to for so long."""

PAUSE_SECONDS = 1.0
"""Between two connections."""

READ_BYTES = 65536

QUIRKS_LIMIT = 50
"""A pool that talks without end is not listed to its end."""


class Seed(Enum):
    """How a pool's seed hash goes with its heights."""

    FITS = "fits"
    DIFFERS = "differs"
    ABSENT = "absent"


@dataclass
class Finding:
    """What was learnt; None for what the pool did not say."""

    url: str
    protocol: str
    title: str
    accepted: bool | None = None
    """Whether it took the login."""
    refusal: str | None = None
    latency_ms: float | None = None
    """From our first request to the first bytes of an answer."""
    extranonce_bytes: int | None = None
    free_bits: int | None = None
    expected_hashes: float | None = None
    """For one share."""
    height: int | None = None
    epoch: int | None = None
    seed: Seed = Seed.ABSENT
    quirks: list[str] = field(default_factory=list)
    misfits: dict[str, str] = field(default_factory=dict)
    """Dialects that were tried before, each with why it is not spoken."""
    tls: str | None = None
    """How the certificate was checked; None without TLS."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Whom to ask, and as whom: the login is that of `url`."""

    url: PoolUrl
    variant: Variant
    agent: str
    seconds: float
    """At most for listening to the dialect that is spoken."""
    protocols: Sequence[str]
    """In the order in which they are tried."""
    seed_of: Callable[[int], bytes]
    diff1: int | None = None


async def probe(question: ProbeRequest, dial: Dial, clock: Clock) -> Finding:
    """Return what the pool says of itself in the first dialect that it speaks.

    Raises `WrongDialect` where it speaks none of them, `Banned` where it shuts us out, other
    `PoolError` where it cannot be reached.
    """
    misfits: dict[str, str] = {}
    for name in question.protocols:
        if misfits:
            await clock.sleep(PAUSE_SECONDS)
        stream = await dial.open(question.url)
        try:
            asking = _Asking(question, name, stream, clock)
            misfit = await asking.listen()
        finally:
            await stream.close()
        if misfit is None:
            asking.finding.misfits = misfits
            return asking.finding
        misfits[name] = misfit
    reasons = "; ".join(f"{name}: {reason}" for name, reason in misfits.items())
    raise WrongDialect(
        f"{question.url.label}: no answer in any protocol that was tried ({reasons}); check the "
        "address and the port"
    )


class _Asking:
    """One connection in one dialect."""

    def __init__(self, question: ProbeRequest, name: str, stream: Stream, clock: Clock) -> None:
        self._question, self._stream, self._clock = question, stream, clock
        url = question.url
        opening = Opening(
            user=url.user,
            password=url.password,
            agent=question.agent,
            variant=question.variant,
            session=1,
            host=url.host,
            port=url.port,
            diff1=question.diff1,
            seed_of=self._seed_of,
        )
        self._protocol = DIALECTS[name].connect(opening)
        self.finding = Finding(url.label, name, DIALECTS[name].title, tls=_checked(url))
        self._asked_at = 0.0
        self._spoke = False
        self._misfit: str | None = None
        self._wanted: bytes | None = None

    async def listen(self) -> str | None:
        """Listen until all is known or time is up; return why the dialect is not spoken, None
        if it is."""
        patience = min(SILENCE_SECONDS, self._question.seconds)
        try:
            async with asyncio.timeout(patience) as limit:
                await self._converse(limit)
        except TimeoutError:
            if not self._spoke:
                return f"no answer within {patience:g} s"
        except Banned:
            raise
        except ConnectionLost as error:
            if not self._spoke:
                return str(error)
            self._quirk(str(error))
        except ProtocolError as error:
            return str(error)
        return self._misfit

    async def _converse(self, limit: asyncio.Timeout) -> None:
        self._asked_at = self._clock.now()
        self._stream.write(self._protocol.start())
        end = asyncio.get_running_loop().time() + self._question.seconds
        while self._misfit is None:
            await self._stream.drain()
            data = await self._stream.read(READ_BYTES)
            if not data:
                raise ConnectionLost("the pool closed the connection")
            if self.finding.latency_ms is None:
                self.finding.latency_ms = round(1000 * (self._clock.now() - self._asked_at), 1)
            for event in self._protocol.receive(data):
                self._take(event)
            self._stream.write(self._protocol.data_to_send())
            if self._all_known():
                end = min(end, asyncio.get_running_loop().time() + LINGER_SECONDS)
            if self._spoke:
                limit.reschedule(end)

    def _all_known(self) -> bool:
        finding = self.finding
        return finding.accepted is False or (
            finding.accepted is True and finding.height is not None
        )

    def _take(self, event: PoolEvent) -> None:
        match event:
            case Subscribed(nonces):
                self._spoke = True
                self._note_nonces(nonces)
            case Authorized():
                self._spoke = True
                self.finding.accepted = True
            case LoginRefused(text) | WrongProtocol(text) if is_ban(text):
                raise Banned(f"{self.finding.url}: the pool banned us: {text}; try later")
            case LoginRefused(text):
                self._spoke = True
                self.finding.accepted, self.finding.refusal = False, text
            case WrongProtocol(text):
                self._misfit = self._misfit or text
            case JobReceived(job):
                self._spoke = True
                self._note_job(job)
            case DifficultyNotice(target) if self.finding.expected_hashes is None:
                self.finding.expected_hashes = float(expected_hashes(target))
            case Message(text):
                self._quirk(text)
            case Reconnect(host, port, wait):
                where = f"{host or 'the same host'}, port {port or 'the same'}"
                self._quirk(f"the pool asks to reconnect to {where}, in {wait:g} s")

    def _note_nonces(self, nonces: NonceSpace) -> None:
        self.finding.extranonce_bytes = nonces.prefix_bits // 8
        self.finding.free_bits = nonces.free_bits

    def _note_job(self, job: Job) -> None:
        self._note_nonces(job.nonces)
        finding = self.finding
        finding.expected_hashes = float(expected_hashes(job.share_target))
        finding.height, finding.epoch = job.height, job.epoch.number

    def _quirk(self, text: str) -> None:
        if self._wanted is not None and text.startswith("the pool's seed hash is not"):
            self.finding.seed = Seed.DIFFERS
        if text not in self.finding.quirks and len(self.finding.quirks) < QUIRKS_LIMIT:
            self.finding.quirks.append(text)

    def _seed_of(self, index: int) -> bytes:
        """Asked for by the dialect where, and only where, the pool sent a seed hash."""
        self._wanted = self._question.seed_of(index)
        if self.finding.seed is Seed.ABSENT:
            self.finding.seed = Seed.FITS
        return self._wanted


def _checked(url: PoolUrl) -> str | None:
    if not url.transport.has_tls:
        return None
    if url.tls_fingerprint is not None:
        return "certificate pinned"
    return "certificate not verified" if url.tls_insecure else "certificate verified"
