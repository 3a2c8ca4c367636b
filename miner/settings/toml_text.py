"""Settings as TOML: values as they are written, and what is in effect as it may be shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from miner.settings.key_table import fields_of, is_table, kind_of
from miner.settings.loading import Loaded
from miner.settings.messages import key_name
from miner.settings.secrets import shown
from miner.settings.toml_lines import Place


def toml_value(value: Any) -> str:
    """Return a text, path, number, truth value or list of them as TOML writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(toml_value, value))}]"
        case SecretStr():
            return toml_value(value.get_secret_value())
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007F")


def tables(model: BaseModel, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield each table under `model` with its place and its own values, in the model's order."""
    own: dict[str, Any] = {}
    inner: list[tuple[Place, BaseModel]] = []
    for name, field in fields_of(type(model)).items():
        value = getattr(model, name)
        if not is_table(kind_of(field.annotation)):
            own[name] = value
        elif isinstance(value, tuple):
            inner += [((*place, name, i), one) for i, one in enumerate(value)]
        else:
            inner.append(((*place, name), value))
    yield place, own
    for where, table in inner:
        yield from tables(table, where)


def header(place: Place) -> str:
    """Return the line that begins the table at `place`."""
    name = ".".join(part for part in place if isinstance(part, str))
    return f"[[{name}]]" if isinstance(place[-1], int) else f"[{name}]"


def effective(loaded: Loaded) -> str:
    """Return the settings in effect as TOML, each with where it came from, secrets hidden."""
    lines: list[str] = []
    for place, values in tables(loaded.settings):
        if place:
            lines += ["", header(place)]
        for name, value in values.items():
            if value is None:
                lines.append(f"# {name} is not set")
                continue
            origin = loaded.origin((*place, name))
            lines.append(f"{f'{name} = {toml_value(shown(name, value))}':<48}  # {origin}")
    return "\n".join(lines) + "\n"


def as_object(loaded: Loaded) -> dict[str, Any]:
    """Return {"settings": what is in effect, secrets hidden, "sources": where each key came
    from, but for those that nobody gave}, ready for JSON."""
    sources: dict[str, str] = {}
    for place, values in tables(loaded.settings):
        for name in values:
            origin = loaded.origin((*place, name))
            if origin.kind != "default":
                sources[key_name((*place, name))] = str(origin)
    return {"settings": _plain("", loaded.settings.model_dump()), "sources": sources}


def _plain(name: str, value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _plain(key, inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(name, inner) for inner in value]
        case Path():
            return str(value)
    return shown(name, value)
