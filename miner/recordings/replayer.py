"""Recorded sessions, held once more with what the pool said then."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from miner import clock as simulation
from miner.errors import ConnectionLost, PoolError
from miner.net.dial import Timeouts
from miner.progpow.variant import Variant
from miner.recordings.reader import (
    Closed,
    Received,
    Record,
    RecordedHashrate,
    RecordedSession,
    RecordedShare,
    Sent,
)
from miner.recordings.recorder import PASSWORD_MASK
from miner.stratum.client_side import Opening
from miner.stratum.dialects import DIALECTS
from miner.stratum.pool_events import JobReceived, Message, PoolEvent, Subscribed
from miner.stratum.session import SentNonces, Session
from miner.work import Job, Outcome, Solution, Verdict

FOREVER = 1e9
"""Seconds. What ends a session is in the recording, so that no limit of ours has to."""

SHOWN = 160
"""Characters of a line that a difference shows."""

VariantOf = Callable[[str], Variant]


@dataclass
class Replayed:
    """How one connection went when it was held again."""

    connection: int
    url: str
    protocol: str
    jobs: int = 0
    shares: Counter[Outcome] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    ended: str = ""
    difference: str | None = None
    """The first one between what was sent then and now; None: the same bytes."""


def replay(dialogues: Sequence[RecordedSession], variant_of: VariantOf) -> list[Replayed]:
    """Hold each of `dialogues` again, in simulated time, and say how each went.

    Raises `UsageError` where `variant_of` does so.
    """
    return simulation.run(_replay(dialogues, variant_of))


async def _replay(dialogues: Sequence[RecordedSession], variant_of: VariantOf) -> list[Replayed]:
    jobs: dict[tuple[str, bytes], Job] = {}
    sent: dict[str, SentNonces] = {}
    held = []
    for dialogue in dialogues:
        pool = sent.setdefault(dialogue.host, SentNonces())
        again = _Again(dialogue, variant_of(dialogue.variant), jobs, pool)
        held.append(await again.hold())
    return held


class _Script:
    """A stream that brings what the recording says and keeps what is written."""

    def __init__(self) -> None:
        self._coming: deque[bytes | ConnectionLost] = deque()
        self._arrived = asyncio.Event()
        self.written = bytearray()

    def bring(self, item: bytes | ConnectionLost) -> None:
        self._coming.append(item)
        self._arrived.set()

    async def read(self, count: int) -> bytes:
        while not self._coming:
            self._arrived.clear()
            await self._arrived.wait()
        item = self._coming.popleft()
        if isinstance(item, ConnectionLost):
            raise item
        if len(item) > count:
            self._coming.appendleft(item[count:])
        return item[:count]

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        return

    async def close(self) -> None:
        return


class _Again:
    """One connection, step by step: at each record, all that follows from it is done before the
    next one, so that the order is that of the recording to the last byte."""

    def __init__(
        self,
        dialogue: RecordedSession,
        variant: Variant,
        jobs: dict[tuple[str, bytes], Job],
        sent: SentNonces,
    ) -> None:
        self._dialogue, self._jobs = dialogue, jobs
        opening = Opening(
            user=dialogue.user,
            password=PASSWORD_MASK,
            agent=dialogue.agent,
            variant=variant,
            session=dialogue.session,
            host=dialogue.host,
            port=dialogue.port,
            diff1=dialogue.diff1,
            resume=dialogue.resume,
        )
        self._protocol = DIALECTS[dialogue.protocol].connect(opening)
        self._stream = _Script()
        limits = Timeouts(FOREVER, FOREVER, FOREVER, FOREVER)
        self._session = Session(
            dialogue.session, self._protocol, self._stream, simulation.LoopClock(),
            self, sent=sent, limits=limits, keepalives=False,
        )  # fmt: skip
        self._waiting: list[RecordedShare] = []
        self._result = Replayed(dialogue.session, dialogue.url, dialogue.protocol)

    async def hold(self) -> Replayed:
        """Return how it went."""
        begun = simulation.LoopClock().now() - self._dialogue.seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run())
            await simulation.settle()
            for index, record in enumerate(self._dialogue.records):
                await asyncio.sleep(max(0.0, begun + record.seconds - self._now()))
                await self._step(record, index)
            self._nothing_more("the end of the recording")
            self._session.leave("the recording ends")
        return self._result

    def _now(self) -> float:
        return simulation.LoopClock().now()

    async def _run(self) -> None:
        try:
            self._result.ended = await self._session.run()
        except PoolError as error:
            self._result.ended = str(error)

    async def _step(self, record: Record, index: int) -> None:
        match record:
            case Sent(_, line, data):
                self._compare(line, data)
                return
            case Received(_, line, data):
                self._nothing_more(f"line {line}")
                self._waiting = _handed_in_meanwhile(self._dialogue.records, index)
                self._stream.bring(data)
            case RecordedShare(_, line) if not record.within:
                self._nothing_more(f"line {line}")
                self._submit(record)
            case RecordedHashrate(_, line, rate):
                self._nothing_more(f"line {line}")
                self._stream.write(self._protocol.report_hashrate(rate, self._dialogue.rig))
            case Closed(_, line, by, reason):
                self._nothing_more(f"line {line}")
                self._close(by, reason)
        await simulation.settle()

    def _close(self, by: str, reason: str) -> None:
        match by:
            case "pool":
                self._stream.bring(b"")
            case "fault":
                self._stream.bring(ConnectionLost(reason))
            case _:
                self._session.leave(reason)

    def _compare(self, line: int, recorded: bytes) -> None:
        """Hold what was sent then against what is sent now."""
        if self._result.difference is not None:
            return
        now = self._stream.written
        if not now:
            # Nothing that came asked for it, so that it was said to stay in talk.
            now += self._protocol.keepalive()
        if now.startswith(recorded):
            del now[: len(recorded)]
        else:
            self._differ(f"line {line}", recorded, bytes(now))

    def _nothing_more(self, where: str) -> None:
        """Note it where more is sent now than was then."""
        if self._stream.written:
            self._differ(f"before {where}", b"", bytes(self._stream.written))
            self._stream.written.clear()

    def _differ(self, where: str, then: bytes, now: bytes) -> None:
        if self._result.difference is not None:
            return
        at = next((i for i, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), None)
        at = min(len(then), len(now)) if at is None else at
        start = max(then.rfind(b"\n", 0, at), now.rfind(b"\n", 0, at)) + 1
        self._result.difference = (
            f"{where}, byte {at}: {_shown(then[start:])} was sent then, {_shown(now[start:])} now"
        )

    def on_event(self, event: PoolEvent) -> None:
        match event:
            case Subscribed(_, resumed) if resumed:
                self._hand_in(lambda found: True)
            case JobReceived(job):
                self._result.jobs += 1
                self._jobs[job.id, job.header_hash] = job
                self._hand_in(lambda found: (found.job, found.header) == (job.id, job.header_hash))
            case Message(text):
                self._result.messages.append(text)

    def _hand_in(self, wanted: Callable[[RecordedShare], bool]) -> None:
        """Submit those that waited for this session, where the client did so."""
        ready = [found for found in self._waiting if wanted(found)]
        self._waiting = [found for found in self._waiting if not wanted(found)]
        for found in ready:
            self._submit(found)

    def _submit(self, found: RecordedShare) -> None:
        job = self._jobs.get((found.job, found.header))
        if job is None:
            self._differ(f"line {found.line}", b"a share of a job", b"no such job was brought")
            return
        solution = Solution(
            job, found.nonce, found.device, self._now(), found.mix_hash, found.final_hash
        )
        self._session.submit(solution)

    def on_verdict(self, verdict: Verdict) -> None:
        self._result.shares[verdict.outcome] += 1

    def on_unsent(self, solution: Solution, reason: str) -> None:
        self._result.shares[Outcome.LOST] += 1


def _handed_in_meanwhile(records: Sequence[Record], received: int) -> list[RecordedShare]:
    """Return the shares that were handed in while the client took the record at `received`."""
    found: list[RecordedShare] = []
    for index in range(received + 1, len(records)):
        match record := records[index]:
            case RecordedShare() if record.within:
                found.append(record)
            case Sent():
                continue
            case _:
                break
    return found


def _shown(data: bytes) -> str:
    if not data:
        return "nothing"
    line = data.partition(b"\n")[0].decode("latin-1")
    return ascii(line if len(line) <= SHOWN else line[:SHOWN] + "...")
