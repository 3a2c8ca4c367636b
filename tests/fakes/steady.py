"""A device of a fixed rate whose hits are true, which notes its launches and fails when told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from itertools import pairwise
from time import monotonic

from miner.devices.device import Device, DeviceInfo, Hit, Image, LaunchResult, Pending
from miner.devices.reference.reference_device import ReferenceDevice
from miner.devices.selection import ListedDevice
from miner.errors import DeviceError
from miner.work import Job, NonceRange

EVERY_HASH = 2**256 - 1
"""The target of a kernel's proof, whose launches are not part of the mining."""

LONGEST_HANG = 60.0
"""Seconds after which a hanging launch ends by itself: no test may last for ever."""


@dataclass
class Steady:
    """What a device is told and what it did, through all its lives; times are seconds of the
    machine's monotonic clock."""

    name: str
    seconds: float = 0.1
    """That the device is busy with one launch, whatever its host does meanwhile."""
    nonces: int = 16
    """Of one launch, each of them hashed by the reference."""
    pci: str | None = None

    fail_launch: int = 0
    """Launches that come back as a `DeviceError`."""
    fail_open: int = 0
    lies: int = 0
    """Nonces to claim that are not good enough."""
    hang: threading.Event | None = None
    """A launch comes back only when this is set."""

    launched: list[float] = field(default_factory=list)
    """When each launch was asked for."""
    idle: list[float] = field(default_factory=list)
    """How long the device had nothing to do before each launch."""
    tried: int = 0
    claimed: int = 0
    """True hits that were handed over."""
    lied: int = 0
    opened: int = 0
    closed: int = 0
    flying: int = 0
    """Launches that were asked for and not waited for yet."""

    @property
    def info(self) -> DeviceInfo:
        return DeviceInfo(
            self.name, "fake", f"Steady {self.nonces / self.seconds:g} H/s", "gpu", "1.0",
            2**30, 2**28, 1, vendor="fake", pci=self.pci,
        )  # fmt: skip

    @property
    def listed(self) -> ListedDevice:
        return ListedDevice(self.info, self)

    def gaps(self, since: float = 0.0) -> list[float]:
        """Return the times between launches, those before `since` apart."""
        late = [at for at in tuple(self.launched) if at >= since]
        return [after - before for before, after in pairwise(late)]

    def open(self, info: DeviceInfo) -> Device:
        if self.fail_open:
            self.fail_open -= 1
            raise DeviceError(f"{self.name}: it cannot be opened")
        self.opened += 1
        self.flying = 0
        return SteadyDevice(self)


class SteadyDevice(ReferenceDevice):
    """One life of a `Steady`."""

    def __init__(self, script: Steady) -> None:
        super().__init__(script.info)
        self._orders = script
        self._busy_until = 0.0

    def round_up(self, count: int) -> int:
        return -(-max(count, 1) // self._orders.nonces) * self._orders.nonces

    def launch(self, kernel: Image, job: Job, span: NonceRange) -> Pending:  # type: ignore[override]
        proved = super().launch(kernel, job, span)
        if job.target == EVERY_HASH:
            return proved
        now = monotonic()
        begin = max(now, self._busy_until)
        if self._busy_until:
            self._orders.idle.append(begin - self._busy_until)
        self._busy_until = begin + self._orders.seconds
        self._orders.launched.append(now)
        self._orders.flying += 1
        return _Launch(self._orders, proved, span, self._busy_until)

    def close(self) -> None:
        super().close()
        self._orders.closed += 1


@dataclass(frozen=True)
class _Launch:
    script: Steady
    search: Pending
    span: NonceRange
    due: float

    def wait(self) -> LaunchResult:
        script = self.script
        if script.hang is not None:
            script.hang.wait(LONGEST_HANG)
        if script.fail_launch:
            script.fail_launch -= 1
            raise DeviceError(f"{script.name}: the launch failed")
        found = self.search.wait()
        # Nobody sets it: it is a sleep that costs neither the interpreter nor a core.
        threading.Event().wait(max(self.due - monotonic(), 0.0))
        script.tried += found.tried
        script.claimed += len(found.hits)
        if script.lies and (lie := self._lie(found)) is not None:
            script.lies -= 1
            script.lied += 1
            found = replace(found, hits=(*found.hits, lie), total=found.total + 1)
        script.flying -= 1
        return found

    def _lie(self, found: LaunchResult) -> Hit | None:
        good = {hit.nonce for hit in found.hits}
        nonces = range(self.span.first, self.span.first + self.span.count)
        return next((Hit(n, (0, 0), 0) for n in nonces if n not in good), None)
