"""The journal: events as sentences for people."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from itertools import count

from cachetools import LRUCache, TTLCache

from miner.clock import Clock
from miner.formatting import format_bytes, format_difficulty, format_job_id, format_milliseconds
from miner.telemetry import events
from miner.work import Job, Outcome, Solution, Verdict

KEPT = 500
"""Newest entries that are kept."""

REPEAT_SECONDS = 10.0
"""Minimum time between two similar sentences of a kind that comes in floods."""

PROGRESS_STEP = 0.1
"""Progress is entered when it reaches a multiple of this."""

STALL_SECONDS = 1.0
"""A delay of the event loop above this is entered."""

_MOST_KINDS = 1000
_NUMBER = re.compile(r"\b(?:[0-9a-f]{16,}|\w*[0-9]\w*)\b")


class Level(IntEnum):
    """Importance of an entry; the numbers are those of `logging`."""

    DEBUG = 10
    """Details for diagnosing a pool or a device; entered on request only."""
    INFO = 20
    WARNING = 30
    ERROR = 40


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


@dataclass(frozen=True, slots=True)
class Sentence:
    """The text of an event, under the topic of its entry."""

    topic: str
    text: str
    level: Level = Level.INFO
    limited: bool = False
    """Whether the event may come in floods; similar sentences are then entered once in
    `REPEAT_SECONDS`."""
    progress: float | None = None
    """0 to 1, of what `text` describes."""


class Journal:
    """Enters events as sentences. Use it on the event loop's thread only."""

    detailed = False
    """Whether to enter sentences of `Level.DEBUG`, which displace others sooner."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: deque[JournalEntry] = deque(maxlen=KEPT)
        self._numbers = count(1)
        self._accepted = 0
        self._job_text = ""
        self._steps: LRUCache[str, int] = LRUCache(_MOST_KINDS)
        self._recent: TTLCache[tuple[str, str], bool] = TTLCache(
            _MOST_KINDS, REPEAT_SECONDS, clock.now
        )
        self._subscribers = events.Subscribers[JournalEntry]()

    @property
    def entries(self) -> tuple[JournalEntry, ...]:
        """The newest entries, oldest first."""
        return tuple(self._entries)

    def event(self, event: events.Event) -> None:
        """Enter the sentence of `event`, if it has one."""
        if isinstance(event, events.ShareAnswered) and event.verdict.outcome is Outcome.ACCEPTED:
            self._accepted += 1
        sentence = sentence_of(event, self._accepted)
        if isinstance(event, events.NewJob) and sentence is not None:
            sentence = self._job_sentence(sentence, event.job)
        if sentence is None or (sentence.level == Level.DEBUG and not self.detailed):
            return
        if sentence.progress is not None:
            self._enter_progress(sentence, sentence.progress)
        elif not (sentence.limited and self._is_recent(sentence)):
            self.add(sentence.topic, sentence.text, sentence.level)

    def add(self, topic: str, text: str, level: Level = Level.INFO) -> None:
        """Enter a sentence that belongs to no event."""
        entry = JournalEntry(next(self._numbers), self._clock.wall(), level, topic, text)
        self._entries.append(entry)
        self._subscribers.call(entry)

    def subscribe(self, callback: Callable[[JournalEntry], None]) -> Callable[[], None]:
        """Call `callback` with each entry; return a function that ends that."""
        return self._subscribers.add(callback)

    def _job_sentence(self, sentence: Sentence, job: Job | None) -> Sentence:
        """Return `sentence`; one for diagnosis if neither height nor difficulty is new."""
        if sentence.text == self._job_text and job is not None:
            text = f"{sentence.text}, as before; id {format_job_id(job.id)}"
            return Sentence(sentence.topic, text, Level.DEBUG)
        self._job_text = sentence.text
        return sentence

    def _enter_progress(self, sentence: Sentence, done: float) -> None:
        what = f"{sentence.topic} {sentence.text}"
        step = int(done / PROGRESS_STEP + 1e-6)
        if self._steps.get(what) != step:
            self._steps[what] = step
            self.add(sentence.topic, f"{sentence.text}: {done:.0%}", sentence.level)

    def _is_recent(self, sentence: Sentence) -> bool:
        # Similar sentences differ in their nonces and counts.
        kind = (sentence.topic, _NUMBER.sub("", sentence.text)[:30])
        if kind in self._recent:
            return True
        self._recent[kind] = True
        return False


def sentence_of(event: events.Event, accepted: int) -> Sentence | None:
    """Return the sentence of `event`; None for an event that the journal leaves out. `accepted` is
    the number of accepted shares so far, including this one."""
    match event:
        case events.PoolConnecting(pool, unverified, elsewhere):
            where = f"{elsewhere}, where {pool} redirects" if elsewhere else pool
            unchecked = "; its certificate is not verified" if unverified else ""
            return Sentence("pool", f"connecting to {where}{unchecked}")
        case events.PoolReady(pool, account):
            return Sentence("pool", f"logged in to {pool}" + (f" as {account}" if account else ""))
        case events.PoolLost(pool, reason, 0):
            return Sentence("pool", f"left {pool}: {reason}")
        case events.PoolLost(pool, reason, retry_in):
            then = "giving up" if retry_in is None else f"retry in {max(retry_in, 1):.0f} s"
            text = f"connection to {pool} lost ({reason}); {then}"
            return Sentence("pool", text, Level.WARNING)
        case events.PoolNotice(pool, text) | events.PoolRemark(pool, text):
            return Sentence("pool", f"{pool}: {text}")
        case events.NewJob(job):
            return Sentence("job", _job(job))
        case events.LoopDelayed(seconds, during) if seconds > STALL_SECONDS:
            cause = f", while these ran: {during}" if during else ""
            text = f"nothing was answered for {seconds:.1f} s{cause}"
            return Sentence("miner", text, Level.WARNING, limited=True)
        case events.LightCacheBuilding():
            return _light_cache(event)
        case events.DatasetBuilding():
            return _dataset(event)
        case events.KernelReady(device, period, seconds):
            return Sentence(device, f"kernel for period {period} ready after {seconds:.1f} s")
        case events.ResultOverflow(device, found):
            text = f"{found} results in one launch, more than its buffer holds; searching in halves"
            return Sentence(device, text, limited=True)
        case events.NoncesExhausted(device):
            return Sentence(device, "every nonce of this job was searched; waiting for another job")
        case events.DeviceFault(device, reason):
            return Sentence(device, f"fault: {reason}", Level.WARNING, limited=True)
        case events.DeviceResting(device, reason, seconds, parked=True):
            text = f"parked, next try in {seconds / 60:.0f} min: {reason}"
            return Sentence(device, text, Level.ERROR)
        case events.DeviceResting(device, reason, seconds):
            return Sentence(device, f"retry in {seconds:.0f} s: {reason}", Level.WARNING)
        case events.EpochSkipped(device, epoch, reason, known=False):
            text = f"not mining on epoch {epoch}: {reason}"
            return Sentence(device, text, Level.WARNING, limited=True)
        case events.DevicePaused(device, None):
            return Sentence(device, "resumed")
        case events.DevicePaused(device, reason):
            return Sentence(device, f"paused: {reason}", Level.WARNING)
        case events.DeviceHanging(device, reason):
            return Sentence(device, f"hung: {reason}", Level.ERROR)
        case events.ShapeChosen(device, shape, default, ratio, low, high):
            text = f"no launch shape is faster than {shape}"
            if shape != default:
                interval = f"{low:.3f} to {high:.3f}"
                gain = f"{ratio:.3f} times the hashrate of {default} ({interval})"
                text = f"the fastest launch shape is {shape}: {gain}"
            return Sentence(device, text)
        case events.ShapeLeftOut(device, shape, reason):
            return Sentence(device, f"launch shape {shape} is left out: {reason}")
        case events.JobTaken(device, seconds):
            text = f"switched to the new job in {format_milliseconds(seconds)}"
            return Sentence(device, text, Level.DEBUG)
        case events.CandidateRefuted(candidate, final_hash):
            nonce = f"nonce {candidate.nonce:016x} of job {format_job_id(candidate.job.id)}"
            text = f"hardware error: {nonce} hashes to {final_hash.hex()}"
            return Sentence(candidate.device, text, Level.DEBUG)
        case events.ShareFound(solution):
            return Sentence("share", f"found: {_solution(solution)}", Level.DEBUG)
        case events.ShareSent(solution):
            return Sentence("share", f"sent: {_solution(solution)}", Level.DEBUG)
        case events.ShareAnswered(verdict):
            return _verdict(verdict, accepted)
        case _:
            return None


def _job(job: Job | None) -> str:
    if job is None:
        return "no job: devices idle"
    if job.wait_reason is not None:
        return job.wait_reason
    return (
        f"height {job.height}, epoch {job.epoch.number}, "
        f"difficulty {format_difficulty(job.difficulty)}"
    )


def _light_cache(event: events.LightCacheBuilding) -> Sentence:
    what = f"light cache of epoch {event.epoch}"
    if event.done < 1.0:
        return Sentence("cache", what, progress=event.done)
    how = "read from disk" if event.from_disk else "built"
    return Sentence("cache", f"{what} {how} in {event.seconds:.1f} s")


def _dataset(event: events.DatasetBuilding) -> Sentence:
    what = f"dataset (DAG) of epoch {event.epoch}, {format_bytes(event.size)}"
    if event.done < 1.0:
        return Sentence(event.device, what, progress=event.done)
    how = "read from disk" if event.from_disk else "built"
    return Sentence(event.device, f"{what}, {how} and verified in {event.seconds:.1f} s")


def _solution(solution: Solution) -> str:
    return (
        f"nonce {solution.nonce:016x} of job {format_job_id(solution.job.id)} by {solution.device}"
    )


def _verdict(verdict: Verdict, accepted: int) -> Sentence:
    solution = verdict.solution
    after = f", {format_milliseconds(verdict.seconds)}" if verdict.seconds is not None else ""
    if verdict.outcome is Outcome.ACCEPTED:
        difficulty = format_difficulty(solution.difficulty)
        block = " BLOCK" if solution.is_block else ""
        text = f"accepted {accepted}{after} {solution.device} difficulty {difficulty}{block}"
        return Sentence("share", text)
    reason = f": {verdict.text}" if verdict.text else ""
    text = f"{verdict.outcome.phrase}{after} {solution.device}{reason}"
    return Sentence("share", text, Level.WARNING)
