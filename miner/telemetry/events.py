"""Events: what happens in the miner, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from miner.telemetry.reading import Reading
from miner.work import Candidate, Job, Solution, Verdict


@dataclass(frozen=True, slots=True)
class PoolConnecting:
    """A connection is being opened; `pool` is the address without credentials."""

    pool: str
    unverified: bool = False
    """Its certificate is not checked, because the user said so."""
    elsewhere: str = ""
    """The address, where the pool itself named another one."""


@dataclass(frozen=True, slots=True)
class PoolReady:
    """The pool accepted the login."""

    pool: str


@dataclass(frozen=True, slots=True)
class PoolLost:
    """The connection ended; the next try, of whichever pool, follows in `retry_in` seconds, or
    never if None. At once, 0, means that the pool did not fail us: we left it."""

    pool: str
    reason: str
    retry_in: float | None


@dataclass(frozen=True, slots=True)
class PoolNotice:
    """The pool's own words, which it wants a person to read."""

    pool: str
    text: str


@dataclass(frozen=True, slots=True)
class PoolRemark:
    """What we have to say of the pool, such as what is odd about what it sent."""

    pool: str
    text: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """The pool asks for `job` now; None: no pool, and the devices rest."""

    job: Job | None


@dataclass(frozen=True, slots=True)
class LightCacheBuilding:
    """`done` in 0 to 1; exactly 1 when it is ready, then `seconds` says how long it took."""

    epoch: int
    done: float
    seconds: float = 0.0
    from_disk: bool = False


@dataclass(frozen=True, slots=True)
class DatasetBuilding:
    """`done` in 0 to 1; exactly 1 when it is proved and ready."""

    device: str
    epoch: int
    done: float
    seconds: float
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class KernelReady:
    """A period's kernel was built and held against the reference."""

    device: str
    period: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Launched:
    """One launch came back: `tried` nonces were really searched."""

    device: str
    tried: int
    seconds: float
    expected: float = 0.0
    """Shares that so many nonces bring on average, at their own job's target."""


@dataclass(frozen=True, slots=True)
class JobTaken:
    """The device launched the newest job for the first time, `seconds` after it arrived."""

    device: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ResultOverflow:
    """More nonces were found than the result buffer holds; the range is searched in halves."""

    device: str
    found: int


@dataclass(frozen=True, slots=True)
class NoncesExhausted:
    """Every nonce under the pool's prefix was searched for this header; the device rests."""

    device: str


@dataclass(frozen=True, slots=True)
class DeviceFault:
    """The device claimed something untrue, or a call failed; `reason` is a sentence."""

    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceResting:
    """The device does nothing for `seconds` (None: for the rest of this run)."""

    device: str
    reason: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class DevicePaused:
    """The device was told to do nothing until further notice; None: it may go on."""

    device: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class DeviceHanging:
    """A driver call did not come back in time; nothing more is expected of the device."""

    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class SensorsRead:
    """What the device's sensors say now."""

    device: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class CandidateRefuted:
    """The device claimed a nonce that hashes to `final_hash` (32 bytes in display order), which
    does not solve its job."""

    candidate: Candidate
    final_hash: bytes


@dataclass(frozen=True, slots=True)
class ShareFound:
    """A solution was proved; it goes to the pool, unless it came too late."""

    solution: Solution


@dataclass(frozen=True, slots=True)
class ShareSent:
    """A solution was written to the connection with its pool."""

    solution: Solution


@dataclass(frozen=True, slots=True)
class ShareAnswered:
    """A solution's life ended."""

    verdict: Verdict


DeviceEvent = (
    DatasetBuilding
    | KernelReady
    | Launched
    | JobTaken
    | ResultOverflow
    | NoncesExhausted
    | DeviceFault
    | DeviceResting
    | DevicePaused
    | DeviceHanging
    | SensorsRead
)

Event = (
    PoolConnecting
    | PoolReady
    | PoolLost
    | PoolNotice
    | PoolRemark
    | NewJob
    | LightCacheBuilding
    | DeviceEvent
    | CandidateRefuted
    | ShareFound
    | ShareSent
    | ShareAnswered
)

Emit = Callable[[Event], None]
"""How events are reported; called on the event loop's thread only."""
