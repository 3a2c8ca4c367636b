"""Every key of the settings as one row: what it is called in a file, the environment, a flag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from miner.settings.model import Flag, Settings

PREFIX = "PROGPOW_MINER_"
"""Begins the name of each environment variable that is ours."""

SECRETS = frozenset({"password", "token"})
"""Keys that are never shown."""

_KINDS = {str: "text", Path: "path", SecretStr: "text", bool: "true or false",
          int: "whole number", float: "number"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Key:
    """One key that holds a value (a table is none)."""

    place: tuple[str, ...]
    """Without positions in lists, as in ("pools", "url")."""
    table: type[BaseModel]
    field: FieldInfo
    repeated: bool
    """It stands in a list of tables."""

    @property
    def name(self) -> str:
        return self.place[-1]

    @property
    def kind(self) -> Any:
        """`str`, `Path`, `SecretStr`, `bool`, `int`, `float`, `tuple` (of texts), or a tuple of
        the values that may be chosen."""
        return kind_of(self.field.annotation)

    @property
    def kind_words(self) -> str:
        """What to write, in words."""
        if isinstance(self.kind, tuple):
            return ", ".join(f'"{choice}"' for choice in self.kind)
        return "list of texts" if self.kind is tuple else _KINDS[self.kind]

    @property
    def meaning(self) -> str:
        return " ".join((self.field.description or "").split())

    @property
    def default(self) -> Any:
        """As it stands in a file: text, number, list; None where there is none."""
        value = None if self.field.is_required() else self.field.default
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        return list(value) if isinstance(value, tuple) else value

    @property
    def variable(self) -> str | None:
        """Environment variable, of the first pool for a pool's key; None for a key that only a
        file can hold."""
        if self.repeated and self.place[0] != "pools":
            return None
        table = ("pool",) if self.repeated else self.place[:-1]
        return PREFIX + "_".join((*table, self.name)).upper()

    @property
    def flag(self) -> Flag | None:
        """The flag of `mine`; None for a key without one."""
        if self.repeated and self.place[0] != "pools":
            return None
        return next((data for data in self.field.metadata if isinstance(data, Flag)), None)


@lru_cache(maxsize=1)
def all_keys() -> tuple[Key, ...]:
    """Return every key, in the order of the model, a table's own before those of its tables."""
    return tuple(_keys(Settings, (), False))


@lru_cache(maxsize=1)
def flag_keys() -> Mapping[tuple[str, ...], tuple[Key, Flag]]:
    """Return the keys that have a flag of `mine`, with it, by place, in the order of the model."""
    flags = ((key, key.flag) for key in all_keys())
    return MappingProxyType({key.place: (key, flag) for key, flag in flags if flag is not None})


@lru_cache(maxsize=1)
def all_tables() -> Mapping[tuple[str, ...], type[BaseModel]]:
    """Return the model of each table by its name, the top level's name being ()."""
    return MappingProxyType(dict(_tables(Settings, ())))


def kind_of(annotation: Any) -> Any:
    """Return what `Key.kind` says of a type, or the model of a table or of a list's tables."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return kind_of(get_args(annotation)[0])
    if origin in (Union, UnionType):
        (inner,) = (a for a in get_args(annotation) if a is not type(None))
        return kind_of(inner)
    if origin is Literal:
        return get_args(annotation)
    if origin is tuple:
        inner = kind_of(get_args(annotation)[0])
        return inner if is_table(inner) else tuple
    return annotation


def is_list(annotation: Any) -> bool:
    """Tell whether a type is a list, of texts or of tables."""
    origin = get_origin(annotation)
    if origin in (Annotated, Union, UnionType):
        return any(is_list(a) for a in get_args(annotation))
    return origin is tuple


def fields_of(table: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the fields of a table by name, its own before those that it inherits."""
    own = [name for name in table.model_fields if name in table.__annotations__]
    return {name: table.model_fields[name] for name in (*own, *table.model_fields)}


def is_table(kind: Any) -> bool:
    """Tell whether what `kind_of` said is the model of a table."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(table: type[BaseModel], place: tuple[str, ...], repeated: bool) -> Iterator[Key]:
    inner = []
    for name, field in fields_of(table).items():
        kind = kind_of(field.annotation)
        if is_table(kind):
            inner.append((kind, (*place, name), repeated or is_list(field.annotation)))
        else:
            yield Key((*place, name), table, field, repeated)
    for kind, where, many in inner:
        yield from _keys(kind, where, many)


def _tables(
    table: type[BaseModel], place: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    yield place, table
    for name, field in fields_of(table).items():
        kind = kind_of(field.annotation)
        if is_table(kind):
            yield from _tables(kind, (*place, name))
