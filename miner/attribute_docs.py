"""Docstrings of attributes, read from the source when a document or a help text needs them.

Pydantic's `use_attribute_docstrings` reads them when a class is made, which takes half of the time
of importing the models.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Any


def attribute_docs(model: type[Any]) -> Mapping[str, str]:
    """Return the docstrings of the attributes of `model` by name, inherited ones included; empty if
    the source is not available."""
    found: dict[str, str] = {}
    package = model.__module__.partition(".")[0]
    for one in reversed(model.__mro__):
        if one.__module__.partition(".")[0] == package:  # reading Pydantic's source takes long
            found |= _docs_in(one.__module__).get(one.__name__, {})
    return found


def add_descriptions(schema: dict[str, Any], model: type[Any]) -> None:
    """Add the docstrings of the attributes of `model` to its JSON Schema; Pydantic calls this as
    its `json_schema_extra`."""
    docs = attribute_docs(model)
    for name, attribute in schema.get("properties", {}).items():
        if name in docs:
            attribute.setdefault("description", docs[name])


@cache
def _docs_in(module: str) -> Mapping[str, Mapping[str, str]]:
    """Return the docstrings of attributes in a module, by class and name."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError):
        return {}
    return {one.name: _docs_of(one) for one in tree.body if isinstance(one, ast.ClassDef)}


def _docs_of(definition: ast.ClassDef) -> dict[str, str]:
    return {
        field.target.id: inspect.cleandoc(text)
        for field, after in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(text := after.value.value, str)
    }
