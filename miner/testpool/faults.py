"""Faults that the test pool injects, by a random plan or a script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol

from miner.errors import BadValue, ConfigError, did_you_mean, not_one_of
from miner.stratum.epic import OTHER_ALGORITHMS
from miner.stratum.pool_side import WRONG_ANSWERS
from miner.stratum.wire_format import LINE_LIMIT
from miner.variant_file import read_toml

MAX_RATE = 6000
"""Random faults per minute and client."""


@dataclass(frozen=True, slots=True)
class NumberArgument:
    """An argument from `low` to `high`; random faults use at most `random_high`."""

    default: float
    low: float
    high: float
    random_high: float
    whole: bool = False

    def checked(self, name: str, value: Any) -> float:
        """Return `value`; raises `BadValue` unless it is a number in range."""
        kinds = int if self.whole else int | float
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise BadValue(name, f"{value!r} is not a {'whole ' if self.whole else ''}number")
        if not self.low <= value <= self.high:
            raise BadValue(name, f"{value} is outside {self.low:g} to {self.high:g}")
        return value

    def draw(self, random: Random) -> float:
        value = random.uniform(self.low, self.random_high)
        return round(value) if self.whole else round(value, 2)


@dataclass(frozen=True, slots=True)
class ChoiceArgument:
    """An argument that is one of `choices`."""

    default: str
    choices: tuple[str, ...]

    def checked(self, name: str, value: Any) -> str:
        """Return `value`; raises `BadValue` unless it is one of the choices."""
        if not isinstance(value, str) or value not in self.choices:
            raise BadValue(name, not_one_of(value, self.choices))
        return value

    def draw(self, random: Random) -> str:
        return random.choice(self.choices)


FAULTS: Mapping[str, Mapping[str, NumberArgument | ChoiceArgument]] = {
    "cut": {},
    "delay": {"seconds": NumberArgument(5, 0, 600, 20)},
    "half_open": {"seconds": NumberArgument(300, 0, 86400, 60)},
    "garbage": {"lines": NumberArgument(1, 1, 100, 5, whole=True)},
    "overlong": {"bytes": NumberArgument(70_000, LINE_LIMIT + 1, 200_000, 100_000, whole=True)},
    "duplicate_job": {},
    "wrong_answer": {
        "shares": NumberArgument(1, 1, 1000, 2, whole=True),
        "say": ChoiceArgument("invalid", tuple(WRONG_ANSWERS)),
    },
    "swallow": {"shares": NumberArgument(1, 1, 1000, 2, whole=True)},
    "vardiff_storm": {
        "steps": NumberArgument(6, 1, 100, 8, whole=True),
        "seconds": NumberArgument(0, 0, 600, 2),
    },
    "clean_job": {},
    "unclean_job": {},
    "refresh": {},
    "extranonce": {},
    "ban": {"seconds": NumberArgument(30, 0, 86400, 40)},
    "reconnect": {"wait": NumberArgument(0, 0, 3600, 5, whole=True)},
    "other_algorithm": {
        "seconds": NumberArgument(20, 0, 86400, 10),
        "name": ChoiceArgument("randomx", OTHER_ALGORITHMS),
    },
}
"""The arguments of each fault by its name in scripts; docs/test-pool.md describes them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault with all of its arguments; `name` is a key of `FAULTS`."""

    name: str
    arguments: Mapping[str, float | str]

    def number(self, argument: str) -> float:
        return float(self.arguments[argument])

    def choice(self, argument: str) -> str:
        return str(self.arguments[argument])

    def __str__(self) -> str:
        parts = (f"{argument} {value}" for argument, value in self.arguments.items())
        return " ".join((self.name, *parts))


class FaultPlan(Protocol):
    """Decides which faults are injected, and when."""

    def faults(self, worker: str) -> Iterator[tuple[float, Fault]]:
        """Return the faults for a client that logs in as `worker`.

        Each has the seconds to wait before it, from the login or from the fault before.
        """


def make_fault(name: Any, given: Mapping[str, Any]) -> Fault:
    """Return a fault with the arguments `given` and defaults for the others.

    Raises `BadValue`, which names the key of a script.
    """
    if not isinstance(name, str) or name not in FAULTS:
        hint = did_you_mean(str(name), FAULTS)
        raise BadValue("do", f"unknown fault {name!r}{hint}; use one of {', '.join(FAULTS)}")
    known = FAULTS[name]
    for argument in given:
        if argument not in known:
            raise BadValue(
                argument,
                f"unknown argument of {name}{did_you_mean(argument, known)}; it takes "
                f"{', '.join(known) or 'none'}",
            )
    arguments = {
        argument: kind.checked(argument, given.get(argument, kind.default))
        for argument, kind in known.items()
    }
    return Fault(name, arguments)


class Chaos:
    """Random faults, the same ones for the same `seed`, worker and count of its logins.

    `rate` is in faults per minute and client. Raises `BadValue` unless it is above 0 and at
    most `MAX_RATE`.
    """

    def __init__(self, rate: float, seed: int) -> None:
        if not 0 < rate <= MAX_RATE:
            raise BadValue(
                "chaos", f"must be above 0 and at most {MAX_RATE} faults per minute, not {rate}"
            )
        self._rate = rate
        self._seed = seed
        self._logins: dict[str, int] = {}

    def faults(self, worker: str) -> Iterator[tuple[float, Fault]]:
        logins = self._logins[worker] = self._logins.get(worker, 0) + 1
        random = Random(f"{self._seed} {logins} {worker}")
        names = list(FAULTS)
        while True:
            seconds = random.expovariate(self._rate / 60)
            name = random.choice(names)
            drawn = {argument: kind.draw(random) for argument, kind in FAULTS[name].items()}
            yield seconds, make_fault(name, drawn)


AFTER = NumberArgument(0, 0, 31_536_000, 0)
"""The key `after` of a script: seconds from the login or from the fault before."""


class Script:
    """Faults in a fixed order, injected once for each worker.

    A worker that logs in again continues after its last fault.
    """

    def __init__(self, entries: Sequence[tuple[float, Fault]]) -> None:
        self._entries = tuple(entries)
        self._next: dict[str, int] = {}

    def faults(self, worker: str) -> Iterator[tuple[float, Fault]]:
        while (index := self._next.get(worker, 0)) < len(self._entries):
            yield self._entries[index]
            self._next[worker] = index + 1


def load_script(path: Path) -> Script:
    """Return the script in a TOML file.

    Raises `ConfigError`, which names the file, the entry and the key.
    """
    content = read_toml(path)
    for key in content:
        if key != "fault":
            raise ConfigError(f"{path}: {key}: a script has only [[fault]] tables")
    tables = content.get("fault", [])
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"{path}: fault: a script needs at least one [[fault]] table")
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
