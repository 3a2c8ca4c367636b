"""All sensors of the devices, and the loop that reads them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from miner.clock import Clock
from miner.errors import BackendUnavailable, DeviceError
from miner.sensors.address import pci_address
from miner.sensors.amd import AmdCard
from miner.sensors.cpu import Processor
from miner.sensors.heat import HeatGuard
from miner.sensors.intel import IntelGpu
from miner.sensors.nvidia import Nvml
from miner.sensors.sysfs import Folder
from miner.telemetry import Emit, Reading, SensorsRead
from miner.work import DeviceInfo

SYSFS = Path("/sys")

_VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
"""Our names of the vendors by their PCI numbers."""


class SensorSource(Protocol):
    """One card's sensors."""

    @property
    def identity(self) -> str:
        """Equal for two names of the same card."""

    def read(self) -> Reading:
        """Return what is known now; raises `DeviceError` where the card does not answer."""

    def news(self) -> list[str]:
        """Return what the driver told of the card since the last call, without a full stop."""

    def close(self) -> None:
        """Let go of what is held open."""


class Sensors:
    """The readings of several devices; `read` blocks and belongs off the event loop."""

    def __init__(
        self,
        sources: Mapping[str, SensorSource | None],
        missing: Sequence[str] = (),
        close: Callable[[], None] | None = None,
    ) -> None:
        self._sources = dict(sources)
        self._missing = tuple(missing)
        self._failing: tuple[str, ...] = ()
        self._news: tuple[str, ...] = ()
        self._close = close
        self._reading = threading.Lock()

    @property
    def missing(self) -> list[str]:
        """A sentence for each device without sensors, or whose sensors failed at the last read."""
        return [*self._missing, *self._failing]

    @property
    def news(self) -> list[str]:
        """A sentence for each error that a driver told of between the last two reads."""
        return list(self._news)

    def read(self) -> dict[str, Reading]:
        """Return each device's reading; all is unknown where its source is absent or fails.

        Each card is asked once, however many names it has.
        """
        with self._reading:
            answers: dict[int, Reading | str] = {}
            news: list[str] = []
            for name, source in self._sources.items():
                if source is not None and id(source) not in answers:
                    answers[id(source)], told = _answer(source)
                    news += [f"{name}: {text}" for text in told]
            readings, failing = {}, []
            for name, source in self._sources.items():
                answer = Reading() if source is None else answers[id(source)]
                if isinstance(answer, str):
                    failing.append(f"{name}: sensors do not answer: {answer}")
                    answer = Reading()
                readings[name] = answer
            self._failing, self._news = tuple(failing), tuple(news)
            return readings

    def close(self) -> None:
        """Let go of all sources, unless one is being read still: that call may never return."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            for source in {id(s): s for s in self._sources.values() if s is not None}.values():
                source.close()
            self._sources = dict.fromkeys(self._sources)
            if self._close is not None:
                self._close()
                self._close = None
        finally:
            self._reading.release()


def open_sensors(
    devices: Sequence[DeviceInfo], clock: Clock, sysfs: Path = SYSFS, nvml: Any = None
) -> Sensors:
    """Return the sensors of `devices`; what has none is in `missing`, with the reason.

    It blocks: a driver may be loaded. `nvml` stands in for pynvml.
    """
    opening = _Opening(clock, sysfs, nvml)
    sources: dict[str, SensorSource | None] = {}
    known: dict[str, SensorSource] = {}
    missing = []
    for device in devices:
        try:
            source = opening.source(device)
            sources[device.name] = known.setdefault(source.identity, source)
        except DeviceError as error:
            sources[device.name] = None
            missing.append(f"{device.name}: no sensors: {error}")
    return Sensors(sources, missing, opening.close)


class _Opening:
    def __init__(self, clock: Clock, sysfs: Path, nvml: Any) -> None:
        self._clock = clock
        self._sysfs = sysfs
        self._module = nvml
        self._nvml: Nvml | BackendUnavailable | None = None

    def source(self, device: DeviceInfo) -> SensorSource:
        """Return the source of `device`; raises `DeviceError` for none."""
        if device.kind == "cpu":
            return Processor(self._sysfs, self._clock.now)
        pci = pci_address(device.pci)
        vendor = self._vendor(device, pci)
        if vendor == "nvidia":
            return self._library().card(pci, device.uuid)
        if vendor not in ("amd", "intel"):
            raise DeviceError(f"nothing is known of the sensors of {device.model}")
        if pci is None:
            raise DeviceError("its driver does not tell its PCI address")
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
        """The one NVML, tried once."""
        if self._nvml is None:
            try:
                self._nvml = Nvml(self._module)
            except BackendUnavailable as error:
                self._nvml = error
        if isinstance(self._nvml, BackendUnavailable):
            raise self._nvml
        return self._nvml


def _answer(source: SensorSource) -> tuple[Reading | str, list[str]]:
    """Its reading, or why there is none, and its news.

    Nobody stops mining for want of a thermometer, so no exception leaves here.
    """
    news: list[str] = []
    try:
        news = source.news()
        return source.read(), news
    except DeviceError as error:
        return str(error), news
    except Exception as error:  # noqa: BLE001  (drivers fail in their own ways)
        return f"{type(error).__name__}: {error}", news


LONGEST = 10.0
"""Seconds without an answer after which what was read before is no longer believed."""

Offload = Callable[[Callable[[], dict[str, Reading]]], Awaitable[dict[str, Reading]]]
"""Runs a blocking call off the event loop; in a pool of its own, since it may never return."""


class Readable(Protocol):
    """What the loop needs of sensors."""

    @property
    def missing(self) -> list[str]:
        """A sentence for each device that does not tell."""

    @property
    def news(self) -> list[str]:
        """What drivers told of between the last two reads."""

    def read(self) -> dict[str, Reading]:
        """Return each device's reading; blocks."""

    def close(self) -> None:
        """Let go of the drivers."""


async def keep_reading(
    sensors: Readable,
    offload: Offload,
    clock: Clock,
    emit: Emit,
    guard: HeatGuard,
    seconds: float = 2.0,
    *,
    hold: Callable[[str, str | None], None],
    report: Callable[[str], None],
) -> None:
    """Read every `seconds` until cancelled, and emit a `SensorsRead` for each device.

    `hold` is told of a device and why it must pause, or None once it may go on; `report` is told
    once of each sentence about sensors that fail, and of each error that a driver tells of. There
    is never more than one read at a time.
    """
    watch = _Watch(emit, guard, hold)
    said: set[str] = set()
    async with asyncio.TaskGroup() as tasks:
        while True:
            reading = tasks.create_task(_awaited(offload(sensors.read)))
            if not await _within(tasks, clock, reading, LONGEST):
                report(f"sensors did not answer within {LONGEST:g} s; readings are unknown")
                watch.forget()
                await asyncio.wait({reading})
                report("sensors answer again")
            watch.take(reading.result())
            missing = sensors.missing
            for sentence in [*sensors.news, *(s for s in missing if s not in said)]:
                report(sentence)
            said = set(missing)
            await clock.sleep(seconds)


class _Watch:
    """What was told last."""

    def __init__(
        self, emit: Emit, guard: HeatGuard, hold: Callable[[str, str | None], None]
    ) -> None:
        self._emit = emit
        self._guard = guard
        self._hold = hold
        self._held: dict[str, str | None] = {}

    def take(self, readings: dict[str, Reading]) -> None:
        for device, reading in readings.items():
            self._emit(SensorsRead(device, reading))
            reason = self._guard.judge(device, reading)
            if self._held.get(device) != reason:
                self._hold(device, reason)
            self._held[device] = reason

    def forget(self) -> None:
        self.take({device: Reading() for device in self._held})


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


async def _within(
    tasks: asyncio.TaskGroup, clock: Clock, task: asyncio.Task[Any], seconds: float
) -> bool:
    """Whether `task` ended within `seconds`; it goes on if not."""
    timer = tasks.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
    return task.done()
