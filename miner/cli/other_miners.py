"""The flags of other miners, translated to those of `mine` by the table
`configs/other-miners.toml`."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence, Set
from functools import cached_property

import click

from miner.cli.foreign_flags import ForeignFlag, flags_by_name, normalized
from miner.errors import nearest

SWITCH_WORDS = {
    "1": True, "on": True, "true": True, "yes": True,
    "0": False, "off": False, "false": False, "no": False,
}  # fmt: skip

_WORDS = {True: "on", False: "off"}

BACKEND_FLAG, OTHER_BACKEND = "--backend", {"cuda": "opencl", "opencl": "cuda"}

API_FLAG, API_HOST, API_PORT = "--api", "127.0.0.1", "4067"

POOL_FLAGS = ("-o", "--url")

COMBINED_FLAGS = ("-P", "--pool")

DEVICE_FLAGS = ("-d", "--devices")

PROXY_FLAGS = ("--proxy",)

PORT = "--port"

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


class Translation:
    """The arguments of `mine` with the flags of other miners replaced, read from left to right.

    `own` holds the options of `mine` by flag. Flags that are in no table stay. The last of several
    values counts, except for options that add to a list (`multiple`). Raises `click.UsageError`
    with a sentence for each flag without a counterpart.
    """

    def __init__(self, arguments: Sequence[str], own: Mapping[str, click.Option]) -> None:
        self.written: dict[str, str] = {}
        """The flags of `mine` as the user wrote them, by the first name of each."""
        self.overridden: list[str] = []
        """A sentence for each value that a later flag replaced."""
        self.unclear: list[str] = []
        """A remark on each short flag that looks like a long one because of its value."""
        self._own = own
        self._left = deque(arguments)
        self._flags: list[tuple[str, ...]] = []
        """Flags with their values, and other arguments, in order."""
        self._problems: list[str] = []
        self._backends: dict[str, bool] = {}
        self._tls: tuple[str, bool] | None = None
        self._ports: list[str] = []
        self._api: dict[str, str] = {}
        while self._left:
            self._read(self._left.popleft())
        if self._problems:
            raise click.UsageError(". ".join(self._problems))
        self._complete_pools()
        self.arguments = [argument for flag in self._flags for argument in flag]

    def _read(self, argument: str) -> None:
        if not argument:  # of an unset variable in a script
            return
        if argument.strip() in CONTINUATIONS:
            raise click.UsageError("remove the blank at the end of a line, after its \\ or ^")
        name, given, value = argument.partition("=")
        self._name = name
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
        elif found := flags_by_name().get(normalized(name)):
            self._read_foreign(found, name, value if given else None)
        elif (short := self._own.get(argument[:2])) and not short.is_flag:
            self._name = argument[:2]
            if near := nearest(
                normalized(f"-{name}"), (one for one in self._known if one.startswith("--"))
            ):
                self.unclear.append(f"{self._name} takes what follows it; did you mean {near}?")
            self._read_own(self._name, argument[2:])
        elif re.match("-[A-Za-z]{3}", name) and argument[:2] not in self._own:
            raise click.NoSuchOption(name)
        else:  # several short flags, or else a mistake
            self._flags.append((argument,))

    @cached_property
    def _known(self) -> Set[str]:
        """All flags. The table is only read when it is needed, so that help answers sooner."""
        return self._own.keys() | flags_by_name().keys()

    def _is_long(self, name: str) -> bool:
        """Return whether `name` is a long flag with one dash, as some miners have them."""
        if not re.match("-[A-Za-z][^-]", name) or name in flags_by_name():
            return False
        return normalized(f"-{name}") in self._known

    def _read_own(self, name: str, value: str | None) -> None:
        if name in OTHERWISE_NUMBERS and self._left and self._left[0].isdecimal():
            self._left.popleft()
            self._problems.append(OTHERWISE_NUMBERS[name])
            return
        if self._own[name].is_flag:
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
            self._set(name, f"socks5://{value}")
        elif name in DEVICE_FLAGS and value.lower() == "all":
            self._leave_out(name)
        else:
            if name == API_FLAG:
                self._api.clear()
            elif name == BACKEND_FLAG:
                self._backends.clear()
            self._set(name, value)

    def _set(self, name: str, value: str | None) -> None:
        """Give a flag of `mine` a value, or None as the value "0" that leaves it out."""
        option = self._own[name]
        earlier = self.written.get(option.opts[0], "")
        self.written[option.opts[0]] = self._name
        for flag in [] if option.multiple else self._given(name):
            self._flags.remove(flag)
            if flag[1:] != (value,):
                self._replaces(value or "0", earlier, flag[1])
        if value is not None:
            self._flags.append((name, value))

    def _given(self, name: str) -> list[tuple[str, ...]]:
        return [flag for flag in self._flags if self._own.get(flag[0]) is self._own[name]]

    def _leave_out(self, name: str) -> None:
        for flag in self._given(name):
            self._flags.remove(flag)

    def _replaces(self, value: str, earlier: str, replaced: str) -> None:
        from miner.safe_text import short_line, without_wallets

        one, other = (short_line(without_wallets(v.rpartition("@")[2])) for v in (value, replaced))
        self.overridden.append(f"{self._name} {one} replaces the earlier {earlier} {other}")

    def _is_flag(self, argument: str) -> bool:
        name = argument.partition("=")[0]
        return normalized(name) in self._known

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
                for flag, limit in _temperatures(found.flag, _one_temperature(name, value)):
                    self._set(flag, limit)
            case "socks":
                self._set(found.flag, value if "://" in value else f"socks5://{value}")
            case "login":
                user, _, password = value.partition(":")
                self._set("-u", user)
                if password:
                    self._set("-p", password)
            case "listen":
                self._listen(value)
            case "port":
                self._ports.append(value)
                self.written[PORT] = name
            case _:
                self._set(found.flag, value)

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
        flag, *value = found.flag.split()
        if found.form == "tls":
            if self._tls is not None and self._tls[1] != on:
                self._replaces(_WORDS[on], self._tls[0], _WORDS[not on])
            self._tls = self._name, on
        elif found.form == "backend":
            self._backends[value[0]] = on
            chosen = {one if is_on else OTHER_BACKEND[one] for one, is_on in self._backends.items()}
            if len(chosen) == 1:
                self._set(flag, *chosen)
            else:
                self._leave_out(flag)
        elif on == (found.form == "unless"):
            for given in self._given(flag):
                if given[1:] == (*value,):
                    self._flags.remove(given)
        elif value:
            self._set(flag, *value)
        else:
            self._flags.append((flag,))

    def _listen(self, value: str) -> None:
        from miner.net.address import HostPort

        if value == "0":
            part, value = "whole", "off"
        elif re.fullmatch("-?[0-9]+", value):  # ethminer's read-only API has a negative port
            part, value = "port", value.removeprefix("-")
        elif re.fullmatch(r"(\[.*\]|[^:]+):-?[0-9]+", value):
            part, value = "whole", value.replace(":-", ":")
        else:
            part = "host"
        if part == "whole" or "whole" in self._api:
            self._api.clear()
        elif self._api and part not in self._api:  # completes the other part
            self._leave_out(API_FLAG)
        self._api[part] = value
        listen = HostPort(self._api.get("host", API_HOST), int(self._api.get("port", API_PORT)))
        self._set(API_FLAG, self._api.get("whole", str(listen)))

    def _complete_pools(self) -> None:
        """Add ports, in their order, and TLS to the addresses of the pools."""
        pools = [i for i, flag in enumerate(self._flags) if flag[0] in POOL_FLAGS and flag[1:]]
        check_count(self.written.get(PORT, PORT), self._ports, len(pools))
        for number, i in enumerate(pools):
            name, url = self._flags[i]
            if self._ports and not re.search(":[0-9]+$", url):
                url = f"{url}:{self._ports[min(number, len(self._ports) - 1)]}"
            self._flags[i] = name, with_tls(url) if self._tls and self._tls[1] else url


def check_count(flag: str, given: Sequence[str], pools: int) -> None:
    """Raise `UsageError` if `flag`, which has one value for each pool, is given too often."""
    if given and not pools:
        raise click.UsageError(f"{flag} needs a pool: give -o URL too")
    if len(given) > pools and len(set(given)) > 1:
        whom = "one pool" if pools == 1 else f"{pools} pools"
        raise click.UsageError(
            f"{flag} is given {len(given)} times, for {whom}; remove the wrong ones"
        )


def _one_temperature(name: str, value: str) -> str:
    limits: set[str] = set(filter(None, re.split(r"[,\s]+", value)))
    if len(limits) != 1:
        raise click.UsageError(
            f"{name}: write one temperature for all devices; those of single devices are "
            "temperature_stop under [[devices.tune]] in a settings file"
        )
    return limits.pop()


def _temperatures(flag: str, value: str) -> list[tuple[str, str | None]]:
    """Return the flags of a limit: a temperature, where 0 means none, or Rigel's "tc[60-70]"."""
    if span := _CORE_LIMITS.fullmatch(value):
        return [("--temp-start", span[1]), ("--temp-stop", span[2])]
    if value.startswith(("tc[", "tm[")):
        raise click.UsageError(
            f"{value}: write a limit of the core as --temp-stop CELSIUS --temp-start CELSIUS; that "
            "of the memory is memory_temperature_stop under [devices] in a settings file"
        )
    return [(flag, value if value != "0" else None)]


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
