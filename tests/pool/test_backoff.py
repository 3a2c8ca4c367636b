from __future__ import annotations

from itertools import islice, pairwise
from random import Random

import pytest

from miner.pool.failover import LONGEST, SHORTEST, delays


@pytest.mark.parametrize("seed", range(20))
def test_delays_grow_from_one_second_to_a_minute(seed: int) -> None:
    got = list(islice(delays(Random(seed)), 50))
    assert all(SHORTEST <= delay <= LONGEST for delay in got)
    assert got[0] <= 2
    assert all(a <= b for a, b in pairwise(got[:5]))
    assert all(delay >= LONGEST / 2 for delay in got[5:])


def test_two_rigs_do_not_wait_the_same() -> None:
    assert list(islice(delays(Random(1)), 3)) != list(islice(delays(Random(2)), 3))
