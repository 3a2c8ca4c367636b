"""Settings in environment variables, whose names follow from the keys."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from miner.settings.key_table import PREFIX, Key, all_keys
from miner.settings.toml_lines import Place

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
"""Names the file, where no flag does."""

OTHER_VARIABLES: Mapping[str, str] = {
    CONFIG_VARIABLE: "file with settings, where `--config` names none",
    f"{PREFIX}CACHE": "folder for what can be made again",
    f"{PREFIX}STATE": "folder for what must outlive a run",
    f"{PREFIX}COOKIE_FILE": "cookie file of nodes that have no login of their own",
    f"{PREFIX}POOL_PASSWORD": "password of pools that have none of their own",
}
"""Variables that are ours and stand for no key."""

_SERVICE = re.compile(r"(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_.+)?)")
"""What a cluster, or a link of containers, says of a service that is called as we are."""

_NUMBERED = re.compile(r"POOL_([1-9][0-9]*)_(.+)")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def from_environment(
    environ: Mapping[str, str],
) -> tuple[dict[str, Any], dict[Place, str], list[str]]:
    """Return (values, variable of each place, complaints).

    Values are of the file's form, except that "pools" maps positions from 0 to tables. An empty
    variable counts as not set.
    """
    values: dict[str, Any] = {}
    names: dict[Place, str] = {}
    problems: list[str] = []
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or not text.strip() or _is_other(variable, text):
            continue
        found = _found(variable)
        if found is None:
            problems.append(f"environment {variable}: is no setting{_nearest(variable)}")
            continue
        key, place = found
        try:
            value = _value(key, text.strip())
        except ValueError as error:
            problems.append(f"environment {variable}: {error}")
            continue
        table: dict[Any, Any] = values
        for part in place[:-1]:
            table = table.setdefault(part, {})
        table[place[-1]] = value
        names[place] = variable
    return values, names, problems


def variable_of(key: Key, pool: int = 1) -> str | None:
    """Return the variable of `key`, for the `pool`-th pool where it is a pool's."""
    if key.place[0] == "pools" and pool > 1:
        return f"{PREFIX}POOL_{pool}_{key.name.upper()}"
    return key.variable


def _is_other(variable: str, text: str) -> bool:
    rest = variable.removeprefix(PREFIX)
    if variable in OTHER_VARIABLES or rest == "PORT" or _SERVICE.fullmatch(rest):
        return True
    return rest.endswith("_PORT") and "://" in text


@lru_cache(maxsize=1)
def _known() -> Mapping[str, Key]:
    rows = ((key.variable, key) for key in all_keys())
    return {name: key for name, key in rows if name is not None}


def _found(variable: str) -> tuple[Key, Place] | None:
    pool = 0
    if match := _NUMBERED.fullmatch(variable.removeprefix(PREFIX)):
        pool, variable = int(match[1]) - 1, f"{PREFIX}POOL_{match[2]}"
        if pool == 0:
            return None
    key = _known().get(variable)
    if key is None:
        return None
    return key, ("pools", pool, key.name) if key.repeated else key.place


def _nearest(variable: str) -> str:
    number = ""
    if match := _NUMBERED.fullmatch(variable.removeprefix(PREFIX)):
        number = f"{match[1]}_" if match[1] != "1" else ""
        variable = f"{PREFIX}POOL_{match[2]}"
    known = sorted({*_known(), *OTHER_VARIABLES})
    # Without the part that all share, which would make everything look alike.
    rests = [name.removeprefix(PREFIX) for name in known]
    close = difflib.get_close_matches(variable.removeprefix(PREFIX), rests, n=1)
    if not close:
        return "; docs/settings.md lists them"
    near = close[0].replace("POOL_", f"POOL_{number}", 1) if number else close[0]
    return f" (did you mean {PREFIX}{near}?)"


def _value(key: Key, text: str) -> Any:
    """Return `text` as a file would hold it; raises ValueError, which quotes no secret."""
    kind = key.kind
    if kind is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        raise ValueError(f"must be true or false, not {text!r}")
    if kind is tuple:
        return list(_listed(text))
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"must be a {key.kind_words}, not {text!r}") from None
    assert kind in (str, Path, SecretStr) or isinstance(kind, tuple)
    return text


def _listed(text: str) -> Iterator[str]:
    yield from (part.strip() for part in text.split(",") if part.strip())
