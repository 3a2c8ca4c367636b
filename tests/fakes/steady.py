"""A device with a fixed hashrate and right hits, which fails when a test wants it to."""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass, field, replace
from time import monotonic

from miner.devices.device import Device, Hit, Image, LaunchResult, Pending
from miner.devices.known_answers import EVERY_NONCE
from miner.devices.reference.reference_device import ReferenceDevice
from miner.devices.selection import ListedDevice
from miner.errors import DeviceError
from miner.work import DeviceInfo, Job, NonceRange

LONGEST_HANG = 60.0
"""Seconds after which a hanging launch ends, so that no test hangs."""


@dataclass
class Steady:
    """The behaviour of a device and the record of its launches, across reopening; times are
    monotonic seconds."""

    name: str
    seconds: float = 0.1
    """Duration of one launch, independent of the host."""
    nonces: int = 16
    """Of one launch; the reference hashes each of them."""
    pci: str | None = None

    fail_launch: int = 0
    """Next launches that raise a `DeviceError`."""
    fail_open: int = 0
    wrong_hits: int = 0
    """Next wrong hits to report."""
    hang: threading.Event | None = None
    """Launches end when this is set."""

    launched: array[float] = field(default_factory=lambda: array("d"))
    """When each launch was started; an array, since a long run has many."""
    idle: array[float] = field(default_factory=lambda: array("d"))
    """How long the device had nothing to do before each launch."""
    tried: int = 0
    claimed: int = 0
    """Right hits that were reported."""
    wrong: int = 0
    """Wrong hits that were reported."""
    opened: int = 0
    closed: int = 0
    in_flight: int = 0
    """Launches that were started and not waited for."""

    @property
    def info(self) -> DeviceInfo:
        return DeviceInfo(
            self.name, "fake", f"Steady {self.nonces / self.seconds:g} H/s", "gpu", "1.0",
            2**30, 2**28, 1, vendor="fake", pci=self.pci,
        )  # fmt: skip

    @property
    def listed(self) -> ListedDevice:
        return ListedDevice(self.info, self)

    def open(self, info: DeviceInfo) -> Device:
        if self.fail_open:
            self.fail_open -= 1
            raise DeviceError(f"{self.name}: cannot be opened")
        self.opened += 1
        self.in_flight = 0
        return SteadyDevice(self)


class SteadyDevice(ReferenceDevice):
    """An open `Steady`."""

    def __init__(self, script: Steady) -> None:
        super().__init__(script.info)
        self._script = script
        self._launches: list[_Launch] = []

    def round_up(self, count: int) -> int:
        return -(-max(count, 1) // self._script.nonces) * self._script.nonces

    def launch(self, kernel: Image, job: Job, span: NonceRange) -> Pending:  # type: ignore[override]
        proved = super().launch(kernel, job, span)
        if job.target == EVERY_NONCE:  # the proof of a kernel
            return proved
        now = monotonic()
        before = self._launches[-1].due if self._launches else 0.0
        begin = max(now, before)
        if before:
            self._script.idle.append(begin - before)
        self._script.launched.append(now)
        self._script.in_flight += 1
        del self._launches[:-1]
        launch = _Launch(self, self._script, proved, span, begin, begin + self._script.seconds)
        self._launches.append(launch)
        return launch

    def end_early(self, launch: _Launch, now: float) -> None:
        """End `launch`; the one behind it begins at once."""
        due, launch.due = launch.due, max(launch.begin, min(now, launch.due))
        for other in self._launches:
            if other.begin == due:
                other.begin, other.due = launch.due, launch.due + self._script.seconds

    def close(self) -> None:
        super().close()
        self._script.closed += 1


@dataclass(eq=False)
class _Launch:
    device: SteadyDevice
    script: Steady
    search: Pending
    span: NonceRange
    begin: float
    due: float
    stopped: threading.Event = field(default_factory=threading.Event)

    def stop(self, calls: object) -> None:
        self.device.end_early(self, monotonic())
        self.stopped.set()

    def wait(self) -> LaunchResult:
        script = self.script
        if script.hang is not None:
            script.hang.wait(LONGEST_HANG)
        if script.fail_launch:
            script.fail_launch -= 1
            raise DeviceError(f"{script.name}: the launch failed")
        found = self.search.wait()
        self.stopped.wait(max(self.due - monotonic(), 0.0))
        if self.stopped.is_set():
            found = self._begun_of(found)
        script.tried += found.tried
        script.claimed += len(found.hits)
        if script.wrong_hits and (hit := self._wrong_hit(found)) is not None:
            script.wrong_hits -= 1
            script.wrong += 1
            found = replace(found, hits=(*found.hits, hit), total=found.total + 1)
        script.in_flight -= 1
        return found

    def _begun_of(self, found: LaunchResult) -> LaunchResult:
        """Return what was found before the stop."""
        share = min((self.due - self.begin) / self.script.seconds, 1.0)
        tried = min(int(self.span.count * share), found.tried)
        hits = tuple(hit for hit in found.hits if hit.nonce < self.span.first + tried)
        return LaunchResult(tried, hits, len(hits))

    def _wrong_hit(self, found: LaunchResult) -> Hit | None:
        good = {hit.nonce for hit in found.hits}
        nonces = range(self.span.first, self.span.first + self.span.count)
        return next((Hit(n, (0, 0), 0) for n in nonces if n not in good), None)
