"""File, environment and flags, merged in that order, with where each value came from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from miner.devices.selection import left_behind
from miner.errors import ConfigError
from miner.settings.environment import from_environment
from miner.settings.key_table import flag_keys
from miner.settings.toml_lines import Place, key_lines

COMMAND_LINE = "command line"
"""Stands for the file's name in a complaint about a flag."""

_OTHERS = {
    "variant": "coin",
    "coin": "variant",
    "password": "password_file",
    "password_file": "password",
    "token": "token_file",
    "token_file": "token",
}
"""Keys of which one is given; a later source's replaces the other of an earlier one."""


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
        """How a complaint begins."""
        match self.kind:
            case "file":
                return f"{self.name}: line {self.line}" if self.line else self.name
            case "environment":
                return f"environment {self.name}"
        return COMMAND_LINE


@dataclass(slots=True)
class Gathered:
    """All that was given, not yet validated."""

    path: Path | None = None
    values: dict[str, Any] = field(default_factory=dict, repr=False)
    origins: dict[Place, Origin] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """Sentences about what fits into no model, as a variable that nobody knows."""

    def origin(self, place: Place) -> Origin:
        """Return where the value at `place` came from; for one that was not given `default`."""
        while place and place not in self.origins:
            place = place[:-1] if isinstance(place[-1], int) else ()
        return self.origins.get(place, Origin())

    def nearest(self, place: Place) -> Origin:
        """Return where the value at `place`, or else the table that lacks it, came from."""
        while place:
            if place in self.origins:
                return self.origins[place]
            place = place[:-1]
        return Origin("file", str(self.path)) if self.path is not None else Origin("flag")


def gather(path: Path | None, flags: Mapping[str, Any], environ: Mapping[str, str]) -> Gathered:
    """Return the file at `path`, where one is given, under `environ`, under `flags`: a mapping of
    the file's own form, in which None means that the flag was not given.

    Tables are merged. A list of the environment or of a flag replaces the one below it, except
    that the environment's pools are laid over the file's, key by key. Raises `ConfigError` for a
    file that cannot be read.
    """
    gathered = Gathered(path)
    if path is not None:
        text = _text(path)
        gathered.values = _parsed(path, text)
        lines = key_lines(text)
        gathered.origins = {p: Origin("file", str(path), line) for p, line in lines.items()}
    given, variables, gathered.problems = from_environment(environ)
    pools = given.pop("pools", {})
    _lay_over(gathered, given, {p: Origin("environment", n) for p, n in variables.items()})
    _lay_pools_over(gathered, pools, variables)
    wanted = without_none(flags)
    _lay_over(gathered, wanted, dict(_flag_origins(wanted, ())))
    return gathered


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = re.sub(r" \(at .*\)$", "", str(error))
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines())
        raise ConfigError(f"{path}: line {line}: is not valid TOML: {problem}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: lists in it lie too deep in each other") from error


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` without what is None, at any depth, and without tables left empty by it."""
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
        key = flag_keys().get(tuple(part for part in place if isinstance(part, str)))
        yield place, Origin("flag", key[1].names[0] if key else "")


def _lay_over(gathered: Gathered, over: Mapping[str, Any], origins: Mapping[Place, Origin]) -> None:
    gathered.values = _merged(gathered, gathered.values, over, ())
    gathered.origins.update(origins)


def _merged(
    gathered: Gathered, under: Mapping[str, Any], over: Mapping[str, Any], place: Place
) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        other = _OTHERS.get(key)
        if other is not None and other not in over and merged.pop(other, None) is not None:
            _forget(gathered, (*place, other))
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merged(gathered, below, value, (*place, key))
        else:
            _forget(gathered, (*place, key))
        merged[key] = value
    for key in left_behind(under, over):
        del merged[key]
        _forget(gathered, (*place, key))
    return merged


def _forget(gathered: Gathered, place: Place) -> None:
    for known in [p for p in gathered.origins if p[: len(place)] == place]:
        del gathered.origins[known]


def _lay_pools_over(
    gathered: Gathered, pools: Mapping[int, dict[str, Any]], variables: Mapping[Place, str]
) -> None:
    under = gathered.values.get("pools", [])
    if not pools or not isinstance(under, list):
        return
    merged = list(under)
    for i, table in sorted(pools.items()):
        origins = {p: n for p, n in variables.items() if p[:2] == ("pools", i)}
        if i > len(merged):
            name = next(iter(origins.values()))
            gathered.problems.append(
                f"environment {name}: there is no pool {len(merged) + 1}; number the pools in "
                "order, the first without a number"
            )
            continue
        if i == len(merged):
            merged.append({})
            gathered.origins[("pools", i)] = Origin("environment", next(iter(origins.values())))
        if isinstance(merged[i], dict):
            merged[i] = _merged(gathered, merged[i], table, ("pools", i))
            gathered.origins |= {p: Origin("environment", n) for p, n in origins.items()}
    gathered.values["pools"] = merged
