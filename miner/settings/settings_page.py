"""Documents derived from the model: JSON Schema, reference page, new settings file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from miner.net.address import PASSWORD_VARIABLE
from miner.settings.environment import OTHER_VARIABLES
from miner.settings.field_types import PLACEHOLDER
from miner.settings.key_table import Key, all_keys, all_tables, one_paragraph
from miner.settings.model import Settings
from miner.settings.toml_text import toml_value

WIDTH = 96
"""Columns of a new file."""

REPEATED = (("pools",), ("devices", "tune"))
"""Tables that are written as [[name]]."""

_SET = {
    ("coin",): "RVN",
    ("pools", "url"): "stratum+tcp://pool.example:3333",
    ("pools", "user"): PLACEHOLDER,
}
"""Values that a new file sets; all other keys are comments."""

_INTRODUCTION = """\
Settings come from a TOML file, environment variables and flags of `mine`; flags override variables,
variables override the file. Each source alone is enough: a run needs a variant or coin, and a pool.

- `progpow-miner config init` writes a commented file.
- `progpow-miner config check` reports each mistake in a file, with its line.
- `progpow-miner config show` prints the settings in effect and where each value came from.
- `progpow-miner config schema` prints the JSON Schema, for editors.

Pools given by flags replace all other pools. A pool's variables override the file's pool in the
same position, key by key. In a variable, a list is separated by commas, a truth value is "true" or
"false", and an empty value counts as not set. Unknown variables that begin with `PROGPOW_MINER_`
are errors, except those that Kubernetes and Docker set for a service named progpow-miner.

Blanks and line ends around a variable or a flag are removed. A variable or a flag in quotes is an
error, because some readers of environment files keep the quotes. In a file, a value with
backslashes is written in single quotes: `'C:\\temp\\new.txt'`.

Invisible characters, which text from web pages may have, are an error except in paths and in the
rig's name. A file that a run writes must be none of the other files.
"""

_FILE_COMMENT = """\
Settings of progpow-miner. A line that begins with #key holds the default, or an example if there is
no default. Environment variables override this file, flags override both.
"""

_POOLS_INTRODUCTION = """\
The variables are those of the first pool; those of the second begin with `PROGPOW_MINER_POOL_2_`,
and so on. `PROGPOW_MINER_POOL_PASSWORD` is the password of every pool for which none is set. The
flags apply to each `-o` and `-P` of the command line.
"""


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a settings file."""
    document = Settings.model_json_schema()
    _tidy(document)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | document


def _tidy(node: Any) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            node["description"] = one_paragraph(node["description"])
        if node.get("format") == "password" and "default" in node:
            node["default"] = "x"  # pydantic writes asterisks
        for inner in node.values():
            _tidy(inner)
    elif isinstance(node, list):
        for inner in node:
            _tidy(inner)


def reference_page() -> str:
    """Return the reference page as Markdown."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by `python -m miner config reference`; do not edit. -->",
        "",
        *_INTRODUCTION.splitlines(),
    ]
    for place, model in all_tables().items():
        rows = [key for key in all_keys() if key.place[:-1] == place]
        lines += ["", f"## {_title(place)}", "", one_paragraph(model.__doc__), ""]
        if place == ("pools",):
            lines += [*_POOLS_INTRODUCTION.splitlines(), ""]
        lines += [
            "| key | value | default | variable | flag | meaning |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(key) for key in rows]
    lines += ["", "## Other variables", "", "| variable | meaning |", "|---|---|"]
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
        default = "required"
    variable = key.variable
    if variable == PASSWORD_VARIABLE:
        variable = None  # it is the password of all pools for which none is set
    cells = [
        f"`{key.name}`",
        key.type_name,
        default,
        f"`{variable}`" if variable else "",
        ", ".join(f"`{name}`" for name in key.flag.names) if key.flag else "",
        key.description,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def new_file() -> str:
    """Return a commented settings file, in which only the wallet must be replaced."""
    lines = [
        *_comment(one_paragraph(_FILE_COMMENT)),
        "#",
        "# Write your wallet and the address of your pool under [[pools]], then:",
        "#   progpow-miner config check FILE",
        "#   progpow-miner mine -c FILE",
    ]
    for place, model in all_tables().items():
        rows = [key for key in all_keys() if key.place[:-1] == place]
        if place:
            lines += ["", *_comment(one_paragraph(model.__doc__)), _header(place)]
        for key in rows:
            lines += ["", *_entry(key)] if not place else _entry(key)
    return "\n".join(lines) + "\n"


def _header(place: tuple[str, ...]) -> str:
    name = ".".join(place)
    if place not in REPEATED:
        return f"[{name}]"
    return f"[[{name}]]" if place == ("pools",) else f"#[[{name}]]"


def _entry(key: Key) -> Iterator[str]:
    choices = f" One of {key.type_name}." if isinstance(key.type, tuple) else ""
    yield from _comment(key.description + choices)
    if key.place in _SET:
        yield f"{key.name} = {toml_value(_SET[key.place])}"
        return
    value = key.default
    if value in (None, "", []):
        value = (key.field.examples or [value])[0]
    yield f"#{key.name} = {toml_value(value)}"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2)]
