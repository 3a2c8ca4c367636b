"""Files that can be recreated, such as those of the cache.

Any of them may be empty, cut off, changed, or something other than a regular file: a power cut, a
full disk or another program does that.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from io import BufferedReader, BufferedWriter, FileIO
from itertools import chain
from pathlib import Path

if sys.platform != "win32":
    import fcntl


class CheckedFiles:
    """Contents by key, as files under `folder`, each after its own digest; any thread may use it.

    A damaged file counts as absent. Errors of the file system are ignored: nothing is kept then.
    Beyond `limit` bytes in all, the least recently used files are deleted.
    """

    def __init__(self, folder: Path, suffix: str, limit: int) -> None:
        self.folder = folder
        self._suffix, self._limit = suffix, limit

    def get(self, key: str) -> bytes | None:
        """Return the content of `key` and mark it as used; None when there is none."""
        path = self._path(key)
        try:
            file = read_regular(path, self._limit)
        except OSError:
            report_damage(path)
            return None
        digest, content = file[:_DIGEST_BYTES], file[_DIGEST_BYTES:]
        if not content or _digest(key, content) != digest:
            report_damage(path)
            self.drop(key)
            return None
        with suppress(OSError):  # the folder may be read-only
            os.utime(path)
        return content

    def put(self, key: str, content: bytes) -> None:
        """Store `content`, then delete files beyond the limit."""
        with suppress(OSError):
            replace_file(self._path(key), (_digest(key, content), content))
            delete_abandoned(self.folder)
            delete_oldest(self.folder, self._suffix, self._limit)

    def drop(self, key: str) -> None:
        with suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}{self._suffix}"


_DIGEST_BYTES = 32


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + content).digest()


def write_checked(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write `parts` between the file's name and a digest of both; raises as `replace_file`."""

    def whole() -> Iterator[bytes | memoryview]:
        for part in chain((_header(path),), parts):
            digest.update(part)
            yield part
        yield digest.digest()

    digest = hashlib.blake2b()
    replace_file(path, whole())


def read_checked(path: Path, size: int, parts: Iterable[memoryview]) -> Iterator[memoryview]:
    """Fill `parts`, of `size` bytes in all, from the file that `write_checked` wrote; yield each.

    Raises OSError for a file that is missing or damaged: before the first part if its length is
    wrong, after the last one for other damage.
    """
    header, digest = _header(path), hashlib.blake2b()
    try:
        with open_regular(path) as file:
            whole = len(header) + size + digest.digest_size
            if os.fstat(file.fileno()).st_size != whole or file.read(len(header)) != header:
                raise OSError(errno.EIO, "damaged", str(path))
            digest.update(header)
            for part in parts:
                file.readinto(part)
                digest.update(part)
                yield part
            if file.read() != digest.digest():
                raise OSError(errno.EIO, "damaged", str(path))
    except OSError:
        report_damage(path)
        raise
    with suppress(OSError):  # the folder may be read-only
        os.utime(path)


def _header(path: Path) -> bytes:
    return f"{path.name}\n".encode()


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; raises OSError for anything else, and never waits."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    number = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return open(number, "rb")


def read_regular(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; raises OSError."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, "too large", str(path))
        return file.read()


def replace_file(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file at once or not at all, and its folders; links are replaced, not followed.

    A folder at `path` is deleted. Raises OSError, and what `parts` raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    temporary = Path(name)
    try:
        with open(number, "wb") as file:
            lock(file)
            for part in parts:
                file.write(part)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        with suppress(OSError):  # the file system may have become read-only
            temporary.unlink(missing_ok=True)


def delete_oldest(folder: Path, suffix: str, limit: int) -> None:
    """Delete the least recently used files with `suffix` while all have more than `limit` bytes."""
    found = []
    for path in folder.glob(f"*{suffix}"):
        with suppress(OSError):  # another process may have deleted it
            state = path.stat()
            found.append((state.st_mtime_ns, state.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        with suppress(OSError):
            path.unlink()
        total -= size


def delete_abandoned(folder: Path) -> None:
    """Delete temporary files of processes that were killed: those that no process has locked."""
    for path in folder.glob(".*"):
        with suppress(OSError), open_regular(path) as file:
            lock(file)
            path.unlink()


def take_abandoned(folder: Path, pattern: str) -> Iterator[bytes]:
    """Delete the files that no process has locked, whose processes have ended; yield the content
    of each."""
    for path in sorted(folder.glob(pattern)):
        content = None
        with suppress(OSError), open_regular(path) as file:
            lock(file)
            found = file.read()
            path.unlink()  # fails if another process has just taken it
            content = found
        if content is not None:
            yield content


def lock(file: BufferedReader | BufferedWriter | FileIO) -> None:
    """Lock `file` until it is closed; raises OSError when another process has locked it."""
    # Windows does not delete an open file.
    if sys.platform != "win32":
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def report_damage(path: Path) -> None:
    """Write one line to stderr per folder with damaged files; a missing file is not damage."""
    if os.path.lexists(path):
        _report_folder(path.parent)


@lru_cache
def _report_folder(folder: Path) -> None:
    with suppress(OSError):
        print(
            f"progpow-miner: {folder} contains damaged files; they are created again",
            file=sys.stderr,
        )
