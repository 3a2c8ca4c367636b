"""Events of the miner, as plain values for subscribers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from miner.safe_text import Redactor
from miner.telemetry.device_snapshot import Reading
from miner.work import Candidate, Job, Solution, Verdict

# Pools


@dataclass(frozen=True, slots=True)
class PoolConnecting:
    """A connection is being opened."""

    pool: str
    """The address without credentials, as in every event."""
    unverified: bool = False
    """The settings switch the verification of its certificate off."""
    elsewhere: str = ""
    """The address that the pool redirected to, if it did."""


@dataclass(frozen=True, slots=True)
class PoolReady:
    """The pool accepted the login."""

    pool: str
    account: str = ""
    """The account that is mined for, its wallet shortened ("RXk3p…9abc.rig1"); empty: not known."""


@dataclass(frozen=True, slots=True)
class PoolLost:
    """The connection ended or could not be opened."""

    pool: str
    reason: str
    retry_in: float | None
    """Seconds until the next connection to any pool; None: never; 0: the miner itself left, and
    connects at once."""


@dataclass(frozen=True, slots=True)
class PoolNotice:
    """A message from the pool to the user."""

    pool: str
    text: str


@dataclass(frozen=True, slots=True)
class PoolRemark:
    """A remark of the miner about the pool, such as an oddity in its messages."""

    pool: str
    text: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """The pool sent `job`; None: the pool is lost, and the devices are idle."""

    job: Job | None


@dataclass(frozen=True, slots=True)
class LoopDelayed:
    """The event loop ran a timer `seconds` after it was due."""

    seconds: float
    during: str = ""
    """Activity of the threads for most of that time; empty: unknown."""


@dataclass(frozen=True, slots=True)
class SettingsRead:
    """The settings were read, at the start or by a reload."""

    accepted: bool = True
    """False: they have a mistake, and the run keeps the earlier ones."""
    digest: str = ""
    """The first 12 hexadecimal digits of the settings file's SHA-256; empty without a file."""
    pending: int = 0
    """Changed settings that only a restart applies."""


# Devices


@dataclass(frozen=True, slots=True)
class LightCacheBuilding:
    """Progress of the light cache that all devices share."""

    epoch: int
    done: float
    """0 to 1; exactly 1 when it is ready."""
    seconds: float = 0.0
    """Time that it took; set when it is ready."""
    from_disk: bool = False


@dataclass(frozen=True, slots=True)
class DatasetBuilding:
    """Progress of a device's dataset."""

    device: str
    epoch: int
    done: float
    """0 to 1; exactly 1 when it is proved and ready."""
    seconds: float
    size: int
    """Bytes."""
    from_disk: bool = False
    """Whether a complete one was read from its file, not built."""


@dataclass(frozen=True, slots=True)
class KernelReady:
    """A period's kernel was built and proved."""

    device: str
    period: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Launched:
    """A launch ended."""

    device: str
    tried: int
    """Nonces hashed."""
    seconds: float
    expected: float = 0.0
    """Shares expected of these nonces at the target of their job."""
    at: float | None = None
    """Clock seconds of its end; None: now."""


@dataclass(frozen=True, slots=True)
class JobTaken:
    """The device began to search for a job, `seconds` after the job arrived: its first launch was
    queued, and earlier launches had ended."""

    device: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ResultOverflow:
    """A launch found more nonces than its result buffer holds; its range is searched in halves."""

    device: str
    found: int


@dataclass(frozen=True, slots=True)
class NoncesExhausted:
    """Every nonce that the pool allows for this header was searched; the device is idle."""

    device: str


@dataclass(frozen=True, slots=True)
class DeviceFault:
    """A hardware error or a failed call; `reason` is a sentence."""

    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceResting:
    """The device is idle after a failure, for `seconds`."""

    device: str
    reason: str
    seconds: float
    parked: bool = False
    """It failed so often in a row that it counts as absent."""


@dataclass(frozen=True, slots=True)
class EpochSkipped:
    """The device is idle until a job of another epoch comes; `reason` is a sentence."""

    device: str
    epoch: int
    reason: str
    known: bool = False
    """The reason was reported before, so the journal leaves it out."""


@dataclass(frozen=True, slots=True)
class DevicePaused:
    """The device is paused on request or by its heat limit, or may work again."""

    device: str
    reason: str | None
    """None: it may work again."""


@dataclass(frozen=True, slots=True)
class DeviceHanging:
    """A driver call did not return in time; the device stays out of use."""

    device: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShapeChosen:
    """The device uses `shape`, the fastest launch shape while mining, from now on."""

    device: str
    shape: str
    default: str
    """The shape that the device had before."""
    ratio: float
    """Hashrate relative to that of `default`; 1 if `default` is the fastest."""
    low: float
    """Bounds of the ratio's 95 % interval."""
    high: float


@dataclass(frozen=True, slots=True)
class ShapeLeftOut:
    """A launch shape cannot be used on the device; `reason` is a sentence."""

    device: str
    shape: str
    reason: str


@dataclass(frozen=True, slots=True)
class SensorsRead:
    """New sensor values of the device."""

    device: str
    reading: Reading


# Shares


@dataclass(frozen=True, slots=True)
class CandidateRefuted:
    """A hardware error: the CPU's hash of a candidate does not solve its job."""

    candidate: Candidate
    final_hash: bytes
    """The hash that the CPU computed; 32 bytes in display order."""


@dataclass(frozen=True, slots=True)
class ShareFound:
    """A solution was proved; it goes to the pool unless it is stale."""

    solution: Solution


@dataclass(frozen=True, slots=True)
class ShareSent:
    """A solution was written to the connection with its pool."""

    solution: Solution


@dataclass(frozen=True, slots=True)
class ShareAnswered:
    """The outcome of a solution is final."""

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
    | EpochSkipped
    | DevicePaused
    | DeviceHanging
    | ShapeChosen
    | ShapeLeftOut
    | SensorsRead
)

Event = (
    PoolConnecting
    | PoolReady
    | PoolLost
    | PoolNotice
    | PoolRemark
    | NewJob
    | LoopDelayed
    | SettingsRead
    | LightCacheBuilding
    | DeviceEvent
    | CandidateRefuted
    | ShareFound
    | ShareSent
    | ShareAnswered
)

Emit = Callable[[Event], None]
"""Reports an event; called on the event loop's thread only."""


def redacted(event: Event, redactor: Redactor) -> Event:
    """Return `event` with the texts of pools, nodes and drivers redacted and on one line: pools
    echo wallets, even in job ids."""
    match event:
        case (
            PoolLost()
            | DeviceFault()
            | DeviceResting()
            | EpochSkipped()
            | DeviceHanging()
            | ShapeLeftOut()
        ):
            return replace(event, reason=redactor.one_line(event.reason))
        case DevicePaused(_, str(reason)):
            return replace(event, reason=redactor.one_line(reason))
        case PoolNotice() | PoolRemark():
            return replace(event, text=redactor.one_line(event.text))
        case NewJob(Job() as job):
            return NewJob(_job(job, redactor))
        case ShareFound(solution):
            return ShareFound(_solution(solution, redactor))
        case ShareSent(solution):
            return ShareSent(_solution(solution, redactor))
        case ShareAnswered(verdict):
            solution, text = _solution(verdict.solution, redactor), redactor.one_line(verdict.text)
            return ShareAnswered(replace(verdict, solution=solution, text=text))
        case CandidateRefuted(candidate):
            return replace(event, candidate=replace(candidate, job=_job(candidate.job, redactor)))
        case _:
            return event


def _solution(solution: Solution, redactor: Redactor) -> Solution:
    return replace(solution, job=_job(solution.job, redactor))


def _job(job: Job, redactor: Redactor) -> Job:
    name = redactor.one_line(job.id)
    # Nearly every id is unchanged; then the job stays the same object.
    return job if name == job.id else replace(job, id=name)


T = TypeVar("T")


class Subscribers(Generic[T]):
    """Callbacks in the order of their subscription."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[T], None]] = []

    def add(self, callback: Callable[[T], None]) -> Callable[[], None]:
        """Call `callback` with each value from now on; return a function that ends that."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    def call(self, value: T) -> None:
        """Call each callback; callbacks may subscribe and unsubscribe meanwhile."""
        for callback in tuple(self._callbacks):
            callback(value)
