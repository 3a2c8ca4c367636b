from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.engine import search
from miner.engine.search import LaunchSize


def settle(size: LaunchSize, rate: float, launches: int = 60) -> None:
    for _ in range(launches):
        size.measured(size.nonces, size.nonces / rate + 0.001)


def test_launches_start_with_one_granule_and_double():
    size = LaunchSize(256)
    sizes = []
    for _ in range(4):
        sizes.append(size.nonces)
        size.measured(size.nonces, 0.001)
    assert sizes == [256, 512, 1024, 2048]


@given(rate=st.floats(50_000, 5e8), granule=st.integers(1, 4096))
def test_launches_converge_to_a_tenth_of_a_second(rate, granule):
    size = LaunchSize(granule)
    settle(size, rate)
    assert size.nonces % granule == 0
    assert 0.07 < (size.nonces + granule) / rate < 0.2


def test_launches_shrink_when_a_device_becomes_slow():
    size = LaunchSize(64)
    settle(size, 1e6)
    settle(size, 1e5, 12)
    assert size.nonces / 1e5 < 0.2


def test_two_results_that_arrive_together_change_little():
    size = LaunchSize(64)
    settle(size, 1e6)
    before = size.nonces
    size.measured(before, 0.2)
    size.measured(before, 0.0)
    assert 0.7 < size.nonces / before < 1.4


def test_launches_stay_between_one_granule_and_the_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "MOST_NONCES", 105)
    size = LaunchSize(10)
    settle(size, 1e9)
    assert size.nonces == 100
    settle(size, 1.0)
    assert size.nonces == 10


def test_results_of_smaller_launches_do_not_double_the_size():
    size = LaunchSize(8)
    size.measured(8, 0.001)
    size.measured(8, 0.001)
    assert size.nonces == 16
