"""Docstrings of attributes, in JSON Schemas and on their own."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from miner.attribute_docs import add_descriptions, attribute_docs


class Base(BaseModel):
    """A model."""

    model_config = ConfigDict(json_schema_extra=add_descriptions)

    first: int
    """The first,
    in two lines."""
    second: int


class Derived(Base):
    """A model with an inherited field."""

    third: Base
    """The third."""
    "not a docstring"


DOCS = {"first": "The first,\nin two lines.", "third": "The third."}


def test_inherited_attributes_have_their_docstrings() -> None:
    assert attribute_docs(Derived) == DOCS
    assert attribute_docs(Base) == {"first": DOCS["first"]}


def test_a_schema_has_the_descriptions_of_its_fields() -> None:
    schema = Derived.model_json_schema()
    shown = {name: field.get("description") for name, field in schema["properties"].items()}
    assert shown == {"first": DOCS["first"], "second": None, "third": DOCS["third"]}


def test_a_class_without_source_has_no_docstrings() -> None:
    scope = {"__name__": "nowhere"}
    exec("class Made:\n    field: int\n    'A field.'", scope)
    assert attribute_docs(scope["Made"]) == {}  # type: ignore[arg-type]
