"""The operations of the API: method, path, query parameters and response of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from miner.api.responses import (
    Access,
    Done,
    EventsAnswer,
    Health,
    HistoryAnswer,
    Readiness,
    Response,
    SharesOfLedger,
)
from miner.api.status_json import DeviceAnswer, PoolAnswer, Status
from miner.attribute_docs import add_descriptions
from miner.telemetry.journal import KEPT


def _whole_number(text: object) -> object:
    if isinstance(text, str):
        if not re.fullmatch(r"0|[1-9][0-9]{0,15}", text):
            raise ValueError("this is not a whole number")
        return int(text)
    return text


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]


class Query(BaseModel):
    """Base of all query parameters; each parameter has a default."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", json_schema_extra=add_descriptions
    )


class HistoryQuery(Query):
    """Parameters of the history."""

    step: Annotated[Literal[10, 300], BeforeValidator(_whole_number)] = 10
    """Seconds between samples: 10 shows the last hour, 300 the last day."""


class EventsQuery(Query):
    """Parameters of the journal's entries."""

    after: Annotated[WholeNumber, Field(ge=0, lt=2**53)] = 0
    """Only entries with a higher number."""
    limit: Annotated[WholeNumber, Field(ge=1, le=KEPT)] = 100
    """Maximum number of entries; the newest ones are returned."""


class SharesQuery(Query):
    """Parameters of the ledger's rows."""

    limit: Annotated[WholeNumber, Field(ge=1, le=1000)] = 100
    """Maximum number of shares; the newest ones are returned."""


class MetricsQuery(Query):
    """Parameters of the metrics."""

    lean: Annotated[Literal[0, 1], BeforeValidator(_whole_number)] = 0
    """1 leaves out what alerts and the board's overview do not need."""


class StreamQuery(Query):
    """Parameters of the event stream."""

    after: Annotated[WholeNumber, Field(ge=0, lt=2**53)] | None = None
    """Start with the entries that have a higher number. Default: with the next entry."""


AnyQuery = TypeVar("AnyQuery", bound=Query)


def parse_query(request: web.Request, model: type[AnyQuery]) -> AnyQuery:
    """Return the query parameters of `request`; raises HTTP's 400 with a sentence."""
    given = dict(request.query)
    if len(given) != len(request.query):
        raise web.HTTPBadRequest(text="a parameter is given twice; give it once")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        sentence = _sentence(model, error.errors()[0])
        raise web.HTTPBadRequest(text=sentence) from None


def _sentence(model: type[Query], problem: Any) -> str:
    names = model.model_fields
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden" or name not in names:
        return f"unknown parameter; known are: {', '.join(names)}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {message[0].lower()}{message[1:]}"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API."""

    name: str
    """Unique."""
    method: str
    path: str
    summary: str
    response: type[Response] | None = None
    """None: a response without a schema."""
    is_list: bool = False
    """The response is a list of `response`."""
    media: tuple[str, ...] = ("application/json",)
    query: type[Query] | None = None
    needs_token: bool = False
    errors: tuple[int, ...] = ()
    """Besides those of every operation."""
    is_health_check: bool = False
    """The response has status 503 if the check fails."""


_V1 = "/api/v1"

OPERATIONS = (
    Operation("status", "GET", f"{_V1}/status", "The whole state of the miner.", Status),
    Operation("devices", "GET", f"{_V1}/devices", "All devices.", DeviceAnswer, is_list=True),
    Operation(
        "device", "GET", f"{_V1}/devices/{{name}}", "One device.", DeviceAnswer, errors=(404,)
    ),
    Operation(
        "pools", "GET", f"{_V1}/pools", "The pools used in this run.", PoolAnswer, is_list=True
    ),
    Operation(
        "history", "GET", f"{_V1}/history", "Hashrates and sensor values over time.",
        HistoryAnswer, query=HistoryQuery,
    ),
    Operation(
        "events", "GET", f"{_V1}/events", "Entries of the journal, as sentences.", EventsAnswer,
        query=EventsQuery,
    ),
    Operation(
        "shares", "GET", f"{_V1}/shares", "The newest shares of the ledger.", SharesOfLedger,
        query=SharesQuery, errors=(404,),
    ),
    Operation(
        "stream", "GET", f"{_V1}/stream",
        'Live data as server-sent events: "status" with a Status once a second, "entry" with an '
        "EntryAnswer for each new entry of the journal; the header Last-Event-ID resumes entries.",
        media=("text/event-stream",), query=StreamQuery,
    ),
    Operation(
        "access", "GET", f"{_V1}/access", "What the token of this request allows.", Access,
        errors=(401,),
    ),
    Operation("pause", "POST", f"{_V1}/pause", "Pause all devices.", Done, needs_token=True),
    Operation("resume", "POST", f"{_V1}/resume", "Resume all devices.", Done, needs_token=True),
    Operation(
        "pause_device", "POST", f"{_V1}/devices/{{name}}/pause", "Pause one device.", Done,
        needs_token=True, errors=(404,),
    ),
    Operation(
        "resume_device", "POST", f"{_V1}/devices/{{name}}/resume", "Resume one device.", Done,
        needs_token=True, errors=(404,),
    ),
    Operation(
        "reload", "POST", f"{_V1}/reload", "Read the settings again.", Done,
        needs_token=True, errors=(409,),
    ),
    Operation(
        "reload_short", "POST", "/reload", "The same as /api/v1/reload.", Done,
        needs_token=True, errors=(409,),
    ),
    Operation("document", "GET", f"{_V1}/openapi.json", "This document."),
    Operation(
        "livez", "GET", "/livez",
        "Whether the miner is alive, also while it builds a dataset; if not, restart it.", Health,
        is_health_check=True,
    ),
    Operation(
        "readyz", "GET", "/readyz", "Whether a device is mining for a pool.", Readiness,
        is_health_check=True,
    ),
    Operation(
        "metrics", "GET", "/metrics", "Metrics for Prometheus.",
        media=("text/plain", "application/openmetrics-text"), query=MetricsQuery,
    ),
)  # fmt: skip
