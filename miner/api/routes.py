"""The routes of the API, with the query parameters of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from miner.api.responses import Done, EventsAnswer, Health, HistoryAnswer, Response, SharesOfLedger
from miner.api.status_json import DeviceAnswer, PoolAnswer, Status
from miner.telemetry.journal import KEPT


def _number(text: object) -> object:
    if isinstance(text, str):
        if not re.fullmatch(r"0|[1-9][0-9]{0,15}", text):
            raise ValueError("this is not a whole number")
        return int(text)
    return text


Number = Annotated[int, BeforeValidator(_number)]


class Query(BaseModel):
    """Base of all sets of parameters; each has a default."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )


class HistoryQuestion(Query):
    """Which history."""

    step: Annotated[Literal[10, 300], BeforeValidator(_number)] = 10
    """Seconds between samples: 10 shows the last hour, 300 the last day."""


class EventsQuestion(Query):
    """Which entries of the journal."""

    after: Annotated[Number, Field(ge=0, lt=2**53)] = 0
    """Only entries with a higher number."""
    limit: Annotated[Number, Field(ge=1, le=KEPT)] = 100
    """At most so many, the newest ones."""


class SharesQuestion(Query):
    """Which rows of the ledger."""

    limit: Annotated[Number, Field(ge=1, le=1000)] = 100
    """At most so many, the newest ones."""


class StreamQuestion(Query):
    """Where a stream begins."""

    after: Annotated[Number, Field(ge=0, lt=2**53)] | None = None
    """Begin with the entries that have a higher number; without it, with the next entry."""


Asked = TypeVar("Asked", bound=Query)


def asked(request: web.Request, question: type[Asked]) -> Asked:
    """Return the parameters of `request`; raises HTTP's 400 with a sentence."""
    given = dict(request.query)
    if len(given) != len(request.query):
        raise web.HTTPBadRequest(text="a parameter is given twice; give it once")
    try:
        return question.model_validate(given)
    except ValidationError as error:
        problem = error.errors()[0]
        raise web.HTTPBadRequest(text=_sentence(question, problem["type"], problem)) from None


def _sentence(question: type[Query], kind: str, problem: object) -> str:
    names = question.model_fields
    known = ", ".join(names)
    assert isinstance(problem, dict)
    name = str(problem["loc"][0])
    if kind == "extra_forbidden" or name not in names:
        return f"there is no such parameter here; known are: {known}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {message[0].lower()}{message[1:]}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row."""

    name: str
    """Unique."""
    method: str
    path: str
    summary: str
    answer: type[Response] | None = None
    """None: what comes is no JSON that is described here."""
    several: bool = False
    """A list of answers."""
    media: tuple[str, ...] = ("application/json",)
    question: type[Query] | None = None
    writes: bool = False
    """It needs the token."""
    errors: tuple[int, ...] = ()
    """Besides those that every operation has."""
    unwell: bool = False
    """Its answer comes with 503 where all is not well."""


_V1 = "/api/v1"

OPERATIONS = (
    Operation("status", "GET", f"{_V1}/status", "Everything at once.", Status),
    Operation("devices", "GET", f"{_V1}/devices", "All devices.", DeviceAnswer, several=True),
    Operation(
        "device", "GET", f"{_V1}/devices/{{name}}", "One device.", DeviceAnswer, errors=(404,)
    ),
    Operation(
        "pools", "GET", f"{_V1}/pools", "The pools connected to so far.", PoolAnswer, several=True
    ),
    Operation(
        "history", "GET", f"{_V1}/history", "Hashrates and sensors over time.", HistoryAnswer,
        question=HistoryQuestion,
    ),
    Operation(
        "events", "GET", f"{_V1}/events", "What happened, in sentences.", EventsAnswer,
        question=EventsQuestion,
    ),
    Operation(
        "shares", "GET", f"{_V1}/shares", "The newest shares of the ledger.", SharesOfLedger,
        question=SharesQuestion, errors=(404,),
    ),
    Operation(
        "stream", "GET", f"{_V1}/stream",
        'Live data as server-sent events: "status" with a Status once a second, "entry" with an '
        "EntryAnswer for each new entry of the journal; the header Last-Event-ID resumes entries.",
        media=("text/event-stream",), question=StreamQuestion,
    ),
    Operation("pause", "POST", f"{_V1}/pause", "Have every device rest.", Done, writes=True),
    Operation("resume", "POST", f"{_V1}/resume", "Have every device go on.", Done, writes=True),
    Operation(
        "pause_device", "POST", f"{_V1}/devices/{{name}}/pause", "Have one device rest.", Done,
        writes=True, errors=(404,),
    ),
    Operation(
        "resume_device", "POST", f"{_V1}/devices/{{name}}/resume", "Have one device go on.", Done,
        writes=True, errors=(404,),
    ),
    Operation(
        "reload", "POST", f"{_V1}/reload", "Read the settings again.", Done,
        writes=True, errors=(409,),
    ),
    Operation(
        "reload_short", "POST", "/reload", "The same, where other programs look for it.", Done,
        writes=True, errors=(409,),
    ),
    Operation("document", "GET", f"{_V1}/openapi.json", "This document."),
    Operation(
        "livez", "GET", "/livez", "Whether a restart would not help: building a dataset is alive.",
        Health, unwell=True,
    ),
    Operation(
        "readyz", "GET", "/readyz", "Whether a device searches for a pool's job.", Health,
        unwell=True,
    ),
    Operation(
        "metrics", "GET", "/metrics", "Everything for Prometheus.",
        media=("text/plain", "application/openmetrics-text"),
    ),
)  # fmt: skip
