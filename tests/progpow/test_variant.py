from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from miner.catalog import variants
from miner.errors import BadVariant
from miner.progpow.epoch import Epoch
from miner.progpow.variant import (
    L1_BYTES,
    MATH_OPERATIONS,
    Choices,
    Clamp,
    FixedSizes,
    Growth,
    Scale,
    Span,
    Variant,
)
from miner.variant_file import check_variant
from miner.verify import prove_variant

KAWPOW = variants()["kawpow"]
IN_PLACE = variants()["oggpow"]
WORD_TOO_LARGE = (2**32,)

CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"period": 0}, "program.period: 0 is outside 1 to 1000000"),
    ({"period": 1_000_001}, "program.period: 1000001 is outside 1 to 1000000"),
    ({"registers": 1}, "program.registers: 1 is outside 2 to 64"),
    ({"registers": 65}, "program.registers: 65 is outside 2 to 64"),
    ({"cache_reads": -1}, "program.cache_reads: -1 is outside 0 to 64"),
    ({"cache_reads": 65}, "program.cache_reads: 65 is outside 0 to 64"),
    ({"math_operations": -1}, "program.math_operations: -1 is outside 0 to 64"),
    ({"math_operations": 65}, "program.math_operations: 65 is outside 0 to 64"),
    ({"dag_loops": 0}, "program.dag_loops: 0 is outside 1 to 1024"),
    ({"dag_loops": 1025}, "program.dag_loops: 1025 is outside 1 to 1024"),
    ({"math_table": MATH_OPERATIONS[:-1]}, "program.math_table: must name each of add, mul, "),
    ({"math_table": (*MATH_OPERATIONS[:-1], "add")}, "program.math_table: must name each of "),
    ({"math_table": (*MATH_OPERATIONS[:-1], "nand")}, "program.math_table: must name each of "),
    ({"initial_padding": (1,) * 14}, "keccak.initial: needs 15 words (10 to 24 of the state), "),
    ({"final_padding": (1,) * 7}, "keccak.final: needs 9 words when absorbs is 'digest', has 7"),
    ({"initial_padding": WORD_TOO_LARGE * 15}, "keccak.initial: every word must fit 32 bits"),
    ({"final_padding": (-1,) * 9}, "keccak.final: every word must fit 32 bits"),
    ({"parents": 0}, "dataset.parents: 0 is not a multiple of 16 from 16 to 4096"),
    ({"parents": 500}, "dataset.parents: 500 is not a multiple of 16"),
    ({"parents": 8192}, "dataset.parents: 8192 is not a multiple of 16"),
    ({"light": Growth(1023, 0)}, "light: initial must be 1024 to 2**40 bytes"),
    ({"light": Growth(2**20, -1)}, "light: initial must be 1024 to 2**40 bytes and growth 0"),
    ({"dataset": Growth(L1_BYTES, 0)}, f"dataset: initial must be {L1_BYTES * 2} to 2**40"),
    ({"dataset": Growth(2**41, 0)}, f"dataset: initial must be {L1_BYTES * 2} to 2**40"),
    ({"spans": ()}, "epoch.spans: the first span must start at height 0"),
    ({"spans": (Span(1, 7500),)}, "epoch.spans: the first span must start at height 0"),
    ({"spans": (Span(0, 9), Span(0, 9))}, "epoch.spans: from_height must grow from span to span"),
    ({"spans": (Span(0, 0),)}, "epoch.spans: length must be at least 1"),
    ({"spans": (Span(0, 9, -1),)}, "epoch.spans: first_epoch is below 0"),
    ({"clamp": Clamp(5, 6)}, "epoch.clamp: to (6) must lie in 0 to above (5)"),
    ({"clamp": Clamp(5, -1)}, "epoch.clamp: to (-1) must lie in 0 to above (5)"),
    ({"scale": Scale(-1, 4)}, "epoch.scale: from_epoch is below 0"),
    ({"scale": Scale(0, 0)}, "epoch.scale: factor is outside 1 to 64"),
    ({"scale": Scale(0, 65)}, "epoch.scale: factor is outside 1 to 64"),
    ({"fixed": FixedSizes(16, 8191, 0)}, "sizes.light_items: is outside 17 to 2**31"),
    ({"fixed": FixedSizes(509, 127, 0)}, "sizes.dataset_items: is outside 128 to 2**31"),
    ({"fixed": FixedSizes(509, 2**31, 0)}, "sizes.dataset_items: is outside 128 to 2**31"),
    ({"fixed": FixedSizes(509, 8191, -1)}, "sizes.seed_epoch: is outside 0 to 100000"),
]


@pytest.mark.parametrize(("change", "problem"), CONTRADICTIONS, ids=lambda v: str(v)[:50])
def test_an_impossible_number_is_reported_with_its_key(
    change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(BadVariant) as error:
        check_variant(replace(KAWPOW, **change))
    assert str(error.value).startswith(f"variant 'kawpow': {problem}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("absorbs", ["header", "nonce"])
def test_a_variant_that_absorbs_the_header_needs_7_words(absorbs: str) -> None:
    header = next(v for v in variants().values() if v.absorbs == absorbs)
    problem = rf"keccak.final: needs 7 words when absorbs is '{absorbs}'"
    with pytest.raises(BadVariant, match=problem):
        check_variant(replace(header, final_padding=(1,) * 9))


def test_a_program_in_place_needs_a_register_for_each_word_of_an_entry() -> None:
    check_variant(replace(IN_PLACE, registers=4))
    with pytest.raises(BadVariant, match=r"program.registers: 3 is outside 4 to 64"):
        check_variant(replace(IN_PLACE, registers=3))


@pytest.mark.parametrize("field", ["mix_hash", "final_hash"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_wrong_known_answer_is_reported_with_its_number(field: str, number: int) -> None:
    answers = list(KAWPOW.known_answers)
    wrong = bytes(32)
    right = getattr(answers[number - 1], field)
    answers[number - 1] = replace(answers[number - 1], **{field: wrong})
    with pytest.raises(BadVariant) as error:
        prove_variant(replace(KAWPOW, known_answers=tuple(answers)))
    assert str(error.value) == (
        f"variant 'kawpow': known_answers[{number}].{field}: computed {right.hex()}, "
        f"the file has {wrong.hex()}"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"period": 4},
        {"registers": 31},
        {"cache_reads": 12},
        {"math_operations": 17},
        {"dag_loops": 63},
        {"math_table": MATH_OPERATIONS[::-1]},
        {"initial_padding": (0,) * 15},
        {"final_padding": (0,) * 9},
        {"parents": 256},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_known_answers_detect_every_wrong_number(change: dict[str, Any]) -> None:
    with pytest.raises(BadVariant, match=r"known_answers\[\d\]\.\w+_hash: computed"):
        prove_variant(replace(KAWPOW, **change))


OTHER_CHOICES = [
    replace(IN_PLACE.choices, **{field.name: field.default}) for field in fields(Choices)
]


@pytest.mark.parametrize(
    "change",
    [
        *({"choices": choices} for choices in OTHER_CHOICES),
        {"absorbs": "header"},
        {"absorbs": "digest", "final_padding": (0, 0, *IN_PLACE.final_padding)},
        {"byte_order": "little"},
        {"initial_padding": (0,) * 15},
        {"final_padding": (0,) * 7},
        {"period": 9},
        {"parents": 512},
    ],
    ids=str,
)
def test_the_known_answers_detect_every_wrong_choice(change: dict[str, Any]) -> None:
    """Each rule in which this variant differs from ProgPoW is turned back, one at a time."""
    assert replace(IN_PLACE, **change) != IN_PLACE
    with pytest.raises(BadVariant, match=r"known_answers\[\d\]\.\w+_hash: computed"):
        prove_variant(replace(IN_PLACE, **change))


def test_fixed_sizes_hold_in_every_epoch() -> None:
    toy = KAWPOW.with_sizes(FixedSizes(509, 8191, 3))
    assert toy.known_answers == ()
    for number in (0, 5):
        assert toy.epoch(number) == Epoch(number, 3, 509, 8191, 512)


def test_spans_clamp_and_scale() -> None:
    """Each exception to the rule for epochs, without the variant that needs it."""
    two: Variant = replace(KAWPOW, spans=(Span(0, 100), Span(1000, 10, first_epoch=3)))
    assert [two.epoch_at(h).number for h in (0, 999, 1000, 1009, 1010)] == [0, 9, 3, 3, 4]
    clamped = replace(KAWPOW, spans=(Span(0, 1),), clamp=Clamp(above=9, to=4))
    assert [clamped.epoch_at(h).number for h in (9, 10, 11, 1000)] == [9, 4, 4, 4]
    scaled = replace(KAWPOW, scale=Scale(from_epoch=10, factor=4))
    assert scaled.epoch(9) == KAWPOW.epoch(9)
    assert scaled.epoch(10).light_items == KAWPOW.epoch(40).light_items
    assert scaled.epoch(10).seed_epoch == 10
