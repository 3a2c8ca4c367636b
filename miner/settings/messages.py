"""One sentence for each mistake in the settings: where it stands, what is wrong, what is near."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from miner.settings.key_table import all_keys, all_tables
from miner.settings.sources import Gathered, Origin
from miner.settings.toml_lines import Place

_KINDS = {
    "string_type": "text in quotes",
    "path_type": "a path in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def complaints(error: ValidationError, gathered: Gathered) -> list[str]:
    """Return a sentence for each mistake, those about unknown keys first, else as they stand in
    the file. Values are quoted only where they cannot be secrets."""
    every = error.errors()
    causes = _Causes(every)
    mistakes = [m for m in every if not causes.explain(m)]
    placed = [(_origin(m, gathered), m) for m in mistakes]
    placed.sort(key=lambda row: row[0].line or 0)
    placed.sort(key=lambda row: row[1]["type"] != "extra_forbidden")
    return [f"{origin.where}: {_sentence(mistake)}" for origin, mistake in placed]


def key_name(place: Sequence[int | str]) -> str:
    """Return how `place` is named in a sentence: "pools[1].url" for the first pool's."""
    return "".join(f"[{p + 1}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")


def _origin(mistake: Any, gathered: Gathered) -> Origin:
    """Return what is to be corrected: of what is wrong with a whole table the first key that the
    sentence names and somebody gave."""
    place = mistake["loc"]
    if mistake["type"] == "value_error":
        for word in re.findall(r"[a-z_]+", str(mistake["ctx"]["error"])):
            if (*place, word) in gathered.origins:
                return gathered.origins[*place, word]
    return gathered.nearest(place)


class _Causes:
    """What is the cause of other mistakes: a misspelt key of a missing one, an element that cannot
    be used of a list that is too short without it."""

    def __init__(self, mistakes: Sequence[Any]) -> None:
        self._misspelt: dict[Place, list[str]] = {}
        self._within: set[Place] = set()
        for mistake in mistakes:
            place = mistake["loc"]
            self._within.update(place[:length] for length in range(len(place)))
            if mistake["type"] == "extra_forbidden":
                self._misspelt.setdefault(place[:-1], []).append(str(place[-1]))

    def explain(self, mistake: Any) -> bool:
        """Whether another one is the cause of `mistake`."""
        place = mistake["loc"]
        if mistake["type"] == "too_short":
            return place in self._within
        return mistake["type"] == "missing" and any(
            _near(name, [str(place[-1])]) for name in self._misspelt.get(place[:-1], ())
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
            problem = "is no known key" + _hint(place)
        case "literal_error":
            choices = re.findall(r"'([^']*)'", context["expected"])
            near = difflib.get_close_matches(str(value).lower(), choices, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            problem = f"{value!r} is none of {', '.join(choices)}{hint}"
        case "greater_than" | "greater_than_equal":
            least = (
                f"more than {context['gt']:g}" if "gt" in context else f"{context['ge']:g} or more"
            )
            problem = f"{value} is too small: it must be {least}"
        case "less_than_equal":
            problem = f"{value} is too large: it must be {context['le']:g} or less"
        case "tuple_type":
            problem = "must be a list"
            if place in (("pools",), ("devices", "tune")):
                problem += f" of tables: write [[{'.'.join(place)}]]"
        case "too_short" | "string_too_short":
            problem = "must not be empty"
        case "value_error":
            problem = str(context["error"])
        case "finite_number":
            problem = f"must be a finite number, not {value}"
        case "int_type" if isinstance(value, float):  # no secret is written as a number
            problem = f"must be a whole number, not {value}"
        case _ if kind in _KINDS:
            problem = f"must be {_KINDS[kind]}, not {_kind_of(value)}"
        case _:
            problem = mistake["msg"][:1].lower() + mistake["msg"][1:]
    key = key_name(place)
    return f"{key}: {problem}" if key else problem


def _hint(place: Place) -> str:
    """Return what was meant by the unknown key at `place`: a near one of its table, the same one
    of another table, or all that the table knows."""
    name, table = str(place[-1]), tuple(p for p in place[:-1] if isinstance(p, str))
    known = list(all_tables()[table].model_fields)
    if near := _near(name, known):
        return f" (did you mean {near}?)"
    wanted = name.lower().replace("-", "_")
    for home, model in all_tables().items():
        if wanted in model.model_fields:
            return f" here (did you mean {wanted} {_home(home)}?)"
    return f" (known: {', '.join(known)})"


def _home(table: tuple[str, ...]) -> str:
    if not table:
        return "at the top of the file, above the first [table]"
    repeated = any(key.repeated for key in all_keys() if key.place[:-1] == table)
    return f"under [[{'.'.join(table)}]]" if repeated else f"under [{'.'.join(table)}]"


def _near(name: str, known: list[str]) -> str | None:
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    return close[0] if close else None


def _kind_of(value: Any) -> str:
    names = {bool: "true or false", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "a date")
