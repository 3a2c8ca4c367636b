"""The state of the whole miner, from its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from miner.clock import Clock, UnixZero
from miner.telemetry import events
from miner.telemetry.device_snapshot import DeviceState
from miner.telemetry.luck import Luck
from miner.telemetry.rates import (
    DATASET_BUILDS,
    JOB_SWITCHES,
    KERNEL_BUILDS,
    LOOP_DELAYS,
    ROUND_TRIPS,
    Hashrate,
)
from miner.telemetry.snapshot import About, BestShare, SettingsState, Snapshot, Timings
from miner.telemetry.tally import Tally
from miner.telemetry.trackers import DeviceTracker, PoolTracker, unix
from miner.work import DeviceInfo, Job, Outcome, Solution, Verdict

BEST_SHARES = 10


class EventSource(Protocol):
    """Collects frequent events and emits them in groups."""

    def emit_pending(self) -> None:
        """Emit the collected events."""


class Telemetry:
    """Turns events into snapshots. Use it on the event loop's thread only.

    Times are kept in the clock's seconds; a snapshot has them as UNIX seconds by the time of day
    at which it is taken.
    """

    def __init__(
        self, clock: Clock, devices: Iterable[DeviceInfo] = (), about: About | None = None
    ) -> None:
        self._clock = clock
        self._about = about or About()
        self._unix_zero = UnixZero(clock)
        self._started = clock.now()
        self._devices = {info.name: DeviceTracker(info) for info in devices}
        self._pools: dict[str, PoolTracker] = {}
        self._active: str | None = None
        self._notice = ""
        self._job: Job | None = None
        self._job_at: float | None = None
        self._jobs = 0
        self._epochs = 0
        self._epoch: int | None = None
        self._light: tuple[int, str] | None = None
        """Epoch of the light cache that is being built, and its progress as text."""
        self._best: list[BestShare] = []
        """Their times are in the clock's seconds."""
        self._effort = 0.0
        """Shares expected of the hashes since the last share."""
        self._tallies: dict[tuple[str, str], Counter[Outcome]] = {}
        self._refuted: Counter[tuple[str, str]] = Counter()
        self._blocks: Counter[tuple[str, str]] = Counter()
        self._loop_delays = LOOP_DELAYS
        self._settings = SettingsState()
        """Its time is in the clock's seconds."""
        self._subscribers = events.Subscribers[events.Event]()
        self._sources: list[EventSource] = []

    def emit(self, event: events.Event) -> None:
        """Apply `event`, then pass it to the subscribers."""
        self._apply(event)
        self._subscribers.call(event)

    def subscribe(self, callback: Callable[[events.Event], None]) -> Callable[[], None]:
        """Call `callback` with each event; return a function that ends that."""
        return self._subscribers.add(callback)

    def follow(self, source: EventSource) -> None:
        """Have `source` emit its collected events before each snapshot."""
        self._sources.append(source)

    def snapshot(self) -> Snapshot:
        for source in self._sources:
            source.emit_pending()
        now, zero = self._clock.now(), self._unix_zero.seconds()
        by_pool = self._by_pool()
        devices = tuple(
            tracker.snapshot(
                now, zero, _sum(t for (name, _), t in by_pool.items() if name == key), self._light
            )
            for key, tracker in self._devices.items()
        )
        pools = tuple(
            tracker.snapshot(zero, _sum(t for (_, label), t in by_pool.items() if label == key))
            for key, tracker in self._pools.items()
        )
        found = sum(d.found for d in devices)
        expected = sum(d.luck.expected for d in devices)
        return Snapshot(
            about=self._about,
            at=zero + now,
            started_at=zero + self._started,
            uptime=now - self._started,
            pools=pools,
            active=self._active,
            notice=self._notice,
            job=self._job,
            job_at=unix(zero, self._job_at),
            jobs=self._jobs,
            epochs=self._epochs,
            light=self._light[1] if self._light else "",
            devices=devices,
            hashrate=sum((d.hashrate for d in devices), Hashrate()),
            tried=sum(d.tried for d in devices),
            found=found,
            shares=_sum(by_pool.values()),
            by_pool=by_pool,
            faults=sum(d.faults for d in devices),
            luck=Luck(expected, found, self._effort),
            best=tuple(replace(share, at=zero + share.at) for share in self._best),
            timings=Timings(
                sum((p.round_trips for p in pools), ROUND_TRIPS),
                sum((d.kernel_builds for d in devices), KERNEL_BUILDS),
                sum((d.job_switches for d in devices), JOB_SWITCHES),
                sum((d.dataset_builds for d in devices), DATASET_BUILDS),
            ),
            loop_delays=self._loop_delays,
            settings=replace(self._settings, read_at=unix(zero, self._settings.read_at)),
        )

    def _by_pool(self) -> dict[tuple[str, str], Tally]:
        keys = [*self._tallies, *(key for key in self._refuted if key not in self._tallies)]
        return {
            key: Tally(dict(self._tallies.get(key, {})), self._refuted[key], self._blocks[key])
            for key in keys
        }

    def _device(self, name: str) -> DeviceTracker:
        if name not in self._devices:
            self._devices[name] = DeviceTracker(DeviceInfo(name, "", "", "", "", 0, 0, 0))
        return self._devices[name]

    def _pool(self, label: str) -> PoolTracker:
        return self._pools.setdefault(label, PoolTracker(label))

    def _apply(self, event: events.Event) -> None:
        match event:
            case events.PoolConnecting(pool, unverified):
                self._active = pool
                self._pool(pool).connecting(unverified)
            case events.PoolReady(pool, account):
                self._active = pool
                self._pool(pool).ready(self._clock.now(), account)
            case events.PoolLost(pool, reason, retry):
                self._pool(pool).lost(reason, left=retry == 0)
            case events.PoolNotice(_, text):
                self._notice = text
            case events.NewJob(job):
                self._new_job(job)
            case events.LightCacheBuilding(epoch, done):
                building = epoch, f"light cache of epoch {epoch}: {done:.0%}"
                wanted = self._job is None or self._job.epoch.number == epoch
                self._light = building if wanted and done < 1 else None
            case events.CandidateRefuted(candidate):
                self._device(candidate.device)
                self._pool(candidate.job.pool)
                self._refuted[candidate.device, candidate.job.pool] += 1
            case events.ShareFound(solution):
                self._found(solution)
            case events.LoopDelayed(seconds):
                self._loop_delays = self._loop_delays.with_duration(seconds)
            case events.SettingsRead(True, digest, pending):
                now = self._clock.now()
                self._settings = SettingsState(digest, now, pending=pending)
            case events.SettingsRead():
                self._settings = replace(self._settings, reload_failed=True)
            case events.ShareSent() | events.PoolRemark():
                pass
            case events.ShareAnswered(verdict):
                self._answered(verdict)
            case _:
                self._apply_to_device(event)

    def _new_job(self, job: Job | None) -> None:
        self._job = job
        self._job_at = self._clock.now() if job else None
        for device in self._devices.values():
            device.set_idle(job.wait_reason if job else DeviceState.WAITING.value)
        if job is None:
            return
        self._jobs += 1
        if self._epoch is not None and self._epoch != job.epoch.number:
            self._epochs += 1
            self._light = None  # its build is cancelled without an event
        self._epoch = job.epoch.number

    def _found(self, solution: Solution) -> None:
        self._effort = 0.0
        device = self._device(solution.device)
        device.found(solution.difficulty)
        share = BestShare(
            solution.difficulty,
            self._clock.now(),
            solution.device,
            solution.job.pool,
            solution.job.height,
        )
        self._best = sorted([*self._best, share], key=lambda b: -b.difficulty)[:BEST_SHARES]

    def _answered(self, verdict: Verdict) -> None:
        job, name, now = verdict.solution.job, verdict.solution.device, self._clock.now()
        self._tallies.setdefault((name, job.pool), Counter())[verdict.outcome] += 1
        if verdict.outcome is Outcome.ACCEPTED and verdict.solution.is_block:
            self._blocks[name, job.pool] += 1
        self._device(name).answered(verdict, now)
        self._pool(job.pool).answered(verdict, now)

    def _apply_to_device(self, event: events.DeviceEvent) -> None:
        at = None
        if isinstance(event, events.Launched):
            self._effort += event.expected
            at = event.at
        self._device(event.device).apply(event, self._clock.now() if at is None else at)


def _sum(tallies: Iterable[Tally]) -> Tally:
    outcomes: Counter[Outcome] = Counter()
    hardware = blocks = 0
    for tally in tallies:
        outcomes.update(tally.outcomes)
        hardware += tally.hardware
        blocks += tally.blocks
    return Tally(dict(outcomes), hardware, blocks)
