"""Checks of a machine: memory, processors, device files, folders, ports, the clock."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from miner import __version__
from miner.clock import Clock
from miner.formatting import format_bytes, format_count
from miner.net.address import HostPort, listen_problem
from miner.resources import available_memory, number_in

LEAST_MEMORY = 1 << 30
"""Bytes of the host that a run with GPUs needs: light caches, kernels, drivers."""

LEAST_DISK = 1 << 30
"""Bytes for light caches, kernels, the ledger and the log."""


_VENDORS = {
    "0x10de": ("NVIDIA", ("nvidia",), "nvidia.md"),
    "0x1002": ("AMD", ("amdgpu",), "amd.md"),
    "0x8086": ("Intel", ("i915", "xe"), "intel.md"),
}
"""Vendors of GPUs by their number on the PCI bus: name, kernel drivers that can compute, page."""

_DISPLAY = "0x03"
"""Beginning of the PCI classes of GPUs: VGA, 3D and other display controllers."""

_PCI_FILES = ("class", "vendor")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    area: str
    """The subject of the check, as one word."""
    state: Literal["ok", "note", "problem"]
    """A problem keeps a run from mining as the settings ask; a note does not."""
    text: str
    advice: str = ""
    """The remedy, as a clause; empty: none is needed."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The host, under `root`."""

    root: Path = Path("/")

    def findings(
        self, clock: Clock, folders: Mapping[str, Path], installed_at: float
    ) -> Iterator[Finding]:
        """Yield the result of each check that needs no settings. `folders` are those that the
        miner writes to, by name; `installed_at` is the UNIX time of the miner's own files."""
        versions = f"progpow-miner {__version__}, Python {platform.python_version()}"
        inside = ", in a container" if self._is_container() else ""
        yield Finding("system", "ok", f"{versions}, {platform.platform()}{inside}")
        yield self._memory()
        yield from self._huge_pages()
        yield self._processors()
        yield from self._cards()
        yield from self._device_files()
        for name, folder in folders.items():
            yield folder_finding(name, folder)
        yield clock_finding(clock.wall(), installed_at)

    def _memory(self) -> Finding:
        proc = self.root / "proc"
        free = available_memory(proc / "meminfo", self.root / "sys/fs/cgroup", proc / "self/cgroup")
        if free is None:
            return Finding("memory", "note", "the available memory is not known")
        text = f"{format_bytes(free)} of host memory available"
        if free >= LEAST_MEMORY:
            return Finding("memory", "ok", text)
        advice = f"free {format_bytes(LEAST_MEMORY)} or more; for a container, raise its limit"
        return Finding("memory", "problem", text, advice)

    def _huge_pages(self) -> Iterator[Finding]:
        path = self.root / "sys/kernel/mm/transparent_hugepage/enabled"
        with suppress(OSError, UnicodeDecodeError):
            if "[never]" in path.read_text("ascii"):
                yield Finding(
                    "memory", "note", "transparent huge pages are off, so CPU devices are slower",
                    f"for CPU devices, write madvise to {path}",
                )  # fmt: skip

    def _processors(self) -> Finding:
        usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        text = format_count(usable, "processor")
        quota = self._cpu_quota()
        if quota is not None and quota < usable:
            text += f", of which the container may use {quota:g}"
            if quota < 1:
                return Finding("processor", "note", text, "allow 1 or more, or kernels build late")
        return Finding("processor", "ok", text)

    def _cards(self) -> Iterator[Finding]:
        """Yield the GPUs on the PCI bus, with the kernel driver of each."""
        bus = self.root / "sys/bus/pci/devices"
        count = 0
        for card in sorted(bus.glob("*")):
            try:
                kind, vendor = ((card / name).read_text("ascii").strip() for name in _PCI_FILES)
            except (OSError, UnicodeDecodeError):
                continue
            if not kind.startswith(_DISPLAY) or vendor not in _VENDORS:
                continue
            count += 1
            name, drivers, page = _VENDORS[vendor]
            link = card / "driver"
            driver = link.resolve().name if link.exists() else "none"
            text = f"{name} GPU at {card.name}, kernel driver {driver}"
            if driver in drivers:
                yield Finding("cards", "ok", text)
            elif driver == "vfio-pci":
                yield Finding("cards", "note", text, "it is reserved for a virtual machine")
            else:
                advice = f"it needs {' or '.join(drivers)}: see docs/howto/{page}"
                yield Finding("cards", "note", text, advice)
        if bus.is_dir() and not count:
            yield Finding(
                "cards", "note", "no GPU on the PCI bus",
                "check slot, riser and power; a virtual machine needs the card passed through",
            )  # fmt: skip

    def _device_files(self) -> Iterator[Finding]:
        """Yield a problem for each device file of a GPU that this user cannot open."""
        files = sorted((self.root / "dev/dri").glob("renderD*"))
        files += [path for path in (self.root / "dev/kfd",) if path.exists()]
        closed = [path for path in files if not os.access(path, os.R_OK | os.W_OK)]
        for path in closed:
            group = _group_of(path)
            yield Finding(
                "permissions", "problem", f"{path} cannot be opened by this user",
                f"add the user to the group {group} (sudo usermod -aG {group} USER) and log in "
                f"again; in a container, give it the device and the group",
            )  # fmt: skip
        if files and not closed:
            names = ", ".join(path.name for path in files)
            yield Finding("permissions", "ok", f"device files {names} can be opened")

    def _is_container(self) -> bool:
        marks = (".dockerenv", "run/.containerenv")
        return any((self.root / mark).exists() for mark in marks)

    def _cpu_quota(self) -> float | None:
        """Return the processors that the control group, of version 2 or 1, may use; None: all."""
        group = self.root / "sys/fs/cgroup"
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text("ascii").split()
            return None if quota == "max" else int(quota) / int(period)
        quota_us = number_in(group / "cpu/cpu.cfs_quota_us") or 0
        period_us = number_in(group / "cpu/cpu.cfs_period_us")
        return quota_us / period_us if period_us and quota_us > 0 else None


def folder_finding(name: str, folder: Path) -> Finding:
    """Check that a file can be written in `folder`, or in the nearest one above that exists."""
    existing = next((path for path in (folder, *folder.parents) if os.path.exists(path)), Path("/"))
    advice = f"set PROGPOW_MINER_{name.upper()} to a folder of this user"
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        free = shutil.disk_usage(existing).free
    except OSError as error:
        text = f"{name} folder {folder}: cannot be written: {error.strerror}"
        return Finding("folders", "problem", text, advice)
    text = f"{name} folder {folder}: {format_bytes(free)} free"
    if free < LEAST_DISK:
        return Finding("folders", "note", text, "free some space")
    return Finding("folders", "ok", text)


def clock_finding(now: float, installed_at: float) -> Finding:
    """Compare the clock with the time of the miner's own files, which are older."""
    text = f"the clock shows {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M} UTC"
    day = 86400
    if now < installed_at - day:
        return Finding(
            "clock", "problem", f"{text}, which is before the miner was installed",
            "set it, as certificates of pools are refused otherwise",
        )  # fmt: skip
    return Finding("clock", "ok", text)


def port_finding(name: str, address: HostPort) -> Finding:
    """Check that `address` can be listened on; `name` is its key under [api]."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address.host, address.port))
    except OSError as error:
        text = f"api.{name} {address} cannot be listened on: {listen_problem(error)}"
        return Finding(
            "ports", "problem", text, "end the other program, or give another port",
        )  # fmt: skip
    return Finding("ports", "ok", f"api.{name} {address} is free")


def _group_of(path: Path) -> str:
    if sys.platform != "win32":
        import grp

        with suppress(KeyError, OSError):
            return grp.getgrgid(path.stat().st_gid).gr_name
    return "render"
