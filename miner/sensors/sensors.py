"""The sensors of all devices: opened once, read in a loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from miner.clock import Clock, within
from miner.devices.device_names import PciAddress
from miner.errors import BackendUnavailable, DeviceError
from miner.sensors.heat import HeatGuard
from miner.sensors.nvidia import Nvml
from miner.sensors.sysfs import AmdCard, Folder, IntelGpu, Processor
from miner.telemetry import Reading
from miner.telemetry.events import SensorsRead
from miner.work import DeviceInfo

SYSFS = Path("/sys")

READ_SECONDS = 2.0
"""Interval between two readings."""

TIMEOUT = 10.0
"""Seconds without an answer after which all readings are unknown."""

_VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
"""Vendors by their PCI numbers."""


class SensorSource(Protocol):
    """The sensors of one card."""

    @property
    def identity(self) -> str:
        """Equal for two devices that are the same card."""

    def read(self) -> Reading:
        """Return the present values; raises `DeviceError` when the card does not answer."""

    def driver_errors(self) -> list[str]:
        """Return the errors that the driver reported since the last call, as sentences without a
        full stop."""

    def close(self) -> None:
        """Close open files and handles."""


class Sensors:
    """The sensors of several devices, with a source or None for each name. `close_library` is
    called last in `close`."""

    def __init__(
        self,
        sources: Mapping[str, SensorSource | None],
        missing: Sequence[str] = (),
        close_library: Callable[[], None] | None = None,
    ) -> None:
        self._sources = dict(sources)
        self._missing = tuple(missing)
        self._failing: tuple[str, ...] = ()
        self._errors: tuple[str, ...] = ()
        self._close_library = close_library
        self._reading = threading.Lock()

    @property
    def missing(self) -> list[str]:
        """A sentence for each device without sensors, and for each that failed in the last
        `read`."""
        return [*self._missing, *self._failing]

    @property
    def driver_errors(self) -> list[str]:
        """A sentence for each error that a driver reported between the last two calls of
        `read`."""
        return list(self._errors)

    def read(self) -> dict[str, Reading]:
        """Return each device's reading, with unknown values where its source is absent or fails.
        Blocks; a card with two names is read once."""
        with self._reading:
            answers: dict[int, Reading | str] = {}
            errors: list[str] = []
            for name, source in self._sources.items():
                if source is not None and id(source) not in answers:
                    answers[id(source)], reported = _answer(source)
                    errors += [f"{name}: {text}" for text in reported]
            readings, failing = {}, []
            for name, source in self._sources.items():
                answer = Reading() if source is None else answers[id(source)]
                if isinstance(answer, str):
                    failing.append(f"{name}: sensors do not answer: {answer}")
                    answer = Reading()
                readings[name] = answer
            self._failing, self._errors = tuple(failing), tuple(errors)
            return readings

    def close(self) -> None:
        """Close all sources, unless a `read` is running: its driver call may never return."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            for source in {id(s): s for s in self._sources.values() if s is not None}.values():
                source.close()
            self._sources = dict.fromkeys(self._sources)
            if self._close_library is not None:
                self._close_library()
                self._close_library = None
        finally:
            self._reading.release()


def _answer(source: SensorSource) -> tuple[Reading | str, list[str]]:
    """Return (the reading or why it failed, the driver's errors). Catches every exception: mining
    does not stop for a sensor."""
    errors: list[str] = []
    try:
        errors = source.driver_errors()
        return source.read(), errors
    except Exception as error:  # noqa: BLE001  (drivers fail in their own ways)
        return _reason(error), errors


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, DeviceError) else f"{type(error).__name__}: {error}"


def open_sensors(
    devices: Sequence[DeviceInfo], clock: Clock, sysfs: Path = SYSFS, nvml: Any = None
) -> Sensors:
    """Return the sensors of `devices`; a device without sensors is in `missing`, with the reason.

    Blocks, since it may load a driver. `nvml` replaces pynvml.
    """
    opening = _Opening(clock, sysfs, nvml)
    sources: dict[str, SensorSource | None] = {}
    known: dict[str, SensorSource] = {}
    missing = []
    for device in devices:
        try:
            source = opening.source(device)
            sources[device.name] = known.setdefault(source.identity, source)
        except Exception as error:  # noqa: BLE001  (drivers fail in their own ways)
            sources[device.name] = None
            missing.append(f"{device.name}: no sensors: {_reason(error)}")
    return Sensors(sources, missing, opening.close)


class _Opening:
    """Opens the sources of devices, and NVML at most once."""

    def __init__(self, clock: Clock, sysfs: Path, nvml: Any) -> None:
        self._clock = clock
        self._sysfs = sysfs
        self._module = nvml
        self._nvml: Nvml | BackendUnavailable | None = None

    def source(self, device: DeviceInfo) -> SensorSource:
        """Return the source of `device`; raises `DeviceError` when it has none."""
        if device.kind == "cpu":
            return Processor(self._sysfs, self._clock.now)
        address = PciAddress.parse(device.pci)
        pci = str(address) if address else None
        vendor = self._vendor(device, pci)
        if vendor == "nvidia":
            return self._library().card(pci, device.uuid)
        if vendor not in ("amd", "intel"):
            raise DeviceError(f"the sensors of {device.model} are not supported")
        if pci is None:
            raise DeviceError("its driver does not report its PCI address")
        if vendor == "amd":
            return AmdCard(pci, self._sysfs)
        return IntelGpu(pci, self._sysfs, self._clock.now)

    def close(self) -> None:
        if isinstance(self._nvml, Nvml):
            self._nvml.close()

    def _vendor(self, device: DeviceInfo, pci: str | None) -> str:
        if device.vendor in _VENDORS.values() or pci is None:
            return device.vendor
        number = Folder(self._sysfs / "bus/pci/devices" / pci).text("vendor")
        return _VENDORS.get(number or "", device.vendor)

    def _library(self) -> Nvml:
        if self._nvml is None:
            try:
                self._nvml = Nvml(self._module)
            except BackendUnavailable as error:
                self._nvml = error
        if isinstance(self._nvml, BackendUnavailable):
            raise self._nvml
        return self._nvml


class ReadingThread(Protocol):
    """A thread pool of the sensors' own, since a read may never return."""

    async def offload(self, func: Callable[[], dict[str, Reading]]) -> dict[str, Reading]:
        """Run `func` in the pool; return its result or raise its exception."""


class SensorListener(Protocol):
    """Receives readings, pauses and problems from the loop."""

    def sensors_read(self, event: SensorsRead) -> None:
        """Receive the reading of a device."""

    def hold(self, device: str, reason: str | None) -> None:
        """Pause `device` for `reason`; None: resume it. Called when the reason changes."""

    def report(self, sentence: str) -> None:
        """Show the user a failure of sensors, once, or an error that a driver reported."""


async def read_sensors(
    sensors: Sensors,
    thread: ReadingThread,
    clock: Clock,
    guard: HeatGuard,
    listener: SensorListener,
) -> None:
    """Read every `READ_SECONDS` until cancelled, one read at a time. When a read takes longer than
    `TIMEOUT`, all readings are unknown until it ends."""
    heat = _HeatWatch(guard, listener)
    reported: set[str] = set()
    async with asyncio.TaskGroup() as tasks:
        while True:
            reading = tasks.create_task(thread.offload(sensors.read))
            if not await within(clock, TIMEOUT, asyncio.wait({reading})):
                listener.report(
                    f"sensors did not answer within {TIMEOUT:g} s; readings are unknown"
                )
                heat.forget()
                await asyncio.wait({reading})
                listener.report("sensors answer again")
            heat.take(reading.result())
            missing = sensors.missing
            for sentence in [*sensors.driver_errors, *(s for s in missing if s not in reported)]:
                listener.report(sentence)
            reported = set(missing)
            await clock.sleep(READ_SECONDS)


class _HeatWatch:
    """Passes readings on, and holds devices while they are too hot."""

    def __init__(self, guard: HeatGuard, listener: SensorListener) -> None:
        self._guard = guard
        self._listener = listener
        self._held: dict[str, str | None] = {}

    def take(self, readings: Mapping[str, Reading]) -> None:
        for device, reading in readings.items():
            self._listener.sensors_read(SensorsRead(device, reading))
            reason = self._guard.judge(device, reading)
            if self._held.get(device) != reason:
                self._listener.hold(device, reason)
            self._held[device] = reason

    def forget(self) -> None:
        """Make every reading unknown."""
        self.take({device: Reading() for device in self._held})
