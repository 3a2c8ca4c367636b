"""Results of trials of devices, drivers and launch shapes, kept on disk for the next run."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from miner import __version__
from miner.cached_files import CheckedFiles
from miner.resources import cache_directory, data_directory

RESULT_BYTES = 1 << 20
"""Limit of all results together."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class TrialResult(NamedTuple):
    """The result of one trial."""

    problem: str | None
    """Why a device or driver cannot be used, as a sentence; None: it can."""


class TrialResults:
    """Results of trials by key; they hold until the miner's code changes.

    A problem of a device is remembered until the next boot only: a card that hung may work then.
    """

    def __init__(self) -> None:
        self._files = CheckedFiles(cache_directory() / "device-trials", ".json", RESULT_BYTES)

    def get(self, *key: object) -> TrialResult | None:
        """Return the result of `key`; None: unknown."""
        content = self._files.get(_text(key))
        try:
            problem, boot = json.loads(content or b"")
        except (ValueError, TypeError):
            return None
        return TrialResult(problem) if problem is None or boot in (None, boot_id()) else None

    def keep(self, problem: str | None, *key: object, until_boot: bool = True) -> None:
        """Remember the result of `key`; a problem until the next boot, or beyond it."""
        boot = boot_id() if until_boot else None
        self._files.put(_text(key), json.dumps([problem, boot]).encode())

    def forget(self) -> None:
        """Delete all results."""
        for path in self._files.folder.glob("*.json"):
            with suppress(OSError):
                path.unlink()


def _text(key: tuple[object, ...]) -> str:
    return repr((*key, _code_digest()))


@cache
def _code_digest() -> str:
    """Return a digest of the code that a trial runs."""
    digest = hashlib.sha256(__version__.encode())
    package = Path(__file__).parents[1]
    folders = [*(package / name for name in ("devices", "codegen", "progpow"))]
    for folder in (*folders, data_directory("kernels")):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


@cache
def boot_id() -> str:
    """Return the identity of the system's boot; "" where it is unknown."""
    with suppress(OSError):
        return BOOT_ID.read_text("ascii").strip()
    return ""
