"""One run of the miner: its parts, made, connected and ended in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from functools import partial
from random import SystemRandom
from typing import TextIO

from miner import USER_AGENT, __version__
from miner.clock import Clock, SystemClock
from miner.codegen.kernel_source import search_source
from miner.devices.crash_record import CrashRecord
from miner.devices.driver_history import count_hang
from miner.devices.trial_results import TrialResults
from miner.devices.tuned_shapes import TunedShape, TunedShapes
from miner.engine.engine import Engine
from miner.engine.job_heights import HeightJudge
from miner.engine.loop_stalls import Activity, LoopWatch
from miner.engine.programs import Programs
from miner.engine.shutdown_deadline import ShutdownDeadline
from miner.engine.threads import WorkPool
from miner.errors import DeviceHung, EveryPoolRefused, MinerError
from miner.net.dial import NetworkDial
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.progpow.keccak import seed_hash
from miner.recordings.recorder import Recorder
from miner.run.run_config import RunConfig
from miner.run.run_controller import RunController
from miner.run.views import Views
from miner.safe_text import Redactor
from miner.sensors.heat import HeatGuard
from miner.sensors.sensors import Sensors, open_sensors, read_sensors
from miner.signals import signals
from miner.solo.node_session import NodeSessions
from miner.stratum.session import Reports
from miner.telemetry import About, Journal, Level, Telemetry
from miner.telemetry.events import (
    DeviceHanging,
    Event,
    NewJob,
    SensorsRead,
    SettingsRead,
    ShapeChosen,
    ShareAnswered,
    redacted,
)
from miner.verify import Verifier
from miner.work import DeviceInfo, Job, Solution, Verdict

BUILDS = 2
"""Kernels compiled at the same time. More would overload the CPU of a rig with twelve cards."""

HEAT = "heat"
"""Source of pauses for heat, for `Engine.pause`; a device resumes when no source holds it."""

SensorOpener = Callable[[Sequence[DeviceInfo], Clock], Sensors]
"""Opens the sensors of the devices; blocks."""


async def mine(
    config: RunConfig,
    stream: TextIO | None = None,
    verifier: Verifier | None = None,
    sensor_opener: SensorOpener = open_sensors,
) -> int:
    """Mine until a signal or the configured number of shares; return the accepted shares.

    The console is `stream`, by default the standard output. Raises `NoUsableDevice`,
    `DeviceHung`, `EveryPoolRefused`, `AddressTaken`, or `ConfigError` for an address or a file that
    cannot be opened; shares found before have been submitted.
    """
    return await MiningRun(config, stream, verifier, sensor_opener).run()


class MiningRun:
    """One run; `run` is called once.

    A job comes from the pool client by `work_on` and goes to the engine. A solution comes from
    the engine by `submit` and goes to the client, whose verdict comes by `on_verdict`. Views see
    all of it in telemetry.
    """

    def __init__(
        self,
        config: RunConfig,
        stream: TextIO | None,
        verifier: Verifier | None,
        sensor_opener: SensorOpener,
    ) -> None:
        self._config, self._stream = config, stream or sys.stdout
        self._verifier, self._sensor_opener = verifier or Verifier(), sensor_opener
        self._clock: Clock = SystemClock()
        self._activity = Activity(self._clock)
        self._deadline = ShutdownDeadline(self._clock)
        self._random = SystemRandom()
        variant = config.variant
        coin = config.coin.symbol if config.coin else ""
        about = About(
            config.rig, __version__, variant.name, coin, variant.algorithm,
            config.devices_expected, config.devices_missing,
        )  # fmt: skip
        infos = [device.info for device in config.devices]
        self._telemetry = Telemetry(self._clock, infos, about)
        self._redactor = Redactor(config.secrets, config.wallets)
        self._journal = Journal(self._clock)
        self._telemetry.subscribe(self._journal.event)
        self._telemetry.subscribe(self._keep_shape)
        self._emit(SettingsRead(digest=config.digest))
        self._guard = HeatGuard(config.live.heat)
        self._announced: object = None
        """Search key and target of the newest job in telemetry."""

    async def run(self) -> int:
        """Mine; return the accepted shares."""
        left = self._deadline.left
        with (
            closing(CrashRecord()) as self._driver_calls,
            WorkPool("build", BUILDS, left, self._activity) as builds,
            WorkPool("disk", 2, left, self._activity) as self._disk,
            WorkPool("sensors", 1, left, self._activity) as sensor_reads,
            self._new_recorder() as recorder,
            closing(self._new_views()) as views,
        ):
            connections = self._new_connections(recorder)
            self._client = PoolClient(
                self._config.live.pools, connections, self, self, self._emit, self._clock,
                self._random, self._config.give_up,
            )  # fmt: skip
            self._engine = self._new_engine(builds)
            self._telemetry.follow(self._engine)
            self._control = RunController(
                self._config, self._engine, self._client, connections, self._guard, views,
                self._redactor, self._emit,
            )  # fmt: skip
            async with self._deadline.closing(views.ports(self._control)):
                await self._run_tasks(views, sensor_reads)
        if sensor_reads.left:
            raise DeviceHung("the sensors: a driver call did not return")
        return self._telemetry.snapshot().shares.accepted

    async def _run_tasks(self, views: Views, sensor_reads: WorkPool) -> None:
        """Run engine, pool client and views. The client ends after the engine, so that the last
        shares are still sent."""
        async with asyncio.TaskGroup() as group:
            sensors = group.create_task(self._read_sensors(sensor_reads))
            tasks = [
                sensors,
                *views.start(group),
                group.create_task(self._run_client()),
                group.create_task(self._engine.watch_for_hangs()),
                group.create_task(LoopWatch(self._clock, self._activity, self._emit).run()),
            ]

            def reload() -> None:
                views.reopen()
                tasks.append(group.create_task(self._reload()))

            with signals(self._stop, views.write, reload):
                try:
                    await self._engine.run()
                finally:
                    sensors.cancel()  # nothing mines, and a read may take a while
                    await self._client.drain(self._deadline.for_answers())
                    await self._deadline.cancel(tasks)

    # The way of a share

    def work_on(self, job: Job | None) -> None:
        """Pass a job of the pool client on to the engine."""
        # A polled node repeats its job; repeated connection failures repeat None.
        key = (job.search_key, job.target) if job else None
        if key != self._announced:
            self._announced = key
            self._emit(NewJob(job))
        self._engine.work_on(job)

    async def submit(self, solution: Solution) -> None:
        await self._client.submit(solution)

    def on_verdict(self, verdict: Verdict) -> None:
        """Record a verdict, and stop after the configured number of accepted shares."""
        self._emit(ShareAnswered(verdict))
        wanted = self._config.shares
        if wanted is not None and self._telemetry.snapshot().shares.accepted >= wanted:
            self._engine.stop()

    # From the sensors

    def sensors_read(self, event: SensorsRead) -> None:
        self._emit(event)

    def hold(self, device: str, reason: str | None) -> None:
        if reason is None:
            self._engine.resume(device, HEAT)
        else:
            self._engine.pause(device, HEAT, reason)

    def report(self, sentence: str) -> None:
        self._journal.add("sensors", sentence, Level.WARNING)

    def _emit(self, event: Event) -> None:
        self._telemetry.emit(redacted(event, self._redactor))

    def _keep_shape(self, event: Event) -> None:
        """Trust the launch shape that was chosen while mining, and keep it for later runs; leave
        out one whose trial hangs."""
        if isinstance(event, DeviceHanging):
            count_hang(TrialResults(), self._driver_calls, event.device)
        if not isinstance(event, ShapeChosen):
            return
        self._driver_calls.settle(event.device, event.shape)
        device = next(one for one in self._config.devices if one.info.name == event.device)
        tuned = TunedShape(event.shape, event.default, event.ratio, event.low, event.high)
        variant = self._config.variant
        self._disk.submit(TunedShapes().put, device.info, device.backend, variant, tuned)

    def _stop(self) -> None:
        # A supervisor, or a second Ctrl-C, may now end the process at any time.
        self._driver_calls.close()
        self._engine.stop()

    # Tasks

    async def _run_client(self) -> None:
        try:
            await self._client.run()
        except EveryPoolRefused as error:
            # Pools repeat logins, so the cause may hold what is redacted here.
            raise EveryPoolRefused(self._redactor.redact(str(error))) from None

    async def _read_sensors(self, reads: WorkPool) -> None:
        infos = [device.info for device in self._config.devices]
        sensors = await reads.offload(self._sensor_opener, infos, self._clock)
        try:
            await read_sensors(sensors, reads, self._clock, self._guard, self)
        finally:
            sensors.close()

    async def _reload(self) -> None:
        try:
            for sentence in await self._control.reload():
                self._journal.add("settings", sentence)
        except MinerError as error:
            self._journal.add("settings", f"nothing changed: {error}", Level.ERROR)

    # Parts

    def _new_views(self) -> Views:
        return Views(
            self._config, self._telemetry, self._journal, self._clock, self._stream, self._disk,
            self._redactor,
        )  # fmt: skip

    def _new_engine(self, builds: WorkPool) -> Engine:
        record, variant = self._driver_calls, self._config.variant
        shapes = {name: tuning.shape for name, tuning in self._config.tunings.items()}
        return Engine(
            [record.watched(d, variant, shapes.get(d.info.name)) for d in self._config.devices],
            programs=Programs(search_source, builds),
            prover=self._verifier,
            sink=self,
            emit=self._emit,
            clock=self._clock,
            random=self._random,
            deadline=self._deadline,
            tunings=self._config.tunings,
            park_hung=self._config.park_hung,
            activity=self._activity,
            heights=HeightJudge(self._clock, self._config.coin),
        )

    def _new_connections(self, recorder: Recorder | None) -> Connections:
        config, limits = self._config, self._config.live.limits
        reports = Reports(self._hashrate, self._random.randbytes(32))
        return Connections(
            config.variant,
            NetworkDial(limits.connect, self._clock),
            self._clock,
            USER_AGENT,
            seed_of=seed_hash,
            diff1=config.diff1,
            limits=limits,
            reports=reports if config.report_hashrate else None,
            recorder=recorder,
            nodes=NodeSessions(config.variant, config.node_kind, self._clock, USER_AGENT),
        )

    def _new_recorder(self) -> Recorder | nullcontext[None]:
        if self._config.record is None:
            return nullcontext()
        return Recorder(self._config.record, self._clock, partial(self._journal.add, "record"))

    def _hashrate(self) -> float:
        return self._telemetry.snapshot().hashrate.minute
