"""A ledger with a manual clock, and the events of shares."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from miner.ledger import Filter, Ledger, LedgerReader, ShareRecord
from miner.telemetry.events import CandidateRefuted, Event, ShareAnswered, ShareFound, ShareSent
from miner.work import Candidate, Job, Outcome, Solution, Verdict
from tests.fakes.device import Ticks, info_of, job_at

POOL = "stratum+tcp://pool.example:3333"
GPU = replace(info_of("cuda:0"), pci="0000:01:00.0", uuid="GPU-1234")


def hash_reaching(difficulty: float) -> bytes:
    return (int(2**256 / difficulty) - 1).to_bytes(32, "big")


class LedgerRig:
    """A ledger that gets the events of shares."""

    def __init__(self, path: Path, seconds: float = 1000.0, **options: Any) -> None:
        self.path = path
        self.clock = Ticks(seconds)
        self.reports: list[str] = []
        options = {
            "devices": [GPU], "report": self.reports.append, "rig": "rig1", "max_bytes": 64 << 20,
            "max_days": 90,
        } | options  # fmt: skip
        self.ledger = Ledger(path, self.clock, **options)
        self.also_emit: Callable[[Event], None] = lambda event: None
        self.count = 0

    def job(self, **changes: Any) -> Job:
        height = changes.pop("height", 7501)
        return job_at(height, **{"pool": POOL, "target": 2**256 // 1000 - 1} | changes)

    def solution(
        self, device: str = "cuda:0", job: Job | None = None, difficulty: float = 2000.0
    ) -> Solution:
        self.count += 1
        return Solution(
            job or self.job(), 0xABCD << 48 | self.count, device, self.clock.now(),
            bytes(32), hash_reaching(difficulty),
        )  # fmt: skip

    def emit(self, event: Event) -> None:
        self.ledger.event(event)
        self.also_emit(event)

    def found(self, solution: Solution | None = None, **options: Any) -> Solution:
        solution = solution or self.solution(**options)
        self.clock.seconds += 0.25
        self.emit(ShareFound(solution))
        return solution

    def sent(self, solution: Solution) -> None:
        self.clock.seconds += 0.25
        self.emit(ShareSent(solution))

    def answered(
        self, solution: Solution, outcome: Outcome = Outcome.ACCEPTED, text: str = "",
        seconds: float | None = None,
    ) -> None:  # fmt: skip
        self.clock.seconds += 0.5
        self.emit(ShareAnswered(Verdict(solution, outcome, text, seconds)))

    def finished(
        self, outcome: Outcome = Outcome.ACCEPTED, text: str = "", **options: Any
    ) -> Solution:
        solution = self.found(**options)
        self.sent(solution)
        self.answered(solution, outcome, text, 0.5)
        return solution

    def write(self, count: int = 1) -> None:
        """Finish `count` shares, and write all changes to the file."""
        for _ in range(count):
            self.finished()
        self.ledger.flush()

    def refuted(self, device: str = "cuda:0", job: Job | None = None) -> Candidate:
        wrong = self.solution(device, job, 3.0)
        candidate = Candidate(wrong.job, wrong.nonce, wrong.device, wrong.found_at)
        self.clock.seconds += 0.25
        self.emit(CandidateRefuted(candidate, wrong.final_hash))
        return candidate

    def shares(self, wanted: Filter | None = None) -> list[ShareRecord]:
        """Write everything and return the shares of the file."""
        self.ledger.flush()
        return list(LedgerReader(self.path).each(wanted or Filter()))

    def one(self) -> ShareRecord:
        (share,) = self.shares()
        return share


def sqlite_answer(path: Path, statement: str) -> Any:
    """Return the first value of the answer of SQLite itself."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchone()[0]


def assert_sound(path: Path) -> None:
    assert sqlite_answer(path, "PRAGMA integrity_check") == "ok"
