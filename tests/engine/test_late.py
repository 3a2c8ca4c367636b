from __future__ import annotations

import pytest

from miner.engine.engine import LatePolicy
from tests.fakes.device import job_at


@pytest.mark.parametrize(
    ("newer", "seconds", "sent"),
    [
        (job_at(100, header=2), 60.0, True),
        (job_at(101), 1.9, True),
        (job_at(101), 2.1, False),
        (job_at(101, clean=False), 60.0, True),
        (job_at(99), 60.0, True),
        (job_at(101, session=2), 60.0, True),
        (None, 60.0, True),
    ],
)
def test_the_policy(newer, seconds, sent):
    late = LatePolicy()
    late.newest(job_at(100), 0.0)
    late.newest(newer, 10.0)
    assert late.sends(job_at(100), 10.0 + seconds) is sent


def test_a_clean_job_counts_from_when_its_height_came_first():
    late = LatePolicy()
    late.newest(job_at(101), 0.0)
    late.newest(job_at(101, header=5), 9.0)
    late.newest(job_at(101, header=6, clean=False), 9.5)
    assert not late.sends(job_at(100), 10.0)


def test_a_job_that_is_not_clean_does_not_undo_a_clean_one():
    late = LatePolicy()
    late.newest(job_at(101), 0.0)
    late.newest(job_at(102, clean=False), 5.0)
    assert not late.sends(job_at(100), 5.1)
    assert late.sends(job_at(101), 50.0)
