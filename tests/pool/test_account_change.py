"""A change of the account while shares are found, as the ledger records it."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from miner.ledger import Ledger, LedgerReader, ShareRecord
from miner.pool.attempt import LAUNCH_SECONDS
from miner.telemetry.events import ShareAnswered, ShareFound
from miner.work import Job
from tests.fakes.clock import settle
from tests.pool.bench import FIRST, Bench, running
from tests.pool.test_replace_pools import OTHER_USER
from tests.stratum.dialogue import answer, notify, solution


class Rig:
    """A client with a ledger, and pools that answer every share at once."""

    def __init__(self, path: Path) -> None:
        self.bench = Bench((FIRST,))
        self.ledger = Ledger(path, self.bench.clock, max_bytes=1 << 20, max_days=1, report=print)
        self.found = 0
        self._nonces = count()
        self._answered: dict[int, int] = {}

    async def find(self, job: Job) -> None:
        self.found += 1
        share = solution(job, job.nonces.first + next(self._nonces))
        self.bench.events.append(ShareFound(share))
        await self.bench.client.submit(share)

    async def answer(self) -> None:
        await settle()
        for stream in self.bench.dial.streams:
            requests = stream.requests("mining.submit")
            for request in requests[self._answered.get(id(stream), 0) :]:
                stream.feed(answer(request["id"]))
            self._answered[id(stream)] = len(requests)
        await settle()

    def lines(self) -> list[ShareRecord]:
        for event in self.bench.events:
            self.ledger.event(event)
        for verdict in self.bench.verdicts:
            self.ledger.event(ShareAnswered(verdict))
        self.ledger.close()
        return list(LedgerReader(self.ledger.path).each())


@pytest.mark.parametrize(
    ("prefix", "outcomes"),
    [("0b8e5b", ["accepted"] * 4), ("0b8e5c", ["accepted"] * 2 + ["lost"] * 2)],
    ids=["the same prefix", "another prefix"],
)
async def test_each_share_around_a_change_of_account_has_one_ledger_row_with_one_outcome(
    tmp_path: Path, prefix: str, outcomes: list[str]
) -> None:
    rig = Rig(tmp_path / "ledger.sqlite")
    bench = rig.bench
    bench.prepare()
    new = bench.prepare(FIRST, answer(1, [None, prefix]) + answer(2))
    async with running(bench):
        job = bench.job()
        await rig.find(job)
        bench.client.replace_pools([OTHER_USER])
        await rig.answer()
        await rig.find(job)
        await rig.answer()
        await bench.clock.advance(2 * LAUNCH_SECONDS)
        await rig.find(job)
        new.feed(notify())
        await rig.answer()
        await rig.find(job)
        await rig.answer()
        assert bench.job().session == 2
    lines = rig.lines()
    assert [line.outcome for line in lines] == outcomes
    assert all(line.answered_at is not None for line in lines)
    assert all((line.sent_at is None) == (line.outcome != "accepted") for line in lines)
    assert all("the settings name other pools" in line.text for line in lines[2:] if line.text)
    assert len(bench.verdicts) == rig.found
