"""The context of a CUDA card: current during each call, and unusable after a failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from miner.devices.cuda.cuda_driver import device_error, driver, error_name, is_harmless
from miner.errors import DeviceError


class CudaContext:
    """A context on the card `ordinal`, which errors call `where`; the thread that creates it owns
    it. Raises `DeviceError`."""

    def __init__(self, ordinal: int, where: str) -> None:
        self._drv = drv = driver()
        self._where = where
        self._failure = ""
        """Name of the driver's first error after which the context cannot be used."""
        try:
            card = drv.Device(ordinal)
            self.capability: tuple[int, int] = card.compute_capability()
            self._context = card.make_context(drv.ctx_flags.SCHED_BLOCKING_SYNC)
            self.is_open = True
            # No context stays current between calls: a thread may have several devices, and
            # PyCUDA ends the process when a thread ends with a current context.
            try:
                drv.Context.pop()
            except drv.Error:
                self.close()
                raise
        except drv.Error as error:
            raise device_error(error_name(error), where, "opening") from error

    @property
    def has_failed(self) -> bool:
        return bool(self._failure)

    @contextmanager
    def current(self, what: str) -> Iterator[None]:
        """Make the context current for `what`, and raise the driver's errors as ours."""
        if not self.is_open:
            raise DeviceError(f"{self._where}: {what}: the device is closed")
        if self._failure:
            raise DeviceError(f"{self._where}: {what}: it failed before ({self._failure})")
        try:
            self._context.push()
            try:
                yield
            finally:
                self._drv.Context.pop()
        except self._drv.Error as error:
            name = error_name(error)
            if not is_harmless(name):
                self._failure = name
            raise device_error(name, self._where, what) from error

    def close(self) -> None:
        """Destroy the context with everything in it, without waiting."""
        self.is_open = False
        with suppress(self._drv.Error):
            self._context.detach()
