"""Every key of the settings with its name in a file, its environment variable and its flag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from miner.attribute_docs import attribute_docs
from miner.settings.field_types import Flag
from miner.settings.model import Settings

PREFIX = "PROGPOW_MINER_"
"""Begins the name of each environment variable of the miner."""

_TYPE_NAMES = {str: "text", Path: "path", SecretStr: "text", bool: "true or false",
               int: "whole number", float: "number", tuple: "list of texts"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Key:
    """A key that holds a value, not a table."""

    place: tuple[str, ...]
    """Names of its tables and its own, as in ("pools", "url"), without list positions."""
    table: type[BaseModel]
    field: FieldInfo
    repeated: bool
    """Whether its table is one of a list, as in [[pools]]."""

    @property
    def name(self) -> str:
        return self.place[-1]

    @property
    def type(self) -> Any:
        """`str`, `Path`, `SecretStr`, `bool`, `int`, `float`, `tuple` (of texts), or a tuple of
        the allowed texts."""
        return value_type(self.field.annotation)

    @property
    def type_name(self) -> str:
        """The type as the reference page names it."""
        if isinstance(self.type, tuple):
            return ", ".join(f'"{choice}"' for choice in self.type)
        return _TYPE_NAMES[self.type]

    @property
    def description(self) -> str:
        return one_paragraph(attribute_docs(self.table).get(self.name))

    @property
    def default(self) -> Any:
        """The default as a settings file holds it (text, number, list); None without one."""
        value = None if self.field.is_required() else self.field.default
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        return list(value) if isinstance(value, tuple) else value

    @property
    def variable(self) -> str | None:
        """The environment variable, for a pool's key that of the first pool; None for the keys of
        other lists."""
        if self.repeated and self.place[0] != "pools":
            return None
        table = ("pool",) if self.repeated else self.place[:-1]
        return PREFIX + "_".join((*table, self.name)).upper()

    @property
    def flag(self) -> Flag | None:
        """The flag of `mine`; None for a key without one and for the keys of other lists."""
        if self.repeated and self.place[0] != "pools":
            return None
        return next((data for data in self.field.metadata if isinstance(data, Flag)), None)


@cache
def all_keys() -> tuple[Key, ...]:
    """Return every key in the order of the model, the keys of a table before its subtables."""
    return tuple(_keys(Settings, (), repeated=False))


@cache
def flag_keys() -> Mapping[tuple[str, ...], tuple[Key, Flag]]:
    """Return each key that has a flag of `mine`, and the flag, by place in the model's order."""
    flags = ((key, key.flag) for key in all_keys())
    return MappingProxyType({key.place: (key, flag) for key, flag in flags if flag is not None})


@cache
def all_tables() -> Mapping[tuple[str, ...], type[BaseModel]]:
    """Return the model of each table by place; the place of the top level is ()."""
    return MappingProxyType(dict(_tables(Settings, ())))


def value_type(annotation: Any) -> Any:
    """Return the `Key.type` of an annotation; for a table or a list of tables, its model."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return value_type(get_args(annotation)[0])
    if origin in (Union, UnionType):
        (inner,) = (a for a in get_args(annotation) if a is not type(None))
        return value_type(inner)
    if origin is Literal:
        return get_args(annotation)
    if origin is tuple:
        inner = value_type(get_args(annotation)[0])
        return inner if is_table(inner) else tuple
    return annotation


def is_table(value_type: Any) -> bool:
    """Whether a result of `value_type` is the model of a table."""
    return isinstance(value_type, type) and issubclass(value_type, BaseModel)


def fields_of(table: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the fields of a table by name, its own before the inherited ones."""
    own = [name for name in table.model_fields if name in table.__annotations__]
    return {name: table.model_fields[name] for name in (*own, *table.model_fields)}


def one_paragraph(text: str | None) -> str:
    """Return a docstring without its line breaks."""
    return " ".join((text or "").split())


def _keys(table: type[BaseModel], place: tuple[str, ...], *, repeated: bool) -> Iterator[Key]:
    subtables = []
    for name, field in fields_of(table).items():
        inner = value_type(field.annotation)
        if is_table(inner):
            subtables.append((inner, (*place, name), repeated or _is_list(field.annotation)))
        else:
            yield Key((*place, name), table, field, repeated)
    for subtable, subplace, is_repeated in subtables:
        yield from _keys(subtable, subplace, repeated=is_repeated)


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Annotated, Union, UnionType):
        return any(_is_list(a) for a in get_args(annotation))
    return origin is tuple


def _tables(
    table: type[BaseModel], place: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    yield place, table
    for name, field in fields_of(table).items():
        inner = value_type(field.annotation)
        if is_table(inner):
            yield from _tables(inner, (*place, name))
