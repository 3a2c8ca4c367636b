"""All devices' readings, each from the source that knows its vendor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from miner.clock import Clock
from miner.errors import BackendUnavailable, DeviceError
from miner.sensors.address import pci_address
from miner.sensors.amd import AmdCard
from miner.sensors.cpu import Processor
from miner.sensors.intel import IntelGpu
from miner.sensors.nvidia import Nvml
from miner.sensors.sysfs import Folder
from miner.telemetry import Reading
from miner.work import DeviceInfo

SYSFS = Path("/sys")

_VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
"""Our names of the vendors by their PCI numbers."""


class Source(Protocol):
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
        sources: Mapping[str, Source | None],
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
    sources: dict[str, Source | None] = {}
    known: dict[str, Source] = {}
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

    def source(self, device: DeviceInfo) -> Source:
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


def _answer(source: Source) -> tuple[Reading | str, list[str]]:
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
