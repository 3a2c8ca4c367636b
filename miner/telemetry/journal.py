"""The journal: events as sentences, a flood of them only in part."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from itertools import count

from miner.clock import Clock
from miner.formatting import format_bytes, format_difficulty, format_milliseconds
from miner.telemetry.events import (
    CandidateRefuted,
    DatasetBuilding,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    Event,
    JobTaken,
    KernelReady,
    LightCacheBuilding,
    NewJob,
    NoncesExhausted,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    PoolRemark,
    ResultOverflow,
    ShareAnswered,
    ShareFound,
    ShareSent,
)
from miner.work import Job, Outcome, Solution, Verdict


class Level(IntEnum):
    """How much a sentence matters; the numbers are those of `logging`."""

    DEBUG = 10
    """What helps to find out why a pool or a device misbehaves; entered only where asked for."""
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True)
class Sentence:
    """`topic` is a device, or "pool", "job", "share", "cache"."""

    topic: str
    text: str
    level: Level = Level.INFO
    seldom: bool = False
    """It may come in floods, of which one in a while is enough."""
    step: float | None = None
    """Progress, 0 to 1, of what `text` is about; told in coarse steps."""


def sentence_of(event: Event, accepted: int) -> Sentence | None:
    """Return the sentence, where a person wants to know of `event`; `accepted` is the number of
    accepted shares, this one included."""
    match event:
        case PoolConnecting(pool, unverified, elsewhere):
            unchecked = ", its certificate is not verified" if unverified else ""
            asked = f" at {elsewhere}, as it asked" if elsewhere else ""
            return Sentence("pool", f"connecting to {pool}{asked}{unchecked}")
        case PoolReady(pool):
            return Sentence("pool", f"logged in at {pool}")
        case PoolLost(pool, reason, 0):
            # It did not fail us: another one, or itself again, is connected to at once.
            return Sentence("pool", f"left {pool}: {reason}")
        case PoolLost(pool, reason, retry):
            then = "it is given up" if retry is None else f"next try in {max(retry, 1):.0f} s"
            return Sentence("pool", f"lost {pool}: {reason}; {then}", Level.WARNING)
        case PoolNotice(pool, text) | PoolRemark(pool, text):
            return Sentence("pool", f"{pool}: {text}")
        case NewJob(job):
            return Sentence("job", _job(job))
        case LightCacheBuilding(epoch, done, seconds, from_disk):
            return _light(epoch, done, seconds, from_disk)
        case DatasetBuilding():
            return _dataset(event)
        case KernelReady(device, period, seconds):
            return Sentence(
                device, f"kernel of period {period} built and proved in {seconds:.1f} s"
            )
        case ResultOverflow(device, found):
            return Sentence(
                device, f"{found} nonces in one launch: searched in halves", seldom=True
            )
        case NoncesExhausted(device):
            return Sentence(device, "every nonce under the pool's prefix was tried; it rests")
        case DeviceFault(device, reason):
            return Sentence(device, f"FAULT {reason}", Level.WARNING, seldom=True)
        case DeviceResting(device, reason, None):
            return Sentence(device, f"rests for this run: {reason}", Level.ERROR)
        case DeviceResting(device, reason, seconds):
            return Sentence(device, f"rests for {seconds:.0f} s: {reason}", Level.WARNING)
        case DevicePaused(device, None):
            return Sentence(device, "goes on")
        case DevicePaused(device, reason):
            return Sentence(device, f"pauses: {reason}", Level.WARNING)
        case DeviceHanging(device, reason):
            return Sentence(device, f"HUNG {reason}", Level.ERROR)
        case JobTaken(device, seconds):
            return Sentence(device, f"took the job in {format_milliseconds(seconds)}", Level.DEBUG)
        case CandidateRefuted(candidate, final_hash):
            what = f"nonce {candidate.nonce:016x} of job {candidate.job.id[:16]}"
            return Sentence(candidate.device, f"{what} hashes to {final_hash.hex()}", Level.DEBUG)
        case ShareFound(solution):
            return Sentence("share", f"found: {_share(solution)}", Level.DEBUG)
        case ShareSent(solution):
            return Sentence("share", f"sent: {_share(solution)}", Level.DEBUG)
        case ShareAnswered(verdict):
            return _verdict(verdict, accepted)
        case _:
            return None


def _job(job: Job | None) -> str:
    if job is None:
        return "none: the devices rest"
    return (
        f"{job.id[:16]} height {job.height} epoch {job.epoch.number} period {job.period} "
        f"difficulty {format_difficulty(job.difficulty)}"
    )


def _light(epoch: int, done: float, seconds: float, from_disk: bool) -> Sentence:
    what = f"light cache of epoch {epoch}"
    if done < 1.0:
        return Sentence("cache", what, step=done)
    how = "read from disk" if from_disk else "built"
    return Sentence("cache", f"{what} {how} in {seconds:.1f} s")


def _dataset(event: DatasetBuilding) -> Sentence:
    what = f"dataset of epoch {event.epoch}, {format_bytes(event.size)}"
    if event.done < 1.0:
        return Sentence(event.device, what, step=event.done)
    return Sentence(event.device, f"{what}, generated and proved in {event.seconds:.1f} s")


def _share(solution: Solution) -> str:
    return f"nonce {solution.nonce:016x} of job {solution.job.id[:16]} by {solution.device}"


def _verdict(verdict: Verdict, accepted: int) -> Sentence:
    solution = verdict.solution
    after = f", {format_milliseconds(verdict.seconds)}" if verdict.seconds is not None else ""
    block = " BLOCK" if solution.is_block else ""
    if verdict.outcome is Outcome.ACCEPTED:
        reached = format_difficulty(solution.difficulty)
        return Sentence(
            "share", f"accepted {accepted}{after} {solution.device} difficulty {reached}{block}"
        )
    why = f": {verdict.text}" if verdict.text else ""
    return Sentence(
        "share", f"{verdict.outcome.phrase}{after} {solution.device}{why}", Level.WARNING
    )


KEPT = 500
"""Entries that are remembered."""

REPEAT_SECONDS = 10.0
"""A sentence that may come in floods is let through once in this time."""

PROGRESS_STEP = 0.1
"""Progress is told in steps of this share."""

_NUMBER = re.compile(r"\b(?:[0-9a-f]{16,}|\w*[0-9]\w*)\b")


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A sentence with its time."""

    number: int
    """Counts up from 1 without gaps."""
    at: float
    """UNIX seconds."""
    level: Level
    topic: str
    """A device, or "pool", "job", "share", "cache" and the like."""
    text: str


class Journal:
    """Turns events into entries; used on the event loop's thread only."""

    detailed = False
    """Whether events of `Level.DEBUG` are entered: they would push out what matters more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: deque[JournalEntry] = deque(maxlen=KEPT)
        self._numbers = count(1)
        self._accepted = 0
        self._told: dict[str, int] = {}
        self._repeated: dict[tuple[str, str], float] = {}
        self._callbacks: list[Callable[[JournalEntry], None]] = []

    @property
    def entries(self) -> tuple[JournalEntry, ...]:
        """The newest entries, oldest first."""
        return tuple(self._entries)

    def event(self, event: Event) -> None:
        """Enter what a person wants to know of `event`."""
        if isinstance(event, ShareAnswered) and event.verdict.outcome is Outcome.ACCEPTED:
            self._accepted += 1
        sentence = sentence_of(event, self._accepted)
        if sentence is None or (sentence.level == Level.DEBUG and not self.detailed):
            return
        if sentence.step is not None:
            self._progress(sentence, sentence.step)
        elif not (sentence.seldom and self._is_repeated(sentence)):
            self.say(sentence.topic, sentence.text, sentence.level)

    def say(self, topic: str, text: str, level: Level = Level.INFO) -> None:
        """Enter a sentence that belongs to no event."""
        entry = JournalEntry(next(self._numbers), self._clock.wall(), level, topic, text)
        self._entries.append(entry)
        for callback in tuple(self._callbacks):
            callback(entry)

    def subscribe(self, callback: Callable[[JournalEntry], None]) -> Callable[[], None]:
        """Have `callback` called with each entry from now on; returns what ends that."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    def _progress(self, sentence: Sentence, done: float) -> None:
        what = f"{sentence.topic} {sentence.text}"
        step = int(done / PROGRESS_STEP + 1e-6)
        if self._told.get(what) != step:
            self._told[what] = step
            self.say(sentence.topic, f"{sentence.text}: {done:4.0%}", sentence.level)

    def _is_repeated(self, sentence: Sentence) -> bool:
        # Nonces and counts differ each time, and would be remembered for weeks.
        kind = (sentence.topic, _NUMBER.sub("", sentence.text)[:30])
        now = self._clock.now()
        if now - self._repeated.get(kind, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return True
        self._repeated[kind] = now
        return False
