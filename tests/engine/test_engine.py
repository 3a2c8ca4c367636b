from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from miner.errors import DeviceHung, NoUsableDevice
from miner.progpow.hashing import Digest
from miner.telemetry.events import (
    DeviceFault,
    DeviceResting,
    JobTaken,
    Launched,
    NoncesExhausted,
    ResultOverflow,
    ShareFound,
)
from miner.work import NonceSpace, Outcome
from tests.engine.rig import Naps, Rig
from tests.fakes.device import LONG, PROVER, WAIT, DeviceScript, FakeProver, job_at, value_of


async def test_candidates_are_proved_and_submitted():
    rig = Rig(DeviceScript(), DeviceScript())
    job = job_at(5)
    async with rig.running(job):
        await rig.until(lambda: {s.device for s in rig.solutions} == {"fake:0", "fake:1"})
    for solution in rig.solutions:
        assert Digest(solution.mix_hash, solution.final_hash) == PROVER.digest(job, solution.nonce)
        assert solution.value <= job.target
        assert solution.nonce in job.nonces
    assert [e.solution for e in rig.of(ShareFound)] == rig.solutions
    assert len({s.nonce for s in rig.solutions}) == len(rig.solutions)
    assert not rig.of(DeviceFault)


async def test_launches_are_reported_in_groups_and_before_other_events():
    rig = Rig(DeviceScript())
    rig.clock = Naps()  # no group becomes due
    first, second, third = (Launched("fake:0", tried, 0.1) for tried in (1, 2, 3))
    fault = DeviceFault("fake:0", "a fault")
    async with rig.running() as engine:
        await asyncio.sleep(0)  # it starts
        await asyncio.to_thread(engine.report, first)
        await asyncio.to_thread(engine.report, second)
        await rig.clock.over.wait()
        assert not rig.events
        await asyncio.to_thread(engine.report, fault)
        await rig.until(lambda: rig.of(DeviceFault))
        assert rig.events == [first, second, fault]
        engine.report(third)
        engine.emit_pending()
        assert rig.events[3:] == [third]
        engine.report(first)
    assert rig.events[4:] == [first], "the end of a run reports the rest"


async def test_events_of_a_device_are_emitted_in_its_order():
    rig = Rig(DeviceScript())
    events = [
        JobTaken("fake:0", 0.1),
        Launched("fake:0", 1, 0.1),
        NoncesExhausted("fake:0"),
        Launched("fake:0", 2, 0.1),
        DeviceFault("fake:0", "a fault"),
    ]
    async with rig.running() as engine:
        await asyncio.sleep(0)  # it starts
        for event in events:  # all of them before the loop runs again
            engine.report(event)
        await rig.until(lambda: rig.of(DeviceFault))
    assert rig.events == events


async def test_proving_does_not_block_the_loop():
    rig = Rig(DeviceScript())
    proving, release = threading.Event(), threading.Event()

    class SlowProver(FakeProver):
        def digest(self, job, nonce):
            if "prove" in threading.current_thread().name:
                proving.set()
                assert release.wait(WAIT)
            return super().digest(job, nonce)

    rig.prover = SlowProver()
    async with rig.running(job_at()):
        await rig.until_launched(rig.scripts[0], proving.is_set)
        assert not rig.solutions
        release.set()
    assert rig.solutions


async def test_wrong_candidates_are_not_submitted_and_the_device_is_reopened():
    rig = Rig(DeviceScript(wrong_hits=True))
    async with rig.running(job_at()):
        await rig.until(lambda: rig.of(DeviceResting))
        rig.scripts[0].wrong_hits = False
        await rig.until(lambda: rig.solutions)
    assert "candidates were wrong" in rig.of(DeviceResting)[0].reason
    assert any("above the target" in e.reason for e in rig.of(DeviceFault))
    assert all(s.value <= s.job.target for s in rig.solutions)
    assert rig.scripts[0].opened >= 2


async def test_candidates_from_before_a_reopening_do_not_count():
    script = DeviceScript(gate=threading.Semaphore(0), granule=512)
    rig = Rig(script)
    judged: list[bool] = []
    async with rig.running() as engine:
        worker = engine._workers["fake:0"]
        engine.work_on(job_at(variant=LONG))
        await rig.until_launched(script, lambda: len(script.launched) == 2)
        for _ in range(rig.retry.max_wrong - 1):
            worker.judge(False, rig.clock.now())
        script.fail_launch = 2
        script.gate.release(2)
        await rig.until_launched(script, lambda: script.opened == 2 and len(script.launched) == 4)
        worker.judge(False, rig.clock.now())
        script.gate.release(2)
        await rig.until(lambda: rig.solutions)
        judged += worker._record._verdicts
    assert judged.count(False) == 1
    assert not any("candidates were wrong" in e.reason for e in rig.of(DeviceFault))


async def test_a_device_that_is_always_wrong_is_given_up():
    rig = Rig(DeviceScript(wrong_hits=True))
    with pytest.raises(NoUsableDevice, match="candidates were wrong"):
        await rig.runs_out(job_at())
    assert not rig.solutions


async def test_all_solutions_are_found_despite_overflows():
    rig = Rig(DeviceScript(slots=2, granule=1))
    job = job_at(nonces=NonceSpace(3, 54))
    wanted = {
        n
        for n in range(job.nonces.first, job.nonces.first + 1024)
        if value_of(job, n) <= job.target
    }
    async with rig.running(job):
        await rig.until(lambda: len(rig.solutions) >= len(wanted))
    assert sorted(s.nonce for s in rig.solutions) == sorted(wanted)
    assert rig.of(ResultOverflow)


async def test_devices_rest_without_a_job():
    gate = threading.Semaphore(3)
    rig = Rig(DeviceScript(gate=gate))
    async with rig.running(job_at()) as engine:
        await rig.until(lambda: len(rig.of(Launched)) == 3)
        engine.work_on(None)
        gate.release(100)
        await rig.until(lambda: len(rig.of(Launched)) == len(rig.scripts[0].launched))
        count = len(rig.scripts[0].launched)
        engine.work_on(job_at(header=2))
        await rig.until(lambda: rig.scripts[0].launched[-1][0].id == "0-2")
        assert {j.id for j, _ in rig.scripts[0].launched[:count]} == {"0-1"}
    assert count <= 5


async def test_the_newest_job_wins_and_older_work_ends_within_two_launches():
    gate = threading.Semaphore(3)
    rig = Rig(DeviceScript(gate=gate))
    async with rig.running(job_at(0, variant=LONG)) as engine:
        await rig.until_launched(rig.scripts[0], lambda: len(rig.scripts[0].launched) == 5)
        for header in range(2, 6):
            engine.work_on(job_at(1, header=header, variant=LONG))
        gate.release(1000)
        await rig.until_launched(rig.scripts[0], lambda: len(rig.scripts[0].launched) > 12)
    ids = [job.id for job, _ in rig.scripts[0].launched]
    assert ids[:5] == ["0-1"] * 5
    assert set(ids[5:]) == {"1-5"}


@pytest.mark.parametrize(("clean", "sent"), [(True, False), (False, True)])
async def test_older_work_is_sent_unless_a_clean_job_makes_it_stale(clean, sent):
    gate = threading.Semaphore(0)
    rig = Rig(DeviceScript(gate=gate, granule=512, begun=512))
    async with rig.running(job_at(0, variant=LONG)) as engine:
        await rig.until_launched(rig.scripts[0], lambda: len(rig.scripts[0].launched) == 2)
        engine.work_on(replace(job_at(1, variant=LONG), clean=clean, share_target=0))
        rig.clock.pass_time(2.5)
        gate.release(1000)
        await rig.until(lambda: rig.solutions if sent else rig.verdicts)
    assert bool(rig.solutions) is sent
    assert bool(rig.verdicts) is not sent
    assert all(v.outcome is Outcome.NOT_SENT for v in rig.verdicts)
    assert len(rig.of(ShareFound)) == len(rig.solutions) + len(rig.verdicts)


async def test_solutions_are_submitted_after_the_pool_was_lost():
    gate = threading.Semaphore(0)
    rig = Rig(DeviceScript(gate=gate, granule=512))
    async with rig.running(job_at(0, variant=LONG)) as engine:
        await rig.until_launched(rig.scripts[0], lambda: len(rig.scripts[0].launched) == 2)
        engine.work_on(None)
        rig.clock.pass_time(100)
        gate.release(1000)
        await rig.until(lambda: rig.solutions)


async def test_an_orderly_stop_submits_all_solutions():
    gate = threading.Semaphore(0)
    rig = Rig(DeviceScript(gate=gate, granule=512))
    async with rig.running(job_at(0, variant=LONG)) as engine:
        await rig.until_launched(rig.scripts[0], lambda: len(rig.scripts[0].launched) == 2)
        engine.stop()
        gate.release(2)
        assert not rig.solutions
    job = job_at(0, variant=LONG)
    searched = [n for _, s in rig.scripts[0].launched for n in range(s.first, s.first + s.count)]
    wanted = {n for n in searched if value_of(job, n) <= job.target}
    assert {s.nonce for s in rig.solutions} == wanted
    assert wanted
    assert rig.scripts[0].closed == 1


async def test_a_hung_device_is_an_error_after_all_solutions_are_submitted():
    release, gate = threading.Event(), threading.Semaphore(0)
    rig = Rig(DeviceScript(hang=release), DeviceScript(gate=gate, granule=512))
    rig.retry = replace(rig.retry, stop=0.5)

    async def stopped_with_two_launches() -> None:
        async with rig.running(job_at(0, variant=LONG)) as engine:
            for script in rig.scripts:
                await rig.until_launched(script, lambda o=script: len(o.launched) == 2)
            engine.stop()
            gate.release(2)

    try:
        with pytest.raises(DeviceHung, match="fake:0: a driver call"):
            await stopped_with_two_launches()
        assert {s.device for s in rig.solutions} == {"fake:1"}
        assert rig.scripts[1].closed == 1
        assert rig.scripts[0].closed == 0
    finally:
        release.set()
        for thread in threading.enumerate():
            if thread.name == "work-fake:0":
                await asyncio.to_thread(thread.join, WAIT)


async def test_an_unexpected_error_in_a_thread_ends_the_run():
    rig = Rig(DeviceScript(), DeviceScript())

    class BrokenProver(FakeProver):
        def light_cache(self, epoch, watcher=None):
            raise ZeroDivisionError("a mistake")

    rig.prover = BrokenProver()
    with pytest.raises(ZeroDivisionError):
        await rig.runs_out(job_at())
    assert all(o.closed == o.opened for o in rig.scripts)


async def test_a_run_without_devices_is_an_error():
    with pytest.raises(NoUsableDevice, match="no device was given"):
        async with Rig().running():
            await asyncio.sleep(0)


async def test_a_cancelled_run_waits_for_its_threads():
    rig = Rig(DeviceScript())
    async with rig.running(job_at(0)):
        await rig.until(lambda: rig.of(Launched))
        rig.task.cancel()
        await asyncio.wait([rig.task], timeout=WAIT)
        assert rig.scripts[0].closed == 1
