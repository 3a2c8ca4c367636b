"""One share as it is being lived, until its last word is written down."""

from __future__ import annotations

from dataclasses import dataclass

from miner.work import Candidate, Job, Solution

Value = str | int | float | None
"""What SQLite can hold of a share."""

MOST_TEXT = 1000
"""Characters of a pool's text or a job's name that are kept."""


@dataclass(slots=True, eq=False)
class Entry:
    """A share of this run; times are UNIX seconds."""

    number: int
    """Counted from 1 within the run."""
    claim: Solution | Candidate
    final_hash: bytes
    pci: str | None
    uuid: str | None
    found_at: float
    verified_at: float | None
    """When the CPU had hashed it again; None where nobody said."""
    sent_at: float | None = None
    answered_at: float | None = None
    outcome: str | None = None
    text: str = ""
    dropped: bool = False
    """Memory was full before it could be written."""

    def row(self, run: str) -> tuple[Value, ...]:
        """Return the values of `COLUMNS`."""
        job, value = self.claim.job, int.from_bytes(self.final_hash, "big")
        return (
            run, self.number, _text(self.claim.device), self.pci, self.uuid,
            _text(job.pool), _text(job.variant.name), _text(job.id),
            job.height, job.epoch.number, job.period,
            f"{self.claim.nonce:016x}", job.header_hash.hex(),
            job.difficulty, 2**256 / (value + 1),
            int(isinstance(self.claim, Solution) and self.claim.is_block),
            self.found_at, self.verified_at, self.sent_at, self.answered_at,
            self.outcome, _text(self.text),
        )  # fmt: skip


Key = tuple[int, bytes, int, str, float]


def key_of(solution: Solution) -> Key:
    """Return what tells `solution` from others; hashing all of it would hash its variant too."""
    job: Job = solution.job
    return (job.session, job.header_hash, solution.nonce, solution.device, solution.found_at)


def _text(text: str) -> str:
    # JSON can bring half a character, which no file can hold.
    return text[:MOST_TEXT].encode("utf-8", "replace").decode()
