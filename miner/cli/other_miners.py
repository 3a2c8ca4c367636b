"""The flags of other miners, translated to those of `mine` by the table
`configs/other-miners.toml`."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import click

SWITCH_WORDS = {
    "1": True, "on": True, "true": True, "yes": True,
    "0": False, "off": False, "false": False, "no": False,
}  # fmt: skip

BACKEND_FLAG, OTHER_BACKEND = "--backend", {"cuda": "opencl", "opencl": "cuda"}

API_FLAG, API_HOST, API_PORT = "--api", "127.0.0.1", "4067"

POOL_FLAGS = ("-o", "--url")

COMBINED_FLAGS = ("-P", "--pool")

DEVICE_FLAGS = ("-d", "--devices")

PROXY_FLAGS = ("--proxy",)

OTHERWISE_NUMBERS = {
    "-l": "-l names the log file here; the interval of TeamRedMiner has no counterpart",
    "-R": "-R reports the hashrate here; the pause between retries of T-Rex, WildRig and xmrig has "
    "no counterpart",
}
"""Flags of `mine` that take a number in other miners, and the advice for that case."""

CONTINUATIONS = ("", "\\", "^", "`")
"""Signs that continue a command in the next line, and what is left of one before a blank."""

OTHER_DASHES = ("\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212")
"""Hyphens and dashes that web pages and word processors write in place of "-"."""

_NUMBERS = re.compile(r"[0-9]+(,[0-9]+)*,?")
_CORE_LIMITS = re.compile(r"tc\[([0-9]+)-([0-9]+)\]")


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


def translated(arguments: Sequence[str], own: Mapping[str, bool]) -> list[str]:
    """Return the arguments of `mine` with the flags of other miners replaced.

    `own` holds the flags of `mine`, and whether each takes a value. Flags that are in no table
    stay. Raises `click.UsageError` with a sentence for each flag without a counterpart.
    """
    return _Translation(arguments, own).result()


class _Translation:
    """Reads the arguments from left to right."""

    def __init__(self, arguments: Sequence[str], own: Mapping[str, bool]) -> None:
        self._own = own
        self._left = deque(arguments)
        self._flags: list[tuple[str, ...]] = []
        """Flags with their values, and other arguments, in order."""
        self._problems: list[str] = []
        self._backends: set[str] = set()
        self._tls = False
        self._port: tuple[str, str] | None = None
        self._api: dict[str, str] = {}

    def result(self) -> list[str]:
        while self._left:
            self._read(self._left.popleft())
        if self._problems:
            raise click.UsageError(". ".join(self._problems))
        if len(self._backends) == 1:
            self._flags.append((BACKEND_FLAG, *self._backends))
        if self._api:
            from miner.net.address import HostPort

            listen = HostPort(self._api.get("host", API_HOST), int(self._api.get("port", API_PORT)))
            self._flags.append((API_FLAG, self._api.get("whole", str(listen))))
        self._complete_pools()
        return [argument for flag in self._flags for argument in flag]

    def _read(self, argument: str) -> None:
        if not argument:  # of an unset variable in a script
            return
        if argument.strip() in CONTINUATIONS:
            raise click.UsageError("remove the blank at the end of a line, after its \\ or ^")
        name, given, value = argument.partition("=")
        if name.startswith("--") and normalized(name) in self._own:
            name = normalized(name)
        elif self._is_long(name):
            name = normalized(f"-{name}")
        if argument.startswith(OTHER_DASHES):
            self._problems.append(
                f"{argument} begins with a typographic dash; type it again with -"
            )
        elif argument == "--":
            self._flags += [(argument,), *((rest,) for rest in self._left)]
            self._left.clear()
        elif not argument.startswith("-") or argument == "-":
            self._flags.append((argument,))
        elif name in self._own:
            self._read_own(name, value if given else None)
        elif found := _table().get(normalized(name)):
            self._read_foreign(found, name, value if given else None)
        else:  # several short flags or a short flag with its value, or else a mistake
            self._flags.append((argument,))

    def _is_long(self, name: str) -> bool:
        """Return whether `name` is a long flag with one dash, as some miners have them."""
        if name in _table() or not re.match("-[A-Za-z][^-]", name):
            return False
        return normalized(f"-{name}") in self._own.keys() | _table().keys()

    def _read_own(self, name: str, value: str | None) -> None:
        if name in OTHERWISE_NUMBERS and self._left and self._left[0].isdecimal():
            self._left.popleft()
            self._problems.append(OTHERWISE_NUMBERS[name])
            return
        if not self._own[name]:
            if not self._switch_value(name, value):
                raise click.UsageError(f"{name} cannot be switched off here; leave it out")
            value = None
        elif value is None and self._left:
            if self._is_flag(self._left[0]):
                raise click.UsageError(f"{name} needs a value")
            value = self._list() if name in DEVICE_FLAGS else self._left.popleft()
        if value is None:
            self._flags.append((name,))
        elif name == API_FLAG and value.isdecimal():
            self._listen(value)
        elif name in COMBINED_FLAGS and value == "exit":  # kawpowminer's end of the list
            self._problems.append(f"{name} exit: --give-up SECONDS ends a run without a pool")
        elif name in PROXY_FLAGS and "://" not in value:
            self._flags.append((name, f"socks5://{value}"))
        elif name not in DEVICE_FLAGS or value.lower() != "all":
            self._flags.append((name, value))

    def _is_flag(self, argument: str) -> bool:
        name = argument.partition("=")[0]
        return normalized(name) in self._own.keys() | _table().keys()

    def _read_foreign(self, found: ForeignFlag, name: str, value: str | None) -> None:
        if found.form == "met":
            if self._left and (self._left[0].lower() in SWITCH_WORDS or self._left[0].isdecimal()):
                self._left.popleft()
            return
        if found.here:
            self._problems.append(f"{name}: {found.here}")
            while self._left and not self._left[0].startswith("-"):
                self._left.popleft()
            return
        if found.form in ("switch", "unless", "backend", "tls"):
            self._switch(found, self._switch_value(name, value))
            return
        if value is None:
            value = self._value(name, several=found.form in ("list", "celsius"))
        match found.form:
            case "celsius":
                self._flags += _temperatures(found.flag, _one_temperature(name, value))
            case "socks":
                self._flags.append((found.flag, value if "://" in value else f"socks5://{value}"))
            case "login":
                user, _, password = value.partition(":")
                self._flags += [("-u", user), *([("-p", password)] if password else [])]
            case "listen":
                self._listen(value)
            case "port":
                self._port = name, value
            case _:
                self._flags.append((found.flag, value))

    def _value(self, name: str, *, several: bool) -> str:
        """Take the value of a flag from the arguments."""
        if not self._left or re.match("-[^0-9]", self._left[0]):
            raise click.UsageError(f"{name} needs a value")
        return self._list() if several else self._left.popleft()

    def _list(self) -> str:
        """Take a value, and further ones if they are numbers, from the arguments."""
        values = [self._left.popleft()]
        while self._left and all(map(_NUMBERS.fullmatch, (values[-1], self._left[0]))):
            values.append(self._left.popleft())
        return ",".join(value.strip(",") for value in values) if len(values) > 1 else values[0]

    def _switch_value(self, name: str, value: str | None) -> bool:
        if value is None:
            if not self._left or self._left[0].lower() not in SWITCH_WORDS:
                return True
            value = self._left.popleft()
        if value.lower() not in SWITCH_WORDS:
            raise click.UsageError(f"{name}: {value!r} is neither on nor off")
        return SWITCH_WORDS[value.lower()]

    def _switch(self, found: ForeignFlag, on: bool) -> None:
        if found.form == "tls":
            self._tls = on
        elif found.form == "backend":
            backend = found.flag.split()[1]
            self._backends.add(backend if on else OTHER_BACKEND[backend])
        elif on != (found.form == "unless"):
            self._flags.append(tuple(found.flag.split()))

    def _listen(self, value: str) -> None:
        if value == "0":
            self._api["whole"] = "off"
        elif re.fullmatch("-?[0-9]+", value):  # ethminer's read-only API has a negative port
            self._api["port"] = value.removeprefix("-")
        elif re.fullmatch(r"(\[.*\]|[^:]+):-?[0-9]+", value):
            self._api["whole"] = value.replace(":-", ":")
        else:
            self._api["host"] = value

    def _complete_pools(self) -> None:
        """Add port and TLS to the addresses of the pools."""
        pools = [i for i, flag in enumerate(self._flags) if flag[0] in POOL_FLAGS]
        if self._port is not None and not pools:
            raise click.UsageError(f"{self._port[0]} needs a pool: give -o URL too")
        for i in pools:
            if len(self._flags[i]) == 2:
                name, url = self._flags[i]
                if self._port is not None and not re.search(":[0-9]+$", url):
                    url = f"{url}:{self._port[1]}"
                self._flags[i] = name, with_tls(url) if self._tls else url


def _one_temperature(name: str, value: str) -> str:
    limits: set[str] = set(filter(None, re.split(r"[,\s]+", value)))
    if len(limits) != 1:
        raise click.UsageError(
            f"{name}: write one temperature for all devices; those of single devices are "
            "temperature_stop under [[devices.tune]] in a settings file"
        )
    return limits.pop()


def _temperatures(flag: str, value: str) -> list[tuple[str, str]]:
    """Return the flags of a limit: a temperature, where 0 means none, or Rigel's "tc[60-70]"."""
    if span := _CORE_LIMITS.fullmatch(value):
        return [("--temp-start", span[1]), ("--temp-stop", span[2])]
    if value.startswith(("tc[", "tm[")):
        raise click.UsageError(
            f"{value}: write a limit of the core as --temp-stop CELSIUS --temp-start CELSIUS; that "
            "of the memory is memory_temperature_stop under [devices] in a settings file"
        )
    return [(flag, value)] if value != "0" else []


def with_tls(url: str) -> str:
    """Return the address of a pool with a scheme that uses TLS."""
    from miner.pool.pool_addresses import SCHEMES

    scheme, separator, rest = url.rpartition("://")
    known = SCHEMES.get(scheme.lower())
    if not separator:
        return f"stratum+tls://{rest}"
    if known is None or known.transport.has_tls:
        return url
    name = scheme.partition("+")[0] if known.protocol else "stratum"
    return f"{'https' if known.transport.is_http else f'{name}+tls'}://{rest}"


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


@cache
def _table() -> Mapping[str, ForeignFlag]:
    return {normalized(name): flag for flag in foreign_flags() for name in flag.names}
