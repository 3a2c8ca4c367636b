"""What may be asked for behind the question mark of an address."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from miner.telemetry.journal import KEPT


def _number(text: object) -> object:
    if isinstance(text, str):
        if not re.fullmatch(r"0|[1-9][0-9]{0,15}", text):
            raise ValueError("this is not a whole number")
        return int(text)
    return text


Number = Annotated[int, BeforeValidator(_number)]


class Question(BaseModel):
    """Base of all sets of parameters; each has a default."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )


class HistoryQuestion(Question):
    """Which history."""

    step: Annotated[Literal[10, 300], BeforeValidator(_number)] = 10
    """Seconds between samples: 10 shows the last hour, 300 the last day."""


class EventsQuestion(Question):
    """Which entries of the journal."""

    after: Annotated[Number, Field(ge=0, lt=2**53)] = 0
    """Only entries with a higher number."""
    limit: Annotated[Number, Field(ge=1, le=KEPT)] = 100
    """At most so many, the newest ones."""


class SharesQuestion(Question):
    """Which rows of the ledger."""

    limit: Annotated[Number, Field(ge=1, le=1000)] = 100
    """At most so many, the newest ones."""


class StreamQuestion(Question):
    """Where a stream begins."""

    after: Annotated[Number, Field(ge=0, lt=2**53)] | None = None
    """Begin with the entries that have a higher number; without it, with the next entry."""


Asked = TypeVar("Asked", bound=Question)


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


def _sentence(question: type[Question], kind: str, problem: object) -> str:
    names = question.model_fields
    known = ", ".join(names)
    assert isinstance(problem, dict)
    name = str(problem["loc"][0])
    if kind == "extra_forbidden" or name not in names:
        return f"there is no such parameter here; known are: {known}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{name}: {message[0].lower()}{message[1:]}"
