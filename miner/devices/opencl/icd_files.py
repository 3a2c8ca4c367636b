"""The files that list OpenCL drivers (*.icd), each naming one driver's library."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from miner.cached_files import read_regular, replace_file
from miner.resources import cache_directory

SYSTEM_VENDORS = Path("/etc/OpenCL/vendors")


def intel_cpu_runtime() -> Path | None:
    """Return the library of Intel's runtime for CPUs, None unless its package is installed."""
    try:
        distribution = metadata.distribution("intel-opencl-rt")
    except metadata.PackageNotFoundError:
        return None
    for file in distribution.files or ():
        if file.name == "libintelocl.so":
            path = Path(str(distribution.locate_file(file))).resolve()
            if path.exists():
                return path
    fallback = Path(sys.prefix) / "lib" / "libintelocl.so"
    return fallback if fallback.exists() else None


def make_vendors_findable(system: Path = SYSTEM_VENDORS) -> None:
    """Set `OCL_ICD_VENDORS` to a folder that lists Intel's runtime for CPUs beside the system's
    drivers; does nothing when the variable is set, or the runtime is not installed."""
    library = intel_cpu_runtime()
    if "OCL_ICD_VENDORS" in os.environ or library is None:
        return
    entries = {icd.name: icd.text for icd in _readable(system)}
    folder = vendors_folder("opencl-vendors", {"intel-cpu.icd": f"{library}\n"} | entries)
    if folder is not None:
        os.environ["OCL_ICD_VENDORS"] = str(folder)


def vendors_folder(name: str, entries: Mapping[str, str]) -> Path | None:
    """Return a folder with only these *.icd files: `name` in the cache, or else a new one for
    temporary files; None when neither is writable."""
    folder = cache_directory() / name
    try:
        write_entries(folder, entries)
    except OSError:
        try:
            folder = Path(tempfile.mkdtemp(prefix="progpow-miner-vendors-"))
            write_entries(folder, entries)
        except OSError:  # the disk is full
            return None
    return folder


def vendors_variables(folder: Path) -> dict[str, str]:
    """Return the environment variables with which OpenCL's loaders read only `folder`."""
    return {"OCL_ICD_VENDORS": str(folder), "OPENCL_VENDOR_PATH": str(folder)}


def write_entries(folder: Path, entries: Mapping[str, str]) -> None:
    """Make the *.icd files of `folder` those of `entries`; other processes may read it."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.icd"):
        if old.name not in entries:
            old.unlink()
    for name, text in entries.items():
        path, content = folder / name, text.encode()
        try:
            unchanged = read_regular(path, len(content)) == content
        except OSError:
            unchanged = False
        if not unchanged:
            replace_file(path, (content,))


class IcdFile(NamedTuple):
    """An *.icd file."""

    name: str
    text: str
    library: tuple[int, int] | None = None
    """Time (ns) and bytes of the library, where the file names it by its path."""


def icd_files(system: Path = SYSTEM_VENDORS) -> list[IcdFile]:
    """Return the *.icd files that OpenCL's loader reads."""
    named = os.environ.get("OCL_ICD_VENDORS") or os.environ.get("OPENCL_VENDOR_PATH")
    return list(_readable(Path(named) if named else system))


def _readable(folder: Path) -> Iterator[IcdFile]:
    for path in sorted(folder.glob("*.icd")):
        with suppress(OSError):
            text = read_regular(path, 1 << 16).decode(errors="replace")
            yield IcdFile(path.name, text, _state(text.strip()))


def _state(library: str) -> tuple[int, int] | None:
    with suppress(OSError, ValueError):
        if os.path.isabs(library):
            state = os.stat(library)
            return state.st_mtime_ns, state.st_size
    return None


def unloadable(files: Sequence[IcdFile]) -> Iterator[str]:
    """Load the library of each file; yield a sentence for each one that cannot be loaded, which
    OpenCL's loader ignores silently."""
    for file in files:
        library = file.text.strip()
        try:
            ctypes.CDLL(library)
        except (OSError, ValueError) as error:
            yield f"{file.name} names {library}, which cannot be loaded: {error}"
