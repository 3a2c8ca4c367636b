"""Facts about drivers that are kept for the next run: results of trials, and crashes."""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from miner import __version__
from miner.devices.device import Device, OpenableDevice
from miner.resources import (
    CheckedFiles,
    cache_directory,
    data_directory,
    lock,
    take_abandoned,
)
from miner.work import DeviceInfo

RESULT_BYTES = 1 << 20
"""Limit of all results together."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class TrialResult(NamedTuple):
    """The result of one trial."""

    problem: str | None
    """Why a device or driver cannot be used, as a sentence; None: it can."""


class TrialResults:
    """Results of trials by key; they hold until the miner's code changes.

    A problem is remembered until the next boot only: a card that hung may work then.
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
        return TrialResult(problem) if problem is None or boot == boot_id() else None

    def keep(self, problem: str | None, *key: object) -> None:
        """Remember the result of `key`."""
        self._files.put(_text(key), json.dumps([problem, boot_id()]).encode())

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


ROW_BYTES = 1024
ROWS = 64
"""The first row is the identity of the boot, each other one is of one device and thread."""

MOST_CRASHES = 2
"""Crashes since the boot after which a device is left out."""

SEARCHING = "searching"
"""Devices search nearly all the time, so only a crash that names the device's thread counts."""


class CrashRecord:
    """Records the driver calls of this process until `close`; any thread may use it.

    At a crash, Python's fault handler adds the thread that crashed. Nothing is recorded where no
    file can be written, nor on Windows, where files are not locked and the boot is unknown.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], int] = {}
        self._turn = threading.Lock()
        self._handles_faults = False
        self._file: FileIO | None = None
        if not hasattr(os, "pwrite"):  # Windows
            return
        with suppress(OSError):
            folder = _folder()
            folder.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(dir=folder, suffix=".calls")
            self._file, self._path = FileIO(number, "w"), Path(name)
            self._begin()

    def _begin(self) -> None:
        assert self._file is not None
        lock(self._file)
        self._write(0, boot_id())
        os.lseek(self._file.fileno(), ROWS * ROW_BYTES, os.SEEK_SET)
        if not faulthandler.is_enabled():  # else the user wants the trace elsewhere
            faulthandler.enable(self._file)
            self._handles_faults = True

    def close(self) -> None:
        """Delete the record: the end of the process does not count as a crash any more."""
        with self._turn:
            file, self._file = self._file, None
            if file is None:
                return
            if self._handles_faults:
                faulthandler.disable()
            with suppress(OSError):
                self._path.unlink()
            file.close()

    @contextmanager
    def call(self, info: DeviceInfo, what: str, after: str = "") -> Iterator[None]:
        """Record the driver call `what` during the block, and the activity `after` from then on."""
        thread = threading.get_ident()
        with self._turn:
            row = self._rows.setdefault((info.name, thread), len(self._rows) + 1)
        self._write(row, [repr(info), info.name, thread, what])
        try:
            yield
        finally:
            self._write(row, [repr(info), info.name, thread, after])

    def watched(self, device: OpenableDevice) -> OpenableDevice:
        """Return `device` with its calls recorded."""
        return _RecordedOpening(device, self)

    def _write(self, row: int, value: object) -> None:
        text = json.dumps(value).encode().ljust(ROW_BYTES - 1) + b"\n"
        with self._turn, suppress(OSError):
            if self._file is not None and row < ROWS and len(text) == ROW_BYTES:
                os.pwrite(self._file.fileno(), text, row * ROW_BYTES)


@dataclass(frozen=True, slots=True)
class _RecordedOpening:
    device: OpenableDevice
    record: CrashRecord

    @property
    def info(self) -> DeviceInfo:
        return self.device.info

    def open(self) -> Device:
        with self.record.call(self.info, "opening"):
            opened: Any = _RecordedDevice(self.device.open(), self.record)
        return opened  # type: ignore[no-any-return]


class _RecordedDevice:
    """A device whose rare calls are recorded; `launch` and other frequent ones are not."""

    def __init__(self, device: Device, record: CrashRecord) -> None:
        self._device, self._record = device, record
        self.launch, self.round_up = device.launch, device.round_up

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def build(self, source: Any) -> Any:
        with self._record.call(self._device.info, "building a kernel"):
            return self._device.build(source)

    def load(self, image: Any) -> Any:
        with self._record.call(self._device.info, "loading a kernel", SEARCHING):
            return self._device.load(image)

    def generate(self, *arguments: Any) -> Iterator[float]:
        slices = self._device.generate(*arguments)
        while True:
            with self._record.call(self._device.info, "generating the dataset"):
                done = next(slices, None)
            if done is None:
                return
            yield done

    def close(self) -> None:
        with self._record.call(self._device.info, "closing"):
            self._device.close()


def _folder() -> Path:
    return cache_directory() / "driver-calls"


@dataclass(frozen=True, slots=True)
class Crash:
    """The end of an earlier process in a driver call."""

    device: str
    """Name of the device."""
    call: str
    count: int
    """Crashes in calls of this device since the boot."""

    def __str__(self) -> str:
        return f"an earlier run ended while {self.device} was {self.call}"


def count_crashes(results: TrialResults) -> list[Crash]:
    """Read and delete the records of ended processes; count and return their crashes."""
    crashes = []
    for content in take_abandoned(_folder(), "*.calls"):
        suspect = _suspect(content)
        if suspect is not None:
            key, name, call = suspect
            count = _crashes(results, key)[0] + 1
            results.keep(f"{count} {call}", "crashes", key)
            crashes.append(Crash(name, call, count))
    return crashes


def crash_problem(results: TrialResults, info: DeviceInfo) -> str | None:
    """Return why `info` is left out, if its driver crashed too often; else None."""
    count, call = _crashes(results, repr(info))
    if count < MOST_CRASHES:
        return None
    return f"its driver ended the miner {count} times, last while {call}"


def _crashes(results: TrialResults, key: str) -> tuple[int, str]:
    result = results.get("crashes", key)
    count, _, call = (result.problem or "" if result else "").partition(" ")
    return (int(count), call) if count.isdecimal() else (0, "")


def _suspect(content: bytes) -> tuple[str, str, str] | None:
    """Return (key, name, call) of the device whose call ended the process; None if unknown."""
    rows = []
    for row in range(ROWS):
        with suppress(ValueError, RecursionError):
            rows.append(json.loads(content[row * ROW_BYTES : (row + 1) * ROW_BYTES].strip(b"\0")))
    if not rows or rows[0] != boot_id():
        return None
    calls = [row for row in rows[1:] if isinstance(row, list) and len(row) == 4 and row[3]]
    fault = re.search(rb"Current thread 0x([0-9a-f]+)", content[ROWS * ROW_BYTES :])
    if fault is not None:
        suspects = [row for row in calls if row[2] == int(fault[1], 16)]
    else:
        suspects = [row for row in calls if row[3] != SEARCHING]
    if len({row[0] for row in suspects}) != 1:
        return None  # several could be at fault
    key, name, _, call = suspects[0]
    return str(key), str(name), str(call)
