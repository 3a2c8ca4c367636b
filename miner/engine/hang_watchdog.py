"""Detects driver calls that do not return."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from miner.clock import Clock
from miner.codegen.kernel_source import KernelSource
from miner.codegen.launch_shape import LaunchShape
from miner.devices.device import Device, DriverCalls, Image, Kernel, LaunchResult, Pending
from miner.engine.loop_stalls import CHECK_SECONDS, Activity
from miner.progpow.epoch import Epoch
from miner.work import Job, NonceRange

OPENING_SECONDS = 120.0
BUILDING_SECONDS = 600.0
"""A compiler takes seconds; the builds that are queued before count too."""

SLICE_SECONDS = 60.0
"""A slice of a dataset takes well under a second."""

LOADING_SECONDS = 60.0
LAUNCH_SECONDS = 30.0
"""A launch takes about 0.1 s; the one that is queued before it counts too."""

CLOSING_SECONDS = 30.0

_STARTING, _LAUNCH = "starting a launch", "a launch"


class HangWatchdog:
    """Times the current driver call of one device; any thread may call `overdue`."""

    def __init__(self, clock: Clock, activity: Activity | None = None, name: str = "") -> None:
        self._clock, self._name = clock, name
        self._activity = activity or Activity(clock)
        self._activity.follow(self)
        self._call: tuple[str, float, float, float] | None = None
        """The running call, the clock second of its start, its limit, and `_suspended` then."""
        self._suspended = 0.0

    @contextmanager
    def call(self, what: str, limit: float) -> Iterator[None]:
        """Time the block: the driver call `what`, which should return within `limit` seconds."""
        self.begin(what, limit)
        try:
            yield
        finally:
            self.end()

    def begin(self, what: str, limit: float) -> None:
        """Time the driver call `what` until `end`; cheaper than `call`."""
        self._call = (what, self._clock.now(), limit, self._suspended)

    def end(self) -> None:
        """Stop timing the call that `begin` began."""
        assert self._call is not None
        what, begun, _, _ = self._call
        self._call = None
        now = self._clock.now()
        if now - begun >= CHECK_SECONDS:
            self._activity.ended(f"{self._name}: {what}", begun, now)

    @property
    def current(self) -> tuple[str, float] | None:
        """The running call, and the clock second of its start."""
        call = self._call
        return (f"{self._name}: {call[0]}", call[1]) if call is not None else None

    @property
    def in_launch(self) -> bool:
        """Whether the current call starts a launch or waits for one."""
        call = self._call
        return call is not None and call[0] in (_STARTING, _LAUNCH)

    def overdue(self) -> str | None:
        """Return a sentence about the current call if it exceeds its limit, else None."""
        call = self._call
        if call is None:
            return None
        what, begun, limit, suspended = call
        spent = self._clock.now() - begun - (self._suspended - suspended)
        return f"{what} did not return within {spent:.0f} s" if spent > limit else None

    def discount(self, seconds: float) -> None:
        """Do not count `seconds` during which the whole process was suspended; called by one
        thread only."""
        self._suspended += seconds


class WatchedDevice:
    """A device whose driver calls a watchdog times, except `build`: other threads call that."""

    def __init__(self, device: Device, watchdog: HangWatchdog) -> None:
        self._device, self._watchdog = device, watchdog
        self.info = device.info
        self.shares_images = device.shares_images

    @property
    def shape(self) -> LaunchShape:
        return self._device.shape

    @property
    def dialect(self) -> str | None:
        return self._device.dialect

    def take_shape(self, shape: LaunchShape) -> None:
        self._device.take_shape(shape)

    def build(self, source: KernelSource) -> Image:
        return self._device.build(source)

    def discard(self, image: Image) -> None:
        self._device.discard(image)

    def load(self, image: Image) -> Kernel:
        with self._watchdog.call("loading a kernel", LOADING_SECONDS):
            return self._device.load(image)

    def unload(self, kernel: Kernel) -> None:
        with self._watchdog.call("unloading a kernel", LOADING_SECONDS):
            self._device.unload(kernel)

    def generate(self, epoch: Epoch, light: NDArray[np.uint32], filler: Image) -> Iterator[float]:
        slices = self._device.generate(epoch, light, filler)
        limit = BUILDING_SECONDS  # the first step may wait for running builds
        while True:
            with self._watchdog.call("a slice of the dataset", limit):
                done = next(slices, None)
            if done is None:
                return
            limit = SLICE_SECONDS
            yield done

    @property
    def datasets(self) -> Sequence[Epoch]:
        return self._device.datasets

    def select(self, epoch: Epoch) -> None:
        self._device.select(epoch)

    def drop(self, epoch: Epoch) -> None:
        with self._watchdog.call("freeing a dataset", BUILDING_SECONDS):  # waits for builds
            self._device.drop(epoch)

    def spare_memory(self) -> int:
        with self._watchdog.call("reading the free memory", SLICE_SECONDS):
            return self._device.spare_memory()

    def read_nodes(self, first: int, count: int) -> NDArray[np.uint32]:
        with self._watchdog.call("reading the dataset", SLICE_SECONDS):
            return self._device.read_nodes(first, count)

    def write_nodes(self, first: int, nodes: NDArray[np.uint32]) -> None:
        with self._watchdog.call("writing the dataset", SLICE_SECONDS):
            self._device.write_nodes(first, nodes)

    def round_up(self, count: int) -> int:
        return self._device.round_up(count)

    def launch(self, kernel: Kernel, job: Job, span: NonceRange) -> Pending:
        self._watchdog.begin(_STARTING, LAUNCH_SECONDS)
        try:
            return _WatchedLaunch(self._device.launch(kernel, job, span), self._watchdog)
        finally:
            self._watchdog.end()

    def close(self) -> None:
        with self._watchdog.call("closing the device", CLOSING_SECONDS):
            self._device.close()


class _WatchedLaunch:
    def __init__(self, pending: Pending, watchdog: HangWatchdog) -> None:
        self._pending, self._watchdog = pending, watchdog

    def stop(self, calls: DriverCalls) -> None:
        self._pending.stop(calls)

    def wait(self) -> LaunchResult:
        self._watchdog.begin(_LAUNCH, LAUNCH_SECONDS)
        try:
            return self._pending.wait()
        finally:
            self._watchdog.end()
