"""One candidate's life in memory, and the row written of it."""

from __future__ import annotations

from dataclasses import dataclass

from miner.work import Candidate, Job, Solution

Value = str | int | float | None
"""A value of a row."""

MOST_TEXT = 1000
"""Characters that are kept of a pool's text or a job id."""


@dataclass(slots=True, eq=False)
class LedgerEntry:
    """A candidate of this run; times are UNIX seconds."""

    number: int
    """Counted from 1 within the run."""
    source: Solution | Candidate
    final_hash: bytes
    pci: str | None
    uuid: str | None
    found_at: float
    verified_at: float | None
    """When the CPU had verified it; None if unknown."""
    sent_at: float | None = None
    answered_at: float | None = None
    outcome: str | None = None
    text: str = ""
    dropped: bool = False
    """Dropped from memory before it was written."""

    def row(self, run: str) -> tuple[Value, ...]:
        """Return the values of `COLUMNS` for the run named `run`."""
        job, value = self.source.job, int.from_bytes(self.final_hash, "big")
        return (
            run, self.number, _text(self.source.device), self.pci, self.uuid,
            _text(job.pool), _text(job.variant.name), _text(job.id),
            job.height, job.epoch.number, job.period,
            f"{self.source.nonce:016x}", job.header_hash.hex(),
            job.difficulty, 2**256 / (value + 1),
            int(isinstance(self.source, Solution) and self.source.is_block),
            self.found_at, self.verified_at, self.sent_at, self.answered_at,
            self.outcome, _text(self.text),
        )  # fmt: skip


Key = tuple[int, bytes, int, str, float]


def key_of(solution: Solution) -> Key:
    """Return a key for `solution`, cheaper than its own hash, which includes the variant."""
    job: Job = solution.job
    return (job.session, job.header_hash, solution.nonce, solution.device, solution.found_at)


def _text(text: str) -> str:
    # JSON may contain lone surrogates, which UTF-8 cannot encode.
    return text[:MOST_TEXT].encode("utf-8", "replace").decode()
