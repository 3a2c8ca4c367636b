"""Files that say which faults the bundled pool commits, and when."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from miner.errors import BadValue, ConfigError
from miner.pool.bundled.mischief import Fault, Number, make_fault

AFTER = Number(0, 0, 31_536_000, 0)
"""Seconds from the login or the fault before."""


class Script:
    """Faults in order, for every worker once: one that logs in anew finds its script where it
    was."""

    def __init__(self, entries: Sequence[tuple[float, Fault]]) -> None:
        self._entries = tuple(entries)
        self._next: dict[str, int] = {}

    def faults(self, worker: str) -> Iterator[tuple[float, Fault]]:
        while (index := self._next.get(worker, 0)) < len(self._entries):
            yield self._entries[index]
            self._next[worker] = index + 1


def load_script(path: Path) -> Script:
    """Return the script in the TOML file `path`; raises `ConfigError` that names file, entry
    and key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: the script cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: the script is not TOML: {error}") from error
    for key in content:
        if key != "fault":
            raise ConfigError(f"{path}: {key}: a script holds nothing but [[fault]] tables")
    tables = content.get("fault", [])
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"{path}: fault: a script holds one [[fault]] table at least")
    return Script([_entry(path, number, table) for number, table in enumerate(tables, 1)])


def _entry(path: Path, number: int, table: Any) -> tuple[float, Fault]:
    try:
        if not isinstance(table, dict):
            raise BadValue("fault", "is not a table")
        given = dict(table)
        after = AFTER.checked("after", given.pop("after", AFTER.default))
        if "do" not in given:
            raise BadValue("do", "is missing; it names the fault")
        return after, make_fault(given.pop("do"), given)
    except BadValue as error:
        raise ConfigError(f"{path}: fault {number}: {error}") from error
