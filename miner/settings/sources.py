"""The sources of settings (file, environment, flags), merged with the origin of each value."""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from miner.devices.tuning import outdated_starts
from miner.errors import ConfigError
from miner.resources import QUOTED, is_quoted, parse_toml, read_text
from miner.settings.environment import from_environment
from miner.settings.key_table import all_keys, flag_keys
from miner.settings.toml_lines import BACKSLASHES, Place, key_lines, key_name, syntax_problem

_ALTERNATIVES = {
    "variant": "coin",
    "coin": "variant",
    "password": "password_file",
    "password_file": "password",
    "token": "token_file",
    "token_file": "token",
}
"""Keys that exclude each other; one replaces its alternative in an earlier source."""

_CONTROL_NAMES = {
    "\t": "a tab",
    "\n": "a line feed",
    "\r": "a carriage return",
    "\b": "a backspace",
    "\f": "a form feed",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from."""

    kind: Literal["default", "file", "environment", "flag"] = "default"
    name: str = ""
    """Path, variable or flag."""
    line: int | None = None

    def __str__(self) -> str:
        line = f" line {self.line}" if self.line is not None else ""
        return f"{self.kind} {self.name}{line}".strip()

    @property
    def where(self) -> str:
        """The beginning of a message about the value."""
        match self.kind:
            case "file":
                return f"{self.name}: line {self.line}" if self.line else self.name
            case "environment":
                return f"environment {self.name}"
        return "command line"


@dataclass(slots=True)
class RawSettings:
    """The merged sources, not validated."""

    path: Path | None = None
    digest: str = ""
    """The first 12 hexadecimal digits of the file's SHA-256; empty without a file."""
    values: dict[str, Any] = field(default_factory=dict, repr=False)
    origins: dict[Place, Origin] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """Messages about environment variables that are unknown or cannot be parsed."""

    def origin(self, place: Place) -> Origin:
        """Return where the value at `place` came from, the origin "default" if it was not given."""
        while place and place not in self.origins:
            place = place[:-1] if isinstance(place[-1], int) else ()
        return self.origins.get(place, Origin())

    def nearest_origin(self, place: Place) -> Origin:
        """Return where the value at `place`, or else the innermost given table around it, came
        from."""
        while place:
            if place in self.origins:
                return self.origins[place]
            place = place[:-1]
        return Origin("file", str(self.path)) if self.path is not None else Origin("flag")


def merge_sources(
    path: Path | None, flags: Mapping[str, Any], environ: Mapping[str, str]
) -> RawSettings:
    """Merge the settings file at `path`, if any, `environ` and `flags`; later sources win.

    `flags` has the form of a settings file; None means not given. Tables are merged key by key,
    and the environment's pools with the file's by position; any other list is replaced. Raises
    `ConfigError` for a file that cannot be read.
    """
    raw = RawSettings(path)
    if path is not None:
        text = read_text(path, str(path))
        raw.digest = sha256(text.encode()).hexdigest()[:12]
        raw.values = _parse(path, text)
        lines = key_lines(text)
        raw.origins = {place: Origin("file", str(path), line) for place, line in lines.items()}
    values, variables, raw.problems = from_environment(environ)
    pools = values.pop("pools", {})
    _override(raw, values, {place: Origin("environment", v) for place, v in variables.items()})
    _override_pools(raw, pools, variables)
    given = _stripped(without_none(flags))
    _override(raw, given, dict(_flag_origins(given, ())))
    raw.problems += [
        f"command line: {key_name(place)}: {QUOTED}"
        for place, text in _texts(given, ())
        # The parts of a list in quotes, as '0,1', have one quote each.
        if is_quoted(text) or (isinstance(place[-1], int) and text[:1] in ("'", '"'))
    ]
    raw.problems += [
        _character_problem(raw, place, character)
        for place, text in _texts(raw.values, ())
        if (character := _unwanted_character(place, text)) is not None
    ]
    return raw


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` without None, at any depth, and without tables that are then empty."""
    given: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            value = without_none(value)
            if not value:
                continue
        elif isinstance(value, list | tuple):
            value = [without_none(v) if isinstance(v, Mapping) else v for v in value]
        if value is not None:
            given[key] = value
    return given


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return parse_toml(text, str(path))
    except tomllib.TOMLDecodeError as error:
        line, problem = syntax_problem(text, error)
        raise ConfigError(f"{path}: line {line}: is not valid TOML: {problem}") from error


def _stripped(value: Any) -> Any:
    """Return `value` without blanks and line ends around its texts, at any depth: scripts that
    were edited on Windows add carriage returns."""
    match value:
        case str():
            return value.strip()
        case Mapping():
            return {key: _stripped(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_stripped(inner) for inner in value]
    return value


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    match value:
        case str():
            yield place, value
        case Mapping():
            for key, inner in value.items():
                yield from _texts(inner, (*place, key))
        case list():
            for i, inner in enumerate(value):
                yield from _texts(inner, (*place, i))


@cache
def _free_texts() -> frozenset[tuple[str, ...]]:
    """Return the keys of values that may have invisible characters: names in other scripts do."""
    return frozenset({("rig",), *(key.place for key in all_keys() if key.type is Path)})


def _unwanted_character(place: Place, text: str) -> str | None:
    """Return the first control character of `text`, or an invisible one, as web pages have them."""
    key = tuple(part for part in place if isinstance(part, str))
    unwanted = ("Cc",) if key in _free_texts() else ("Cc", "Cf", "Zl", "Zp")
    return next((c for c in text if unicodedata.category(c) in unwanted), None)


def _character_problem(raw: RawSettings, place: Place, character: str) -> str:
    """Return a sentence that does not quote the value, which may be a secret."""
    origin = raw.nearest_origin(place)
    if unicodedata.category(character) != "Cc":
        name, advice = f"the invisible character U+{ord(character):04X}", "type the value again"
    else:
        name = _CONTROL_NAMES.get(character, f"the control character U+{ord(character):04X}")
        advice = BACKSLASHES if origin.kind == "file" else "remove it"
    return f"{origin.where}: {key_name(place)}: contains {name}; {advice}"


def _flag_origins(value: Any, place: Place) -> Iterator[tuple[Place, Origin]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flag_origins(inner, (*place, key))
    elif place == ("pools",):
        yield place, Origin("flag", "-o")
        for i, inner in enumerate(value):
            yield (*place, i), Origin("flag", "-o")
            yield from _flag_origins(inner, (*place, i))
    else:
        found = flag_keys().get(tuple(part for part in place if isinstance(part, str)))
        yield place, Origin("flag", found[1].names[0] if found else "")


def _override(raw: RawSettings, values: Mapping[str, Any], origins: Mapping[Place, Origin]) -> None:
    raw.values = _merge(raw, raw.values, values, ())
    raw.origins.update(origins)


def _merge(
    raw: RawSettings, lower: Mapping[str, Any], upper: Mapping[str, Any], place: Place
) -> dict[str, Any]:
    """Return the tables at `place` merged; the origins of replaced values are removed."""
    merged = dict(lower)
    for key, value in upper.items():
        other = _ALTERNATIVES.get(key)
        if other is not None and other not in upper and merged.pop(other, None) is not None:
            _remove_origins(raw, (*place, other))
        replaced = merged.get(key)
        if isinstance(value, dict) and isinstance(replaced, dict):
            value = _merge(raw, replaced, value, (*place, key))
        else:
            _remove_origins(raw, (*place, key))
        merged[key] = value
    for key in outdated_starts(lower, upper):
        del merged[key]
        _remove_origins(raw, (*place, key))
    return merged


def _remove_origins(raw: RawSettings, place: Place) -> None:
    for known in [p for p in raw.origins if p[: len(place)] == place]:
        del raw.origins[known]


def _override_pools(
    raw: RawSettings, pools: Mapping[int, dict[str, Any]], variables: Mapping[Place, str]
) -> None:
    lower = raw.values.get("pools", [])
    if not pools or not isinstance(lower, list):
        return
    merged = list(lower)
    for i, table in sorted(pools.items()):
        origins = {
            place: Origin("environment", variable)
            for place, variable in variables.items()
            if place[:2] == ("pools", i)
        }
        first = next(iter(origins.values()))
        if i > len(merged):
            raw.problems.append(
                f"{first.where}: pool {len(merged) + 1} is missing; number the pools in order, "
                "the first without a number"
            )
            continue
        if i == len(merged):
            merged.append({})
            raw.origins["pools", i] = first
        if isinstance(merged[i], dict):
            merged[i] = _merge(raw, merged[i], table, ("pools", i))
            raw.origins |= origins
    raw.values["pools"] = merged
