"""Finds the dialect and the requirements of a pool, without mining."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from miner.clock import Clock
from miner.errors import Cause, ConnectionLost, PoolError, WrongDialect
from miner.net.address import PoolUrl
from miner.net.dial import Dial, Stream
from miner.progpow.variant import Variant
from miner.stratum import pool_events
from miner.stratum.bans import Bans, banned, is_ban
from miner.stratum.client_side import SEED_WARNING
from miner.stratum.dialects import DIALECTS, UNRELATED_CAUSES
from miner.stratum.difficulty import expected_hashes
from miner.stratum.opening import Opening
from miner.stratum.outcomes import temporary_cause
from miner.stratum.session import ODD_ANSWER_SECONDS, READ_BYTES
from miner.work import NonceSpace

SILENCE_SECONDS = 10.0
"""Time without any answer after which a dialect counts as not spoken by the pool."""

LINGER_SECONDS = 1.0
"""Time for further messages after login and first job."""

PAUSE_SECONDS = 1.0
"""Pause between two connections."""

QUIRKS_LIMIT = 50
"""Most quirks that are listed."""


class SeedCheck(Enum):
    """Whether the pool's seed hash belongs to its height."""

    FITS = "fits"
    DIFFERS = "differs"
    ABSENT = "absent"


@dataclass
class ProbeResult:
    """The findings of a probe; None: unknown."""

    url: str
    protocol: str
    title: str
    accepted: bool | None = None
    """Whether it accepted the login."""
    refusal: str | None = None
    latency_ms: float | None = None
    """From our first request to the first bytes of an answer."""
    extranonce_bytes: int | None = None
    """Rounded up: an extranonce may end in half a byte."""
    free_bits: int | None = None
    expected_hashes: float | None = None
    """Average hashes for one share."""
    height: int | None = None
    epoch: int | None = None
    seed: SeedCheck = SeedCheck.ABSENT
    quirks: list[str] = field(default_factory=list)
    """Messages, warnings and other oddities."""
    misfits: dict[str, str] = field(default_factory=dict)
    """Why each dialect that was tried before does not fit."""
    tls: str | None = None
    """The check that the certificate passed; None without TLS."""


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """The pool and login of a probe, and how to ask."""

    url: PoolUrl
    variant: Variant
    agent: str
    seconds: float
    """Longest time on the connection whose dialect fits."""
    protocols: Sequence[str]
    """Dialects in the order in which they are tried."""
    seed_of: Callable[[int], bytes]
    diff1: int | None = None


async def probe(request: ProbeRequest, dial: Dial, clock: Clock) -> ProbeResult:
    """Return the properties of the pool, found in the first dialect that it speaks.

    Raises `WrongDialect` if it speaks none of them, `Banned` if it bans us, another `PoolError`
    if it cannot be reached, or is too busy for a login.
    """
    misfits: dict[str, str] = {}
    fault: PoolError | None = None
    for name in request.protocols:
        if misfits:
            await clock.sleep(PAUSE_SECONDS)
        stream = await dial.open(request.url)
        try:
            attempt = _DialectAttempt(request, name, stream, clock)
            misfit = await attempt.run()
        finally:
            await stream.close()
        if misfit is None:
            attempt.result.misfits = misfits
            return attempt.result
        misfits[name] = misfit
        fault = fault or attempt.fault
    if fault:
        raise fault
    reasons = "; ".join(f"{name}: {reason}" for name, reason in misfits.items())
    raise WrongDialect(
        f"{request.url.label}: no answer in any protocol that was tried ({reasons}); check the "
        "address and the port"
    )


class _DialectAttempt:
    """One connection in one dialect."""

    def __init__(self, request: ProbeRequest, name: str, stream: Stream, clock: Clock) -> None:
        self._request, self._stream, self._clock = request, stream, clock
        url = request.url
        opening = Opening(
            user=url.user,
            password=url.password,
            agent=request.agent,
            variant=request.variant,
            session=1,
            host=url.host,
            port=url.port,
            diff1=request.diff1,
            seed_of=self._seed_of,
        )
        dialect = DIALECTS[name]
        self._client = dialect.connect(opening)
        self.result = ProbeResult(url.label, name, dialect.title, tls=_certificate_check(url))
        self._bans = Bans(clock, url.user)
        self._started_at = 0.0
        self._understood = False
        """Whether the pool sent anything that makes sense in this dialect."""
        self._misfit: str | None = None
        self.fault: PoolError | None = None
        """Its error if the pool is busy, or had an internal error, which a request of another
        dialect may cause."""

    async def run(self) -> str | None:
        """Collect until all is known or time is up; return why the dialect does not fit, None if
        it does.

        Raises `PoolError` if no other dialect would fit better.
        """
        patience = min(SILENCE_SECONDS, self._request.seconds)
        try:
            try:
                async with asyncio.timeout(patience) as limit:
                    await self._converse(limit)
            except TimeoutError:
                if not self._understood:
                    self._misfit = self._reason_for_silence(patience)
        except PoolError as error:
            return self._after_error(error)
        return self._misfit

    def _reason_for_silence(self, patience: float) -> str:
        if text := self._client.stray_refusal:
            self._check_refusal(text)
            return text
        malformed = self._client.malformed_lines
        return "its answer is not JSON" if malformed else f"no answer within {patience:g} s"

    def _after_error(self, error: PoolError) -> str | None:
        reason = str(error)
        if error.cause in (Cause.LOGIN_LATER, Cause.POOL_FAULT):
            self.fault = ConnectionLost(f"{self.result.url}: {reason}; try later", error.cause)
        if error.cause in UNRELATED_CAUSES or error.cause is Cause.LOGIN_LATER:
            raise self.fault or error
        if self._understood and isinstance(error, ConnectionLost):
            self._add_quirk(reason)
            return self._misfit
        return self._misfit or reason

    async def _converse(self, limit: asyncio.Timeout) -> None:
        self._started_at = self._clock.now()
        self._stream.write(self._client.start())
        end = asyncio.get_running_loop().time() + self._request.seconds
        odd_answer = False
        while self._misfit is None:
            await self._stream.drain()
            data = await self._stream.read(READ_BYTES)
            if not data:
                for event in self._client.finish():
                    self._handle(event)
                if text := self._bans.text or self._client.stray_refusal:
                    self._check_refusal(text)
                raise ConnectionLost("the pool closed the connection")
            if self.result.latency_ms is None:
                elapsed = self._clock.now() - self._started_at
                self.result.latency_ms = round(1000 * elapsed, 1)
            for event in self._client.receive(data):
                self._handle(event)
            self._stream.write(self._client.data_to_send())
            if self._is_complete():
                end = min(end, asyncio.get_running_loop().time() + LINGER_SECONDS)
            if self._understood:
                limit.reschedule(end)
            elif not odd_answer and (self._client.malformed_lines or self._client.stray_refusal):
                odd_answer = True
                limit.reschedule(asyncio.get_running_loop().time() + ODD_ANSWER_SECONDS)

    def _is_complete(self) -> bool:
        result = self.result
        return result.accepted is False or (result.accepted is True and result.height is not None)

    def _handle(self, event: pool_events.PoolEvent) -> None:
        result = self.result
        match event:
            case pool_events.Subscribed(nonces):
                self._understood = True
                self._set_nonces(nonces)
            case pool_events.Authorized():
                self._understood = result.accepted = True
            case pool_events.LoginRefused(text):
                self._check_refusal(text)
                self._understood = True
                result.accepted, result.refusal = False, text
            case pool_events.WrongProtocol(text):
                self._check_refusal(text)
                self._misfit = self._misfit or text
            case pool_events.JobReceived(job):
                self._understood = True
                self._set_nonces(job.nonces)
                result.expected_hashes = float(expected_hashes(job.share_target))
                result.height, result.epoch = job.height, job.epoch.number
            case pool_events.DifficultyNotice(target) if result.expected_hashes is None:
                result.expected_hashes = float(expected_hashes(target))
            case pool_events.Message(text, ours):
                if ours and text.startswith(SEED_WARNING):
                    result.seed = SeedCheck.DIFFERS
                if not ours:
                    self._bans.message(text)
                self._add_quirk(text)
            case pool_events.Reconnect(host, port, wait):
                where = f"{host or 'the same host'}, port {port or 'the same'}"
                self._add_quirk(f"the pool asks to reconnect to {where}, in {wait:g} s")

    def _check_refusal(self, text: str) -> None:
        """Raise the error for a refused login that says nothing about the dialect."""
        if is_ban(text):
            raise banned(text, f"{self.result.url}: the pool banned us", "; try later")
        if not self._understood and (cause := temporary_cause(text)):
            raise ConnectionLost(f"the pool cannot log us in now: {text}", cause)

    def _set_nonces(self, nonces: NonceSpace) -> None:
        self.result.extranonce_bytes = -(-nonces.prefix_bits // 8)
        self.result.free_bits = nonces.free_bits

    def _add_quirk(self, text: str) -> None:
        if text not in self.result.quirks and len(self.result.quirks) < QUIRKS_LIMIT:
            self.result.quirks.append(text)

    def _seed_of(self, index: int) -> bytes:
        # Called if, and only if, the pool sent a seed hash.
        if self.result.seed is SeedCheck.ABSENT:
            self.result.seed = SeedCheck.FITS
        return self._request.seed_of(index)


def _certificate_check(url: PoolUrl) -> str | None:
    if not url.transport.has_tls:
        return None
    if url.tls_fingerprint is not None:
        return "certificate pinned"
    return "certificate not verified" if url.tls_insecure else "certificate verified"
