"""The OpenAPI document of the HTTP API, generated from its operations and models."""

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
    400: "The request cannot be parsed, or a parameter is invalid.",
    401: "The token is missing or wrong.",
    403: "A page of another origin sent the request, or it changes something and no token is set.",
    404: "Not found.",
    405: "The address does not support this method.",
    408: "The body took too long to arrive.",
    409: "The settings are unusable; nothing changed.",
    413: "The body is larger than 64 KiB.",
    417: "An expectation other than 100-continue.",
    421: "The name in the header Host is not listed under hosts.",
    429: "This address asks for too much, or sent too many wrong tokens; Retry-After says when to "
    "ask again.",
    431: "The first line or a header is too long.",
    500: "A bug; the journal reports it.",
    503: "Too many clients are connected, or reading the ledger takes too long; Retry-After says "
    "when to ask again.",
}

EVERYWHERE = (400, 403, 405, 408, 413, 417, 421, 429, 431, 500, 503)


def document() -> dict[str, Any]:
    """Return the document."""
    models: set[type[Response]] = {Error, EntryAnswer}
    models.update(each.response for each in OPERATIONS if each.response is not None)
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
            "description": "State and control of progpow-miner. "
            "Numbers are in base units: H/s, seconds, °C, W, percent, MHz, bytes; times are UNIX "
            "seconds; unknown values are null.",
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
def document_text() -> str:
    """Return the document as JSON text; docs/openapi.json has a copy."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = _parameters(operation)
    errors = {*EVERYWHERE, *operation.errors, *((401,) if operation.needs_token else ())}
    responses: dict[str, Any] = {
        "200": {
            "description": "The check passed." if operation.is_health_check else "The answer.",
            "content": {media: {"schema": _schema(operation)} for media in operation.media},
        }
    }
    for status in sorted(errors):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    if operation.is_health_check:
        either = {"anyOf": [_schema(operation), _reference(Error)]}
        responses["503"] = {
            "description": "The check failed, or too many clients are connected.",
            "content": {"application/json": {"schema": either}},
        }
    result: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": responses,
    }
    if parameters:
        result["parameters"] = parameters
    if operation.needs_token:
        result["security"] = [{"token": []}]
    return result


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []

    def add(name: str, place: str, description: str, schema: dict[str, Any]) -> None:
        own = {"name": name, "in": place, "required": place == "path"}
        parameters.append(own | {"description": description, "schema": schema})

    if "{name}" in operation.path:
        text = {"type": "string", "minLength": 1}
        add("name", "path", 'Name of the device, as in "cuda:0".', text)
    if operation.query is not None:
        for name, schema in operation.query.model_json_schema()["properties"].items():
            own = {key: value for key, value in schema.items() if key not in _OUTSIDE_SCHEMA}
            if own.get("default", 0) is None:
                # An absent parameter has no value; a query string cannot express null.
                del own["default"]
                own |= next(kind for kind in own.pop("anyOf") if kind["type"] != "null")
            add(name, "query", schema["description"], own)
    return parameters


_OUTSIDE_SCHEMA = ("description", "title")


def _schema(operation: Operation) -> dict[str, Any]:
    if operation.response is None:
        return {"type": "object" if "application/json" in operation.media else "string"}
    reference = _reference(operation.response)
    return {"type": "array", "items": reference} if operation.is_list else reference


def _reference(model: type[Response]) -> dict[str, Any]:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _error(description: str) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(Error)}}
    return {"description": description, "content": content}


if __name__ == "__main__":
    print(document_text(), end="")
