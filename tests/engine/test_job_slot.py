from __future__ import annotations

import pytest

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


def test_a_job_became_workable_no_earlier_than_it_arrived():
    slot = JobSlot()
    slot.put(job_at(1), 5.0)
    slot.mark_workable(3.0)
    assert slot.arrived == 5.0
    slot.mark_workable(8.0)
    assert slot.arrived == 8.0


class Launch:
    job = job_at(1)
    stopped = False

    def stop(self):
        self.stopped = True


@pytest.mark.parametrize("stopping", [False, True])
def test_a_newer_job_stops_a_launch_unless_the_device_is_stopping(stopping):
    slot, launch = JobSlot(), Launch()
    slot.add_launch(launch)
    if stopping:
        slot.stop()
    slot.put(job_at(2))
    assert launch.stopped is not stopping
