"""Settings as TOML text, whatever characters are in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def toml_text(values: Mapping[str, Any]) -> str:
    """Return `values` as TOML; raises ValueError for what TOML cannot hold."""
    return "\n".join(_table(values, ())) + "\n"


def _table(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines, tables = [], []
    for key, value in values.items():
        below = (*path, key)
        name = ".".join(map(_key, below))
        if isinstance(value, Mapping):
            tables += ["", f"[{name}]", *_table(value, below)]
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            for row in value:
                tables += ["", f"[[{name}]]", *_table(row, below)]
        else:
            lines.append(f"{_key(key)} = {_value(value)}")
    return lines + tables


def _key(key: str) -> str:
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        pairs = (f"{_key(k)} = {_value(v)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    raise ValueError(f"a value of type {type(value).__name__} has no place in settings")


def _text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's too, but for DEL, which TOML wants escaped."""
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError("a setting is not UTF-8 text")
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
