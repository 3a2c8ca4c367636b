"""Base class and small models of the JSON responses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model
from pydantic_core import PydanticSerializationError, to_jsonable_python
from pydantic_core import to_json as pydantic_to_json

from miner.api.path_redaction import PathRedactor, RedactedText
from miner.attribute_docs import add_descriptions
from miner.telemetry.field_metadata import Description, descriptions, label_of

OutcomeName = Literal[
    "accepted", "stale", "low_difficulty", "duplicate", "invalid", "unauthorized", "not_sent",
    "lost",
]  # fmt: skip
"""The outcome of a share, as in the ledger and the metrics."""

LevelName = Literal["debug", "info", "warning", "error"]
"""The importance of a journal's entry."""

LedgerName = OutcomeName | Literal["hardware", "unanswered"]
"""The outcome of a candidate, as in the ledger."""

_LEDGER_NAMES = frozenset(name for part in get_args(LedgerName) for name in get_args(part))

_KnownOutcome = BeforeValidator(lambda name: name if name in _LEDGER_NAMES else None)


class Response(BaseModel):
    """Base of all responses: unknown values are null, times are UNIX seconds."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", from_attributes=True,
        json_schema_extra=add_descriptions,
    )  # fmt: skip


AnyResponse = TypeVar("AnyResponse", bound=Response)


def with_fields_of(
    source: type[Any], responses: Mapping[type[Any], type[Response]] | None = None
) -> Callable[[type[AnyResponse]], type[AnyResponse]]:
    """Return a class decorator that adds the described fields of the dataclass `source` after the
    response's own; `responses` maps the dataclasses among their types to responses."""
    hints = get_type_hints(source)

    def extend(model: type[AnyResponse]) -> type[AnyResponse]:
        added: dict[str, Any] = {
            name: (
                _response_type(hints[name], description, responses or {}),
                Field(description=description.sentence_with_unit),
            )
            for name, description in descriptions(source)
            if description.api
        }
        return create_model(
            model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__,
            **added,
        )  # fmt: skip

    return extend


def field_values(value: object) -> dict[str, Any]:
    """Return the values of the fields that `with_fields_of` the class of `value` adds."""
    shown = descriptions(type(value))
    return {name: getattr(value, name) for name, description in shown if description.api}


def _response_type(
    hint: Any, description: Description, responses: Mapping[type[Any], type[Response]]
) -> Any:
    if description.sentence:
        return RedactedText if hint is str else RedactedText | None
    if isinstance(hint, type) and issubclass(hint, Enum):
        names = [label_of(member) for member in hint]
        schema = WithJsonSchema({"enum": names, "type": "string"})
        return Annotated[str, BeforeValidator(label_of), schema]
    return responses.get(hint, hint)


def to_json(response: Response | Sequence[Response], redact: PathRedactor | None = None) -> bytes:
    """Return `response` as JSON in UTF-8, its sentences redacted by `redact`.

    NaN and infinities become null, and surrogates, which a pool's texts may contain, "?".
    """
    try:
        return pydantic_to_json(response, inf_nan_mode="null", context=redact)
    except PydanticSerializationError:
        value = to_jsonable_python(response, inf_nan_mode="null", context=redact)
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


class Error(Response):
    """An error."""

    error: str
    """The problem, as one sentence."""


class Health(Response):
    """The result of a health check."""

    ok: bool
    reasons: tuple[RedactedText, ...]
    """Why `ok` is false, as sentences."""


class Readiness(Health):
    """The result of the readiness check."""

    degraded: tuple[RedactedText, ...]
    """Why fewer devices mine than are expected, as sentences; `ok` may be true."""


class Done(Response):
    """The changes that a request made."""

    done: tuple[RedactedText, ...]
    """As sentences."""


class Access(Response):
    """The rights that the token of a request gives."""

    read_only: bool
    """No token is set, so no request may change anything."""
    control: bool
    """The request has the token: it may pause, resume and reload."""


class DeviceSampleAnswer(Response):
    """One device at one time."""

    name: str
    hashrate: float
    """Per second, since the previous sample."""
    temperature: float | None
    """Core temperature, °C."""
    memory_temperature: float | None
    """°C."""
    power: float | None
    """W."""
    fan: float | None
    """Percent of its maximum speed."""


class SampleAnswer(Response):
    """The miner at one time."""

    at: float
    hashrate: float
    """Per second, since the previous sample."""
    accepted: int
    """Shares since the start of the miner."""
    not_accepted: int
    """Shares since the start of the miner."""
    devices: tuple[DeviceSampleAnswer, ...]


class HistoryAnswer(Response):
    """Hashrates and sensor values over time."""

    step: int
    """Seconds between samples."""
    samples: tuple[SampleAnswer, ...]
    """Oldest first."""


class EntryAnswer(Response):
    """A sentence of the journal."""

    number: int
    """Counts up from 1 without gaps in each run."""
    at: float
    level: LevelName
    topic: str
    """A device, or "pool", "job", "share", "cache" and the like."""
    text: RedactedText


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
    """Counts up from 1 within the run."""
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
    """Difficulty that the pool requested, in hashes."""
    difficulty_reached: float
    """Difficulty that the share reached, in hashes."""
    is_block: bool
    """The share met the block's target, as far as the pool reported it."""
    found_at: float
    verified_at: float | None
    sent_at: float | None
    answered_at: float | None
    """Time at which the outcome was known, by an answer or without one."""
    outcome: Annotated[LedgerName | None, _KnownOutcome]
    """Null for an outcome that another version of the miner wrote and this one does not know."""
    text: RedactedText | None
    """The pool's message, or ours if it sent none."""


class SharesOfLedger(Response):
    """The newest rows of the ledger."""

    shares: tuple[LedgerShare, ...]
    """Newest first."""
