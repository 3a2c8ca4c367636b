from __future__ import annotations

from miner.engine.job_slot import Mailbox
from tests.fakes.device import job_at


def test_the_newest_job_wins():
    mailbox = Mailbox()
    mailbox.put(job_at(1))
    mailbox.put(job_at(2))
    assert mailbox.next_job() == job_at(2)
    assert mailbox.job == job_at(2)


def test_a_stop_ends_every_wait():
    mailbox = Mailbox()
    mailbox.put(job_at(1))
    mailbox.stop()
    assert mailbox.next_job() is None
    mailbox.wait(lambda: False)
    assert mailbox.stopping


def test_a_wait_ends_when_its_condition_holds_or_its_time_is_over():
    mailbox = Mailbox()
    mailbox.wait(lambda: True)
    mailbox.wait(lambda: False, 0.001)
    mailbox.poke()
    assert not mailbox.stopping
