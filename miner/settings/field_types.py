"""Types of the settings' values with their checks, and the flags in their annotations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from miner.codegen.launch_shape import shape_named
from miner.devices.device_names import CPU
from miner.devices.registry import BACKENDS
from miner.errors import BadValue, ConfigError
from miner.net.address import HostPort, parse_host_port
from miner.wallets import placeholder_in

OFF = "off"

SHORTEST_TOKEN = 16
"""Characters of a token that other machines can try to guess."""

_ANY_ADDRESS = {"0.0.0.0", "::"}


def check_listen(text: str) -> str:
    """Return `text`, which must be "host:port", or "" for "off"; raise ValueError otherwise."""
    if text in ("", OFF):
        return ""
    try:
        parse_host_port(text, lowest_port=0)
    except ConfigError as error:
        raise ValueError(
            'must be written as "host:port", such as "127.0.0.1:4067", or "off"'
        ) from error
    return text


def check_host_name(text: str) -> str:
    """Return `text`, which must be what a browser sends as the name of a host; raise ValueError
    otherwise."""
    if not re.fullmatch("[A-Za-z0-9._-]+", text):
        raise ValueError('must be a host name alone, such as "rig1.lan", without scheme and port')
    return text


def listen_address(text: str) -> HostPort | None:
    """Return the address of a checked text, None if it is "". Port 0 means any free port."""
    return parse_host_port(text, lowest_port=0) if text else None


def conflict(one: HostPort, other: HostPort) -> bool:
    """Whether both addresses cannot be listened on at the same time."""
    if one.port != other.port or one.port == 0:
        return False
    hosts = {address.host.replace("localhost", "127.0.0.1") for address in (one, other)}
    return len(hosts) == 1 or not hosts.isdisjoint(_ANY_ADDRESS)


def token_problem(token: str, is_reachable: bool) -> str | None:
    """Return why `token` cannot protect the API, None if it can. It must be longer where the API
    `is_reachable` from other machines."""
    if not re.fullmatch("[!-~]+", token):
        return "must be printable ASCII without blanks; `openssl rand -hex 32` prints one"
    if is_reachable and len(token) < SHORTEST_TOKEN:
        return (
            f"has {len(token)} characters, but needs {SHORTEST_TOKEN} or more because other "
            "machines can connect; `openssl rand -hex 32` prints one"
        )
    return None


PLACEHOLDER = "PUT_YOUR_WALLET_HERE"
"""The wallet in a file that `config init` wrote; a file that still contains it is rejected."""


class Flag:
    """The command-line flag of a setting: metadata in the annotation of its field."""

    def __init__(
        self, *names: str, metavar: str | None = None, repeatable: bool = False, off: str = ""
    ) -> None:
        self.names = names
        """All spellings; messages name the first."""
        self.metavar = metavar
        self.repeatable = repeatable
        """Whether each use of the flag adds a pool."""
        self.off = off
        """Help of a flag that turns the setting off; "" if the flag sets or turns it on."""


def _reject_placeholder(text: str) -> str:
    """Return `text`, a user or a pool's address with or without one."""
    login = text.rpartition("@")[0] or text
    if (found := placeholder_in(login.rpartition("://")[2])) is not None:
        raise ValueError(f"is still the placeholder {found}; write your own wallet there")
    return text


def _known_shape(name: str) -> str:
    try:
        return shape_named(name).name
    except BadValue as error:
        raise ValueError(str(error).removeprefix("shape: ")) from error


def _not_empty(path: object) -> object:
    if isinstance(path, str) and not path.strip():  # "" would mean the current folder
        raise ValueError("must not be empty")
    return path


NoPlaceholder = AfterValidator(_reject_placeholder)
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
MaybeEmpty = Annotated[str, StringConstraints(strip_whitespace=True)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
HostName = Annotated[Text, AfterValidator(check_host_name)]
HostNames = Annotated[tuple[HostName, ...], Field(strict=False)]
ShapeName = Annotated[Text, AfterValidator(_known_shape)]
FilePath = Annotated[Path, BeforeValidator(_not_empty), Field(strict=False)]
Seconds = Annotated[float, Field(ge=3, allow_inf_nan=False)]
"""A timeout; a shorter one would take a busy pool for a dead one."""
Celsius = Annotated[float, Field(ge=20, le=150, allow_inf_nan=False)]
Listen = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(check_listen)]
if TYPE_CHECKING:
    BackendName = str
else:
    BackendName = Literal[("auto", *BACKENDS, CPU)]
