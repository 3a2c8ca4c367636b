from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.errors import BadValue
from miner.progpow.keccak import keccak256
from miner.stratum.chain import Chain, bits_from_target
from miner.stratum.difficulty import target_from_bits
from tests.testpool.standins import KAWPOW, make_chain, seed_of


def test_the_same_seed_makes_the_same_chain() -> None:
    def story(seed: int) -> list[object]:
        chain = make_chain(seed=seed)
        return [chain.template, chain.advance(), chain.refresh(), chain.advance()]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_a_header_hash_is_the_keccak256_of_its_header() -> None:
    chain = make_chain(height=1234)
    headers = [chain.template, chain.refresh(), chain.advance()]
    assert [keccak256(t.header) for t in headers] == [t.header_hash for t in headers]
    assert [t.header[:10].hex() for t in headers] == [
        "0006" + f"{height:016x}" for height in (1234, 1234, 1235)
    ]


def test_advance_and_refresh() -> None:
    chain = make_chain(height=7498)
    first = chain.template
    second = chain.refresh()
    third = chain.advance()
    fourth = chain.advance()
    assert [t.height for t in (first, second, third, fourth)] == [7498, 7498, 7499, 7500]
    assert [t.clean for t in (first, second, third, fourth)] == [True, False, True, True]
    assert len({t.header_hash for t in (first, second, third, fourth)}) == 4
    assert len({t.job_id for t in (first, second, third, fourth)}) == 4
    assert [t.epoch.number for t in (first, third, fourth)] == [0, 0, 1]
    assert [t.seed_hash for t in (first, fourth)] == [seed_of(0), seed_of(1)]
    assert chain.template is fourth
    assert chain.advance(clean=False).clean is False


def test_late_stale_and_unknown_jobs() -> None:
    chain = make_chain(kept=3)
    first = chain.template
    second = chain.refresh()
    assert chain.find(first.job_id) is first
    assert not chain.is_stale(first)
    third = chain.advance()
    assert chain.is_stale(first)
    assert chain.is_stale(second)
    assert not chain.is_stale(third)
    chain.refresh()
    assert chain.find(first.job_id) is None
    assert chain.find(second.job_id) is second
    assert chain.headers() == {second.header_hash, third.header_hash, chain.template.header_hash}
    assert chain.find("") is None


def test_the_block_target_is_rounded_to_its_bits() -> None:
    chain = make_chain(share_target=5, block_target=0x1234567890 << 200)
    template = chain.template
    assert template.block_target == target_from_bits(template.bits) == 0x123456 << 216


@pytest.mark.parametrize("target", [0, -1, 2**256])
def test_invalid_targets_are_refused(target: int) -> None:
    with pytest.raises(BadValue):
        make_chain(share_target=target)
    with pytest.raises(BadValue):
        make_chain(block_target=target)


def test_an_invalid_height_is_refused() -> None:
    with pytest.raises(BadValue):
        Chain(KAWPOW, -1, 1, 1, Random(1), seed_of)


@pytest.mark.parametrize(
    ("target", "bits"),
    [
        (1, 0x01010000),
        (0x7F, 0x017F0000),
        (0x80, 0x02008000),
        (0x0135AD << 192, 0x1B0135AD),
        (0x3FFFFF << 224, 0x1F3FFFFF),
        (2**256 - 1, 0x2100FFFF),
    ],
)
def test_known_compact_bits(target: int, bits: int) -> None:
    assert bits_from_target(target) == bits


@given(st.integers(1, 256).flatmap(lambda n: st.integers(1, 2**n - 1)))
def test_bits_round_a_target_down_slightly(target: int) -> None:
    bits = bits_from_target(target)
    expanded = target_from_bits(bits)
    assert expanded <= target
    assert target - expanded <= target >> 15
    assert bits_from_target(expanded) == bits
