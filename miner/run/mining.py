"""The composition root: who is given what, and the order in which all of it ends."""

from __future__ import annotations

import asyncio
import random as random_module
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TextIO

from miner import USER_AGENT, __version__
from miner.clock import Clock, SystemClock
from miner.codegen.kernel_source import search_source
from miner.engine.engine import Engine
from miner.engine.programs import Programs
from miner.engine.shutdown_deadline import ShutdownDeadline
from miner.engine.threads import WorkPool
from miner.errors import DeviceHung, EveryPoolRefused, MinerError
from miner.net.dial import NetworkDial
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.progpow.keccak import seed_hash
from miner.recordings.recorder import Recorder
from miner.run.control import RunController
from miner.run.run_config import Mining
from miner.run.views import Views
from miner.safe_text import Redactor
from miner.sensors.heat import HeatGuard
from miner.sensors.sensors import Readable, keep_reading, open_sensors
from miner.signals import signals
from miner.solo.node_session import NodeSessions
from miner.stratum.session import Reports
from miner.telemetry import (
    About,
    Event,
    Journal,
    Level,
    NewJob,
    ShareAnswered,
    Telemetry,
)
from miner.telemetry.redact_events import redacted
from miner.verify import Verifier
from miner.work import DeviceInfo, Job, Solution, Verdict

BUILDS = 2
"""Kernels compiled at a time: more would make a rig of twelve cards look overloaded."""

BY_HEAT = "heat"
"""Who asks the engine for a pause, in its books."""

OpenSensors = Callable[[Sequence[DeviceInfo], Clock], Readable]
"""Finds what tells the heat and the power of the devices; blocks."""


async def mine(
    mining: Mining,
    stream: TextIO | None = None,
    verifier: Verifier | None = None,
    sensors: OpenSensors = open_sensors,
) -> int:
    """Mine until a signal or the wanted number of shares; return how many were accepted. What a
    person reads goes to `stream`, or to the standard output.

    Raises `NoUsableDevice`, `DeviceHung`, `EveryPoolRefused`, or `ConfigError` for an address or a
    file that cannot be had; what was found by then has been submitted.
    """
    return await _Run(mining, stream or sys.stdout, verifier or Verifier(), sensors).mine()


class _Run:
    """One run and its parts; `mine` is called once."""

    def __init__(
        self, mining: Mining, stream: TextIO, verifier: Verifier, sensors: OpenSensors
    ) -> None:
        self._mining, self._stream, self._verifier = mining, stream, verifier
        self._open_sensors = sensors
        self._clock: Clock = SystemClock()
        self._deadline = ShutdownDeadline(self._clock)
        self._random = random_module.SystemRandom()
        about = About(mining.rig, __version__, mining.variant.name, mining.coin)
        self._telemetry = Telemetry(self._clock, [one.info for one in mining.devices], about)
        self._redactor = Redactor(mining.secrets, mining.wallets)
        self._journal = Journal(self._clock)
        self._telemetry.subscribe(self._journal.event)
        self._guard = HeatGuard(mining.live.heat)
        self._told: object = None

    async def mine(self) -> int:
        """Run it; return the accepted shares."""
        mining = self._mining
        self._loop = asyncio.get_running_loop()
        with (
            WorkPool("build", BUILDS, self._deadline.left) as builds,
            WorkPool("disk", 2, self._deadline.left) as disk,
            WorkPool("sensors", 1, self._deadline.left) as reading,
            _closing(self._new_tape()) as tape,
            closing(self._new_views(disk)) as views,
        ):
            connections = self._new_connections(tape)
            self._client = PoolClient(
                mining.live.pools, connections, self, self, self._emit, self._clock,
                self._random, mining.give_up,
            )  # fmt: skip
            self._engine = self._new_engine(builds)
            self._control = RunController(
                mining, self._engine, self._client, connections, self._guard, views.set_level,
                self._redactor.add,
            )  # fmt: skip
            async with self._deadline.closing(views.ports(self._control)):
                await self._work(views, reading)
        if reading.left:
            raise DeviceHung("the sensors: a driver call did not come back")
        return self._telemetry.snapshot().shares.accepted

    async def _work(self, views: Views, reading: WorkPool) -> None:
        """The pool outlives the devices: when they have ended, what they found is still sent."""
        async with asyncio.TaskGroup() as outer:
            sensors = outer.create_task(self._keep_sensors(reading))
            tasks = [
                sensors,
                *views.keep(outer),
                outer.create_task(self._keep_pools()),
                outer.create_task(self._engine.watch_for_hangs()),
            ]

            def reload() -> None:
                views.reopen()
                tasks.append(outer.create_task(self._reload()))

            with signals(self._engine.stop, views.write, reload):
                try:
                    await self._engine.run()
                finally:
                    sensors.cancel()  # the heat matters no more, and a read may take a while
                    await self._client.drain(self._deadline.for_answers())
                    await self._deadline.cancel(tasks)

    # Its parts

    def _new_views(self, disk: WorkPool) -> Views:
        return Views(
            self._mining, self._telemetry, self._journal, self._clock, self._stream, disk,
            self._redactor,
        )  # fmt: skip

    def _new_engine(self, builds: WorkPool) -> Engine:
        mining = self._mining
        return Engine(
            mining.devices,
            programs=Programs(search_source, builds),
            prover=self._verifier,
            sink=self,
            emit=self._emit,
            clock=self._clock,
            random=self._random,
            deadline=self._deadline,
            tunings=mining.tunings,
            park_hung=mining.park_hung,
        )

    def _new_connections(self, tape: Recorder | None) -> Connections:
        mining, limits = self._mining, self._mining.live.limits
        reports = None
        if mining.report_hashrate:
            rate = self._telemetry.snapshot
            reports = Reports(lambda: rate().hashrate.minute, self._random.randbytes(32))
        return Connections(
            mining.variant, NetworkDial(limits.connect), self._clock, USER_AGENT,
            seed_of=seed_hash, diff1=mining.diff1, limits=limits,
            reports=reports, recorder=tape,
            nodes=NodeSessions(mining.variant, mining.node, self._clock, USER_AGENT),
        )  # fmt: skip

    def _new_tape(self) -> Recorder | None:
        if self._mining.record is None:
            return None
        say = self._journal.say
        return Recorder(self._mining.record, self._clock, lambda text: say("record", text))

    async def _keep_pools(self) -> None:
        try:
            await self._client.run()
        except EveryPoolRefused as error:
            # Pools repeat logins; the cause would tell what the sentence hides.
            raise EveryPoolRefused(self._redactor.redact(str(error))) from None

    async def _keep_sensors(self, reading: WorkPool) -> None:
        infos = [one.info for one in self._mining.devices]
        sensors = await reading.offload(self._open_sensors, infos, self._clock)
        try:
            await keep_reading(
                sensors, reading.offload, self._clock, self._emit, self._guard,
                hold=self._hold,
                report=lambda text: self._journal.say("sensors", text, Level.WARNING),
            )  # fmt: skip
        finally:
            sensors.close()

    # What they say to each other

    def _emit(self, event: Event) -> None:
        self._telemetry.emit(redacted(event, self._redactor))

    def work_on(self, job: Job | None) -> None:
        # A pool that is polled names the same work again and again, one that is down no work.
        news = (job.search_key, job.target) if job else None
        if news != self._told:
            self._told = news
            self._emit(NewJob(job))
        self._engine.work_on(job)

    async def submit(self, solution: Solution) -> None:
        """Send a solution of the engine to the pool."""
        await self._client.submit(solution)

    def on_verdict(self, verdict: Verdict) -> None:
        """Record the verdict on a share, and stop after the wanted number of accepted ones."""
        self._emit(ShareAnswered(verdict))
        wanted = self._mining.shares
        if wanted is not None and self._telemetry.snapshot().shares.accepted >= wanted:
            self._engine.stop()

    def _hold(self, device: str, reason: str | None) -> None:
        if reason is None:
            self._engine.resume(device, BY_HEAT)
        else:
            self._engine.pause(device, BY_HEAT, reason)

    async def _reload(self) -> None:
        try:
            for sentence in await self._control.reload():
                self._journal.say("settings", sentence)
        except MinerError as error:
            self._journal.say("settings", f"nothing changed: {error}", Level.ERROR)


@contextmanager
def _closing(tape: Recorder | None) -> Iterator[Recorder | None]:
    try:
        yield tape
    finally:
        if tape:
            tape.close()
