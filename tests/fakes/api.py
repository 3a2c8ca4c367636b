"""A context for the API and the panels whose control records its calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from miner.api.context import ApiContext, CachedSnapshot, RunControl
from miner.errors import ConfigError
from miner.telemetry import History, Journal, Telemetry
from tests.fakes.clock import FakeClock


@dataclass
class FakeControl:
    """A `RunControl` of `devices` that records its calls."""

    calls: list[tuple[str, str | None]] = field(default_factory=list)
    problem: str | None = None
    """Why the settings are unusable."""
    devices: tuple[str, ...] = ("cuda:0", "opencl:0.1")

    def pause(self, device: str | None) -> None:
        self._record("pause", device)

    def resume(self, device: str | None) -> None:
        self._record("resume", device)

    async def reload(self) -> list[str]:
        if self.problem is not None:
            raise ConfigError(self.problem)
        self._record("reload", None)
        return ["cuda:0: launches last 0.2 s now"]

    def _record(self, call: str, device: str | None) -> None:
        if device is not None and device not in self.devices:
            raise KeyError(device)
        self.calls.append((call, device))


def context_of(
    telemetry: Telemetry,
    clock: FakeClock,
    control: RunControl | None = None,
    take: Callable[[], Any] | None = None,
    **changes: Any,
) -> ApiContext:
    """The context for `telemetry`, whose snapshots come from `take`, with `changes` of its
    fields."""
    snapshots = CachedSnapshot(take or telemetry.snapshot, telemetry, clock)
    history = History(telemetry.snapshot, clock)
    context = ApiContext(snapshots, Journal(clock), history, clock, control or FakeControl())
    return replace(context, **changes)
