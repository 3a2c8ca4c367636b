"""Response models with the described fields of telemetry's dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import BeforeValidator, Field, WithJsonSchema, create_model

from miner.api.path_redaction import Words
from miner.api.responses import Response
from miner.telemetry.field_metadata import Description, descriptions, label_of

AnyResponse = TypeVar("AnyResponse", bound=Response)


def with_fields_of(
    source: type[Any], responses: Mapping[type[Any], type[Response]] | None = None
) -> Callable[[type[AnyResponse]], type[AnyResponse]]:
    """Return a class decorator that adds the described fields of the dataclass `source` after the
    response's own; `responses` holds the response for each dataclass among their types."""
    hints = get_type_hints(source)

    def extend(model: type[AnyResponse]) -> type[AnyResponse]:
        added: dict[str, Any] = {
            name: (
                _type(hints[name], description, responses or {}),
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
    """Return the values of the fields of `value` that `with_fields_of` its class adds."""
    shown = descriptions(type(value))
    return {name: getattr(value, name) for name, description in shown if description.api}


def _type(
    hint: Any, description: Description, responses: Mapping[type[Any], type[Response]]
) -> Any:
    if description.sentence:
        return Words if hint is str else Words | None
    if isinstance(hint, type) and issubclass(hint, Enum):
        names = [label_of(member) for member in hint]
        schema = WithJsonSchema({"enum": names, "type": "string"})
        return Annotated[str, BeforeValidator(label_of), schema]
    return responses.get(hint, hint)
