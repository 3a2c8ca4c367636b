"""Replays recorded sessions, comparing the bytes that are sent."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from miner import clock as simulation
from miner.errors import ConnectionLost, PoolError
from miner.net.address import Timeouts
from miner.progpow.variant import Variant
from miner.recordings.reader import (
    ReceivedBytes,
    Record,
    RecordedEnd,
    RecordedHashrate,
    RecordedSession,
    RecordedShare,
    SentBytes,
)
from miner.recordings.recorder import PASSWORD_MASK
from miner.stratum.dialects import DIALECTS
from miner.stratum.opening import Opening
from miner.stratum.pool_events import JobReceived, Message, PoolEvent, Subscribed
from miner.stratum.pool_memory import SentNonces
from miner.stratum.session import Session
from miner.work import Job, Outcome, Solution, Verdict

NO_LIMIT = 1e9
"""Seconds. Timeouts are off: the recording contains the end of each session."""

SHOWN = 160
"""Characters of a line shown in a difference."""

VariantOf = Callable[[str], Variant]


@dataclass
class ReplayResult:
    """The result of replaying one connection."""

    connection: int
    url: str
    protocol: str
    jobs: int = 0
    shares: Counter[Outcome] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)
    ended: str = ""
    difference: str | None = None
    """The first difference between the bytes sent then and now; None: they are the same."""


def replay(sessions: Sequence[RecordedSession], variant_of: VariantOf) -> list[ReplayResult]:
    """Replay `sessions` in simulated time and return a result for each.

    Raises `UsageError` if `variant_of` does.
    """
    return simulation.run(_replay(sessions, variant_of))


async def _replay(sessions: Sequence[RecordedSession], variant_of: VariantOf) -> list[ReplayResult]:
    jobs: dict[tuple[str, bytes], Job] = {}
    sent: dict[str, SentNonces] = {}
    results = []
    for session in sessions:
        nonces = sent.setdefault(session.host, SentNonces())
        replayed = _SessionReplay(session, variant_of(session.variant), jobs, nonces)
        results.append(await replayed.run())
    return results


class _ReplayStream:
    """A stream that delivers the replay's bytes and keeps written ones."""

    def __init__(self) -> None:
        self._incoming: deque[bytes | ConnectionLost] = deque()
        self._arrived = asyncio.Event()
        self.written = bytearray()

    def deliver(self, item: bytes | ConnectionLost) -> None:
        self._incoming.append(item)
        self._arrived.set()

    async def read(self, count: int) -> bytes:
        while not self._incoming:
            self._arrived.clear()
            await self._arrived.wait()
        item = self._incoming.popleft()
        if isinstance(item, ConnectionLost):
            raise item
        if len(item) > count:
            self._incoming.appendleft(item[count:])
        return item[:count]

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        return

    async def close(self) -> None:
        return


class _SessionReplay:
    """Replays one session record by record.

    Everything that follows from one record is done before the next one, so that bytes are sent in
    the order of the recording.
    """

    def __init__(
        self,
        recorded: RecordedSession,
        variant: Variant,
        jobs: dict[tuple[str, bytes], Job],
        sent: SentNonces,
    ) -> None:
        self._recorded, self._jobs = recorded, jobs
        opening = Opening(
            user=recorded.user, password=PASSWORD_MASK, agent=recorded.agent, variant=variant,
            session=recorded.session, host=recorded.host, port=recorded.port, diff1=recorded.diff1,
            resume=recorded.resume, left_out=recorded.left_out,
        )  # fmt: skip
        self._client = DIALECTS[recorded.protocol].connect(opening)
        self._stream = _ReplayStream()
        self._clock = simulation.LoopClock()
        self._session = Session(
            recorded.session, self._client, self._stream, self._clock, self, sent=sent,
            limits=Timeouts(NO_LIMIT, NO_LIMIT, NO_LIMIT, NO_LIMIT), keepalives=False,
        )  # fmt: skip
        self._waiting: list[RecordedShare] = []
        """Shares to submit while the session handles received bytes."""
        self._result = ReplayResult(recorded.session, recorded.url, recorded.protocol)

    async def run(self) -> ReplayResult:
        """Replay all records and return the result."""
        started = self._clock.now() - self._recorded.seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_session())
            await simulation.settle()
            for index, record in enumerate(self._recorded.records):
                await asyncio.sleep(max(0.0, started + record.seconds - self._clock.now()))
                await self._step(record, index)
            self._expect_nothing_sent("the end of the recording")
            self._session.leave("the recording ends")
        return self._result

    # The session's listener

    def on_event(self, event: PoolEvent) -> None:
        match event:
            case Subscribed(_, resumed) if resumed:
                self._submit_waiting()
            case JobReceived(job):
                self._result.jobs += 1
                self._jobs[job.id, job.header_hash] = job
                self._submit_waiting(job)
            case Message(text):
                self._result.messages.append(text)

    def on_verdict(self, verdict: Verdict) -> None:
        self._result.shares[verdict.outcome] += 1

    def on_unsent(self, solution: Solution, reason: str) -> None:
        self._result.shares[Outcome.LOST] += 1

    # Steps

    async def _run_session(self) -> None:
        try:
            self._result.ended = await self._session.run()
        except PoolError as error:
            self._result.ended = str(error)

    async def _step(self, record: Record, index: int) -> None:
        if isinstance(record, SentBytes):
            self._compare(record.line, record.data)
            return
        if isinstance(record, RecordedShare) and record.within:
            return  # submitted during the step of the received bytes before it
        self._expect_nothing_sent(f"line {record.line}")
        match record:
            case ReceivedBytes(data=data):
                self._waiting = _submitted_within(self._recorded.records, index)
                self._stream.deliver(data)
            case RecordedShare():
                self._submit(record)
            case RecordedHashrate(rate=rate):
                self._stream.write(self._client.report_hashrate(rate, self._recorded.rig))
            case RecordedEnd(by="pool"):
                self._stream.deliver(b"")
            case RecordedEnd(by="fault", reason=reason):
                self._stream.deliver(ConnectionLost(reason))
            case RecordedEnd(reason=reason):
                self._session.leave(reason)
        await simulation.settle()

    def _submit_waiting(self, job: Job | None = None) -> None:
        """Submit the waiting shares of `job`, or all."""
        ready = [
            share
            for share in self._waiting
            if job is None or (share.job, share.header) == (job.id, job.header_hash)
        ]
        self._waiting = [share for share in self._waiting if share not in ready]
        for share in ready:
            self._submit(share)

    def _submit(self, share: RecordedShare) -> None:
        job = self._jobs.get((share.job, share.header))
        if job is None:
            self._report(f"line {share.line}: the job of this share was not received")
            return
        solution = Solution(
            job, share.nonce, share.device, self._clock.now(), share.mix_hash, share.final_hash
        )
        self._session.submit(solution)

    # Comparison

    def _compare(self, line: int, recorded: bytes) -> None:
        """Compare recorded bytes with those sent now."""
        if self._result.difference is not None:
            return
        now = self._stream.written
        if not now:
            # Not a reaction to anything, so it was a keepalive.
            now += self._client.keepalive()
        if now.startswith(recorded):
            del now[: len(recorded)]
        else:
            self._differ(f"line {line}", recorded, bytes(now))

    def _expect_nothing_sent(self, where: str) -> None:
        """Report a difference if there are bytes that the recording does not have."""
        if self._stream.written:
            self._differ(f"before {where}", b"", bytes(self._stream.written))
            self._stream.written.clear()

    def _differ(self, where: str, then: bytes, now: bytes) -> None:
        at = next((i for i, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), None)
        at = min(len(then), len(now)) if at is None else at
        start = max(then.rfind(b"\n", 0, at), now.rfind(b"\n", 0, at)) + 1
        self._report(
            f"{where}, byte {at}: {_shown(then[start:])} was sent then, {_shown(now[start:])} now"
        )

    def _report(self, difference: str) -> None:
        """Keep the first difference."""
        self._result.difference = self._result.difference or difference


def _submitted_within(records: Sequence[Record], received: int) -> list[RecordedShare]:
    """Return the shares submitted while the bytes of the record at `received` were handled."""
    shares: list[RecordedShare] = []
    for record in records[received + 1 :]:
        match record:
            case RecordedShare() if record.within:
                shares.append(record)
            case SentBytes():
                continue
            case _:
                break
    return shares


def _shown(data: bytes) -> str:
    if not data:
        return "nothing"
    line = data.partition(b"\n")[0].decode("latin-1")
    return ascii(line if len(line) <= SHOWN else line[:SHOWN] + "...")
