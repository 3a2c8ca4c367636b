"""How soon devices search for a new job, with stop words and, in the same run, without them.

By default with fake cards, half of which cannot be stopped; each job has a new period, and the
proofs of kernels are real. With --device, one of this machine's devices; every other job stops no
launch.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT)]

from miner.clock import SystemClock  # noqa: E402
from miner.codegen.kernel_source import search_source as real_source  # noqa: E402
from miner.devices.device import Device, DriverCalls, LaunchResult, Pending  # noqa: E402
from miner.devices.known_answers import EVERY_NONCE  # noqa: E402
from miner.devices.selection import ListedDevice, find_devices  # noqa: E402
from miner.engine.engine import Engine  # noqa: E402
from miner.engine.programs import Programs  # noqa: E402
from miner.engine.threads import WorkPool  # noqa: E402
from miner.progpow.hashing import Digest, Hasher, Light  # noqa: E402
from miner.progpow.light import light_cache  # noqa: E402
from miner.progpow.variant import FixedSizes  # noqa: E402
from miner.telemetry.events import Event, JobTaken, Launched  # noqa: E402
from miner.verify import Verifier  # noqa: E402
from miner.work import DeviceInfo, Job, NonceRange, Solution, Verdict  # noqa: E402
from tests.fakes.device import (  # noqa: E402
    LONG,
    TOY,
    DeviceScript,
    FakeDevice,
    FakeImage,
    FakeProver,
    Ticks,
    info_of,
    job_at,
    search_source,
)

LAUNCH_SECONDS = 0.1
PROOF_SECONDS = 0.002
"""Duration of a launch that proves a kernel."""

GROUP_SECONDS = 0.0018
"""Duration of a group of the kernel on an RTX 3070 (calculated); running groups are finished."""


@dataclass
class Card:
    """A card that is busy for a fixed time for each launch."""

    name: str
    can_stop: bool
    arrived: dict[str, float]
    """Monotonic seconds at which each job arrived."""
    idle: list[float] = field(default_factory=list)
    """Seconds for which it idled at each change of job."""
    switches: list[float] = field(default_factory=list)
    """Seconds from each job's arrival until the card searched for it."""

    def open(self, info: DeviceInfo) -> Any:
        return _OpenCard(info, self)


class _OpenCard(FakeDevice):
    def __init__(self, info: DeviceInfo, card: Card) -> None:
        super().__init__(info, DeviceScript(shares_images=True), Ticks())
        self.card = card
        self._free = self._idle = 0.0
        self._job: str | None = None

    def launch(self, kernel: FakeImage, job: Job, span: NonceRange) -> Any:
        return _Launch(self, super().launch(kernel, job, span), job, span, monotonic())

    def begin(self, launch: _Launch) -> float:
        """Return when the card begins `launch`; all earlier launches have ended."""
        begin = max(launch.queued, self._free)
        self._idle += begin - self._free
        if not launch.proving:
            if self._job is not None and self._job != launch.job.id:
                self.card.idle.append(self._idle)
                self.card.switches.append(begin - self.card.arrived[launch.job.id])
            self._job, self._idle = launch.job.id, 0.0
        return begin

    def end(self, now: float) -> None:
        """Record that the card is free since monotonic second `now`."""
        self._free = now


class _Launch:
    def __init__(
        self, device: _OpenCard, real: Pending, job: Job, span: NonceRange, queued: float
    ) -> None:
        self._device, self._real, self.job, self._span = device, real, job, span
        self.queued = queued
        self.proving = job.target == EVERY_NONCE
        self._stopped = threading.Event()

    def stop(self, calls: object) -> None:
        if self._device.card.can_stop:
            self._stopped.set()

    def wait(self) -> LaunchResult:
        unstarted = self._stopped.is_set()
        begin = self._device.begin(self)
        due = begin + (PROOF_SECONDS if self.proving else LAUNCH_SECONDS)
        if unstarted:
            due = begin
        elif self._stopped.wait(max(due - monotonic(), 0.0)):
            due = begin + -(-(monotonic() - begin) // GROUP_SECONDS) * GROUP_SECONDS
            threading.Event().wait(max(due - monotonic(), 0.0))  # never set
        self._device.end(due)
        if self.proving:
            return self._real.wait()
        self._device.pending -= 1
        tried = int(self._span.count * min((due - begin) / LAUNCH_SECONDS, 1.0))
        return LaunchResult(tried, (), 0)


@dataclass
class Switchable:
    """A device of this machine that can be stopped while `can_stop` is set."""

    listed: ListedDevice
    can_stop: bool = True

    def open(self, info: DeviceInfo) -> Any:
        return _SwitchableDevice(self.listed.open(), self)


@dataclass
class _SwitchableDevice:
    device: Device
    switch: Switchable

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def launch(self, kernel: Any, job: Job, span: NonceRange) -> Any:
        return _SwitchableLaunch(self.device.launch(kernel, job, span), self.switch)


@dataclass
class _SwitchableLaunch:
    real: Pending
    switch: Switchable

    def stop(self, calls: DriverCalls) -> None:
        if self.switch.can_stop:
            self.real.stop(calls)

    def wait(self) -> LaunchResult:
        return self.real.wait()


class CostlyProver(FakeProver):
    """Gives the fake cards' hashes after computing a real one."""

    def __init__(self) -> None:
        self._light = Light.of(TOY.epoch(0), light_cache(TOY.epoch(0)))
        self._hashers: dict[int, Hasher] = {}
        self.digests = 0

    def digest(self, job: Job, nonce: int) -> Digest:
        self.digests += 1
        if job.period not in self._hashers:
            self._hashers[job.period] = Hasher(TOY, job.period, self._light)
        self._hashers[job.period].hash(job.header_hash, nonce)
        return super().digest(job, nonce)


class _Sink:
    async def submit(self, solution: Solution) -> None:
        pass

    def on_verdict(self, verdict: Verdict) -> None:
        pass


async def measure_real(listed: ListedDevice, changes: int, seconds: float) -> None:
    """Change the job of a device repeatedly, and print how soon it searched."""
    switch, clock = Switchable(listed), SystemClock()
    toy = LONG.with_sizes(FixedSizes(4093, 2**19 - 1, 0))
    switches: dict[bool, list[float]] = {False: [], True: []}
    launched: list[Launched] = []

    def emit(event: Event) -> None:
        if isinstance(event, JobTaken):
            switches[switch.can_stop].append(event.seconds)
        if isinstance(event, Launched):
            launched.append(event)

    with WorkPool("build", 2) as builds:
        engine = Engine(
            [ListedDevice(listed.info, switch)], programs=Programs(real_source, builds),
            prover=Verifier(disk=False), sink=_Sink(), emit=emit, clock=clock, random=Random(1),
        )  # fmt: skip
        task = asyncio.create_task(engine.run())
        for number in range(changes + 1):
            switch.can_stop = bool(number % 2)
            engine.work_on(job_at(0, header=number + 1, target=1, variant=toy))
            while not switches[False] and not task.done():
                await clock.sleep(0.1)
            await clock.sleep(seconds * (1 + Random(number).random()))
        engine.stop()
        await task
    del switches[False][0]  # the dataset was built before
    for can_stop, taken in switches.items():
        print(f"launches that {'can' if can_stop else 'cannot'} be stopped:")
        print("  from a job to its first nonce", figures(taken))
    rate = sum(one.tried for one in launched) / sum(one.seconds for one in launched)
    print(
        f"{rate:,.0f} hashes per second: {1e3 * listed.info.units / rate:.3f} ms for one on a core"
    )


async def measure(cards: int, changes: int, seconds: float) -> None:
    """Change job and period `changes` times, every `seconds`, and print the times of the cards."""
    arrived: dict[str, float] = {}
    rig = [Card(f"fake:{n}", bool(n % 2), arrived) for n in range(cards)]
    listed = [ListedDevice(replace(info_of(c.name), memory=2**30), c) for c in rig]
    prover, clock = CostlyProver(), SystemClock()
    prover.digest(job_at(0), 0)  # compiles
    with WorkPool("build", 2) as builds:
        engine = Engine(
            listed, programs=Programs(search_source, builds), prover=prover, sink=_Sink(),
            emit=lambda event: None, clock=clock, random=Random(1),
        )  # fmt: skip
        task = asyncio.create_task(engine.run())
        for period in range(changes + 1):
            job = job_at(3 * period, header=period + 1, target=1)
            arrived[job.id] = monotonic()
            engine.work_on(job)
            await clock.sleep(seconds * (2 if not period else 1))
        engine.stop()
        await task
    for can_stop in (False, True):
        some = [card for card in rig if card.can_stop is can_stop]
        print(f"{len(some)} cards that {'can' if can_stop else 'cannot'} be stopped:")
        print("  from a job to its first nonce", figures([s for c in some for s in c.switches]))
        print("  idle", figures([s for c in some for s in c.idle]))
    print(f"{prover.digests} hashes on the CPU")


def figures(seconds: list[float]) -> str:
    """Return median, 90 % and longest in milliseconds."""
    ordered = sorted(1000 * one for one in seconds)
    return (
        f"median {statistics.median(ordered):.2f} ms, 90 % {ordered[len(ordered) * 9 // 10]:.2f} "
        f"ms, longest {ordered[-1]:.2f} ms of {len(ordered)}"
    )


def main() -> None:
    """Measure with the given numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cards", type=int, default=12)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.5, help="between two changes")
    parser.add_argument("--device", help="a device as listed by `progpow-miner devices`")
    asked = parser.parse_args()
    if asked.device:
        (listed,) = [one for one in find_devices()[0] if one.info.name == asked.device]
        asyncio.run(measure_real(listed, asked.changes, asked.seconds))
        return
    asyncio.run(measure(asked.cards, asked.changes, asked.seconds))


if __name__ == "__main__":
    main()
