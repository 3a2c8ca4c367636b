"""Settings in environment variables, whose names are derived from the keys."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from miner.errors import ConfigError, nearest
from miner.net.address import PASSWORD_VARIABLE
from miner.resources import variable
from miner.safe_text import short_line
from miner.settings.key_table import PREFIX, Key, all_keys
from miner.settings.toml_lines import Place

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
COOKIE_VARIABLE = f"{PREFIX}COOKIE_FILE"

OTHER_VARIABLES: Mapping[str, str] = {
    CONFIG_VARIABLE: "settings file, if `--config` names none",
    f"{PREFIX}CACHE": "folder of files that can be rebuilt. Default: `~/.cache/progpow-miner`",
    f"{PREFIX}STATE": "folder of ledger and found blocks. Default: `~/.local/state/progpow-miner`",
    COOKIE_VARIABLE: "cookie file of nodes for which no login is set",
    PASSWORD_VARIABLE: "password of pools for which none is set",
}
"""Variables of the miner that do not belong to a key, with their meanings."""

SAME_TABLE = 0.6
"""Least similarity of an unknown key and the suggested one, lower than for other names, since few
keys are possible."""

_OF_SERVICE = re.compile(
    r"(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_.+)?)"
)
"""Variables that Kubernetes and Docker links set for a service called progpow-miner."""

_OF_NUMBERED_POOL = re.compile(r"POOL_([1-9][0-9]*)_(.+)")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def settings_file(environ: Mapping[str, str]) -> Path | None:
    """Return the settings file that the environment names."""
    name = variable(CONFIG_VARIABLE, environ)
    return Path(os.path.expanduser(name)) if name else None


def from_environment(
    environ: Mapping[str, str],
) -> tuple[dict[str, Any], dict[Place, str], list[str]]:
    """Return (values, variable by place, error messages).

    The values have the form of a settings file, except that "pools" maps positions (from 0) to
    tables. An empty variable counts as not set.
    """
    values: dict[str, Any] = {}
    variables: dict[Place, str] = {}
    problems: list[str] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or _is_of_service(name, environ[name]):
            continue
        try:
            text = variable(name, environ)
        except ConfigError as error:
            problems.append(str(error))
            continue
        if not text or name in OTHER_VARIABLES:
            continue
        found = _key_and_place(name)
        if found is None:
            problems.append(f"environment {name}: unknown setting{_suggestion(name)}")
            continue
        key, place = found
        try:
            value = _parse(key, text)
        except ValueError as error:
            problems.append(f"environment {name}: {error}")
            continue
        table: dict[Any, Any] = values
        for part in place[:-1]:
            table = table.setdefault(part, {})
        table[place[-1]] = value
        variables[place] = name
    return values, variables, problems


def _is_of_service(name: str, text: str) -> bool:
    rest = name.removeprefix(PREFIX)
    if rest == "PORT" or _OF_SERVICE.fullmatch(rest):
        return True
    return rest.endswith("_PORT") and "://" in text


@cache
def _keys_by_variable() -> Mapping[str, Key]:
    return {key.variable: key for key in all_keys() if key.variable is not None}


def _key_and_place(name: str) -> tuple[Key, Place] | None:
    pool = 0
    if match := _OF_NUMBERED_POOL.fullmatch(name.removeprefix(PREFIX)):
        pool, name = int(match[1]) - 1, f"{PREFIX}POOL_{match[2]}"
        if pool == 0:
            return None  # the variables of the first pool have no number
    key = _keys_by_variable().get(name)
    if key is None:
        return None
    return key, ("pools", pool, key.name) if key.repeated else key.place


def _suggestion(name: str) -> str:
    number = ""
    if match := _OF_NUMBERED_POOL.fullmatch(name.removeprefix(PREFIX)):
        number = f"{match[1]}_" if match[1] != "1" else ""
        name = f"{PREFIX}POOL_{match[2]}"
    known = sorted({*_keys_by_variable(), *OTHER_VARIABLES})
    # Compared without the common prefix, which would make all names look alike.
    rests = [one.removeprefix(PREFIX) for one in known]
    near = nearest(name.removeprefix(PREFIX), rests, SAME_TABLE)
    if near is None:
        return "; docs/settings.md lists them"
    if number:
        near = near.replace("POOL_", f"POOL_{number}", 1)
    return f" (did you mean {PREFIX}{near}?)"


def _parse(key: Key, text: str) -> Any:
    """Return `text` as a settings file holds it. Raises ValueError, which quotes no secret, since
    secrets are text and every text is accepted."""
    if key.type is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
        raise ValueError(f"must be true or false, not {short_line(text, 40)!r}")
    if key.type is tuple:
        if re.search(r"^\[\s*[\"']|[\"']\s*\]$", text):
            raise ValueError("write the values without brackets and quotes, separated by commas")
        return [part.strip() for part in text.split(",") if part.strip()]
    if key.type in (int, float):
        try:
            return key.type(text)
        except ValueError:
            shown = short_line(text, 40)
            raise ValueError(f"must be a {key.type_name}, not {shown!r}") from None
    assert key.type in (str, Path, SecretStr) or isinstance(key.type, tuple)
    return text
