"""Sensors of NVIDIA cards: NVML, and XID errors of the driver."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from miner.errors import BackendUnavailable, DeviceError
from miner.sensors.address import pci_address
from miner.telemetry import Reading

_XID_EVENTS = 0x8
"""NVML's bit for them."""

_MOST = 16
"""Taken at a time; a card in trouble can send them faster than they are read."""

_MEANINGS = {
    13: "an error in a kernel's run, often of an unstable clock",
    31: "an access outside of memory",
    43: "work was ended",
    48: "an error in memory that could not be corrected",
    62: "the card's own controller stopped",
    79: "the card has fallen off the bus",
}


class XidEvents:
    """The Xids of one card from now on; none where card, driver or system does not tell them.

    `module` is pynvml, `handle` its handle of the card.
    """

    def __init__(self, module: Any, handle: Any) -> None:
        self._module = module
        self._events: Any = None
        try:
            events = module.nvmlEventSetCreate()
            module.nvmlDeviceRegisterEvents(handle, _XID_EVENTS, events)
            self._events = events
        except (module.NVMLError, AttributeError):
            return

    def news(self) -> list[str]:
        """Return each Xid since the last call, as in "Xid 79, the card has fallen off the bus"."""
        found: list[str] = []
        while self._events is not None and len(found) < _MOST:
            try:
                number = int(self._module.nvmlEventSetWait_v2(self._events, 0).eventData)
            except self._module.NVMLError:
                break  # its way of saying that there is none; a lost card is told by its readings
            meaning = _MEANINGS.get(number)
            found.append(f"Xid {number}, {meaning}" if meaning else f"Xid {number}")
        return list(dict.fromkeys(found))


T = TypeVar("T")

_LOST = (
    "GPU_IS_LOST",
    "RESET_REQUIRED",
    "GPU_NOT_FOUND",
    "DRIVER_NOT_LOADED",
    "LIB_RM_VERSION_MISMATCH",
    "UNINITIALIZED",
    "IRQ_ISSUE",
)
"""Errors that are about the card or the driver, whatever was asked."""

_UNKNOWN_HERE = ("NOT_SUPPORTED", "FUNCTION_NOT_FOUND", "NO_PERMISSION", "INVALID_ARGUMENT")
"""Errors that say no more than: this card, driver or user has no such value."""

_REASONS = (
    (0x2, "clocks set by the user"),
    (0x4, "power limit"),
    (0x8, "hardware slowdown"),
    (0x10, "sync boost"),
    (0x20, "temperature"),
    (0x40, "temperature, by hardware"),
    (0x80, "power brake"),
    (0x100, "display clocks"),
    (0x200, "board limit"),
    (0x400, "reliability limit"),
)
"""Bits of NVML's clocks event reasons; bit 0, an idle card, holds nothing back."""


class Nvml:
    """The library, initialised until `close`; raises `BackendUnavailable` where it cannot be.

    `module` is pynvml, or what stands in for it.
    """

    def __init__(self, module: Any = None) -> None:
        try:
            # By name: importing this file must not need the package, and it has no types.
            self.module = importlib.import_module("pynvml") if module is None else module
        except ImportError as error:
            raise BackendUnavailable(
                "NVML cannot be used: the package nvidia-ml-py is not installed"
            ) from error
        try:
            self.module.nvmlInit()
        except self.module.NVMLError as error:
            raise BackendUnavailable(
                f"NVML cannot be used: {self.name_of(error)}; is NVIDIA's driver loaded, and does "
                "a container have its utility capability?"
            ) from error

    @property
    def driver(self) -> str | None:
        """Version of the driver, as in "570.86.15"; None where it does not tell."""
        try:
            return _text(self.module.nvmlSystemGetDriverVersion())
        except self.module.NVMLError:
            return None

    def card(self, pci: str | None, uuid: str | None) -> NvidiaCard:
        """Return the card at the address `pci`, else with `uuid`; `DeviceError` for none."""
        tries: list[tuple[str, Callable[[str], Any], str]] = []
        if address := pci_address(pci):
            domain, _, rest = address.partition(":")
            wide = f"{int(domain, 16):08x}:{rest}"
            tries.append((address, self.module.nvmlDeviceGetHandleByPciBusId, wide))
        if uuid:
            tries.append((uuid, self.module.nvmlDeviceGetHandleByUUID, uuid))
        problems = []
        for what, find, argument in tries:
            try:
                return NvidiaCard(self, find(argument), what)
            except self.module.NVMLError as error:
                problems.append(f"{self.name_of(error)} for {what}")
        if not problems:
            raise DeviceError("the driver tells neither its PCI address nor its UUID")
        raise DeviceError(f"NVML does not find the card: {', '.join(problems)}")

    def name_of(self, error: Any) -> str:
        """Return the name of `error`'s code, as in "NVML_ERROR_GPU_IS_LOST"."""
        for name, value in vars(self.module).items():
            if name.startswith("NVML_ERROR_") and value == error.value:
                return name
        return f"NVML error {error.value}"

    def close(self) -> None:
        """Let go of the library."""
        with suppress(self.module.NVMLError):  # it is gone already, with the driver
            self.module.nvmlShutdown()


class NvidiaCard:
    """One card; `identity` is equal for two names of the same card."""

    def __init__(self, nvml: Nvml, handle: Any, found_by: str) -> None:
        self._nvml = nvml
        self._module = nvml.module
        self._handle = handle
        self._problems: list[str] = []
        self._xids = XidEvents(nvml.module, handle)
        uuid = self._ask(lambda: self._module.nvmlDeviceGetUUID(handle))
        self.identity = _text(uuid) if uuid is not None else found_by

    def read(self) -> Reading:
        """Return what the card tells now, each value on its own.

        Raises `DeviceError` with the error's name where the card or the driver is lost, or where
        everything fails.
        """
        nvml, handle = self._module, self._handle
        self._problems.clear()
        usage = self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        used = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used)
        fan = self._ask(lambda: nvml.nvmlDeviceGetFanSpeed(handle))
        reading = Reading(
            temperature=self._temperature("NVML_TEMPERATURE_GPU"),
            memory_temperature=self._memory_temperature(),
            hotspot_temperature=_above_zero(self._temperature("NVML_TEMPERATURE_GPU_MAX")),
            power=_watts(self._ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))),
            power_limit=_watts(self._power_limit()),
            fan=None if fan is None else min(float(fan), 100.0),
            core_clock=self._clock(nvml.NVML_CLOCK_GRAPHICS),
            memory_clock=self._clock(nvml.NVML_CLOCK_MEM),
            memory_used=None if used is None else float(used),
            utilization=None if usage is None else float(usage),
            throttle=self._throttle() or None,
        )
        if self._problems and reading == Reading():
            raise DeviceError(f"NVML answers nothing but {self._problems[-1]}")
        return reading

    def news(self) -> list[str]:
        return [f"the driver tells of {xid}" for xid in self._xids.news()]

    def close(self) -> None:
        """Nothing to do: the library owns the handle."""

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Return what NVML answers, None where there is no such value."""
        try:
            return question()
        except AttributeError:
            return None  # an older or newer package, without this function
        except self._module.NVMLError as error:
            name = self._nvml.name_of(error)
            short = name.removeprefix("NVML_ERROR_")
            if short in _LOST:
                raise DeviceError(f"NVML says {name}{_advice(short)}") from error
            if short not in _UNKNOWN_HERE:
                self._problems.append(name)
            return None

    def _temperature(self, sensor: str) -> float | None:
        """°C of the sensor whose constant in NVML is `sensor`."""
        nvml, handle = self._module, self._handle
        value = self._ask(lambda: nvml.nvmlDeviceGetTemperatureV(handle, getattr(nvml, sensor)))
        if value is None and sensor == "NVML_TEMPERATURE_GPU":
            # Drivers before 565 know the older call alone.
            value = self._ask(
                lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
            )
        return None if value is None else float(value)

    def _memory_temperature(self) -> float | None:
        """°C, which few cards tell; the others answer an error within the answer, or zero."""
        nvml, field = self._module, self._module.NVML_FI_DEV_MEMORY_TEMP
        values = self._ask(lambda: nvml.nvmlDeviceGetFieldValues(self._handle, [field]))
        if values is None or values[0].nvmlReturn != nvml.NVML_SUCCESS:
            return None
        return _above_zero(float(values[0].value.uiVal))

    def _power_limit(self) -> int | None:
        nvml, handle = self._module, self._handle
        limit = self._ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
        if limit is None:
            limit = self._ask(lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle))
        return limit

    def _clock(self, kind: int) -> float | None:
        value = self._ask(lambda: self._module.nvmlDeviceGetClockInfo(self._handle, kind))
        return None if value is None else float(value)

    def _throttle(self) -> str:
        nvml, handle = self._module, self._handle
        bits = self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
        if bits is None:
            bits = self._ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
        return ", ".join(words for bit, words in _REASONS if (bits or 0) & bit)


def _advice(short: str) -> str:
    if short == "LIB_RM_VERSION_MISMATCH":
        return ": the driver was updated under the running system; restart the machine"
    if short in ("GPU_IS_LOST", "RESET_REQUIRED", "GPU_NOT_FOUND"):
        return (
            ": the card does not answer any more; look for Xid in the kernel's log, then reset it"
        )
    return ""


def _watts(milliwatts: int | None) -> float | None:
    """No card draws nothing, nor is it limited to nothing: zero is what some say for unknown."""
    return None if milliwatts is None else _above_zero(milliwatts / 1000)


def _above_zero(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
