"""Snapshots of rigs: freshly started, in trouble, or after random events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from miner.telemetry import Reading, Snapshot, Telemetry
from miner.telemetry.events import (
    CandidateRefuted,
    DatasetBuilding,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    Event,
    Launched,
    NewJob,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    SensorsRead,
    ShareAnswered,
    ShareFound,
)
from miner.work import Candidate, DeviceInfo, Outcome, Solution, Verdict
from tests.fakes.clock import FakeClock
from tests.fakes.rig import ABOUT, FIRST, HOT, ONE, SECOND, ZERO, job

CPU = DeviceInfo("ref", "ref", "a processor", "cpu", "", 0, 0, 8)
BARE = DeviceInfo("opencl:1.0", "opencl", "Board, A=B|C", "gpu", "", 1 << 30, 1 << 30, 4)
"""A card without a PCI address, with a name that plain text must escape."""


class ManualClock(FakeClock):
    """A clock that tests move without awaiting."""

    def move(self, seconds: float) -> None:
        self._now += seconds


def after(*events: Event | float, devices: tuple[DeviceInfo, ...] = (ZERO, ONE)) -> Snapshot:
    """The snapshot after `events`; a number stands for that many seconds."""
    clock = ManualClock()
    telemetry = Telemetry(clock, devices, ABOUT)
    for event in events:
        if isinstance(event, int | float):
            clock.move(event)
        else:
            telemetry.emit(event)
    return telemetry.snapshot()


def mining(rate: int = 1000, seconds: int = 70) -> list[Event | float]:
    names = (ZERO.name, ONE.name)
    return [
        each
        for _ in range(seconds)
        for each in (1.0, *(Launched(name, rate, 1.0, 0.01) for name in names))
    ]


POOL: tuple[Event, ...] = (PoolConnecting(FIRST), PoolReady(FIRST), NewJob(job()))

RIGS: dict[str, Callable[[], Snapshot]] = {
    "no devices": lambda: after(devices=()),
    "no launch yet": after,
    "a dataset in progress": lambda: after(*POOL, DatasetBuilding(ZERO.name, 1, 0.4, 1.0, 1 << 30)),
    "no sensors": lambda: after(*POOL, *mining()),
    "no pool": lambda: after(*mining()),
    "a lost pool": lambda: after(*POOL, *mining(), PoolLost(FIRST, "refused", 1.0), NewJob(None)),
    "all paused": lambda: after(
        *POOL,
        *mining(),
        DevicePaused(ZERO.name, "requested over the API"),
        DevicePaused(ONE.name, "overheating: core 91 °C"),
        100.0,
    ),
    "an impossible difficulty": lambda: after(
        *POOL, *mining(), NewJob(replace(job(), share_target=0))
    ),
    "parked and hung": lambda: after(
        *POOL,
        *mining(),
        DeviceResting(ZERO.name, "hardware errors", 600.0, parked=True),
        DeviceHanging(ONE.name, "no answer"),
        1000.0,
    ),
    "a processor and a bare board": lambda: after(
        *POOL, Launched("ref", 100, 1.0), SensorsRead("ref", HOT), devices=(CPU, BARE)
    ),
}


def _share(device: str, outcome: Outcome, value: int) -> list[Event]:
    solution = Solution(job(), 1, device, 0.0, bytes(32), value.to_bytes(32, "big"))
    return [ShareFound(solution), ShareAnswered(Verdict(solution, outcome, "", 0.1))]


_devices = st.sampled_from([ZERO.name, ONE.name, "ref", "never:heard.of"])
_pools = st.sampled_from([FIRST, SECOND, "http://node.example:8766"])
_numbers = st.none() | st.floats()
_readings = st.builds(
    Reading,
    temperature=_numbers,
    memory_temperature=_numbers,
    power=_numbers,
    fan=_numbers,
    core_clock=_numbers,
    memory_clock=_numbers,
    utilization=_numbers,
)
_events = st.one_of(
    st.floats(0, 1e5).map(lambda seconds: [seconds]),
    st.builds(
        lambda *values: [Launched(*values)],
        _devices,
        st.integers(0, 10**15),
        st.floats(0, 100),
        st.floats(0, 100),
    ),
    st.builds(_share, _devices, st.sampled_from(Outcome), st.integers(0, 2**256 - 1)),
    st.builds(lambda pool: [PoolConnecting(pool)], _pools),
    st.builds(lambda pool: [PoolReady(pool)], _pools),
    st.builds(lambda pool: [PoolLost(pool, "gone", 1.0)], _pools),
    st.builds(lambda pool, text: [PoolNotice(pool, text)], _pools, st.text()),
    st.just([NewJob(None)]),
    st.builds(
        lambda height, target, block: [
            NewJob(replace(job(height), share_target=target, block_target=block))
        ],
        st.integers(0, 10**7),
        st.integers(0, 2**256 - 1),
        st.integers(0, 2**256 - 1),
    ),
    st.builds(lambda name, reading: [SensorsRead(name, reading)], _devices, _readings),
    st.builds(lambda name, reason: [DevicePaused(name, reason)], _devices, st.none() | st.text()),
    st.builds(
        lambda name, parked: [DeviceResting(name, "why", 5.0, parked)], _devices, st.booleans()
    ),
    st.builds(lambda name: [DeviceHanging(name, "why")], _devices),
    st.builds(lambda name: [DeviceFault(name, "why")], _devices),
    st.builds(
        lambda name: [
            CandidateRefuted(Candidate(job(), 7, name, 0.0), bytes(32)),
            DeviceFault(name, "nonce 7 was claimed, but is wrong"),
        ],
        _devices,
    ),
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Draw the snapshot after random events in any order."""
    lists = draw(st.lists(_events, max_size=40))
    devices = draw(st.sampled_from([(), (ZERO, ONE), (CPU, BARE, ZERO)]))
    return after(*(event for events in lists for event in events), devices=devices)
