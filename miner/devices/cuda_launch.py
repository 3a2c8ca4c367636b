"""What a launch on a CUDA device needs: a loaded kernel, a slot for what goes in and out."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.codegen.search import RESULT_SLOTS
from miner.devices.device import Image
from miner.errors import DeviceError

_RESULT_WORDS = 4 + 4 * RESULT_SLOTS


class CudaKernel:
    """A module with its only kernel, until it is unloaded."""

    def __init__(self) -> None:
        self._module: Any = None
        self._function: Any = None

    def load(self, drv: ModuleType, image: Image, arguments: str) -> None:
        """Load `image`; `arguments` has a letter of `struct` for each argument."""
        self._module = drv.module_from_buffer(image.program)
        self._function = self._module.get_function(image.source.entry)
        self._function.prepare(arguments)

    def launch(self, groups: int, threads: int, stream: Any, *arguments: int) -> None:
        """Start it."""
        if self._function is None:
            raise DeviceError("this kernel was unloaded when the next one was loaded")
        self._function.prepared_async_call((groups, 1), (threads, 1, 1), stream, *arguments)

    def unload(self) -> None:
        """Give it back to the driver, while the context that it was loaded in is current."""
        self._function = self._module = None


@dataclass(frozen=True, slots=True)
class Slot:
    """What one launch in flight needs; host memory is pinned."""

    header: NDArray[np.uint8]
    results: NDArray[np.uint32]
    device_header: Any
    device_results: Any
    done: Any
    """An event after the results' copy."""

    @staticmethod
    def of(drv: ModuleType) -> Slot:
        """Take it in the current context."""
        flags = drv.event_flags.DISABLE_TIMING | drv.event_flags.BLOCKING_SYNC
        return Slot(
            drv.pagelocked_empty(32, np.uint8),
            drv.pagelocked_empty(_RESULT_WORDS, np.uint32),
            drv.mem_alloc(32),
            drv.mem_alloc(4 * _RESULT_WORDS),
            drv.Event(flags),
        )
