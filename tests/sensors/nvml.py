"""A fake pynvml: the real constants and exceptions, with cards of a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml  # type: ignore[import-untyped]

FIRST = "00000000:01:00.0"
NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED


@dataclass
class Card:
    """`values` and `errors` (codes to raise) by the end of the function's name."""

    uuid: str = "GPU-1b2c"
    values: dict[str, Any] = field(
        default_factory=lambda: {
            "Temperature": 64,
            "Hotspot": 77,
            "PowerUsage": 118_250,
            "EnforcedPowerLimit": 130_000,
            "PowerManagementLimit": 140_000,
            "FanSpeed": 55,
            "Graphics": 1515,
            "Memory": 9251,
            "MemoryInfo": 4_500_000_000,
            "UtilizationRates": 100,
            "ClocksEventReasons": 0x4,
            "MemoryTemperature": (0, 92),
            "Events": None,
        }
    )
    errors: dict[str, int] = field(default_factory=dict)
    every_error: int | None = None
    asked: list[str] = field(default_factory=list)
    xids: list[int] = field(default_factory=list)

    def answer(self, what: str) -> Any:
        self.asked.append(what)
        error = self.errors.get(what, self.every_error)
        if error is None and what not in self.values:
            error = NOT_SUPPORTED
        if error is not None:
            raise pynvml.NVMLError(error)
        return self.values[what]


class FakeNvml:
    """`module` replaces pynvml; `calls` are those of init and shutdown."""

    def __init__(self, cards: Mapping[str, Card], init_error: int | None = None) -> None:
        self.cards = cards
        self.calls: list[str] = []
        self.init_error = init_error
        constants = {
            name: value
            for name, value in vars(pynvml).items()
            if name.startswith("NVML_") or name == "NVMLError"
        }
        self.module = SimpleNamespace(**constants, **self._functions())

    def _functions(self) -> dict[str, Callable[..., Any]]:
        def init() -> None:
            self.calls.append("init")
            if self.init_error is not None:
                raise pynvml.NVMLError(self.init_error)

        def by_pci(address: str) -> Card:
            if address not in self.cards:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
            return self.cards[address]

        def by_uuid(uuid: str) -> Card:
            for card in self.cards.values():
                if card.uuid == uuid:
                    return card
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

        def temperature(card: Card, sensor: int) -> Any:
            return card.answer(
                "Temperature" if sensor == pynvml.NVML_TEMPERATURE_GPU else "Hotspot"
            )

        def fields(card: Card, ids: list[int]) -> list[SimpleNamespace]:
            assert ids == [pynvml.NVML_FI_DEV_MEMORY_TEMP]
            code, value = card.answer("MemoryTemperature")
            return [SimpleNamespace(nvmlReturn=code, value=SimpleNamespace(uiVal=value))]

        def clock(card: Card, kind: int) -> Any:
            return card.answer("Graphics" if kind == pynvml.NVML_CLOCK_GRAPHICS else "Memory")

        def register(card: Card, kinds: int, events: list[Card]) -> None:
            assert kinds == pynvml.nvmlEventTypeXidCriticalError
            card.answer("Events")
            events.append(card)

        def wait(events: list[Card], milliseconds: int) -> SimpleNamespace:
            assert milliseconds == 0, "a read must not wait for an error"
            (card,) = events
            if not card.xids:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
            return SimpleNamespace(eventData=card.xids.pop(0))

        plain = {
            f"nvmlDeviceGet{end}": lambda card, end=end: card.answer(end)
            for end in (
                "PowerUsage", "EnforcedPowerLimit", "PowerManagementLimit", "FanSpeed",
            )
        }  # fmt: skip
        return {
            **plain,
            "nvmlInit": init,
            "nvmlShutdown": lambda: self.calls.append("shutdown"),
            "nvmlDeviceGetHandleByPciBusId": by_pci,
            "nvmlDeviceGetHandleByUUID": by_uuid,
            "nvmlDeviceGetUUID": lambda card: card.uuid,
            "nvmlEventSetCreate": list,
            "nvmlDeviceRegisterEvents": register,
            "nvmlEventSetWait_v2": wait,
            "nvmlDeviceGetTemperatureV": temperature,
            "nvmlDeviceGetTemperature": lambda card, sensor: card.answer("OldTemperature"),
            "nvmlDeviceGetFieldValues": fields,
            "nvmlDeviceGetClockInfo": clock,
            "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(used=card.answer("MemoryInfo")),
            "nvmlDeviceGetUtilizationRates": lambda card: SimpleNamespace(
                gpu=card.answer("UtilizationRates")
            ),
            "nvmlDeviceGetCurrentClocksEventReasons": lambda card: card.answer(
                "ClocksEventReasons"
            ),
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda card: card.answer(
                "ClocksThrottleReasons"
            ),
        }
