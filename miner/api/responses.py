"""What all answers of the HTTP API have in common, and those of few fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from miner.api.path_redaction import Paths, Words

OutcomeName = Literal[
    "accepted", "stale", "low_difficulty", "duplicate", "invalid", "unauthorized", "not_sent",
    "lost",
]  # fmt: skip
"""What became of a share, as in the ledger and the metrics."""

LedgerName = OutcomeName | Literal["hardware", "unanswered"]
"""What became of a candidate, as the ledger has it."""

_LEDGER_NAMES = frozenset(name for part in get_args(LedgerName) for name in get_args(part))


def _known(word: object) -> object:
    """Return `word`, or None where another version of the miner wrote it into the same ledger."""
    return word if word in _LEDGER_NAMES else None


class Response(BaseModel):
    """Base of all answers: what is not known is null, times are UNIX seconds."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", from_attributes=True,
        use_attribute_docstrings=True,
    )  # fmt: skip


def written(answer: Response | Sequence[Response], paths: Paths | None = None) -> bytes:
    """Return `answer` as JSON in UTF-8, its sentences without `paths`: null for what is no finite
    number, "?" for the halves of characters that a pool may have in its texts."""
    try:
        return to_json(answer, inf_nan_mode="null", context=paths)
    except PydanticSerializationError:
        told = to_jsonable_python(answer, inf_nan_mode="null", context=paths)
        return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


class Error(Response):
    """Why there is no other answer."""

    error: str
    """One sentence."""


class Health(Response):
    """Whether all is well."""

    ok: bool
    reasons: tuple[Words, ...]
    """Why it is not, in sentences."""


class Done(Response):
    """What was changed."""

    done: tuple[Words, ...]
    """In sentences."""


class DeviceSampleAnswer(Response):
    """One device at one time."""

    name: str
    hashrate: float
    """Per second, since the sample before."""
    temperature: float | None
    """Of the core, °C."""
    memory_temperature: float | None
    """°C."""
    power: float | None
    """W."""
    fan: float | None
    """Percent of its highest speed."""


class SampleAnswer(Response):
    """The miner at one time."""

    at: float
    hashrate: float
    """Per second, since the sample before."""
    accepted: int
    """Since the start."""
    not_accepted: int
    """Since the start."""
    devices: tuple[DeviceSampleAnswer, ...]


class HistoryAnswer(Response):
    """Hashrates and sensors over time."""

    step: int
    """Seconds between samples."""
    samples: tuple[SampleAnswer, ...]
    """Oldest first."""


class EntryAnswer(Response):
    """A sentence of the journal."""

    number: int
    """Counts up from 1 without gaps, anew in each run."""
    at: float
    level: Literal["debug", "info", "warning", "error"]
    topic: str
    """A device, or "pool", "job", "share", "cache" and the like."""
    text: Words


class EventsAnswer(Response):
    """The newest entries of the journal."""

    events: tuple[EntryAnswer, ...]
    """Oldest first."""


class LedgerShare(Response):
    """One row of the ledger: the whole life of a candidate."""

    __qualname__ = "ShareAnswer"  # its name in the OpenAPI document
    model_config = ConfigDict(extra="ignore", title="ShareAnswer")

    run: str
    """Name of the run that found it."""
    number: int
    """Counted from 1 within the run."""
    device: str
    pci: str | None
    uuid: str | None
    pool: str
    algorithm: str
    job: str
    height: int
    epoch: int
    period: int
    nonce: str
    """16 hex digits."""
    header: str
    """64 hex digits in display order."""
    difficulty_asked: float
    """Hashes that one that is good enough costs on average."""
    difficulty_reached: float
    """Hashes that one as good as this one costs on average."""
    is_block: bool
    """It met the block's target, as far as the pool told that."""
    found_at: float
    verified_at: float | None
    sent_at: float | None
    answered_at: float | None
    """When its life ended, by an answer or without one."""
    outcome: Annotated[LedgerName | None, BeforeValidator(_known)]
    """Null where another version wrote a word that this one does not know."""
    text: Words | None
    """The pool's own words, or ours where it said none."""


class SharesOfLedger(Response):
    """The newest rows of the ledger."""

    shares: tuple[LedgerShare, ...]
    """Newest first."""
