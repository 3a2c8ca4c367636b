"""What comes of a client's messages, as events that are plain values."""

from __future__ import annotations

from dataclasses import dataclass

from miner.pool.bundled.judge import Share

RequestId = int | str | None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The client authorized its first worker."""

    worker: str
    agent: str
    """What the client calls itself, printable ASCII; may be empty."""


@dataclass(frozen=True, slots=True)
class ShareToProve:
    """A share that only recomputing can judge: hand the hashes to `Teller.judge`."""

    request_id: RequestId
    share: Share


@dataclass(frozen=True, slots=True)
class ShareJudged:
    """A share was judged, whatever the client was told of it."""

    worker: str
    """Empty where the submission named no authorized one."""
    height: int
    accepted: bool
    code: int
    """0 when accepted, else the judge's code, which dialects put in their own ways."""
    text: str
    difficulty: float
    """Difficulty 1 is 2**32 * 256 / 255 expected hashes; 0 where nothing was recomputed."""


@dataclass(frozen=True, slots=True)
class BlockFound:
    """An accepted share solves the block at the chain's height."""

    worker: str
    height: int
    nonce: int
    final_hash: bytes
    """32 bytes in display order."""


TellerEvent = LoggedIn | ShareToProve | ShareJudged
