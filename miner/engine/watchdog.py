"""Watchdog for hung devices, and the deadline of a shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from miner.clock import Clock
from miner.codegen.kernel_source import KernelSource
from miner.codegen.launch_shape import LaunchShape
from miner.devices.device import Device, Found, Image, Kernel, Pending
from miner.progpow.epoch import Epoch
from miner.work import Job, NonceRange

OPENING_SECONDS = 120.0
BUILDING_SECONDS = 600.0
"""For the compiler, which takes seconds, with what it has to do before."""

SLICE_SECONDS = 60.0
"""For a slice of a dataset, which takes well under a second."""

LOADING_SECONDS = 60.0
LAUNCH_SECONDS = 30.0
"""For a launch, which takes about a tenth of a second, with the one before it."""

CLOSING_SECONDS = 30.0


class Pulse:
    """What one device's thread waits for in its driver; any thread may look."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._call: tuple[str, float, float] | None = None
        self._stood_still = 0.0

    @contextmanager
    def call(self, what: str, limit: float) -> Iterator[None]:
        """Note that the driver does `what` and should be back within `limit` seconds."""
        self._call = (what, self._now(), limit)
        try:
            yield
        finally:
            self._call = None

    def overdue(self) -> str | None:
        """Return what did not come back in time, as a sentence; None where all is well."""
        call = self._call
        if call is None:
            return None
        what, since, limit = call
        spent = self._now() - since
        return f"{what} did not come back within {spent:.0f} s" if spent > limit else None

    def stood_still(self, seconds: float) -> None:
        """Leave `seconds`, in which nothing of this process ran, out of every account; called by
        one thread only."""
        self._stood_still += seconds

    def _now(self) -> float:
        return self._clock.now() - self._stood_still


class WatchedDevice:
    """A device whose calls of the driver are noted in a pulse, `build` apart: that one is
    called by other threads."""

    def __init__(self, device: Device, pulse: Pulse) -> None:
        self._device, self._pulse = device, pulse
        self.info = device.info
        self.shares_images = bool(getattr(device, "shares_images", False))

    @property
    def shape(self) -> LaunchShape:
        return self._device.shape

    @property
    def dialect(self) -> str:
        return self._device.dialect

    def take_shape(self, shape: LaunchShape) -> None:
        self._device.take_shape(shape)

    def build(self, source: KernelSource) -> Image:
        return self._device.build(source)

    def discard(self, image: Image) -> None:
        self._device.discard(image)

    def load(self, image: Image) -> Kernel:
        with self._pulse.call("loading a kernel", LOADING_SECONDS):
            return self._device.load(image)

    def generate(self, epoch: Epoch, light: NDArray[np.uint32], filler: Image) -> Iterator[float]:
        slices = self._device.generate(epoch, light, filler)
        while True:
            with self._pulse.call("a slice of the dataset", SLICE_SECONDS):
                done = next(slices, None)
            if done is None:
                return
            yield done

    def read_nodes(self, first: int, count: int) -> NDArray[np.uint32]:
        with self._pulse.call("reading the dataset", SLICE_SECONDS):
            return self._device.read_nodes(first, count)

    def write_nodes(self, first: int, nodes: NDArray[np.uint32]) -> None:
        with self._pulse.call("writing the dataset", SLICE_SECONDS):
            self._device.write_nodes(first, nodes)

    def round_up(self, count: int) -> int:
        return self._device.round_up(count)

    def launch(self, kernel: Kernel, job: Job, span: NonceRange) -> Pending:
        with self._pulse.call("starting a launch", LAUNCH_SECONDS):
            return _WatchedLaunch(self._device.launch(kernel, job, span), self._pulse)

    def close(self) -> None:
        with self._pulse.call("closing the device", CLOSING_SECONDS):
            self._device.close()


class _WatchedLaunch:
    def __init__(self, pending: Pending, pulse: Pulse) -> None:
        self._pending, self._pulse = pending, pulse

    def wait(self) -> Found:
        with self._pulse.call("a launch", LAUNCH_SECONDS):
            return self._pending.wait()


STOP_SECONDS = 5.0
"""From the first signal, or whatever else ends a run, to its end: devices, the last answers,
connections, drivers and disks have these together."""

SHUTDOWN_SECONDS = 0.5
"""Of those, what is kept for connections to be closed, however long answers take."""


class Grace:
    """One bound for all that ends; used on one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None

    def begin(self) -> None:
        """Note that the end has begun; the first time counts."""
        if self._since is None:
            self._since = self._clock.now()

    def left(self) -> float:
        """Return the seconds that are left; all of them before it has begun."""
        spent = 0.0 if self._since is None else self._clock.now() - self._since
        return max(STOP_SECONDS - spent, 0.0)

    def for_answers(self) -> float:
        """Return the seconds for which pools' answers may be waited for now."""
        return max(self.left() - SHUTDOWN_SECONDS, 0.1)

    async def cancel(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Cancel `tasks`; what they close takes what is left, and is broken off then."""
        pending = set(tasks)
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=self.left())
        for task in pending:
            task.cancel()

    @asynccontextmanager
    async def closing(self, opened: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """Keep `opened` for the block; its closing takes what is left, and is broken off then."""
        await opened.__aenter__()
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.left()):
                    await opened.__aexit__(None, None, None)
