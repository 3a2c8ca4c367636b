"""What the user asked for: a TOML file, overridden by the command line, validated once."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from miner.errors import ConfigError
from miner.pool.limits import Limits
from miner.pool.schemes import PLAIN, SCHEMES

COMMAND_LINE = "command line"
"""Stands for the file's name in a complaint about a flag."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
FilePath = Annotated[Path, Field(strict=False)]
Seconds = Annotated[float, Field(ge=3, allow_inf_nan=False)]
"""A limit; a shorter one would take a busy pool for a dead one."""

_LIMITS = Limits()


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class PoolSettings(_Model):
    """One pool; those after the first are tried in order when it fails."""

    url: Text = Field(repr=False)
    """`stratum+tcp://host:port`, with or without `user:password@`."""
    user: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(default="", repr=False)
    """Wallet or account, often `WALLET.worker`; may be part of `url` instead."""
    password: SecretStr = SecretStr("x")
    worker: Text | None = None
    """Appended to the user after a dot."""
    tls_insecure: bool = False
    """Accept any certificate."""
    tls_ca_file: FilePath | None = None
    """Certificates to trust besides the system's."""
    tls_fingerprint: Text | None = None
    """SHA-256 of the pool's certificate in hex: that one is accepted, and no other."""
    protocol: Text | None = None
    """What the pool speaks; left out, the url's scheme says it, else the coin, else it is found
    out, as with "auto"."""
    proxy: Text | None = Field(default=None, repr=False)
    """`socks5://[user:password@]host:port` to go through."""
    password_file: FilePath | None = None
    """File whose first line is the password, in place of `password`."""
    cookie_file: FilePath | None = None
    """File in which a node leaves its user and password, often `.cookie` in its data folder."""

    @model_validator(mode="after")
    def _has_user(self) -> PoolSettings:
        scheme = SCHEMES.get(self.url.partition("://")[0].lower(), PLAIN)
        if not self.user and "@" not in self.url and not scheme.transport.is_http:
            raise ValueError("needs a user, as its own key or as user@ in url")
        return self

    @model_validator(mode="after")
    def _one_password(self) -> PoolSettings:
        if self.password_file is not None and "password" in self.model_fields_set:
            raise ValueError("give either password or password_file")
        return self


class DeviceSettings(_Model):
    """Which devices mine."""

    use: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)] | None = None
    """Names as the command `devices` prints them; every usable device where left out."""
    backend: Literal["auto", "opencl", "cuda", "ref"] = "auto"


class LimitSettings(_Model):
    """How long pools may take, in seconds."""

    connect: Seconds = _LIMITS.connect
    """For name, proxy, connection and TLS handshake together."""
    login: Seconds = _LIMITS.login
    """For the answers up to the accepted login."""
    answer: Seconds = _LIMITS.answer
    """For the answer to a share."""
    silence: Seconds = _LIMITS.silence
    """A pool without a new job for so long is left and connected to anew."""

    def limits(self) -> Limits:
        """Return them as the pool's side takes them."""
        return Limits(self.connect, self.login, self.answer, self.silence)


class Settings(_Model):
    """One run of the miner."""

    variant: Text | None = None
    """Name, alias or file."""
    coin: Text | None = None
    """Stands for a variant with its protocol; given instead of `variant`."""
    pools: Annotated[tuple[PoolSettings, ...], Field(strict=False, min_length=1)]
    devices: DeviceSettings = DeviceSettings()
    shares: Annotated[int, Field(ge=1)] | None = None
    """Stop after so many accepted shares."""
    give_up: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Stop after so many seconds without a pool; never where left out."""
    report_hashrate: bool = False
    """Tell pools that take such reports how fast this rig is."""
    record: FilePath | None = None
    """File to write down what pools say and are told; it can be replayed."""
    limits: LimitSettings = LimitSettings()

    @model_validator(mode="after")
    def _one_algorithm(self) -> Settings:
        if (self.variant is None) == (self.coin is None):
            raise ValueError("give either variant or coin")
        return self


def load_settings(path: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings of the file at `path`, where one is given, under `overrides`: a
    mapping of the file's own form, in which None means that the flag was not given. Lists
    replace the file's, tables are merged. Raises `ConfigError`.
    """
    given = _without_none(overrides)
    values = _read(path) if path else {}
    for key, other in (("variant", "coin"), ("coin", "variant")):
        if key in given and other not in given:
            values.pop(other, None)
    try:
        return Settings.model_validate(_merged(values, given))
    except ValidationError as error:
        # A misspelt key explains the missing one beside it.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        source = str(path) if path and not _holds(given, first["loc"]) else COMMAND_LINE
        raise ConfigError(": ".join(filter(None, (source, _sentence(first))))) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = re.sub(r" \(at .*\)$", "", str(error))
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines())
        raise ConfigError(f"{path}: line {line}: is not valid TOML: {problem}") from error


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            value = _without_none(value)
            if not value:
                continue
        elif isinstance(value, list | tuple):
            value = [_without_none(v) if isinstance(v, Mapping) else v for v in value]
        if value is not None:
            given[key] = value
    return given


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merged(below, value)
        merged[key] = value
    return merged


def _holds(values: Any, place: tuple[int | str, ...]) -> bool:
    """Tell whether the value at `place`, or for a missing one its table, is in `values`."""
    first, *rest = place or ("",)
    if not isinstance(values, dict) or first not in values:
        return False
    if isinstance(values[first], dict) and rest:
        return _holds(values[first], tuple(rest))
    return True


_TABLES: Mapping[str, type[BaseModel]] = {
    "": Settings,
    "pools": PoolSettings,
    "devices": DeviceSettings,
    "limits": LimitSettings,
}

_KINDS = {
    "string_type": "text in quotes",
    "path_type": "a path in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def _sentence(error: Any) -> str:
    """Return "key: what is wrong". Values are quoted only where they cannot be secrets."""
    place, kind, value = error["loc"], error["type"], error["input"]
    context = error.get("ctx", {})
    match kind:
        case "missing" if place == ("pools",):
            problem = "is missing: name a pool, as [[pools]] in a file or with -o URL -u USER"
        case "missing":
            problem = "is missing"
        case "extra_forbidden":
            table = ".".join(p for p in place[:-1] if isinstance(p, str))
            problem = "is no known key" + _nearest(place[-1], list(_TABLES[table].model_fields))
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
        case "tuple_type":
            problem = "must be a list" + (
                " of tables: write [[pools]]" if place == ("pools",) else ""
            )
        case "too_short" | "string_too_short":
            problem = "must not be empty"
        case "value_error":
            problem = str(context["error"])
        case "finite_number":
            problem = f"must be a finite number, not {value}"
        case _ if kind in _KINDS:
            problem = f"must be {_KINDS[kind]}, not {_kind_of(value)}"
        case _:
            problem = error["msg"][:1].lower() + error["msg"][1:]
    key = "".join(f"[{p + 1}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")
    return f"{key}: {problem}" if key else problem


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    return f" (did you mean {close[0]}?)" if close else f" (known: {', '.join(known)})"


def _kind_of(value: Any) -> str:
    names = {bool: "true or false", str: "text", list: "a list", dict: "a table"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "a date")
