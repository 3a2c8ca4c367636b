from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.engine.job_slot import REMEMBERED, NonceAllocator
from miner.work import Job, NonceSpace, Solution
from tests.fakes.device import job_at


def drain(allocator: NonceAllocator, job: Job, device: int, counts: list[int], granule: int):
    spans, turn = [], 0
    while (span := allocator.take(job, device, counts[turn % len(counts)], granule)) is not None:
        spans.append(span)
        turn += 1
    return spans


@given(
    devices=st.integers(1, 9),
    free_bits=st.integers(0, 10),
    counts=st.lists(st.integers(1, 70), min_size=1, max_size=5),
    granule=st.integers(1, 16),
    seed=st.integers(0, 2**32),
)
def test_devices_get_every_nonce_of_the_prefix_once(devices, free_bits, counts, granule, seed):
    space = NonceSpace((1 << (64 - free_bits)) - 1, 64 - free_bits)
    job = job_at(nonces=space)
    allocator = NonceAllocator(devices, Random(seed))
    seen: set[int] = set()
    for device in range(devices):
        for span in drain(allocator, job, device, counts, granule):
            assert span.count % granule == 0
            nonces = set(range(span.first, span.first + span.count))
            assert span.first in space
            assert span.first + span.count - 1 in space
            assert not nonces & seen
            seen |= nonces
        assert allocator.take(job, device, 1, granule) is None
    shares = 1 << (devices - 1).bit_length()
    share = max(space.size // shares, 1)
    tail = share % granule
    assert len(seen) == min(devices, space.size // share) * (share - tail)


def test_a_four_byte_prefix_never_wraps():
    space = NonceSpace(0xDEADBEEF, 32)
    allocator = NonceAllocator(1, Random(3))
    spans = drain(allocator, job_at(nonces=space), 0, [2**29], 256)
    assert sum(s.count for s in spans) == 2**32
    assert min(s.first for s in spans) == 0xDEADBEEF << 32
    assert max(s.first + s.count for s in spans) == 0xDEADBEF0 << 32


def test_a_header_sent_again_continues_its_search():
    allocator = NonceAllocator(2, Random(1))
    job = job_at()
    first = allocator.take(job, 0, 64, 8)
    again = allocator.take(replace(job, id="new", share_target=5, clean=False), 0, 64, 8)
    assert first is not None
    assert again is not None
    assert again.first == first.first + first.count


def test_returning_to_an_older_job_repeats_nothing():
    allocator = NonceAllocator(1, Random(1))
    a, b = job_at(1), job_at(2)
    spans = [allocator.take(job, 0, 64, 8) for job in (a, b, a)]
    assert spans[0] is not None
    assert spans[2] is not None
    assert spans[2].first == spans[0].first + 64


def test_only_the_last_searches_are_remembered():
    allocator = NonceAllocator(1, Random(1))
    space = NonceSpace(1, 60)
    jobs = [job_at(n, nonces=space) for n in range(REMEMBERED + 1)]
    for job in jobs:
        assert allocator.take(job, 0, 16) is not None
    assert allocator.take(jobs[0], 0, 16) is not None


def test_a_granule_that_changes_repeats_nothing():
    allocator = NonceAllocator(1, Random(9))
    job = job_at(nonces=NonceSpace(0, 54))
    spans = [allocator.take(job, 0, 50, g) for g in (7, 16, 3, 1)]
    spans += drain(allocator, job, 0, [33], 5)
    nonces = [n for s in spans if s for n in range(s.first, s.first + s.count)]
    assert len(nonces) == len(set(nonces))
    assert max(nonces) < 1024


def test_a_nonce_space_has_the_nonces_with_its_prefix_and_no_others() -> None:
    space = NonceSpace(0xABCD, 16)
    first, last = 0xABCD << 48, (0xABCE << 48) - 1
    assert [nonce in space for nonce in (first - 1, first, last, last + 1)] == [
        False, True, True, False
    ]  # fmt: skip


@pytest.mark.parametrize(("value", "is_block"), [(99, True), (100, True), (101, False)])
def test_a_solution_at_or_below_the_block_target_is_a_block(value: int, is_block: bool) -> None:
    job = job_at(1, block_target=100)
    solution = Solution(job, 0, "fake:0", 0.0, bytes(32), value.to_bytes(32, "big"))
    assert solution.is_block is is_block
    assert solution.difficulty == 2**256 / (value + 1)
