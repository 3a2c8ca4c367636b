"""Machine code kept on disk, bounded, so that a restart does not compile again."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from miner.resources import cache_directory

LIMIT_BYTES = 256 << 20
"""Of all files; what was not used for the longest time goes first."""

_DIGEST_BYTES = 32

_LEFT_SECONDS = 3600.0
"""After which a file that was being written belongs to a process that was killed."""


class CubinCache:
    """Files under `folder`, each behind its own digest; any thread may use it.

    A file that is not whole is as good as none, and so is a folder that cannot be written to.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT_BYTES) -> None:
        self._given, self._limit = folder, limit

    @property
    def folder(self) -> Path:
        return self._given or cache_directory() / "cubins"

    def get(self, key: str) -> bytes | None:
        """Return the code kept under `key`, and note that it was used; None where there is none."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        code = content[_DIGEST_BYTES:]
        if not code or _digest(key, code) != content[:_DIGEST_BYTES]:
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):  # a cache that can only be read still serves
            os.utime(path)
        return code

    def put(self, key: str, code: bytes) -> None:
        """Keep `code`, unless the disk will not."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".tmp")
            temporary = Path(name)
            self._sweep(temporary.stat().st_mtime - _LEFT_SECONDS)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_digest(key, code) + code)
                temporary.replace(self._path(key))
            finally:
                temporary.unlink(missing_ok=True)
            self._evict()

    def drop(self, key: str) -> None:
        """Keep nothing under `key` any more."""
        with suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.cubin"

    def _sweep(self, before: float) -> None:
        for path in self.folder.glob(".*.tmp"):
            with suppress(OSError):  # another process may have been faster
                if path.stat().st_mtime < before:
                    path.unlink()

    def _evict(self) -> None:
        found = []
        for path in self.folder.glob("*.cubin"):
            with suppress(OSError):  # another process may have been faster
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._limit:
                return
            path.unlink(missing_ok=True)
            total -= size


def _digest(key: str, code: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + code).digest()
