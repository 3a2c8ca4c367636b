"""Loading settings: the sources are merged, then validated; each mistake becomes a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from miner.errors import ConfigError, nearest, not_one_of
from miner.safe_text import short_line
from miner.settings.environment import SAME_TABLE
from miner.settings.key_table import all_keys, all_tables
from miner.settings.model import Settings
from miner.settings.sources import Origin, RawSettings, merge_sources
from miner.settings.toml_lines import Place, key_name

_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """Valid settings, with the origin of each value."""

    settings: Settings
    raw: RawSettings

    def origin(self, place: Place) -> Origin:
        return self.raw.origin(place)


def examine(
    path: Path | None, flags: Mapping[str, Any] = _EMPTY, environ: Mapping[str, str] = _EMPTY
) -> tuple[Loaded | None, list[str]]:
    """Return (settings, []) or (None, a message for each mistake); see `load`."""
    try:
        raw = merge_sources(path, flags, environ)
    except ConfigError as error:
        return None, [str(error)]
    loaded, problems = validate(raw)
    return (None, problems) if problems else (loaded, [])


def validate(raw: RawSettings) -> tuple[Loaded | None, list[str]]:
    """Return the settings, and a message for each mistake.

    With mistakes, the tables and the keys at the top that have any are left out, so that the rest
    can be checked further; None if the rest is not valid either.
    """
    try:
        return Loaded(Settings.model_validate(raw.values), raw), raw.problems
    except ValidationError as error:
        return _without_mistakes(error, raw), raw.problems + error_messages(error, raw)


_REQUIRED: Mapping[str, Any] = {"variant": "any", "pools": [{"url": "any:1", "user": "any"}]}
"""Values that stand for required ones with a mistake while the others are validated."""


def _without_mistakes(error: ValidationError, raw: RawSettings) -> Loaded | None:
    mistaken = {mistake["loc"][0] for mistake in error.errors() if mistake["loc"]}
    values = {key: value for key, value in raw.values.items() if key not in mistaken}
    added = {key: _REQUIRED[key] for key in _REQUIRED if key not in values}
    if "coin" in values:
        added.pop("variant", None)
    try:
        settings = Settings.model_validate(values | added)
    except ValidationError:
        return None
    empty = {key: () if key == "pools" else None for key in added}
    return Loaded(settings.model_copy(update=empty), raw)


def load(
    path: Path | None, flags: Mapping[str, Any] = _EMPTY, environ: Mapping[str, str] = _EMPTY
) -> Loaded:
    """Load the settings file at `path`, if any, with `environ` and then `flags` overriding it.

    `flags` has the form of a settings file; None means not given. Raises `ConfigError` for the
    first mistake.
    """
    loaded, problems = examine(path, flags, environ)
    if loaded is None:
        raise ConfigError(problems[0])
    return loaded


_EXPECTED = {
    "string_type": "text in quotes",
    "path_type": "a path in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
"""The expected value by pydantic's error type, for values of a wrong type."""


def error_messages(error: ValidationError, raw: RawSettings) -> list[str]:
    """Return one sentence for each mistake: unknown keys first, then in the order of the file.

    Values are quoted only where they cannot be secrets.
    """
    every = error.errors()
    causes = _Causes(every)
    mistakes = [mistake for mistake in every if not causes.explain(mistake)]
    located = [(_origin(mistake, raw), mistake) for mistake in mistakes]
    located.sort(key=lambda row: row[0].line or 0)
    located.sort(key=lambda row: row[1]["type"] != "extra_forbidden")
    return [f"{origin.where}: {_sentence(mistake)}" for origin, mistake in located]


def _origin(mistake: Any, raw: RawSettings) -> Origin:
    """Return the origin of the value to correct; for a mistake of a whole table, that of the first
    given key that its message names."""
    place = mistake["loc"]
    if mistake["type"] == "value_error":
        for word in re.findall(r"[a-z_]+", str(mistake["ctx"]["error"])):
            if (*place, word) in raw.origins:
                return raw.origins[*place, word]
    return raw.nearest_origin(place)


class _Causes:
    """Finds mistakes that follow from another one: a key is missing because it is misspelt, a list
    is too short because an element is invalid."""

    def __init__(self, mistakes: Sequence[Any]) -> None:
        self._unknown: dict[Place, list[str]] = {}
        self._around: set[Place] = set()
        for mistake in mistakes:
            place = mistake["loc"]
            self._around.update(place[:length] for length in range(len(place)))
            if mistake["type"] == "extra_forbidden":
                self._unknown.setdefault(place[:-1], []).append(str(place[-1]))

    def explain(self, mistake: Any) -> bool:
        """Whether `mistake` follows from another one."""
        place = mistake["loc"]
        if mistake["type"] == "too_short":
            return place in self._around
        return mistake["type"] == "missing" and any(
            _nearest(name, [str(place[-1])]) for name in self._unknown.get(place[:-1], ())
        )


def _sentence(mistake: Any) -> str:
    place, kind, value = mistake["loc"], mistake["type"], mistake["input"]
    context = mistake.get("ctx", {})
    match kind:
        case "missing" if place == ("pools",):
            problem = "is missing: name a pool, as [[pools]] in a file or with -o URL -u USER"
        case "missing":
            problem = "is missing"
        case "extra_forbidden":
            problem = "unknown key" + _hint(place)
        case "literal_error":
            choices = re.findall(r"'([^']*)'", context["expected"])
            problem = not_one_of(short_line(str(value), 40), choices)
            if not isinstance(value, str):
                problem = f"must be one of {', '.join(choices)} in quotes, not {_type_name(value)}"
        case "greater_than" | "greater_than_equal":
            least = (
                f"more than {context['gt']:g}" if "gt" in context else f"{context['ge']:g} or more"
            )
            problem = f"{value} is too small: it must be {least}"
        case "less_than_equal":
            shown, most = short_line(str(value), 40), f"{context['le']:.15g}"
            problem = f"{shown} is too large: it must be {most} or less"
        case "tuple_type":
            problem = 'must be a list, as in ["first", "second"]'
            if place in (("pools",), ("devices", "tune")):
                problem = f"must be a list of tables: write [[{'.'.join(place)}]]"
        case "too_short" | "string_too_short":
            problem = "must not be empty"
        case "value_error":
            problem = str(context["error"])
        case "string_unicode":
            problem = "contains bytes that are not UTF-8; type the value again"
        case "finite_number":
            problem = f"must be a finite number, not {value}"
        case "int_type" if isinstance(value, float):  # a number cannot be a secret
            problem = f"must be a whole number, not {value}"
        case _ if kind in _EXPECTED:
            problem = f"must be {_EXPECTED[kind]}, not {_type_name(value)}"
            if isinstance(value, str) and re.fullmatch("-?[0-9.]+|true|false", value):
                problem += "; remove the quotes"
        case _:
            problem = mistake["msg"][:1].lower() + mistake["msg"][1:]
    key = key_name(place)
    return f"{key}: {problem}" if key else problem


def _hint(place: Place) -> str:
    """Return what the unknown key at `place` may mean: a similar key of its table, the same key of
    another table, or else all keys of its table."""
    name, table = str(place[-1]), tuple(p for p in place[:-1] if isinstance(p, str))
    known = list(all_tables()[table].model_fields)
    if near := _nearest(name, known):
        return f" (did you mean {near}?)"
    wanted = name.lower().replace("-", "_")
    for other, model in all_tables().items():
        if wanted in model.model_fields:
            return f" here (did you mean {wanted} {_where(other)}?)"
    return f" (known: {', '.join(known)})"


def _where(table: tuple[str, ...]) -> str:
    if not table:
        return "at the top of the file, above the first [table]"
    repeated = any(key.repeated for key in all_keys() if key.place[:-1] == table)
    return f"under [[{'.'.join(table)}]]" if repeated else f"under [{'.'.join(table)}]"


def _nearest(name: str, known: list[str]) -> str | None:
    return nearest(name.replace("-", "_"), known, SAME_TABLE)


def _type_name(value: Any) -> str:
    names = {bool: "true or false", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "a date")
