"""What may be set, told from the model: JSON Schema, reference page, commented file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from miner.settings.environment import OTHER_VARIABLES, variable_of
from miner.settings.key_table import Key, all_keys, all_tables
from miner.settings.model import PLACEHOLDER, Settings
from miner.settings.toml_text import toml_value

WIDTH = 96
"""Columns of a written file."""

REPEATED = (("pools",), ("devices", "tune"))
"""Tables that are written as [[name]], once for each."""

_LIVE = {
    ("coin",): "RVN",
    ("pools", "url"): "stratum+tcp://pool.example:3333",
    ("pools", "user"): PLACEHOLDER,
}
"""What a new file sets; all else is there as a comment."""

_ABOUT = """\
A TOML file, environment variables over it, flags of `mine` over both; each of them will do alone,
as long as a variant or coin and a pool are named.

- `progpow-miner config init` writes a commented file.
- `progpow-miner config check` says what is wrong with a file, and where.
- `progpow-miner config show` prints what is in effect and where each value came from.
- `progpow-miner config schema` prints the JSON Schema, for editors.

A flag that names a pool replaces the pools of file and environment. The variables of a pool are
laid over the file's pool in the same place, key by key. A list in a variable is separated by
commas, a truth value is "true" or "false", and an empty variable counts as not set. A variable that
begins with `PROGPOW_MINER_` and is not known is an error, except for those that a cluster sets for
a service of that name.
"""

_OF_A_FILE = """\
Settings of progpow-miner. A line that begins with #key holds what is in effect without it, or an
example where that is nothing. Environment variables go before this file, flags before both.
"""

_OF_POOLS = """\
The variables are those of the first pool; those of the second begin with `PROGPOW_MINER_POOL_2_`,
and so on. `PROGPOW_MINER_POOL_PASSWORD` is the password of every pool that has none of its own. The
flags go for each `-o` and `-P` of the command line.
"""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a settings file, for editors and checkers."""
    whole = Settings.model_json_schema()
    _tidy(whole)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | whole


def _tidy(node: Any) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            node["description"] = " ".join(node["description"].split())
        if node.get("format") == "password" and "default" in node:
            node["default"] = "x"  # the library writes asterisks
        for inner in node.values():
            _tidy(inner)
    elif isinstance(node, list):
        for inner in node:
            _tidy(inner)


def page() -> str:
    """Return the reference page as Markdown."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by `python -m miner config reference`; do not edit. -->",
        "",
        *_ABOUT.splitlines(),
    ]
    for place, model in all_tables().items():
        rows = [key for key in all_keys() if key.place[:-1] == place]
        about = " ".join((model.__doc__ or "").split())
        lines += ["", f"## {_title(place)}", "", about, ""]
        if place == ("pools",):
            lines += [*_OF_POOLS.splitlines(), ""]
        lines += [
            "| key | value | default | variable | flag | meaning |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(key) for key in rows]
    lines += ["", "## Variables that stand for no key", "", "| variable | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in OTHER_VARIABLES.items()]
    return "\n".join(lines) + "\n"


def _title(place: tuple[str, ...]) -> str:
    if not place:
        return "Top of the file"
    name = ".".join(place)
    return f"`[[{name}]]`" if place in REPEATED else f"`[{name}]`"


def _row(key: Key) -> str:
    default = "" if key.default is None else f"`{toml_value(key.default)}`"
    if key.field.is_required():
        default = "needed"
    variable = variable_of(key)
    if key.place == ("pools", "password"):
        variable = None  # that name is for all pools that have no password of their own
    cells = [
        f"`{key.name}`",
        key.kind_words,
        default,
        f"`{variable}`" if variable else "",
        ", ".join(f"`{name}`" for name in key.flag.names) if key.flag else "",
        key.meaning,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def new_file() -> str:
    """Return a commented settings file, in which only the wallet has to be replaced."""
    lines = [
        *_comment(" ".join(_OF_A_FILE.split())),
        "#",
        "# Put your wallet, and your pool's address, into [[pools]], then:",
        "#   progpow-miner config check FILE",
        "#   progpow-miner mine -c FILE",
    ]
    for place, model in all_tables().items():
        rows = [key for key in all_keys() if key.place[:-1] == place]
        if place:
            lines += ["", *_comment(" ".join((model.__doc__ or "").split())), _header(place)]
        for key in rows:
            lines += ["", *_entry(key)] if not place else _entry(key)
    return "\n".join(lines) + "\n"


def _header(place: tuple[str, ...]) -> str:
    name = ".".join(place)
    if place not in REPEATED:
        return f"[{name}]"
    return f"[[{name}]]" if place == ("pools",) else f"#[[{name}]]"


def _entry(key: Key) -> Iterator[str]:
    choices = f" One of {key.kind_words}." if isinstance(key.kind, tuple) else ""
    yield from _comment(key.meaning + choices)
    if key.place in _LIVE:
        yield f"{key.name} = {toml_value(_LIVE[key.place])}"
        return
    value = key.default
    if value in (None, "", []):
        value = (key.field.examples or [value])[0]
    yield f"#{key.name} = {toml_value(value)}"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2)]
