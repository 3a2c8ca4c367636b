"""A backend is one package, and one row in miner/devices/registry.py."""

from __future__ import annotations

import json

import pytest

from tests.adding.conftest import ProductCopy

PACKAGE = '''
"""Plain: the reference under another name."""

from miner.devices.backend import Backend

PLAIN = Backend(name="plain", title="Plain", module="miner.devices.plain.plain_device")
'''

DEVICE = '''
"""A device that computes as the reference does."""

from dataclasses import replace

from miner.devices.device import Device
from miner.devices.reference import REFERENCE
from miner.devices.reference.reference_device import ReferenceDevice
from miner.work import DeviceInfo


def list_devices() -> list[DeviceInfo]:
    (info,) = REFERENCE.devices()
    return [replace(info, name="plain:0", backend="plain", model="Plain CPU")]


def open_device(info: DeviceInfo) -> Device:
    return ReferenceDevice(info)
'''

SETTINGS = """
variant = "kawpow"
[[pools]]
url = "stratum+tcp://127.0.0.1:3333"
user = "wallet"
[devices]
backend = "plain"
"""


@pytest.fixture
def extended(product: ProductCopy, monkeypatch: pytest.MonkeyPatch) -> ProductCopy:
    """The product with the backend "plain", without this machine's OpenCL devices, which would
    compile kernels."""
    monkeypatch.setenv("OCL_ICD_VENDORS", str(product.root))
    (product.root / "miner/devices/plain").mkdir()
    product.write("miner/devices/plain/__init__.py", PACKAGE)
    product.write("miner/devices/plain/plain_device.py", DEVICE)
    registry = "miner/devices/registry.py"
    imported = "from miner.devices.reference import REFERENCE\n"
    product.add_row(registry, imported, "from miner.devices.plain import PLAIN\n")
    product.add_row(registry, "        REFERENCE,\n", "        PLAIN,\n")
    return product


def test_an_added_backend_is_listed_tested_and_accepted_by_the_settings(
    extended: ProductCopy,
) -> None:
    rows = json.loads(extended.run("devices", "--json").partition("]")[0] + "]")
    plain = next(row for row in rows if row["backend"] == "plain")
    assert (plain["name"], plain["usable"]) == ("plain:0", True)

    assert "known answers" in extended.run("selftest", "-d", "plain:0", "-a", "kawpow")

    extended.write("rig.toml", SETTINGS)
    extended.run("config", "check", "rig.toml")
    assert '"plain"' in extended.run("config", "reference")
