"""By what a device may be called, and what is wanted of it after all blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.devices.reference.reference_device import ReferenceBackend
from miner.devices.selection import COOLING, Tuning, are_one, matches, tuning_of
from miner.errors import ConfigError

CARD = replace(
    ReferenceBackend().devices()[0], name="opencl:1.0", backend="opencl",
    model="NVIDIA GeForce RTX 3070 [LHR]", pci="0000:0A:00.0", uuid="GPU-00aa-ff",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("opencl:1.0", True),
        ("OpenCL:1.0", True),
        ("1.0", True),
        ("cuda:1.0", False),
        ("4", True),
        (" 4 ", True),
        ("04", True),
        ("1", False),
        ("-4", False),
        ("0000:0a:00.0", True),
        ("0A:00.0", True),
        ("00000000:0A:00.0", True),
        ("0001:0a:00.0", False),
        ("0b:00.0", False),
        ("a:00.0", False),
        ("gpu-00AA-FF", True),
        ("GPU-00aa", False),
        ("nvidia geforce rtx 3070 [lhr]", True),
        ("3070", False),
        ("*3070*", True),
        ("*RTX ?070*", True),
        ("*3080*", False),
        ("opencl:*", True),
        ("cuda:*", False),
        ("*", True),
        ("", False),
        (" ", False),
    ],
)
def test_a_name(name: str, wanted: bool) -> None:
    assert matches(CARD, 4, name) is wanted


def test_what_a_device_does_not_know_of_itself_matches_nothing() -> None:
    bare = replace(CARD, pci=None, uuid=None)
    assert not matches(bare, 0, "0a:00.0")
    assert not matches(bare, 0, "none")
    assert matches(replace(CARD, name="ref"), 0, "ref")


@pytest.mark.parametrize(
    ("other", "wanted"),
    [
        ({"backend": "cuda"}, True),
        ({}, False),
        ({"backend": "cuda", "uuid": "GPU-00AA-FF", "pci": None}, True),
        ({"backend": "cuda", "uuid": "MIG-1"}, False),
        ({"backend": "cuda", "uuid": None}, True),
        ({"backend": "cuda", "uuid": None, "pci": "0000:0b:00.0"}, False),
        ({"backend": "cuda", "uuid": None, "pci": None}, False),
    ],
)
def test_one_card_through_two_backends(other: dict[str, Any], wanted: bool) -> None:
    assert are_one(CARD, replace(CARD, **other)) is wanted


def test_the_last_block_wins_key_by_key() -> None:
    blocks = [
        ("*3070*", Tuning(shape="gpu", launch_seconds=0.2, temperature_stop=70)),
        ("opencl:9.9", Tuning(shape="cpu")),
        ("0a:00.0", Tuning(shape="gpu-128", memory_temperature_stop=100)),
    ]
    base = Tuning(temperature_stop=90, temperature_start=60, memory_temperature_stop=95)
    assert tuning_of(CARD, 0, blocks, base) == Tuning("gpu-128", 0.2, 70, 60, 100, 85)
    assert tuning_of(CARD, 0, []) == Tuning()


def test_a_start_that_nobody_gave_lies_below_the_stop() -> None:
    assert tuning_of(CARD, 0, [], Tuning(temperature_stop=80)).temperature_start == 65
    base = Tuning(temperature_stop=90, temperature_start=80)
    cooler = [("*", Tuning(temperature_stop=70))]
    assert tuning_of(CARD, 0, cooler, base).temperature_start == 70 - COOLING


@pytest.mark.parametrize(
    ("base", "block", "sentence"),
    [
        (
            Tuning(temperature_stop=60),
            Tuning(temperature_start=70),
            "temperature_start: 70 is not below 60, its temperature_stop; give both",
        ),
        (
            Tuning(),
            Tuning(temperature_start=70),
            "temperature_start: needs a temperature_stop above it",
        ),
        (
            Tuning(),
            Tuning(memory_temperature_start=70),
            "memory_temperature_start: needs a memory_temperature_stop",
        ),
    ],
)
def test_a_start_that_is_not_below_its_stop(base: Tuning, block: Tuning, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tuning_of(CARD, 0, [("*", block)], base)
    assert str(caught.value).startswith("device opencl:1.0: ")
    assert sentence in str(caught.value)


BLOCK = st.tuples(
    st.sampled_from(["*", "*3070*", "no", "7", "0a:00.0"]),
    st.builds(
        Tuning,
        st.sampled_from([None, "gpu", "cpu"]),
        st.sampled_from([None, 0.1, 0.5]),
        temperature_stop=st.none() | st.integers(50, 90),
    ),
)


@given(st.lists(BLOCK, max_size=5))
def test_any_blocks(blocks: list[tuple[str, Tuning]]) -> None:
    found = tuning_of(CARD, 7, blocks)
    for key in ("shape", "launch_seconds", "temperature_stop"):
        given_ = [getattr(t, key) for name, t in blocks if name != "no" and getattr(t, key)]
        assert getattr(found, key) == (given_[-1] if given_ else None)
    stop = found.temperature_stop
    assert found.temperature_start == (stop - COOLING if stop else None)
