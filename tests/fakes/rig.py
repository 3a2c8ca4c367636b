"""A rig of two cards, and the events of an hour with failures of every kind."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from miner.telemetry import About, History, Journal, Reading, Telemetry
from miner.telemetry.events import (
    CandidateRefuted,
    DatasetBuilding,
    DeviceFault,
    DevicePaused,
    DeviceResting,
    Event,
    JobTaken,
    KernelReady,
    Launched,
    NewJob,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    SensorsRead,
    SettingsRead,
    ShareAnswered,
    ShareFound,
    ShareSent,
)
from miner.work import Candidate, DeviceInfo, Job, Outcome, Solution, Verdict
from tests.fakes.clock import FakeClock
from tests.fakes.device import job_at

FIRST = "stratum+tls://first.example:4444"
SECOND = "stratum+tcp://second.example:3333"
ABOUT = About("rig1", "1.2.3", "kawpow", "RVN")
ZERO = DeviceInfo(
    "cuda:0", "cuda", "NVIDIA GeForce RTX 3070 Ti", "gpu", "550.54", 8 << 30, 8 << 30, 48,
    vendor="nvidia", pci="0000:0a:00.0", uuid="GPU-6a5f1f1e-0000-4000-8000-00000000000a",
)  # fmt: skip
ONE = DeviceInfo(
    "opencl:0.1", "opencl", "Radeon RX 7900 XT", "gpu", "3590.0", 20 << 30, 16 << 30, 84,
    vendor="amd", pci="0000:21:00.0",
)  # fmt: skip
HOT = Reading(
    temperature=61.0, hotspot_temperature=74.0, memory_temperature=88.0, power=201.5,
    power_limit=220.0, fan=57.0, core_clock=1785.0, memory_clock=9501.0, memory_used=5.1e9,
    utilization=99.0,
)  # fmt: skip
DIFFICULTY = 8e9


class Rig:
    """Telemetry, journal and history of the rig, on a manual `clock`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.telemetry = Telemetry(self.clock, [ZERO, ONE], ABOUT)
        self.journal = Journal(self.clock)
        self.telemetry.subscribe(self.journal.event)
        self.history = History(self.telemetry.snapshot, self.clock)
        self.nonce = 0

    def emit(self, *events: Event) -> None:
        for event in events:
            self.telemetry.emit(event)

    def share(
        self, device: str, job: Job, outcome: Outcome, text: str = "", value: int = 2**220
    ) -> Solution:
        """Emit the events of one share, with a round trip of 42 ms if it is sent."""
        self.nonce += 1
        nonce = job.nonces.first + self.nonce
        found = self.clock.now() - 0.1
        solution = Solution(job, nonce, device, found, bytes(32), value.to_bytes(32, "big"))
        sent = outcome is not Outcome.NOT_SENT
        self.emit(ShareFound(solution), *([ShareSent(solution)] if sent else []))
        answered = sent and outcome is not Outcome.LOST
        self.emit(ShareAnswered(Verdict(solution, outcome, text, 0.042 if answered else None)))
        return solution

    async def mine(self, seconds: float, rates: dict[str, float]) -> None:
        """Advance the clock by `seconds` while devices search at `rates`, in hashes per second."""
        alone = len(asyncio.all_tasks()) == 1
        for _ in range(round(seconds)):
            if alone:
                self.clock.skip(1)
            else:
                await self.clock.advance(1)
            for device, rate in rates.items():
                self.emit(Launched(device, round(rate), 1.0, rate / DIFFICULTY))


def job(height: int = 3_000_000, pool: str = FIRST, block_target: int = 0) -> Job:
    target = round(2**256 / DIFFICULTY) - 1
    return replace(job_at(height, target=target, pool=pool, block_target=block_target), id="5a17")


async def busy_rig() -> Rig:
    """Return a rig after an hour: failover, shares of every outcome, one card paused at the end."""
    rig = Rig()
    rig.emit(PoolConnecting(SECOND), PoolReady(SECOND), NewJob(job(2_999_997, SECOND)))
    for info in (ZERO, ONE):
        rig.emit(DatasetBuilding(info.name, 399, 0.5, 3.0, 4 << 30))
        rig.emit(DatasetBuilding(info.name, 399, 1.0, 6.5, 4 << 30))
        rig.emit(KernelReady(info.name, 999_999, 0.31), JobTaken(info.name, 0.02))
    await rig.mine(60, {"cuda:0": 35e6, "opencl:0.1": 45e6})
    rig.share("cuda:0", job(2_999_997, SECOND), Outcome.ACCEPTED)
    rig.emit(PoolLost(SECOND, "the pool closed the connection", 1.0), NewJob(None))
    rig.emit(PoolConnecting(FIRST), PoolReady(FIRST), PoolNotice(FIRST, "welcome"))
    rig.emit(NewJob(job()))
    await rig.mine(600, {"cuda:0": 35e6, "opencl:0.1": 45e6})
    for outcome, text in (
        (Outcome.ACCEPTED, ""),
        (Outcome.ACCEPTED, ""),
        (Outcome.STALE, "job not found"),
        (Outcome.LOW_DIFFICULTY, "low difficulty share"),
        (Outcome.DUPLICATE, "duplicate share"),
        (Outcome.INVALID, "invalid share"),
        (Outcome.NOT_SENT, ""),
        (Outcome.LOST, "no answer within 30 s"),
    ):
        rig.share("cuda:0", job(), outcome, text)
    rig.share("opencl:0.1", job(), Outcome.ACCEPTED, value=2**216)
    wrong = Candidate(job(), 7, "opencl:0.1", rig.clock.now())
    rig.emit(CandidateRefuted(wrong, b"\xff" * 32))
    rig.emit(
        DeviceFault("opencl:0.1", "hardware error: nonce 0000000000000007 of job 5a17 is wrong")
    )
    rig.emit(DeviceResting("opencl:0.1", "3 hardware errors in a row", 5.0))
    await rig.mine(300, {"cuda:0": 35e6, "opencl:0.1": 45e6})
    rig.emit(SettingsRead(digest="5f70bf18a086", pending=2), SettingsRead(accepted=False))
    rig.emit(SensorsRead("cuda:0", HOT), SensorsRead("opencl:0.1", Reading(temperature=91.0)))
    rig.emit(DevicePaused("opencl:0.1", "overheating: core 91 °C, limit 90 °C"))
    return rig


def rig_of(cards: int) -> Rig:
    """Return a rig of `cards` equal cards; the fifth has overheated."""
    rig = Rig()
    infos = [replace(ZERO, name=f"cuda:{number}") for number in range(cards)]
    rig.telemetry = Telemetry(rig.clock, infos, ABOUT)
    rig.emit(PoolConnecting(FIRST), PoolReady(FIRST, account="RXk3p…9abc.rig1"), NewJob(job()))
    for info in infos:
        rig.emit(SensorsRead(info.name, HOT), Launched(info.name, 2 * 10**8, 10.0, 1.0))
        rig.share(info.name, job(), Outcome.ACCEPTED)
    if cards > 4:
        rig.emit(DevicePaused("cuda:4", "overheating: core 91 °C, limit 90 °C"))
    return rig
