"""Reproducible tar and ZIP archives: their bytes depend only on their content."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

FIRST_ZIP_TIME = 315532800
"""1980-01-01, the earliest time that a ZIP can store."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive."""

    name: str
    """Relative, with slashes."""
    source: Path | bytes
    executable: bool = False

    @property
    def content(self) -> bytes:
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()

    @property
    def mode(self) -> int:
        """The permissions, which depend only on `executable`."""
        return 0o755 if self.executable else 0o644


def entries(folder: Path) -> Iterator[Entry]:
    """Yield the files in `folder`; raises ValueError for a link that leads out of it."""
    root = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ValueError(f"{path}: the link leads out of the archive")
        if path.is_file():
            executable = bool(path.stat().st_mode & 0o100)
            yield Entry(path.relative_to(folder).as_posix(), path, executable)


def _ordered(found: Iterable[Entry]) -> list[Entry]:
    ordered = sorted(found, key=lambda entry: entry.name)
    for before, after in pairwise(ordered):
        if before.name == after.name:
            raise ValueError(f"{after.name}: is in the archive twice")
    return ordered


def write_tar(
    target: Path, top: str, found: Iterable[Entry], timestamp: int, level: int = 9
) -> None:
    """Write a .tar.gz with all entries in the folder `top`, which may be empty. `timestamp` (UNIX
    seconds) is the time of every file, `level` is gzip's."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        target.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=level, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        folders: set[str] = set()
        for entry in _ordered(found):
            name = f"{top}/{entry.name}".lstrip("/")
            for parent in reversed(Path(name).parents[:-1]):
                if parent.as_posix() not in folders:
                    folders.add(parent.as_posix())
                    tar.addfile(_member(parent.as_posix(), timestamp, 0o755, tarfile.DIRTYPE))
            content = entry.content
            member = _member(name, timestamp, entry.mode, tarfile.REGTYPE)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def _member(name: str, timestamp: int, mode: int, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mtime, member.mode, member.type = timestamp, mode, kind
    member.uname = member.gname = "root"
    return member


def write_zip(target: Path, found: Iterable[Entry], timestamp: int, level: int = 9) -> None:
    """Write a .zip, otherwise like `write_tar`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    time = datetime.fromtimestamp(max(timestamp, FIRST_ZIP_TIME), UTC)
    stamp = (time.year, time.month, time.day, time.hour, time.minute, time.second)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as packed:
        for entry in _ordered(found):
            member = zipfile.ZipInfo(entry.name, stamp)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3  # Unix: the mode is in the upper half of external_attr
            member.external_attr = (0o100000 | entry.mode) << 16
            packed.writestr(member, entry.content, compresslevel=level)


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path, built: Iterable[Path]) -> Path:
    """Write `SHA256SUMS` of the files `built` in `folder`; return its path."""
    sums = folder / "SHA256SUMS"
    rows = sorted((path.relative_to(folder).as_posix(), sha256(path)) for path in built)
    sums.write_text("".join(f"{digest}  {name}\n" for name, digest in rows), encoding="utf-8")
    return sums
