from __future__ import annotations

import pytest

from miner.sensors.address import pci_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0000:01:00.0", "0000:01:00.0"),
        ("00000000:0A:00.1", "0000:0a:00.1"),
        ("01:00.0", "0000:01:00.0"),
        ("0000:01:00", "0000:01:00.0"),
        ("10000:e1:1f.7", "10000:e1:1f.7"),
        (" 0001:02:03.4\n", "0001:02:03.4"),
    ],
)
def test_an_address_is_written_as_linux_writes_it(text: str, address: str) -> None:
    assert pci_address(text) == address


@pytest.mark.parametrize("text", [None, "", "GPU-1b2c", "01", "0000:01:00.8", "zz:00.0", "1:2:3:4"])
def test_what_is_no_address_is_none(text: str | None) -> None:
    assert pci_address(text) is None
