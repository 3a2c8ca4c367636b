"""Shares that live through what shares live through, on a clock that a test moves."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from miner.ledger import Filter, Ledger, LedgerReader, ShareRecord
from miner.telemetry import CandidateRefuted, Event, ShareAnswered, ShareFound, ShareSent
from miner.work import Candidate, Job, Outcome, Solution, Verdict
from tests.fakes.device import Ticks, info_of, job_at

POOL = "stratum+tcp://pool.example:3333"
GPU = replace(info_of("cuda:0"), pci="0000:01:00.0", uuid="GPU-1234")


def hash_reaching(difficulty: float) -> bytes:
    return (int(2**256 / difficulty) - 1).to_bytes(32, "big")


class Life:
    """A ledger and the events that it is told."""

    def __init__(self, path: Path, seconds: float = 1000.0, **options: Any) -> None:
        self.path = path
        self.clock = Ticks(seconds)
        self.reports: list[str] = []
        options = {"devices": [GPU], "report": self.reports.append, "rig": "rig1"} | options
        self.ledger = Ledger(path, self.clock, **options)
        self.also: Callable[[Event], None] = lambda event: None
        self.shares_told = 0

    def job(self, **changes: Any) -> Job:
        height = changes.pop("height", 7501)
        return job_at(height, **{"pool": POOL, "target": 2**256 // 1000 - 1} | changes)

    def claim(
        self, device: str = "cuda:0", job: Job | None = None, difficulty: float = 2000.0
    ) -> Solution:
        self.shares_told += 1
        return Solution(
            job or self.job(), 0xABCD << 48 | self.shares_told, device, self.clock.now(),
            bytes(32), hash_reaching(difficulty),
        )  # fmt: skip

    def tell(self, event: Event) -> None:
        self.ledger.event(event)
        self.also(event)

    def found(self, solution: Solution | None = None, **how: Any) -> Solution:
        solution = solution or self.claim(**how)
        self.clock.seconds += 0.25
        self.tell(ShareFound(solution))
        return solution

    def sent(self, solution: Solution) -> None:
        self.clock.seconds += 0.25
        self.tell(ShareSent(solution))

    def answered(
        self, solution: Solution, outcome: Outcome = Outcome.ACCEPTED, text: str = "",
        seconds: float | None = None,
    ) -> None:  # fmt: skip
        self.clock.seconds += 0.5
        self.tell(ShareAnswered(Verdict(solution, outcome, text, seconds)))

    def lived(self, outcome: Outcome = Outcome.ACCEPTED, text: str = "", **how: Any) -> Solution:
        solution = self.found(**how)
        self.sent(solution)
        self.answered(solution, outcome, text, 0.5)
        return solution

    def refuted(self, device: str = "cuda:0", job: Job | None = None) -> Candidate:
        claim = self.claim(device, job, 3.0)
        candidate = Candidate(claim.job, claim.nonce, claim.device, claim.found_at)
        self.clock.seconds += 0.25
        self.tell(CandidateRefuted(candidate, claim.final_hash))
        return candidate

    def shares(self, wanted: Filter | None = None) -> list[ShareRecord]:
        """What the file says after everything was written."""
        self.ledger.flush()
        return LedgerReader(self.path).shares(wanted or Filter(), newest_first=False)

    def one(self) -> ShareRecord:
        (share,) = self.shares()
        return share


def asked(path: Path, statement: str) -> Any:
    """What SQLite itself answers, without our code."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchone()[0]


def assert_sound(path: Path) -> None:
    assert asked(path, "PRAGMA integrity_check") == "ok"
