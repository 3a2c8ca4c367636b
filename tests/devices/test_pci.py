from __future__ import annotations

import pytest

from miner.devices.device_names import PciAddress


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
