"""All exceptions of the miner, with their exit codes, and the names that messages suggest.

    MinerError                  the base: one sentence for the user, and an exit code
    ├── UsageError       (2)    the user's input cannot be used
    │   ├── BadValue            a value is outside its domain; names the field
    │   ├── BadVariant          a variant file is inconsistent or fails its known answers
    │   └── ConfigError         a settings file or flag cannot be used; names file and key
    ├── CheckFailed      (1)    a self-test, a comparison, `health` or `doctor` failed
    ├── DeviceError      (3)    one device failed; the others continue
    │   ├── BackendUnavailable  a driver or its Python package is missing
    │   ├── DriverDied          a driver ended or held up the process that tried it
    │   ├── BuildFailed         a kernel did not compile; names the log file
    │   ├── OutOfMemory         too little device memory; states needed and free bytes
    │   ├── WrongResult         a kernel or a dataset differs from the reference
    │   └── DeviceHung   (5)    a driver call did not return
    ├── NoUsableDevice   (3)    no device is left to mine on
    ├── AddressTaken     (3)    an address to listen on is in use, or not on this machine yet
    └── PoolError        (4)    one pool failed
        ├── ConnectionLost      the connection failed; tried again
        │   ├── Banned          the pool banned us for a while
        │   ├── NodeBusy        the node's queue of calls is full
        │   └── NoAnswer        the node did not answer a call in time
        ├── ProtocolError       the pool violated the protocol
        └── PoolRefused         login, certificate, protocol or setup refused
            ├── WrongDialect    the pool does not speak the dialect we used
            └── EveryPoolRefused

Errors of libraries are translated where they occur, with `__cause__` kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

ALIKE = 0.75
"""Least similarity, from 0 to 1, of an unknown name and the known one that a message suggests: less
would suggest names that were not meant."""


class MinerError(Exception):
    """Base of all errors that a user may see; `str()` is one sentence."""

    exit_code = 1


class UsageError(MinerError):
    """The user's input cannot be used."""

    exit_code = 2


class BadValue(UsageError):
    """A value is outside its domain."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class BadVariant(UsageError):
    """A variant's numbers are inconsistent or fail its known answers."""


class ConfigError(UsageError):
    """A settings file or flag cannot be used."""


class CheckFailed(MinerError):
    """A check had a bad result: of known answers, of a running miner, of an installation."""


class DeviceError(MinerError):
    """One device failed; the other devices continue."""

    exit_code = 3


class BackendUnavailable(DeviceError):
    """A backend cannot be used on this machine; the message names what is missing."""


class DriverDied(DeviceError):
    """A driver crashed, ended its process or did not return; the message quotes its last line."""


class BuildFailed(DeviceError):
    """A kernel did not compile; the message names the file with log and source."""


class OutOfMemory(DeviceError):
    """A device has too little memory; the message states needed and available bytes."""


class WrongResult(DeviceError):
    """A kernel or dataset differs from the reference."""


class DeviceHung(DeviceError):
    """A driver call did not return within its limit."""

    exit_code = 5


class NoUsableDevice(MinerError):
    """No device is left to mine on."""

    exit_code = 3


class AddressTaken(MinerError):
    """An address to listen on is in use, or not an address of this machine yet."""

    exit_code = 3


class Cause(StrEnum):
    """Why one pool or node failed; `FAILURES` of `miner/pool/attempt.py` has the reactions."""

    LOST = "connection broken, timed out or silent"
    HOST_UNKNOWN = "name not resolved (DNS)"
    PORT_CLOSED = "connection refused"
    PROXY = "proxy unreachable, or it makes no connection"
    NO_TLS = "no TLS handshake"
    CERTIFICATE_DATE = "certificate expired or not yet valid"
    CERTIFICATE_AUTHORITY = "certificate of an unknown authority"
    CERTIFICATE_HOST = "certificate for another host"
    CERTIFICATE_PIN = "certificate without the pinned fingerprint"
    ADDRESS = "invalid host name"
    PROTOCOL = "message that the protocol does not allow"
    DIALECT = "another protocol than ours"
    BANNED = "ban"
    LOGIN = "login refused"
    LOGIN_LATER = "login refused for a time, as during maintenance"
    POOL_FAULT = "login refused with an internal error"
    NODE_BUSY = "node: too many calls wait"
    NODE_COOKIE = "node: login of the cookie file refused"
    NODE_LOGIN = "node: user, password or address of this machine refused"
    SETUP = "node: settings that do not fit it"


class PoolError(MinerError):
    """One pool failed, for `cause`: that of the class, unless another one is given."""

    exit_code = 4
    cause = Cause.LOST

    def __init__(self, text: str, cause: Cause | None = None) -> None:
        super().__init__(text)
        self.cause = cause or self.cause


class ConnectionLost(PoolError):
    """The connection failed or became silent; it is tried again."""


class Banned(ConnectionLost):
    """The pool banned us; it is not tried for `seconds`, or for a usual time if it gave none."""

    cause = Cause.BANNED

    def __init__(self, text: str, seconds: float | None = None) -> None:
        super().__init__(text)
        self.seconds = seconds


class NodeBusy(ConnectionLost):
    """The node's queue of calls is full; the call had no effect."""

    cause = Cause.NODE_BUSY


class NoAnswer(ConnectionLost):
    """The node did not answer a call in time; the call may have had its effect."""


class ProtocolError(PoolError):
    """The pool sent something that its protocol does not allow."""

    cause = Cause.PROTOCOL


class PoolRefused(PoolError):
    """A pool or node refused login, certificate, protocol or setup."""

    cause = Cause.SETUP


class WrongDialect(PoolRefused):
    """The pool did not accept the first request of the dialect we used, or showed later that it
    speaks another one: that with the title `spoken`, if known."""

    cause = Cause.DIALECT

    def __init__(self, text: str, spoken: str = "") -> None:
        super().__init__(text)
        self.spoken = spoken


class EveryPoolRefused(PoolRefused):
    """Every listed pool refused us."""


def nearest(name: str, known: Iterable[str], alike: float = ALIKE) -> str | None:
    """Return the known name that `name` resembles most, in any case; None if none is alike."""
    import difflib  # slow to import

    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name[:100].lower(), by_lower, 1, alike)
    return by_lower[near[0]] if near else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean X?)", or "" if no known name is alike."""
    near = nearest(name, known)
    return f" (did you mean {near}?)" if near else ""


def not_one_of(value: object, known: Iterable[str]) -> str:
    """Return that `value` is none of the known names, and the one that may be meant."""
    names = list(known)
    return f"{value!r} is not one of {', '.join(names)}{did_you_mean(str(value), names)}"
