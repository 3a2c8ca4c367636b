"""How long cards idle when the period changes: fake cards, the real proofs of kernels."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from threading import Event
from time import monotonic
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT)]

from miner.clock import SystemClock  # noqa: E402
from miner.devices.device import LaunchResult, Pending  # noqa: E402
from miner.devices.known_answers import EVERY_NONCE  # noqa: E402
from miner.devices.selection import ListedDevice  # noqa: E402
from miner.engine.engine import Engine  # noqa: E402
from miner.engine.programs import Programs  # noqa: E402
from miner.engine.threads import WorkPool  # noqa: E402
from miner.progpow.hashing import Digest, Hasher, Light  # noqa: E402
from miner.progpow.light import light_cache  # noqa: E402
from miner.work import DeviceInfo, Job, NonceRange, Solution, Verdict  # noqa: E402
from tests.fakes.device import (  # noqa: E402
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


@dataclass
class Card:
    """A card that is busy for a fixed time for each launch."""

    name: str
    changes: list[float] = field(default_factory=list)
    """How long it idled at each change of period, seconds."""

    def open(self, info: DeviceInfo) -> Any:
        return _OpenCard(info, self)


class _OpenCard(FakeDevice):
    def __init__(self, info: DeviceInfo, card: Card) -> None:
        super().__init__(info, DeviceScript(shares_images=True), Ticks())
        self._card = card
        self._busy_until = self._idle = 0.0
        self._period: int | None = None

    def launch(self, kernel: FakeImage, job: Job, span: NonceRange) -> Any:
        result = super().launch(kernel, job, span)
        proving = job.target == EVERY_NONCE
        now = monotonic()
        begin = max(now, self._busy_until)
        if self._busy_until:
            self._idle += begin - self._busy_until
        if not proving:
            if self._period not in (None, job.period):
                self._card.changes.append(self._idle)
            self._period, self._idle = job.period, 0.0
        self._busy_until = begin + (PROOF_SECONDS if proving else LAUNCH_SECONDS)
        return _Launch(self, result, span, self._busy_until, proving)


@dataclass(frozen=True)
class _Launch:
    device: _OpenCard
    real: Pending
    span: NonceRange
    due: float
    proving: bool

    def wait(self) -> LaunchResult:
        Event().wait(max(self.due - monotonic(), 0.0))  # never set
        if self.proving:
            return self.real.wait()
        self.device.pending -= 1
        return LaunchResult(self.span.count, (), 0)


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


async def measure(cards: int, changes: int, seconds: float) -> None:
    """Change the period `changes` times, every `seconds`, and print how long cards idled."""
    rig = [Card(f"fake:{n}") for n in range(cards)]
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
            engine.work_on(job_at(3 * period, header=period + 1, target=1))
            await clock.sleep(seconds * (2 if not period else 1))
        engine.stop()
        await task
    idle = sorted(1000 * s for card in rig for s in card.changes)
    print(
        f"{cards} cards, {len(idle)} changes: idle median {statistics.median(idle):.2f} ms, "
        f"90 % {idle[len(idle) * 9 // 10]:.2f} ms, longest {idle[-1]:.2f} ms; "
        f"{prover.digests} hashes on the CPU"
    )


def main() -> None:
    """Measure with the given numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cards", type=int, default=12)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.5, help="between two changes")
    asked = parser.parse_args()
    asyncio.run(measure(asked.cards, asked.changes, asked.seconds))


if __name__ == "__main__":
    main()
