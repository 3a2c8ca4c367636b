"""The names by which a device may be called."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from miner.devices.device_names import matches, same_hardware
from tests.devices.infos import CARD


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
        ("a:0.0", True),
        ("0001:0a:00.0", False),
        ("0b:00.0", False),
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
def test_a_name_matches_the_device_that_it_means(name: str, wanted: bool) -> None:
    assert matches(CARD, 4, name) is wanted


def test_an_unknown_address_or_uuid_matches_no_name() -> None:
    bare = replace(CARD, pci=None, uuid=None)
    assert not matches(bare, 0, "0a:00.0")
    assert not matches(bare, 0, "none")


def test_a_name_without_a_colon_matches_itself() -> None:
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
def test_two_backends_may_reach_the_same_card(other: dict[str, Any], wanted: bool) -> None:
    assert same_hardware(CARD, replace(CARD, **other)) is wanted
