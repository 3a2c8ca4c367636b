"""An engine on fake devices, with records of all that it reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import TypeVar

from miner.devices.selection import ListedDevice
from miner.devices.tuning import Tuning
from miner.engine.engine import Engine
from miner.engine.programs import Programs
from miner.engine.retry_policy import RetryPolicy
from miner.engine.threads import WorkPool
from miner.telemetry.events import Event
from miner.work import Job, Solution, Verdict
from tests.fakes.device import (
    WAIT,
    DeviceScript,
    FakeOpener,
    FakeProver,
    Ticks,
    info_of,
    search_source,
)

T = TypeVar("T")
QUICK = RetryPolicy(first_pause=0.001, longest_pause=0.002, stop=WAIT)


class Rig:
    """An engine with a device for each script; set attributes before `running`."""

    def __init__(self, *scripts: DeviceScript, retry: RetryPolicy = QUICK) -> None:
        self.scripts = scripts
        self.retry = retry
        self.park_hung = False
        self.tunings: dict[str, Tuning] = {}
        self.clock = Ticks()
        self.events: list[Event] = []
        self.solutions: list[Solution] = []
        self.verdicts: list[Verdict] = []
        self.prover = FakeProver()
        self.opener = FakeOpener
        self.search_source = search_source
        self._news = asyncio.Event()
        self.ended = asyncio.Event()
        self.task: asyncio.Task[None]
        self.engine: Engine

    def of(self, kind: type[T], device: str | None = None) -> list[T]:
        return [
            e
            for e in self.events
            if isinstance(e, kind) and device in (None, getattr(e, "device", None))
        ]

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def until_launched(self, script: DeviceScript, holds: Callable[[], object]) -> None:
        def wait() -> None:
            with script.changed:
                assert script.changed.wait_for(holds, WAIT)

        await asyncio.to_thread(wait)

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def submit(self, solution: Solution) -> None:
        self.solutions.append(solution)
        self._news.set()

    def on_verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self._news.set()

    def build(self, builds: WorkPool) -> Engine:
        self.engine = Engine(
            [
                ListedDevice(info_of(f"fake:{n}"), self.opener(script, self.clock))
                for n, script in enumerate(self.scripts)
            ],
            programs=Programs(self.search_source, builds),
            prover=self.prover,
            sink=self,
            emit=self._emit,
            clock=self.clock,
            random=Random(7),
            retry=self.retry,
            tunings=self.tunings,
            park_hung=self.park_hung,
            report_seconds=0.0,  # each launch at once
        )
        return self.engine

    @asynccontextmanager
    async def running(self, job: Job | None = None) -> AsyncIterator[Engine]:
        """Run the engine during the block, on `job` at first, then stop it and raise its error."""
        with WorkPool("build", 1) as builds:
            engine = self.build(builds)
            failed: list[BaseException] = []

            async def run() -> None:
                try:
                    await engine.run()
                except Exception as error:  # noqa: BLE001 - raised again below
                    failed.append(error)
                finally:
                    self.ended.set()

            async with asyncio.TaskGroup() as group:
                self.task = group.create_task(run())
                try:
                    if job is not None:
                        engine.work_on(job)
                    yield engine
                finally:
                    engine.stop()
                    for script in self.scripts:
                        if (gate := script.gate) is not None:
                            script.gate = None  # nothing waits from here on
                            gate.release(2)
        if failed:
            raise failed[0]

    async def runs_out(self, job: Job) -> None:
        """Work on `job` until the run ends without a stop."""
        async with self.running(job):
            async with asyncio.timeout(WAIT):
                await self.ended.wait()


class Naps(Ticks):
    """A clock whose sleeps take the given seconds; the last one does not end."""

    def __init__(self, *naps: float) -> None:
        super().__init__()
        self.naps = list(naps)
        self.over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if not self.naps:
            self.over.set()
            await asyncio.Event().wait()
        self.pass_time(self.naps.pop(0))
