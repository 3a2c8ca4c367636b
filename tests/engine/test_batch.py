from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from miner.engine.search import BatchSize


def settle(batch: BatchSize, rate: float, launches: int = 60) -> None:
    for _ in range(launches):
        batch.measured(batch.nonces, batch.nonces / rate + 0.001)


def test_it_starts_with_one_granule_and_doubles():
    batch = BatchSize(256)
    sizes = []
    for _ in range(4):
        sizes.append(batch.nonces)
        batch.measured(batch.nonces, 0.001)
    assert sizes == [256, 512, 1024, 2048]


@given(rate=st.floats(50_000, 5e8), granule=st.integers(1, 4096))
def test_it_comes_to_a_tenth_of_a_second(rate, granule):
    batch = BatchSize(granule)
    settle(batch, rate)
    assert batch.nonces % granule == 0
    assert 0.07 < (batch.nonces + granule) / rate < 0.2


def test_it_follows_a_device_that_becomes_slow_within_a_few_launches():
    batch = BatchSize(64)
    settle(batch, 1e6)
    settle(batch, 1e5, 12)
    assert batch.nonces / 1e5 < 0.2


def test_two_results_that_arrive_together_change_little():
    batch = BatchSize(64)
    settle(batch, 1e6)
    before = batch.nonces
    batch.measured(before, 0.2)
    batch.measured(before, 0.0)
    assert 0.7 < batch.nonces / before < 1.4


def test_it_stays_within_its_bounds():
    batch = BatchSize(10, least=25, most=105)
    assert batch.nonces == 30
    settle(batch, 1e9)
    assert batch.nonces == 100
    settle(batch, 1.0)
    assert batch.nonces == 30


def test_results_of_smaller_launches_do_not_make_it_grow():
    batch = BatchSize(8)
    batch.measured(8, 0.001)
    batch.measured(8, 0.001)
    assert batch.nonces == 16
