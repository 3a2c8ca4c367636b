"""The loaded kernels of one device, each proved on the CPU before it searches."""

from __future__ import annotations

from collections import OrderedDict

from miner.codegen.launch_shape import LaunchShape
from miner.devices.device import Kernel
from miner.engine.opened_device import OpenedDevice
from miner.engine.programs import SearchProgram, program_of
from miner.engine.proof import prove_kernel
from miner.errors import WrongResult
from miner.telemetry.events import DeviceResting, KernelReady
from miner.work import Job

KEPT_KERNELS = 8
"""Loaded kernels of one device, enough for a pool that alternates between coins."""

_Key = tuple[SearchProgram, LaunchShape]
"""The shape has the number of the dataset's buffers, which are arguments of the kernel."""


class Kernels:
    """Builds, loads and proves kernels; used by the device's thread."""

    def __init__(self, opened: OpenedDevice) -> None:
        self._opened, self._device = opened, opened.device
        self._proved: OrderedDict[_Key, Kernel] = OrderedDict()
        self._was_wrong = False
        """The newest program gave only wrong kernels since the device was opened."""

    def provide(self, job: Job) -> Kernel | None:
        """Return a proved kernel for `job`, whose dataset is selected; None when the newest job
        needs another one by now. No launch is in flight."""
        key = program_of(job), self._device.shape
        kernel = self._proved.get(key)
        if kernel is None and (kernel := self._made(job, key[0])) is not None:
            self._keep(key, kernel)
        if kernel is not None:
            self._proved.move_to_end(key)
            self._opened.shared.programs.prebuild(self._device, job)
        return kernel

    def _keep(self, key: _Key, kernel: Kernel) -> None:
        self._proved[key] = kernel
        while len(self._proved) > KEPT_KERNELS:
            self._device.unload(self._proved.popitem(last=False)[1])

    def _made(self, job: Job, program: SearchProgram) -> Kernel | None:
        """Build, load and prove a kernel; None when the newest job needs another one by now."""
        opened, device, shared = self._opened, self._device, self._opened.shared

        def moved_on() -> bool:
            newest = opened.slot.job
            return newest is None or program_of(newest) != program

        reason = ""
        for _ in range(2):
            begun = opened.now()
            image = opened.built(shared.programs.search_image(device, job), moved_on)
            if image is None:
                return None
            kernel: Kernel = device.load(image)
            try:
                prove_kernel(device, kernel, job, shared.prover, opened.random)
            except WrongResult as error:
                reason = str(error)
                opened.report_fault(reason)
                device.unload(kernel)
                shared.programs.discard(device, image)
                continue
            opened.report(KernelReady(opened.name, job.period, opened.now() - begun))
            self._was_wrong = False
            return kernel
        if self._was_wrong:
            # Two programs in a row: the dataset or the card may be at fault, so reopen it.
            raise WrongResult(reason)
        self._was_wrong = True
        while not (moved_on() or opened.slot.stopping):
            pause = shared.retry.longest_pause
            opened.report(DeviceResting(opened.name, reason, pause))
            opened.slot.wait(moved_on, pause)
        return None
