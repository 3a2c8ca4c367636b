"""The trial of each device before it mines: side by side, in child processes."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from miner.devices.backend import Backend
from miner.devices.driver_history import count_crashes, crash_problem
from miner.devices.driver_process import ask_child
from miner.devices.known_answers import problem_of
from miner.devices.opencl import OPENCL
from miner.devices.opencl.icd_files import (
    IcdFile,
    icd_files,
    make_vendors_findable,
    vendors_folder,
    vendors_variables,
    write_entries,
)
from miner.devices.trial_results import TrialResults
from miner.errors import BackendUnavailable, DriverDied
from miner.progpow.variant import Variant
from miner.work import DeviceInfo

LISTING_SECONDS = 30.0

TRIAL_SECONDS = 180.0
"""Compilers take seconds, or a minute on a busy machine."""

SIDE_BY_SIDE = 8
"""Trials at the same time; each takes about 150 MiB."""

AGAIN = "it is tried again after a reboot, or by `progpow-miner devices --retry`"


class TrialReports(Protocol):
    """Receives the progress of trials."""

    def trying(self, info: DeviceInfo) -> None:
        """Report that the trial of `info` begins; its result was unknown."""

    def note(self, sentence: str) -> None:
        """Report what happened in an earlier run."""


class NoReports:
    """Reports nothing."""

    def trying(self, info: DeviceInfo) -> None:
        """Do nothing."""

    def note(self, sentence: str) -> None:
        """Do nothing."""


class Listing(NamedTuple):
    """The devices of a backend."""

    devices: Sequence[DeviceInfo] = ()
    problems: Sequence[str] = ()
    """A sentence for each platform or driver without devices."""


class Trials:
    """Lists devices and tries them; `reports` receives the progress."""

    def __init__(self, reports: TrialReports | None = None) -> None:
        self._reports = reports or NoReports()
        self._results = TrialResults()

    def forget(self) -> None:
        """Forget the results of earlier trials."""
        self._results.forget()

    async def list_all(self, backends: Sequence[Backend]) -> list[Listing]:
        """Return the devices of each backend; an unavailable one has a problem instead."""
        for crash in count_crashes(self._results):
            self._reports.note(str(crash))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._list(backend)) for backend in backends]
        return [task.result() for task in tasks]

    async def problems_of(
        self, devices: Sequence[tuple[Backend, DeviceInfo]], variant: Variant
    ) -> list[str | None]:
        """Return the problem of each device, or None: the result of a trial with the first known
        answer of `variant`, now or earlier."""
        turn = asyncio.Semaphore(SIDE_BY_SIDE)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._problem_of(backend, info, variant, turn))
                for backend, info in devices
            ]
        return [task.result() for task in tasks]

    async def _problem_of(
        self, backend: Backend, info: DeviceInfo, variant: Variant, turn: asyncio.Semaphore
    ) -> str | None:
        if info.unusable:
            return info.unusable
        if not backend.has_driver:
            await asyncio.sleep(0)  # the child processes start first
            return problem_of(backend, info, variant)
        if crashes := crash_problem(self._results, info):
            return f"{crashes}; {AGAIN}"
        known = self._results.get("device", info, variant)
        if known is not None:
            return known.problem
        async with turn:
            self._reports.trying(info)
            try:
                answer = await ask_child(("try", backend.name, info, variant), TRIAL_SECONDS)
            except DriverDied as error:
                problem = f"{error}; {AGAIN}"
                self._results.keep(problem, "device", info, variant)
                return problem
        problem = answer["problem"]
        if problem is None:  # a problem such as too little free memory may be gone next time
            self._results.keep(None, "device", info, variant)
        return str(problem) if problem is not None else None

    async def _list(self, backend: Backend) -> Listing:
        try:
            if not backend.has_driver:
                return Listing(backend.devices())
            if backend is OPENCL:
                return await self._list_opencl()
            return await _listed(backend)
        except (BackendUnavailable, DriverDied) as error:
            return Listing(problems=[str(error)])

    # OpenCL loads the drivers of all platforms into one process. If that process dies, each driver
    # is loaded alone, and those that end their process are not loaded into this one either.

    async def _list_opencl(self) -> Listing:
        make_vendors_findable()
        icds = icd_files()
        problems = [self._known_problem(icd) for icd in icds]
        if not any(problems):
            try:
                return await _listed(OPENCL)
            except DriverDied:
                problems = await self._problems_alone(icds)
                if not any(problems):
                    raise
        judged = list(zip(icds, problems, strict=True))
        reasons = [f"{icd.name} is left out: {problem}" for icd, problem in judged if problem]
        left = {icd.name: icd.text for icd, problem in judged if not problem}
        folder = vendors_folder("opencl-vendors-usable", left)
        if folder is None:
            return Listing(problems=[*reasons, "no folder is writable to list the others in"])
        os.environ.update(vendors_variables(folder))
        found = await _listed(OPENCL) if left else Listing()
        return Listing(found.devices, [*reasons, *found.problems])

    def _known_problem(self, icd: IcdFile) -> str | None:
        result = self._results.get("icd", icd)
        return result.problem if result is not None else None

    async def _problems_alone(self, icds: Sequence[IcdFile]) -> list[str | None]:
        """Load each driver in a separate process; return its problem, or None."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._problem_alone(icd)) for icd in icds]
        return [task.result() for task in tasks]

    async def _problem_alone(self, icd: IcdFile) -> str | None:
        problem = None
        try:
            with tempfile.TemporaryDirectory(prefix="progpow-miner-") as folder:
                write_entries(Path(folder), {icd.name: icd.text})
                await _listed(OPENCL, vendors_variables(Path(folder)))
        except DriverDied as error:
            problem = f"{error}; {AGAIN}"
        except OSError:  # no folder is writable, so its problem stays unknown
            return None
        self._results.keep(problem, "icd", icd)
        return problem


async def _listed(backend: Backend, variables: Mapping[str, str] | None = None) -> Listing:
    """List `backend` in a child process with these environment variables; raises `DriverDied`."""
    answer = await ask_child(("list", backend.name), LISTING_SECONDS, variables)
    missing = [answer["missing"]] if "missing" in answer else []
    devices = [DeviceInfo(**row) for row in answer.get("devices", ())]
    return Listing(devices, [*missing, *answer["problems"]])
