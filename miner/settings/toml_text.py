"""Settings in effect as TOML and as JSON, without secrets, with the origin of each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel

from miner.settings.key_table import fields_of, is_table, value_type
from miner.settings.loading import Loaded
from miner.settings.secrets import without_secret
from miner.settings.toml_lines import Place, key_name


def toml_value(value: Any) -> str:
    """Return a text, path, number, truth value or list of them in TOML, on one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return tomli_w.dumps({"x": str(value) if isinstance(value, Path) else value})[4:-1]


def tables(model: BaseModel, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield each table under `model` with its place and its own values, in the model's order."""
    values: dict[str, Any] = {}
    subtables: list[tuple[Place, BaseModel]] = []
    for name, field in fields_of(type(model)).items():
        value = getattr(model, name)
        if not is_table(value_type(field.annotation)):
            values[name] = value
        elif isinstance(value, tuple):
            subtables += [((*place, name, i), table) for i, table in enumerate(value)]
        else:
            subtables.append(((*place, name), value))
    yield place, values
    for subplace, table in subtables:
        yield from tables(table, subplace)


def effective_toml(loaded: Loaded) -> str:
    """Return the settings in effect as TOML, with the origin of each value as a comment."""
    lines: list[str] = []
    for place, values in tables(loaded.settings):
        if place:
            name = ".".join(part for part in place if isinstance(part, str))
            lines += ["", f"[[{name}]]" if isinstance(place[-1], int) else f"[{name}]"]
        for name, value in values.items():
            if value is None:
                lines.append(f"# {name} is not set")
                continue
            shown = toml_value(without_secret(name, value))
            lines.append(f"{f'{name} = {shown}':<48}  # {loaded.origin((*place, name))}")
    return "\n".join(lines) + "\n"


def effective_json(loaded: Loaded) -> dict[str, Any]:
    """Return {"settings": the settings in effect, "sources": the origin of each given key}."""
    sources: dict[str, str] = {}
    for place, values in tables(loaded.settings):
        for name in values:
            origin = loaded.origin((*place, name))
            if origin.kind != "default":
                sources[key_name((*place, name))] = str(origin)
    return {"settings": _json_value("", loaded.settings.model_dump()), "sources": sources}


def _json_value(name: str, value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _json_value(key, inner) for key, inner in value.items()}
        case list() | tuple():
            return [_json_value(name, inner) for inner in value]
        case Path():
            return str(value)
    return without_secret(name, value)
