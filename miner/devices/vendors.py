"""OpenCL drivers made findable before pyopencl is imported.

Intel's runtime for CPUs comes as Python packages whose `.icd` files point to a path that does
not exist, and `OCL_ICD_VENDORS` replaces the system's list instead of adding to it. So a folder
is made that holds every system `.icd` as well as one for that runtime.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from miner.resources import cache_directory

SYSTEM_VENDORS = Path("/etc/OpenCL/vendors")


def intel_cpu_runtime() -> Path | None:
    """Return the library of Intel's runtime for CPUs where its package is installed."""
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
    """Set `OCL_ICD_VENDORS` to a folder with all drivers; a value that is set already stays."""
    library = intel_cpu_runtime()
    if "OCL_ICD_VENDORS" in os.environ or library is None:
        return
    entries = {"intel-cpu.icd": f"{library}\n"}
    if system.is_dir():
        for icd in sorted(system.glob("*.icd")):
            entries[icd.name] = icd.read_text(encoding="utf-8", errors="replace")
    folder = cache_directory() / "opencl-vendors"
    try:
        _fill(folder, entries)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="progpow-miner-vendors-"))
        _fill(folder, entries)
    os.environ["OCL_ICD_VENDORS"] = str(folder)


def _fill(folder: Path, entries: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.icd"):
        if old.name not in entries:
            old.unlink()
    for name, text in entries.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
            temporary = folder / f".{os.getpid()}-{name}"
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
