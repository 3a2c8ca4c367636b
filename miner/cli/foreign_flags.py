"""The flags of other miners, as rows of the table `configs/other-miners.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class ForeignFlag:
    """One row of the table."""

    names: tuple[str, ...]
    miners: tuple[str, ...]
    flag: str
    """The flag of `mine` with the same meaning, for a switch perhaps with a value; "" if none."""
    form: str
    here: str
    """Advice, or the reason why the flag is not needed (form "met"), as one sentence without a full
    stop; "" if `flag` is set."""


@cache
def foreign_flags() -> tuple[ForeignFlag, ...]:
    """Return the rows of the table."""
    from miner.resources import data_directory
    from miner.variant_file import read_toml

    rows = read_toml(data_directory("configs") / "other-miners.toml")["flags"]
    return tuple(
        ForeignFlag(
            tuple(row["names"]), tuple(row["miners"]), row.get("as", ""), row.get("form", ""),
            row.get("here", ""),
        )
        for row in rows
    )  # fmt: skip


def normalized(name: str) -> str:
    """Return a flag as the table spells it."""
    return name.lower().replace("_", "-") if name.startswith("--") else name


@cache
def flags_by_name() -> Mapping[str, ForeignFlag]:
    """Return the rows by their `normalized` names."""
    return {normalized(name): flag for flag in foreign_flags() for name in flag.names}


def flag_table() -> str:
    """Return the table as Markdown, for docs/howto/coming-from-other-miners.md."""
    lines = ["| flags of other miners | in | here |", "|---|---|---|"]
    for row in foreign_flags():
        names = ", ".join(f"`{name}`" for name in row.names)
        here = f"{row.here[:1].upper()}{row.here[1:]}" if row.here else _counterpart(row)
        lines.append(f"| {names} | {', '.join(row.miners)} | {here} |".replace("`|`", "`\\|`"))
    return "\n".join(lines) + "\n"


_COUNTERPARTS = {
    "list": "; values may be separated by blanks",
    "celsius": "; one temperature for all devices",
    "socks": "; `socks5://` may be left out",
    "listen": "; a port alone is one of this machine",
    "login": " and `-p`",
    "unless": ", if it is off",
    "backend": "; off selects the other backend",
    "port": ", for an address without a port",
    "tls": ", with the scheme `stratum+tls://`",
}
"""Remarks that the page adds to the flag of `mine`, by form."""


def _counterpart(row: ForeignFlag) -> str:
    return f"`{row.flag}`{_COUNTERPARTS.get(row.form, '')}"
