"""The miner's own folders, text that users write, the memory of the machine."""

from __future__ import annotations

import codecs
import os
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from miner.errors import ConfigError

_PACKAGE = Path(__file__).parent


def data_directory(name: str) -> Path:
    """Return the folder `name` ("kernels", "configs"), in the installed package or else in the
    checkout that contains it."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def cache_directory() -> Path:
    """Return the folder for files that can be recreated; it may not exist yet.

    Source: `PROGPOW_MINER_CACHE`, else `XDG_CACHE_HOME`, else `~/.cache`. Raises `ConfigError`
    for a user without a home directory.
    """
    return _own_directory("PROGPOW_MINER_CACHE", "XDG_CACHE_HOME", "~/.cache")


CACHE_PARTS = (
    "build-logs", "cubins", "datasets", "device-trials", "driver-calls", "light", "numba",
    "opencl-vendors", "opencl-vendors-usable", "proved", "shapes",
)  # fmt: skip
"""The folders in the cache directory that the miner makes; `cache` shows and deletes them."""


def state_directory() -> Path:
    """Return the folder for files that must be kept; it may not exist yet.

    Source: `PROGPOW_MINER_STATE`, else `XDG_STATE_HOME`, else `~/.local/state`. Raises
    `ConfigError` for a user without a home directory.
    """
    return _own_directory("PROGPOW_MINER_STATE", "XDG_STATE_HOME", "~/.local/state")


def _own_directory(own: str, base: str, default: str) -> Path:
    chosen = variable(own)
    try:
        if chosen:
            return Path(chosen).expanduser()
        return Path(os.environ.get(base) or default).expanduser() / "progpow-miner"
    except RuntimeError as error:
        if chosen and not chosen.startswith("~/"):
            raise ConfigError(f"{own}: {chosen}: unknown user; write the whole path") from error
        raise ConfigError(
            "this user has no home directory: set HOME to a writable folder, or "
            "PROGPOW_MINER_CACHE and PROGPOW_MINER_STATE to two"
        ) from error


def variable(name: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return an environment variable without blanks and line ends around it, "" if it is not set.

    Raises `ConfigError` for a value in quotes: some readers of environment files keep them.
    """
    text = environ.get(name, "").strip()
    if is_quoted(text):
        raise ConfigError(f"environment {name}: {QUOTED}")
    return text


QUOTED = "is in quotes, which would become part of the value: remove them"
_QUOTES = ('""', "''", "\u201c\u201d", "\u201e\u201c", "\u201e\u201d", "\u2018\u2019", "\xab\xbb")


def is_quoted(text: str) -> bool:
    """Whether `text` begins and ends with quotes, straight or typographic ones."""
    return len(text) > 1 and text[0] + text[-1] in _QUOTES


TEXT_LIMIT = 4 << 20
"""Bytes of a file that a user writes; a larger one is another file."""


def read_text(path: Path, what: str, limit: int = TEXT_LIMIT) -> str:
    """Return the text of a file, with "\\n" at the end of each line.

    UTF-8 with or without a byte order mark, and UTF-16 with one, which editors and shells on
    Windows write. Raises `ConfigError`, whose message calls the file `what`.
    """
    try:
        with open(path, "rb", opener=open_at_once) as file:
            state = os.fstat(file.fileno())
            is_small = stat.S_ISREG(state.st_mode) and state.st_size <= limit
            # Python reserves as much memory as it is asked to read.
            content = file.read(-1 if is_small else limit + 1)
    except OSError as error:
        raise ConfigError(f"{what}: cannot be read: {error.strerror}") from error
    if stat.S_ISFIFO(state.st_mode):
        earlier = _read_from_pipe(state.st_dev, state.st_ino)
        content = content or b"".join(earlier)
        earlier[:] = [content]
    if len(content) > limit:
        raise ConfigError(f"{what}: has more than {limit >> 20} MiB; name the right file")
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        found = "damaged UTF-16 text" if is_utf16 else "not UTF-8 text"
        raise ConfigError(f"{what}: is {found}; save it as UTF-8") from error
    if "\0" in text:
        raise ConfigError(f"{what}: contains zero bytes, as UTF-16 text does; save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


@lru_cache
def _read_from_pipe(device: int, inode: int) -> list[bytes]:
    """Return a list for what was last read from a pipe, as of `-c <(...)`: it can be read once, but
    the settings are read when they are checked, when they are used, and at a reload."""
    return []


def open_at_once(path: str, flags: int) -> int:
    """Open a file, as an opener of `open`, without waiting for the other end of a FIFO: one that
    nothing writes to is empty, writing to one that nothing reads raises `OSError`."""
    number = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(number, True)
    return number


MOST_NESTED = 50
"""Tables and lists within each other in a TOML file."""


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """Return the content of TOML.

    Raises `TOMLDecodeError`, and `ConfigError` for text that tomllib or its readers cannot handle;
    its message calls the file `what`.
    """
    too_deep = ConfigError(f"{what}: lists or tables are nested too deeply")
    try:
        content = tomllib.loads(text)
    except RecursionError as error:
        raise too_deep from error
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:
        raise ConfigError(f"{what}: a number has too many digits") from error
    inner: list[Any] = [content]
    for _ in range(MOST_NESTED):
        inner = [value for each in inner for value in _values(each)]
    if inner:
        raise too_deep
    return content


def _values(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def available_memory(
    meminfo: Path = Path("/proc/meminfo"),
    cgroup: Path = Path("/sys/fs/cgroup"),
    membership: Path = Path("/proc/self/cgroup"),
) -> int | None:
    """Return the bytes that programs can allocate without swapping and within the limit of a
    container or service; None: unknown."""
    known = (_available_here(meminfo), _left_to_container(cgroup, membership))
    return min((number for number in known if number is not None), default=None)


def _available_here(meminfo: Path) -> int | None:
    with suppress(OSError, ValueError):
        for line in meminfo.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _left_to_container(cgroup: Path, membership: Path) -> int | None:
    """Return the least that the limit of a control group leaves, None without a limit."""
    left = [_left_in(group) for group in _control_groups(cgroup, membership)]
    return min((number for number in left if number is not None), default=None)


def _control_groups(cgroup: Path, membership: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups, of version 2 or 1, that may limit memory.

    A container sees its own as the top one; the one of a service lies below.
    """
    tops = {"": cgroup, "memory": cgroup / "memory"}
    yield from tops.values()
    with suppress(OSError, ValueError):
        for line in membership.read_text("ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            for name in tops.keys() & set(controllers.split(",")):
                group = tops[name]
                for part in path.strip("/").split("/"):
                    group /= part
                    yield group


def _left_in(group: Path) -> int | None:
    limit = _first_number(group, "memory.max", "memory.limit_in_bytes")
    if limit is None or limit >= 1 << 60:
        return None
    used = _first_number(group, "memory.current", "memory.usage_in_bytes") or 0
    statistics: dict[str, int] = {}
    with suppress(OSError, ValueError):
        for line in (group / "memory.stat").read_text("ascii").splitlines():
            name, _, number = line.partition(" ")
            statistics[name] = int(number)
    freeable = statistics.get("total_inactive_file", statistics.get("inactive_file", 0))
    return max(limit - used + freeable, 0)


def _first_number(folder: Path, *names: str) -> int | None:
    found = (number_in(folder / name) for name in names)
    return next((number for number in found if number is not None), None)


def number_in(path: Path) -> int | None:
    """Return the number that a file of the system holds; None without one."""
    with suppress(OSError, ValueError):
        return int(path.read_text("ascii"))
    return None
