from __future__ import annotations

from miner.engine.job_slot import JobSlot
from tests.fakes.device import job_at


def test_the_newest_job_wins():
    slot = JobSlot()
    slot.put(job_at(1))
    slot.put(job_at(2))
    assert slot.next_job() == job_at(2)
    assert slot.job == job_at(2)


def test_a_stop_ends_every_wait():
    slot = JobSlot()
    slot.put(job_at(1))
    slot.stop()
    assert slot.next_job() is None
    slot.wait(lambda: False)
    assert slot.stopping


def test_a_wait_ends_with_its_condition_or_its_time():
    slot = JobSlot()
    slot.wait(lambda: True)
    slot.wait(lambda: False, 0.001)
    slot.wake()
    assert not slot.stopping
