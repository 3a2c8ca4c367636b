"""A record of the current driver calls, kept on disk for the case that one ends the process."""

from __future__ import annotations

import faulthandler
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from miner.cached_files import lock, take_abandoned
from miner.codegen.kernel_source import KernelSource
from miner.codegen.launch_shape import LaunchShape
from miner.devices.device import Device, Image, Kernel, OpenableDevice
from miner.devices.trial_results import boot_id
from miner.progpow.variant import Variant
from miner.resources import cache_directory
from miner.work import DeviceInfo

ROW_BYTES = 1024
ROWS = 64
"""The first row is the identity of the boot, each other one is of one device and thread."""

SEARCHING = "searching"


class ShapeOnTrial(NamedTuple):
    """A launch shape that is tried on a device, and is not its own."""

    where: tuple[str, str, str, int, str]
    """Backend, model, driver and units of the device, and the variant."""
    names: tuple[str, ...]
    """The shape's name; of the device's own shape on other streams also as in "@1"."""
    is_proved: bool
    """Whether the device has searched in it before."""


class RecordedCall(NamedTuple):
    """One row of a record."""

    key: str
    """All facts about the device."""
    device: str
    thread: int
    what: str
    """The driver call or activity; empty: none."""
    trial: ShapeOnTrial | None


def without_buffers(shape: str) -> str:
    """Return the name of a launch shape without its number of buffers."""
    return shape.partition("/")[0]


def _without_streams(shape: str) -> str:
    """Return the name of a launch shape without its numbers of buffers and streams."""
    return without_buffers(shape).partition("@")[0]


class CrashRecord:
    """Records the driver calls of this process until `close`; any thread may use it.

    At a crash, Python's fault handler adds the thread that crashed. Nothing is recorded where no
    file can be written, nor on Windows, where files are not locked and the boot is unknown.

    A device has its own launch shape, which is safe: the one that it opens with, unless `watched`
    or `settle` names another. In any other shape it is on trial.
    """

    def __init__(self) -> None:
        self.own_shapes: dict[str, str] = {}
        """The own shape of each device, by the device's name."""
        self.trials: dict[str, ShapeOnTrial] = {}
        """The launch shape that is on trial now, by name of the device."""
        self._rows: dict[tuple[str, int], int] = {}
        self._calls: dict[int, RecordedCall] = {}
        """The content of each row but the first."""
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
    def call(
        self, info: DeviceInfo, what: str, after: str = "", trial: ShapeOnTrial | None = None
    ) -> Iterator[None]:
        """Record the driver call `what` during the block, and the activity `after` from then on;
        `trial` is the launch shape that is on trial."""
        call = RecordedCall(repr(info), info.name, threading.get_ident(), what, trial)
        self._note(call)
        try:
            yield
        finally:
            self._note(call._replace(what=after))

    def watched(
        self, device: OpenableDevice, variant: Variant, shape: str | None = None
    ) -> OpenableDevice:
        """Return `device`, which mines `variant`, with its calls recorded; `shape` is its own, None
        for the one that it opens with."""
        if shape is not None:
            self.settle(device.info.name, shape)
        return _RecordedOpening(device, self, variant.name)

    def settle(self, name: str, shape: str) -> None:
        """Make `shape` the own one of the device `name`."""
        with self._turn:
            self.own_shapes[name] = without_buffers(shape)
            self.trials.pop(name, None)
            for row, call in self._calls.items():
                if call.device == name:
                    self._write_call(row, call)

    def _note(self, call: RecordedCall) -> None:
        with self._turn:
            row = self._rows.setdefault((call.device, call.thread), len(self._rows) + 1)
            self._calls[row] = call
            self._write_call(row, call)

    def _write_call(self, row: int, call: RecordedCall) -> None:
        # The trial may have ended since the call began.
        if call.trial is not None and call.trial.names[0] == self.own_shapes.get(call.device):
            call = call._replace(trial=None)
        self._write(row, call)

    def _write(self, row: int, value: object) -> None:
        text = json.dumps(value).encode().ljust(ROW_BYTES - 1) + b"\n"
        with suppress(OSError):
            if self._file is not None and row < ROWS and len(text) == ROW_BYTES:
                os.pwrite(self._file.fileno(), text, row * ROW_BYTES)


@dataclass(frozen=True, slots=True)
class _RecordedOpening:
    device: OpenableDevice
    record: CrashRecord
    variant: str

    @property
    def info(self) -> DeviceInfo:
        return self.device.info

    def open(self) -> Device:
        with self.record.call(self.info, "opening"):
            device = self.device.open()
        self.record.own_shapes.setdefault(self.info.name, without_buffers(device.shape.name))
        opened: Any = _RecordedDevice(device, self.record, self.variant)
        return opened  # type: ignore[no-any-return]


class _RecordedDevice:
    """A device whose rare calls are recorded; `launch` and other frequent ones are not."""

    def __init__(self, device: Device, record: CrashRecord, variant: str) -> None:
        self._device, self._record, self._variant = device, record, variant
        self._proved: set[str] = set()
        """Names of the shapes whose first turn on trial is over."""
        self.launch, self.round_up = device.launch, device.round_up

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def _trial(self, shape: str) -> ShapeOnTrial | None:
        """Return `shape` if it is on trial."""
        info, name = self._device.info, without_buffers(shape)
        own = self._record.own_shapes[info.name]
        if name == own:
            return None
        streams = name.partition("@")[2] if _without_streams(name) == _without_streams(own) else ""
        names = (name, f"@{streams}") if streams else (name,)
        return ShapeOnTrial((*info.alike, self._variant), names, name in self._proved)

    def take_shape(self, shape: LaunchShape) -> None:
        trials = self._record.trials
        if (ended := trials.pop(self._device.info.name, None)) is not None:
            self._proved.add(ended.names[0])
        if (trial := self._trial(shape.name)) is not None:
            trials[self._device.info.name] = trial
        with self._record.call(self._device.info, "taking a shape", SEARCHING, trial):
            self._device.take_shape(shape)

    def build(self, source: KernelSource) -> Image:
        own = self._record.own_shapes[self._device.info.name]
        is_own = source.shape == "" or _without_streams(source.shape) == _without_streams(own)
        trial = None if is_own else self._trial(source.shape)
        with self._record.call(self._device.info, "building a kernel", trial=trial):
            return self._device.build(source)

    def load(self, image: Image) -> Kernel:
        trial = self._trial(self._device.shape.name)
        with self._record.call(self._device.info, "loading a kernel", SEARCHING, trial):
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


def ended_records() -> Iterator[bytes]:
    """Delete the records of ended processes; yield the content of each."""
    return take_abandoned(_folder(), "*.calls")


def read_record(content: bytes) -> tuple[list[RecordedCall], bytes]:
    """Return the last calls of a process that ran since the boot, and what the fault handler wrote
    when it ended; nothing for a damaged record."""
    rows = []
    for row in range(ROWS):
        with suppress(ValueError, RecursionError):
            rows.append(json.loads(content[row * ROW_BYTES : (row + 1) * ROW_BYTES].strip(b"\0")))
    if not rows or rows[0] != boot_id():
        return [], b""
    calls = [call for row in rows[1:] if (call := _call(row)) is not None]
    return calls, content[ROWS * ROW_BYTES :]


def _call(row: Any) -> RecordedCall | None:
    """Return the call or activity of a row; None if it has none, or is damaged."""
    match row:
        case [str(key), str(device), int(thread), str(what), None] if what:
            return RecordedCall(key, device, thread, what, None)
        case [
            str(key), str(device), int(thread), str(what),
            [
                [str(backend), str(model), str(driver), int(units), str(variant)],
                [_, *_] as names, bool(is_proved),
            ],
        ] if what and all(isinstance(name, str) for name in names):  # fmt: skip
            trial = ShapeOnTrial((backend, model, driver, units, variant), tuple(names), is_proved)
            return RecordedCall(key, device, thread, what, trial)
    return None


def _folder() -> Path:
    return cache_directory() / "driver-calls"
