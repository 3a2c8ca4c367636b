"""What the HTTP API can be asked: one row for each method and address."""

from __future__ import annotations

from dataclasses import dataclass

from miner.api.answers import Answer, Done, EventsAnswer, Health, HistoryAnswer, SharesOfLedger
from miner.api.questions import (
    EventsQuestion,
    HistoryQuestion,
    Question,
    SharesQuestion,
    StreamQuestion,
)
from miner.api.status import DeviceAnswer, PoolAnswer, Status


@dataclass(frozen=True, slots=True)
class Operation:
    """One row."""

    name: str
    """Unique."""
    method: str
    path: str
    summary: str
    answer: type[Answer] | None = None
    """None: what comes is no JSON that is described here."""
    several: bool = False
    """A list of answers."""
    media: tuple[str, ...] = ("application/json",)
    question: type[Question] | None = None
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
