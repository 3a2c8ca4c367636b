"""Sensors of NVIDIA cards, read through NVML."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

from miner.devices.device_names import PciAddress
from miner.errors import BackendUnavailable, DeviceError
from miner.telemetry import Reading


class Nvml:
    """The library of NVIDIA's driver, initialised until `close`; raises `BackendUnavailable` when
    it cannot be used. `module` replaces pynvml."""

    def __init__(self, module: Any = None) -> None:
        try:
            # pynvml has no types, and without it the other vendors' sensors still work.
            self.module = importlib.import_module("pynvml") if module is None else module
        except ImportError as error:
            raise BackendUnavailable(
                "NVML cannot be used: the package nvidia-ml-py is not installed"
            ) from error
        try:
            self.module.nvmlInit()
        except self.module.NVMLError as error:
            raise BackendUnavailable(
                f"NVML cannot be used: {self.name_of(error)}; check that NVIDIA's driver is loaded "
                "and, in a container, that it has the utility capability"
            ) from error

    def card(self, pci: str | None, uuid: str | None) -> NvidiaCard:
        """Return the card at the address `pci`, or else with `uuid`; raises `DeviceError`."""
        attempts = []
        if address := PciAddress.parse(pci):
            # NVML writes the domain with eight digits.
            wide = f"{address.domain:08x}:{address.short}"
            attempts.append((str(address), self.module.nvmlDeviceGetHandleByPciBusId, wide))
        if uuid:
            attempts.append((uuid, self.module.nvmlDeviceGetHandleByUUID, uuid))
        problems = []
        for name, find, argument in attempts:
            try:
                return NvidiaCard(self, find(argument), name)
            except self.module.NVMLError as error:
                problems.append(f"{self.name_of(error)} for {name}")
        if not problems:
            raise DeviceError("the driver reports neither its PCI address nor its UUID")
        raise DeviceError(f"NVML does not find the card: {', '.join(problems)}")

    def name_of(self, error: Any) -> str:
        """Return the name of `error`'s code, as in "NVML_ERROR_GPU_IS_LOST"."""
        for name, value in vars(self.module).items():
            if name.startswith("NVML_ERROR_") and value == error.value:
                return name
        return f"NVML error {error.value}"

    def close(self) -> None:
        with suppress(self.module.NVMLError):  # after the driver was unloaded
            self.module.nvmlShutdown()


_LOST = (
    "GPU_IS_LOST", "RESET_REQUIRED", "GPU_NOT_FOUND", "DRIVER_NOT_LOADED",
    "LIB_RM_VERSION_MISMATCH", "UNINITIALIZED", "IRQ_ISSUE",
)  # fmt: skip
"""Errors of the card or the driver, independent of the function."""

_UNSUPPORTED = ("NOT_SUPPORTED", "FUNCTION_NOT_FOUND", "NO_PERMISSION", "INVALID_ARGUMENT")
"""Errors of a value that this card, driver or user does not have."""

THROTTLE_REASONS = (
    (0x2, "clocks set by the user"),
    (0x4, "power limit"),
    (0x8, "hardware slowdown"),
    (0x10, "sync boost"),
    (0x20, "temperature"),
    (0x40, "temperature by hardware"),
    (0x80, "power brake"),
    (0x100, "display clocks"),
    (0x200, "board limit"),
    (0x400, "reliability limit"),
)
"""Bits of NVML's clocks event reasons; bit 0, an idle card, is not one."""


class NvidiaCard:
    """One card; `identity` is its UUID, or else `found_by`."""

    def __init__(self, nvml: Nvml, handle: Any, found_by: str) -> None:
        self._nvml = nvml
        self._module = nvml.module
        self._handle = handle
        self._problems: list[str] = []
        self._xids = XidEvents(nvml.module, handle)
        uuid = self._ask("nvmlDeviceGetUUID")
        # Older packages return bytes.
        self.identity = (
            uuid.decode(errors="replace") if isinstance(uuid, bytes) else uuid or found_by
        )

    def read(self) -> Reading:
        """Return the present values; a value that cannot be read is None.

        Raises `DeviceError` with the error's name when the card or the driver is lost, or when
        every value fails.
        """
        nvml = self._module
        self._problems.clear()
        usage = self._ask("nvmlDeviceGetUtilizationRates")
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        fan = self._ask("nvmlDeviceGetFanSpeed")
        reading = Reading(
            temperature=self._temperature("NVML_TEMPERATURE_GPU"),
            memory_temperature=self._memory_temperature(),
            hotspot_temperature=_above_zero(self._temperature("NVML_TEMPERATURE_GPU_MAX")),
            power=_watts(self._ask("nvmlDeviceGetPowerUsage")),
            power_limit=_watts(
                self._ask_first(
                    "nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetPowerManagementLimit"
                )
            ),
            fan=None if fan is None else min(float(fan), 100.0),
            core_clock=_number(self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_GRAPHICS)),
            memory_clock=_number(self._ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM)),
            memory_used=None if memory is None else float(memory.used),
            utilization=None if usage is None else float(usage.gpu),
            throttle=self._throttle() or None,
        )
        if self._problems and reading == Reading():
            raise DeviceError(f"every call of NVML fails, the last with {self._problems[-1]}")
        return reading

    def driver_errors(self) -> list[str]:
        return [f"the driver reports {xid}" for xid in self._xids.take()]

    def close(self) -> None:
        """Do nothing: the library owns the handle."""

    def _ask(self, function: str, *arguments: Any) -> Any:
        """Return the result of NVML's `function` for the card, None for an unsupported value.

        Raises `DeviceError` when the card or the driver is lost.
        """
        call = getattr(self._module, function, None)
        if call is None:
            return None  # the package is older or newer
        try:
            return call(self._handle, *arguments)
        except self._module.NVMLError as error:
            name = self._nvml.name_of(error)
            short = name.removeprefix("NVML_ERROR_")
            if short in _LOST:
                raise DeviceError(f"NVML reports {name}{_advice(short)}") from error
            if short not in _UNSUPPORTED:
                self._problems.append(name)
            return None

    def _ask_first(self, *functions: str) -> Any:
        """Return the first known result of `functions`."""
        return next((v for f in functions if (v := self._ask(f)) is not None), None)

    def _temperature(self, sensor: str) -> float | None:
        """Return the °C of the sensor whose constant in NVML is `sensor`."""
        number = getattr(self._module, sensor, None)
        if number is None:
            return None
        value = self._ask("nvmlDeviceGetTemperatureV", number)
        if value is None and sensor == "NVML_TEMPERATURE_GPU":
            value = self._ask("nvmlDeviceGetTemperature", number)  # of drivers before 565
        return _number(value)

    def _memory_temperature(self) -> float | None:
        """Return the °C. Few cards know it; the others return an error in the field, or zero."""
        nvml = self._module
        values = self._ask("nvmlDeviceGetFieldValues", [nvml.NVML_FI_DEV_MEMORY_TEMP])
        if values is None or values[0].nvmlReturn != nvml.NVML_SUCCESS:
            return None
        return _above_zero(float(values[0].value.uiVal))

    def _throttle(self) -> str:
        bits = self._ask_first(
            "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"
        )
        return ", ".join(text for bit, text in THROTTLE_REASONS if (bits or 0) & bit)


def _advice(short: str) -> str:
    if short == "LIB_RM_VERSION_MISMATCH":
        return ": the driver was updated under the running system; reboot"
    if short in ("GPU_IS_LOST", "RESET_REQUIRED", "GPU_NOT_FOUND"):
        return ": the card does not answer; look for an Xid in the kernel's log, then reset it"
    return ""


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else _above_zero(milliwatts / 1000)


def _above_zero(value: float | None) -> float | None:
    """Return `value`, None for zero, which some cards and drivers return for unknown."""
    return value if value is not None and value > 0 else None


def _number(value: int | None) -> float | None:
    return None if value is None else float(value)


_XID_EVENTS = 0x8
"""nvmlEventTypeXidCriticalError."""

_MOST_XIDS = 16
"""Taken in one call: a failing card can report them faster than they are read."""

_XID_MEANINGS = {
    13: "an error while a kernel ran, often of an unstable clock",
    31: "an access outside of memory",
    43: "its work was stopped",
    48: "an uncorrectable memory error",
    62: "the card's own controller stopped",
    79: "the card has fallen off the bus",
}


class XidEvents:
    """The Xids (errors that the driver writes into the kernel's log) of one card from now on; empty
    where card, driver or system does not report them."""

    def __init__(self, module: Any, handle: Any) -> None:
        self._module = module
        self._events: Any = None
        with suppress(module.NVMLError, AttributeError):
            events = module.nvmlEventSetCreate()
            module.nvmlDeviceRegisterEvents(handle, _XID_EVENTS, events)
            self._events = events

    def take(self) -> list[str]:
        """Return each Xid since the last call, as in "Xid 79, the card has fallen off the bus"."""
        found: list[str] = []
        while self._events is not None and len(found) < _MOST_XIDS:
            try:
                number = int(self._module.nvmlEventSetWait_v2(self._events, 0).eventData)
            except self._module.NVMLError:
                break  # there is none; the readings show whether the card is lost
            meaning = _XID_MEANINGS.get(number)
            found.append(f"Xid {number}, {meaning}" if meaning else f"Xid {number}")
        return list(dict.fromkeys(found))
