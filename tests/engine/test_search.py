from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from miner.codegen.kernel_source import RESULT_SLOTS
from miner.devices.device import Hit
from miner.engine.job_slot import JobSlot, NonceAllocator
from miner.engine.programs import program_of
from miner.engine.search import Search
from miner.errors import DeviceError, WrongResult
from miner.telemetry.events import (
    DeviceFault,
    JobTaken,
    Launched,
    NoncesExhausted,
    ResultOverflow,
)
from miner.work import Candidate, NonceSpace
from tests.fakes.device import (
    DeviceScript,
    FakeImage,
    FakePending,
    Ticks,
    filled_device,
    job_at,
    search_source,
    value_of,
)

SMALL = NonceSpace(5, 52)
"""4096 nonces."""


class OneKernel:
    """A kernel that is ready for one program."""

    def __init__(
        self, kernel: FakeImage, job, next_proof: Callable[[], None] = lambda: None
    ) -> None:
        self.kernel, self.program, self.next_proof = kernel, program_of(job), next_proof

    def ready(self, job) -> FakeImage | None:
        return self.kernel if program_of(job) == self.program else None


class Bench:
    """A search of one job; `stop_at` decides after which report it ends."""

    def __init__(self, script: DeviceScript, job, stop_at: Callable[[object], bool]) -> None:
        self.script, self.job, self.stop_at = script, job, stop_at
        self.said: list[object] = []
        self.launched_before = 0
        self.slot = JobSlot()
        self.check_trust: Callable[[], None] = lambda: None
        self.next_proof: Callable[[], None] = lambda: None

    def report(self, item) -> None:
        self.said.append(item)
        if self.stop_at(item):
            self.slot.stop()

    claim = report

    driver_calls = None
    """The fake device needs none to be stopped."""

    def run(self) -> None:
        clock = self.clock = Ticks()
        job = self.job
        device = filled_device(job.epoch, self.script, clock)
        source = search_source(job.variant, job.period, job.epoch, "opencl", device.shape)
        allocator = NonceAllocator(1, Random(2))
        self.slot.put(job)
        kernels = OneKernel(device.load(FakeImage(source)), job, self.next_proof)
        Search(device, 0, allocator, self.slot, self, kernels, clock).run()
        assert device.pending == 0

    def of(self, kind):
        return [item for item in self.said if isinstance(item, kind)]


def answers(job) -> set[int]:
    nonces = range(job.nonces.first, job.nonces.first + job.nonces.size)
    return {n for n in nonces if value_of(job, n) <= job.target}


@pytest.mark.parametrize("slots", [32, 3, 1])
def test_every_hit_of_a_whole_prefix_is_reported_once_even_through_overflows(slots):
    job = job_at(nonces=SMALL, target=2**256 // 20)
    bench = Bench(
        DeviceScript(slots=slots, granule=1), job, lambda i: isinstance(i, NoncesExhausted)
    )
    bench.run()
    nonces = [c.nonce for c in bench.of(Candidate)]
    assert sorted(nonces) == sorted(answers(job))
    assert bool(bench.of(ResultOverflow)) == (slots < 32)
    assert sum(e.tried for e in bench.of(Launched)) == 4096


def test_the_smallest_range_that_overflows_is_not_repeated():
    job = job_at(nonces=NonceSpace(5, 58), target=2**256 // 2)
    bench = Bench(DeviceScript(slots=1, granule=8), job, lambda i: isinstance(i, NoncesExhausted))
    bench.run()
    assert sum(e.tried for e in bench.of(Launched)) == 64
    assert len(bench.of(ResultOverflow)) >= 8


def test_launches_take_a_tenth_of_a_second():
    job = job_at(target=2**256 // 10**6)
    bench = Bench(DeviceScript(), job, lambda _: len(bench.of(Launched)) == 20)
    bench.run()
    last = bench.of(Launched)[-1]
    assert 150 <= last.tried <= 250
    assert 0.05 < last.seconds < 0.2


def test_an_easy_target_keeps_launches_small():
    job = job_at(target=2**256 // 2)
    bench = Bench(DeviceScript(), job, lambda _: len(bench.of(Launched)) == 40)
    bench.run()
    assert max(span.count for _, span in bench.script.launched) <= RESULT_SLOTS // 2
    assert not bench.of(ResultOverflow)


def test_a_new_target_for_the_same_header_continues_the_search():
    job = job_at(nonces=SMALL)
    newer = replace(job, id="newer", share_target=job.target * 2)

    def stop_at(item) -> bool:
        if len(bench.of(Launched)) == 3:
            bench.slot.put(newer)
        return isinstance(item, NoncesExhausted)

    bench = Bench(DeviceScript(), job, stop_at)
    bench.run()
    nonces = [n for _, s in bench.script.launched for n in range(s.first, s.first + s.count)]
    assert len(nonces) == len(set(nonces)) == 4096
    assert {j.id for j, _ in bench.script.launched} == {job.id, "newer"}


def test_a_new_job_ends_old_work_within_two_launches():
    def stop_at(item) -> bool:
        if isinstance(item, Launched) and len(bench.of(Launched)) == 5:
            bench.slot.put(job_at(1, header=2))
            bench.launched_before = len(bench.script.launched)
        return len(bench.of(Launched)) == 20

    bench = Bench(DeviceScript(), job_at(0), stop_at)
    bench.run()
    ids = [job.id for job, _ in bench.script.launched]
    assert bench.launched_before - 5 <= 2
    assert set(ids[bench.launched_before :]) == {"1-2"}


@pytest.mark.parametrize("begun", [0, 16])
def test_a_clean_job_stops_the_launches_of_older_ones(begun):
    def stop_at(item) -> bool:
        if isinstance(item, Launched) and len(bench.of(Launched)) == 8:
            bench.slot.put(job_at(0, header=2))
        return len(bench.of(Launched)) == 20

    bench = Bench(DeviceScript(begun=begun), job_at(0), stop_at)
    bench.run()
    spans = [span for _, span in bench.script.launched]
    stopped = [span for _, span in bench.script.stopped]
    assert stopped == spans[8:9], "one was in flight"
    assert {job.id for job, _ in bench.script.launched[9:]} == {"0-2"}
    tried = [event.tried for event in bench.of(Launched)]
    assert tried == [s.count if s not in stopped else begun for s in spans]
    assert [e.expected for e in bench.of(Launched)] == [n / bench.job.difficulty for n in tried]
    searched = range(stopped[0].first, stopped[0].first + begun)
    claimed = {c.nonce for c in bench.of(Candidate) if c.job is bench.job}
    assert {n for n in searched if value_of(bench.job, n) <= bench.job.target} <= claimed
    assert not claimed & set(range(searched.stop, stopped[0].first + stopped[0].count))
    assert not bench.of(DeviceFault)


@pytest.mark.parametrize("begun", [0, 16])
def test_proofs_wait_for_the_first_launch_of_a_job(begun):
    """At a change of period, all devices need the host for their first launches."""
    asked: list[tuple[str, int]] = []

    def stop_at(item) -> bool:
        if isinstance(item, Launched) and len(bench.of(Launched)) == 8:
            bench.slot.put(job_at(0, header=2))
        return len(bench.of(Launched)) == 20

    def next_proof() -> None:
        asked.append((bench.script.launched[-1][0].id, len(bench.of(Launched))))

    bench = Bench(DeviceScript(begun=begun), job_at(0), stop_at)
    bench.next_proof = next_proof
    bench.run()
    assert asked[0] == ("0-1", 1), "the first launch has ended"
    assert {job for job, launches in asked if launches >= 8} == {"0-2"}


def test_a_launch_that_overflowed_counts_if_its_job_was_replaced():
    def stop_at(item) -> bool:
        if isinstance(item, ResultOverflow):
            bench.slot.put(job_at(0, header=2, target=0))
        return len(bench.of(Launched)) == 3

    bench = Bench(DeviceScript(slots=1), job_at(0, target=2**256 - 2**240), stop_at)
    bench.run()
    assert len(bench.of(ResultOverflow)) == 1
    assert [event.tried for event in bench.of(Launched)][:2] == [8, 0], "the second one was stopped"


@pytest.mark.parametrize(
    "newer",
    [
        job_at(1, header=2, clean=False),
        job_at(0, target=2**256 // 32),
        job_at(1, header=2, session=2),
        None,
    ],
    ids=["not clean", "another target", "another session", "no job"],
)
def test_launches_are_not_stopped_while_their_work_is_paid(newer):
    def stop_at(item) -> bool:
        if isinstance(item, Launched) and len(bench.of(Launched)) == 8:
            bench.slot.put(newer)
        return len(bench.of(Launched)) == 20

    bench = Bench(DeviceScript(), job_at(0), stop_at)
    bench.run()
    assert not bench.script.stopped
    tried = [event.tried for event in bench.of(Launched)]
    assert tried == [span.count for _, span in bench.script.launched]


def test_a_launch_of_a_job_that_was_replaced_meanwhile_is_stopped_at_once():
    bench = Bench(DeviceScript(), job_at(0), lambda _: len(bench.of(Launched)) == 6)
    replaced = bench.slot.add_launch

    def add_launch(launch) -> None:
        if len(bench.script.launched) == 3:
            bench.slot.put(job_at(0, header=2))  # as the event loop does, at the worst time
        replaced(launch)

    bench.slot.add_launch = add_launch
    bench.run()
    assert [job.id for job, _ in bench.script.stopped] == ["0-1", "0-1"]
    assert {job.id for job, _ in bench.script.launched[3:]} == {"0-2"}


def test_a_switch_takes_until_the_launch_before_has_ended():
    def stop_at(item) -> bool:
        if isinstance(item, Launched) and len(bench.of(Launched)) == 8:
            bench.slot.put(job_at(0, header=2, clean=clean), bench.clock.now())
        return len(bench.of(JobTaken)) == 2

    for clean in (True, False):
        bench = Bench(DeviceScript(begun=16), job_at(0), stop_at)
        bench.run()
        first, second = (event.seconds for event in bench.of(JobTaken))
        before = bench.script.launched[8][1].count
        assert first == 0.0
        assert second == pytest.approx((16 if clean else before) / 2000)


def test_a_device_that_leaves_out_nonces_has_a_fault():
    job = job_at(nonces=SMALL, target=0)
    bench = Bench(DeviceScript(skipped=1), job, lambda i: isinstance(i, NoncesExhausted))
    bench.run()
    assert bench.of(DeviceFault)[0].reason == "it searched 7 nonces in place of 8"
    assert sum(e.tried for e in bench.of(Launched)) == 4096 - len(bench.of(Launched))


def test_hits_beside_the_searched_range_are_faults(monkeypatch):
    def wait(pending: FakePending):
        found, span = right(pending), pending._span
        beside = (span.first - 1, span.first + span.count)
        hits = tuple(Hit(nonce, (0, 0), 0) for nonce in beside)
        return replace(found, hits=hits, total=2)

    right = FakePending.wait
    monkeypatch.setattr(FakePending, "wait", wait)
    bench = Bench(DeviceScript(), job_at(0, target=0), lambda _: bool(bench.of(Launched)))
    bench.run()
    assert bench.of(Candidate) == []
    faults = [event.reason for event in bench.of(DeviceFault)]
    assert len(faults) == 2 * len(bench.of(Launched)) > 0
    assert all("which it did not search" in fault for fault in faults)


def test_a_launch_in_flight_after_a_failure_is_not_stopped_later():
    def check() -> None:
        if bench.of(Launched):
            bench.script.fail_launch = 2
            raise WrongResult("it lies")

    bench = Bench(DeviceScript(), job_at(), lambda _: False)
    bench.check_trust = check
    with pytest.raises(WrongResult):
        bench.run()
    bench.slot.put(job_at(0, header=2))
    assert not bench.script.stopped, "the device may be closed"


def test_another_program_ends_the_search_after_the_launches_in_flight():
    def stop_at(item) -> bool:
        if isinstance(item, Launched) and len(bench.of(Launched)) == 5:
            bench.slot.put(job_at(3))
        return False

    bench = Bench(DeviceScript(), job_at(0), stop_at)
    bench.run()
    assert len(bench.of(Launched)) == len(bench.script.launched) <= 7


def test_an_exhausted_search_waits_for_another_header():
    def stop_at(item) -> bool:
        if isinstance(item, NoncesExhausted) and len(bench.of(NoncesExhausted)) == 1:
            threading.Timer(0, bench.slot.put, [job_at(0, header=9)]).start()
        return isinstance(item, Launched) and bench.script.launched[-1][0].id == "0-9"

    bench = Bench(DeviceScript(), job_at(nonces=NonceSpace(5, 58)), stop_at)
    bench.run()
    assert len(bench.of(NoncesExhausted)) == 1


def test_a_nonce_that_was_not_searched_is_a_fault():
    job = job_at()
    bench = Bench(DeviceScript(), job, lambda _: True)

    class Liar:
        def __init__(self, device) -> None:
            self._device = device

        def __getattr__(self, name):
            return getattr(self._device, name)

        def launch(self, kernel, job, span):
            return self._device.launch(kernel, job, replace(span, first=span.first ^ 1 << 40))

    device = Liar(filled_device(job.epoch, DeviceScript(granule=64)))
    source = search_source(job.variant, job.period, job.epoch, "opencl", device.shape)
    bench.slot.put(replace(job, share_target=2**256 // 4))
    allocator = NonceAllocator(1, Random(2))
    kernels = OneKernel(device.load(FakeImage(source)), job)
    Search(device, 0, allocator, bench.slot, bench, kernels, Ticks()).run()
    assert bench.of(DeviceFault)
    assert not bench.of(Candidate)


def test_an_error_of_the_trust_check_ends_the_search():
    def check() -> None:
        if bench.of(Launched):
            raise ValueError("enough")

    bench = Bench(DeviceScript(), job_at(), lambda _: False)
    bench.check_trust = check
    with pytest.raises(ValueError, match="enough"):
        bench.run()


def test_launches_in_flight_are_reported_after_a_failed_one():
    def stop_at(item) -> bool:
        if isinstance(item, Launched) and len(bench.of(Launched)) == 3:
            bench.script.fail_launch = 1
        return False

    bench = Bench(DeviceScript(granule=512), job_at(), stop_at)
    with pytest.raises(DeviceError, match="the launch failed"):
        bench.run()
    spans = [span for _, span in bench.script.launched]
    assert len(spans) == 5, "one failed, one came after it"
    assert [e.tried for e in bench.of(Launched)] == [s.count for s in (*spans[:3], spans[4])]
    searched = {n for s in (*spans[:3], spans[4]) for n in range(s.first, s.first + s.count)}
    wanted = {n for n in searched if value_of(bench.job, n) <= bench.job.target}
    assert {c.nonce for c in bench.of(Candidate)} == wanted


def test_launches_in_flight_are_reported_when_a_device_is_distrusted():
    def check() -> None:
        if len(bench.of(Launched)) == 3:
            raise WrongResult("it lies")

    bench = Bench(DeviceScript(), job_at(), lambda _: False)
    bench.check_trust = check
    with pytest.raises(WrongResult, match="it lies"):
        bench.run()
    assert len(bench.of(Launched)) == len(bench.script.launched) == 4
