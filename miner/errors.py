"""Every exception of the miner, as one tree.

    MinerError                  the base: one clear sentence, and an exit code
    ├── UsageError       (2)    what the user wrote cannot be used
    │   ├── BadValue            a value outside its domain; names the field
    │   ├── BadVariant          a variant file contradicts itself or its known answers
    │   └── ConfigError         a configuration file; names the file and the key
    ├── CheckFailed      (1)    a self-test or a comparison did not hold
    ├── DeviceError             one device's failure; the others go on
    │   ├── BackendUnavailable  a driver or its Python package is missing
    │   ├── BuildFailed         a kernel did not compile; names the log file
    │   ├── OutOfMemory         needed and free bytes are in the sentence
    │   ├── WrongResult         a kernel or a dataset disagrees with the reference
    │   └── DeviceHung   (5)    a driver call did not come back
    ├── NoUsableDevice   (3)    nothing is left to mine on
    └── PoolError               one pool's failure
        ├── ConnectionLost      transport; always tried again
        │   └── Banned          the pool wants us gone for a while
        ├── ProtocolError       the other side broke the protocol
        └── PoolRefused         final for this pool: login, certificate, protocol
            ├── WrongDialect    it does not take the protocol that we spoke
            └── EveryPoolRefused (4)

Foreign errors are translated where they occur, with the cause kept.
"""

from __future__ import annotations


class MinerError(Exception):
    """Base of all errors a user may see; `str()` is one sentence fit for printing."""

    exit_code = 1


class UsageError(MinerError):
    """The user's input cannot be used."""

    exit_code = 2


class BadValue(UsageError):
    """A value lies outside its domain."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class BadVariant(UsageError):
    """A variant's numbers contradict each other or its known answers."""


class ConfigError(UsageError):
    """A configuration file or flag cannot be used."""


class CheckFailed(MinerError):
    """A comparison with known answers did not hold."""


class DeviceError(MinerError):
    """One device failed; the other devices go on."""

    exit_code = 3


class BackendUnavailable(DeviceError):
    """A backend cannot be used on this machine; the sentence says what is missing."""


class BuildFailed(DeviceError):
    """A kernel did not compile; the sentence names the file with log and source."""


class OutOfMemory(DeviceError):
    """A device has too little memory; the sentence holds needed and available bytes."""


class WrongResult(DeviceError):
    """A kernel or dataset disagrees with the reference."""


class DeviceHung(DeviceError):
    """A driver call did not return within its limit."""

    exit_code = 5


class NoUsableDevice(MinerError):
    """No device is left to mine on."""

    exit_code = 3


class PoolError(MinerError):
    """One pool failed."""

    exit_code = 4


class ConnectionLost(PoolError):
    """The transport failed or fell silent; it is tried again."""


class Banned(ConnectionLost):
    """The pool has shut us out; it is left alone for a while."""


class ProtocolError(PoolError):
    """The other side sent what its protocol does not allow."""


class PoolRefused(PoolError):
    """A pool refused for good: login, certificate or protocol."""


class WrongDialect(PoolRefused):
    """The pool did not take the first request of the protocol that we spoke."""


class EveryPoolRefused(PoolRefused):
    """No pool of the list is left."""
