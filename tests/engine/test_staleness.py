from __future__ import annotations

import pytest

from miner.engine.job_slot import Staleness
from tests.fakes.device import job_at


@pytest.mark.parametrize(
    ("newer", "seconds", "stale"),
    [
        (job_at(100, header=2), 60.0, False),
        (job_at(101), 2.0, False),
        (job_at(101), 2.1, True),
        (job_at(101, clean=False), 60.0, False),
        (job_at(99), 60.0, False),
        (job_at(101, session=2), 60.0, False),
        (None, 60.0, False),
    ],
    ids=["same height", "until 2 s", "after 2 s", "not clean", "lower", "session", "no pool"],
)
def test_older_work_is_stale_2_s_after_a_clean_job_of_a_greater_height(newer, seconds, stale):
    staleness = Staleness()
    staleness.update(job_at(100), 0.0)
    staleness.update(newer, 10.0)
    assert staleness.is_stale(job_at(100), 10.0 + seconds) is stale


def test_the_2_s_begin_with_the_first_clean_job_of_a_height():
    staleness = Staleness()
    staleness.update(job_at(101), 0.0)
    staleness.update(job_at(101, header=5), 9.0)
    staleness.update(job_at(101, header=6, clean=False), 9.5)
    assert staleness.is_stale(job_at(100), 10.0)


def test_a_job_that_is_not_clean_does_not_revoke_a_clean_one():
    staleness = Staleness()
    staleness.update(job_at(101), 0.0)
    staleness.update(job_at(102, clean=False), 5.0)
    assert staleness.is_stale(job_at(100), 5.1)
    assert not staleness.is_stale(job_at(101), 50.0)


def test_the_2_s_begin_again_with_a_new_session_of_the_same_height():
    staleness = Staleness()
    staleness.update(job_at(101), 0.0)
    staleness.update(job_at(101, session=2), 9.0)
    assert not staleness.is_stale(job_at(100, session=2), 10.0)
    assert staleness.is_stale(job_at(100, session=2), 12.0)


def test_a_clean_job_of_another_session_makes_nothing_stale():
    staleness = Staleness()
    staleness.update(job_at(101), 0.0)
    staleness.update(job_at(102, session=2, clean=False), 9.0)
    assert not staleness.is_stale(job_at(100, session=2), 60.0)
