"""The OpenAPI document of the HTTP API, made from the rows and the models that it is made of."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from miner import __version__
from miner.api.responses import EntryAnswer, Error, Response
from miner.api.routes import OPERATIONS, Operation

REFERENCE = "#/components/schemas/{model}"

ERRORS = {
    400: "The request cannot be read, or a parameter is out of its domain.",
    401: "The token is missing or wrong.",
    403: "A page of another origin sent it; or it changes something, and no token is set.",
    404: "There is none.",
    405: "The address does not take this method.",
    408: "The body took too long to arrive.",
    409: "The settings cannot be used; nothing changed.",
    413: "The body is larger than 64 KiB.",
    417: "An expectation other than 100-continue.",
    421: "The header Host has a name that is not listed under hosts.",
    429: "Too many wrong tokens came from this address.",
    431: "The first line or a header is too long.",
    500: "A bug; the journal tells of it.",
    503: "Too many clients are connected.",
}

EVERYWHERE = (400, 403, 405, 408, 413, 417, 421, 431, 500, 503)


def document() -> dict[str, Any]:
    """Return the document."""
    models: set[type[Response]] = {Error, EntryAnswer}
    models.update(row.answer for row in OPERATIONS if row.answer is not None)
    named = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "serialization") for model in named], ref_template=REFERENCE
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "progpow-miner",
            "version": __version__,
            "description": "What the miner tells of itself, and what its owner may change. "
            "Numbers are in base units: H/s, seconds, °C, W, percent, MHz, bytes; times are UNIX "
            "seconds; what is not known is null.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:4067"}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "responses": {str(status): _error(text) for status, text in ERRORS.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


@cache
def text() -> str:
    """Return the document as it lies in docs/ and is served."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = _parameters(operation)
    errors = {*EVERYWHERE, *operation.errors, *((401, 429) if operation.writes else ())}
    responses: dict[str, Any] = {
        "200": {
            "description": "All is well." if operation.unwell else "The answer.",
            "content": {media: {"schema": _schema(operation)} for media in operation.media},
        }
    }
    for status in sorted(errors):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    if operation.unwell:
        either = {"anyOf": [_schema(operation), _reference(Error)]}
        responses["503"] = {
            "description": f"All is not well, for these reasons. Or: {ERRORS[503]}",
            "content": {"application/json": {"schema": either}},
        }
    result: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": responses,
    }
    if parameters:
        result["parameters"] = parameters
    if operation.writes:
        result["security"] = [{"token": []}]
    return result


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{name}" in operation.path:
        parameters.append(
            {
                "name": "name",
                "in": "path",
                "required": True,
                "description": 'Name of the device, as in "cuda:0".',
                "schema": {"type": "string", "minLength": 1},
            }
        )
    if operation.question is not None:
        for name, schema in operation.question.model_json_schema()["properties"].items():
            told = {key: value for key, value in schema.items() if key not in _APART}
            if told.get("default", 0) is None:
                # A parameter that is not given is left out; no text stands for null.
                del told["default"]
                told |= next(kind for kind in told.pop("anyOf") if kind["type"] != "null")
            parameters.append(
                {
                    "name": name,
                    "in": "query",
                    "required": False,
                    "description": schema["description"],
                    "schema": told,
                }
            )
    return parameters


_APART = ("description", "title")


def _schema(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {"type": "object" if "application/json" in operation.media else "string"}
    reference = _reference(operation.answer)
    return {"type": "array", "items": reference} if operation.several else reference


def _reference(model: type[Response]) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _error(description: str) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(Error)}}
    return {"description": description, "content": content}


if __name__ == "__main__":
    print(text(), end="")
