"""The names by which a device may be called, PCI addresses among them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miner.devices.device_names import PciAddress, matches
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
        ("cpu", False),
        ("NVIDIA", True),
        ("amd", False),
    ],
)
def test_a_name_matches_the_device_that_it_means(name: str, wanted: bool) -> None:
    assert matches(CARD, 4, name) is wanted


def test_an_unknown_address_or_uuid_matches_no_name() -> None:
    bare = replace(CARD, pci=None, uuid=None)
    assert not matches(bare, 0, "0a:00.0")
    assert not matches(bare, 0, "none")


def test_cpu_means_a_kind_of_devices() -> None:
    assert matches(replace(CARD, kind="cpu"), 0, "CPU")


def test_a_name_without_a_colon_matches_itself() -> None:
    assert matches(replace(CARD, name="ref"), 0, "ref")


@pytest.mark.parametrize(
    ("text", "written", "short"),
    [
        ("0000:01:00.0", "0000:01:00.0", "01:00.0"),
        ("00000000:0A:00.1", "0000:0a:00.1", "0a:00.1"),
        ("01:00.0", "0000:01:00.0", "01:00.0"),
        ("0:1:0.0", "0000:01:00.0", "01:00.0"),
        ("10000:e1:1f.7", "10000:e1:1f.7", "e1:1f.7"),
        (" 0001:02:03.4\n", "0001:02:03.4", "02:03.4"),
    ],
)
def test_an_address_is_read_in_any_width_and_written_as_linux_does(
    text: str, written: str, short: str
) -> None:
    address = PciAddress.parse(text)
    assert address is not None
    assert (str(address), address.short) == (written, short)
    assert PciAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", [None, "", "GPU-1b2c", "01", "01:00", "0000:01:00.8", "zz:00.0", "1:2:3:4"]
)
def test_other_texts_are_not_addresses(text: str | None) -> None:
    assert PciAddress.parse(text) is None
