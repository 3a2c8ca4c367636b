"""Faults of the test pool: which ones, when, by chance or by a script."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from miner.errors import BadValue, ConfigError
from miner.stratum.framing import LINE_LIMIT
from miner.stratum.pool_side import WRONG_ANSWERS

FAULTS_PER_MINUTE = 6.0
"""The usual rate of chaos."""


@dataclass(frozen=True, slots=True)
class Number:
    """An argument from `low` to `high`; chaos draws at most `drawn`."""

    default: float
    low: float
    high: float
    drawn: float
    whole: bool = False

    def checked(self, name: str, value: Any) -> float:
        """Return `value`; raises `BadValue` unless it is such a number."""
        kinds = int if self.whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise BadValue(name, f"{value!r} is not a {'whole ' if self.whole else ''}number")
        if not self.low <= value <= self.high:
            raise BadValue(name, f"{value} is outside {self.low:g} to {self.high:g}")
        return value

    def draw(self, random: Random) -> float:
        value = random.uniform(self.low, self.drawn)
        return round(value) if self.whole else round(value, 2)


@dataclass(frozen=True, slots=True)
class Word:
    """An argument that is one of `words`."""

    default: str
    words: tuple[str, ...]

    def checked(self, name: str, value: Any) -> str:
        """Return `value`; raises `BadValue` unless it is one of the words."""
        if not isinstance(value, str) or value not in self.words:
            raise BadValue(name, f"{value!r} is none of {', '.join(self.words)}")
        return value

    def draw(self, random: Random) -> str:
        return random.choice(self.words)


SAYINGS = tuple(WRONG_ANSWERS)

KINDS: dict[str, dict[str, Number | Word]] = {
    "cut": {},
    "delay": {"seconds": Number(5, 0, 600, 20)},
    "half_open": {"seconds": Number(300, 0, 86400, 60)},
    "garbage": {"lines": Number(1, 1, 100, 5, whole=True)},
    "overlong": {"bytes": Number(70_000, LINE_LIMIT + 1, 200_000, 100_000, whole=True)},
    "duplicate_job": {},
    "wrong_answer": {
        "shares": Number(1, 1, 1000, 2, whole=True),
        "say": Word("invalid", SAYINGS),
    },
    "swallow": {"shares": Number(1, 1, 1000, 2, whole=True)},
    "vardiff_storm": {
        "steps": Number(6, 1, 100, 8, whole=True),
        "seconds": Number(0, 0, 600, 2),
    },
    "clean_job": {},
    "unclean_job": {},
    "refresh": {},
    "extranonce": {},
    "ban": {"seconds": Number(30, 0, 86400, 40)},
    "reconnect": {"wait": Number(0, 0, 3600, 5, whole=True)},
}
"""The arguments of each fault; docs/bundled-pool.md says what each does."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault with all of its arguments."""

    do: str
    arguments: Mapping[str, float | str]

    def number(self, name: str) -> float:
        return float(self.arguments[name])

    def word(self, name: str) -> str:
        return str(self.arguments[name])

    def __str__(self) -> str:
        parts = (f"{name} {value}" for name, value in self.arguments.items())
        return " ".join((self.do, *parts))


class Mischief(Protocol):
    """Where faults come from."""

    def faults(self, worker: str) -> Iterator[tuple[float, Fault]]:
        """Return what is in store for a client that logs in as `worker`: seconds to wait, each
        from the login or the fault before, and the fault that follows."""


def make_fault(do: Any, given: Mapping[str, Any]) -> Fault:
    """Return the fault `do` with the arguments `given` and the usual ones.

    Raises `BadValue`, which names the key.
    """
    if not isinstance(do, str) or do not in KINDS:
        raise BadValue("do", f"{do!r} is none of {', '.join(KINDS)}")
    known = KINDS[do]
    for name in given:
        if name not in known:
            takes = ", ".join(known) or "nothing"
            raise BadValue(name, f"{do} has no such argument, it takes {takes}")
    arguments = {
        name: argument.checked(name, given.get(name, argument.default))
        for name, argument in known.items()
    }
    return Fault(do, arguments)


class Chaos:
    """Faults at random, the same ones for the same `seed`, worker and number of its logins.

    `rate` is in faults per minute and client. Raises `BadValue` unless it is above 0 and at
    most 6000.
    """

    def __init__(self, rate: float, seed: int) -> None:
        if not 0 < rate <= 6000:
            raise BadValue("chaos", f"{rate} faults per minute is not above 0 and at most 6000")
        self._rate = rate
        self._seed = seed
        self._logins: dict[str, int] = {}

    def faults(self, worker: str) -> Iterator[tuple[float, Fault]]:
        logins = self._logins[worker] = self._logins.get(worker, 0) + 1
        random = Random(f"{self._seed} {logins} {worker}")
        names = list(KINDS)
        while True:
            seconds = random.expovariate(self._rate / 60)
            do = random.choice(names)
            drawn = {name: argument.draw(random) for name, argument in KINDS[do].items()}
            yield seconds, make_fault(do, drawn)


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
