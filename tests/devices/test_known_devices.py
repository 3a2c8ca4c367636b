"""What is known of OpenCL's platforms and devices: their order, addresses and launch shapes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from miner.codegen.launch_shape import shape_named
from miner.devices.opencl.opencl_drivers import (
    KNOWN_DEVICES,
    identity,
    known_shape,
    platforms_of,
)

AMD = "AMD Accelerated Parallel Processing"


@pytest.mark.parametrize(
    ("device", "shape"),
    [
        ("gfx803", "gpu-gcn"),
        ("gfx900:xnack-", "gpu-gcn"),
        ("gfx906:sramecc+:xnack-", "gpu-gcn"),
        ("gfx908", "gpu-gcn"),
        ("gfx90a:sramecc+:xnack-", "gpu-amd"),
        ("gfx942", "gpu-amd"),
        ("gfx1010:xnack-", "gpu-rdna"),
        ("gfx1030", "gpu-rdna"),
        ("gfx1100", "gpu-amd"),
        ("gfx1201", "gpu-amd"),
    ],
)
def test_amd_devices_start_with_the_shape_of_their_architecture(device: str, shape: str) -> None:
    assert known_shape(AMD, device) == shape


@pytest.mark.parametrize(
    ("platform", "device"),
    [
        (AMD, "Ellesmere"),
        ("rusticl", "AMD Radeon RX 6800 (radeonsi, navi21, LLVM 15.0.6)"),
        ("rusticl", "gfx1030"),
        ("Intel(R) OpenCL Graphics", "Intel(R) Arc(TM) A770 Graphics"),
        ("NVIDIA CUDA", "NVIDIA GeForce RTX 3070"),
        ("Portable Computing Language", "cpu-haswell-AMD EPYC"),
    ],
)
def test_other_devices_start_with_the_default_of_their_backend(platform: str, device: str) -> None:
    assert known_shape(platform, device) is None


def test_llvmpipe_starts_with_a_shape_that_it_compiles_in_seconds() -> None:
    assert known_shape("rusticl", "llvmpipe (LLVM 15.0.6, 256 bits)") == "gpu@1"


def test_every_row_names_a_shape_for_gpus_and_applies_to_some_device() -> None:
    for row in KNOWN_DEVICES:
        assert shape_named(row.shape).family == "lanes"
        assert row.platform == row.platform.lower()
        assert row.device == row.device.lower()


def cl_with(*platforms: tuple[str, str, str]) -> Any:
    """Return a PyOpenCL that lists platforms of these names and versions, with a device of each
    letter."""
    listed = [
        SimpleNamespace(
            name=name,
            version=version,
            get_devices=lambda cards=cards: [SimpleNamespace(name=card) for card in cards],
        )
        for name, version, cards in platforms
    ]
    return SimpleNamespace(get_platforms=lambda: listed, Error=RuntimeError)


def test_platforms_have_the_same_numbers_in_whatever_order_the_loader_lists_them() -> None:
    platforms = (
        ("rusticl", "OpenCL 3.0", "a"), (AMD, "OpenCL 2.1 (3590)", "b"),
        (AMD, "OpenCL 2.1 (3513)", "bc"), (AMD, "OpenCL 2.1 (3513)", "a"),
        ("NVIDIA CUDA", "OpenCL 3.0", ""), ("Clover", "OpenCL 1.1", "a"),
    )  # fmt: skip
    wanted = [
        ("opencl:0", AMD, "a"), ("opencl:1", AMD, "bc"), ("opencl:2", AMD, "b"),
        ("opencl:3", "rusticl", "a"), ("opencl:4", "Clover", "a"), ("opencl:5", "NVIDIA CUDA", ""),
    ]  # fmt: skip
    for order in (platforms, platforms[::-1]):
        found = platforms_of(cl_with(*order))
        assert [
            (one.name, one.platform.name, "".join(d.name for d in one.devices)) for one in found
        ] == wanted
        assert [one.reason for one in found if one.reason] == ["it lists none"]


@pytest.mark.parametrize(
    ("facts", "pci"),
    [
        ({"pci_bus_info_khr": (0, 3, 0, 0)}, "0000:03:00.0"),
        ({"pci_bus_info_khr": (0, 0, 0, 0), "topology_amd": (4, 0, 1)}, "0000:04:00.1"),
        ({"pci_bus_id_nv": 0, "pci_slot_id_nv": 0}, None),
        ({}, None),
    ],
)
def test_an_address_that_a_driver_left_empty_identifies_no_card(
    facts: dict[str, Any], pci: str | None
) -> None:
    fields = {
        "pci_bus_info_khr": ("pci_domain", "pci_bus", "pci_device", "pci_function"),
        "topology_amd": ("bus", "device", "function"),
    }
    answers = {
        key: SimpleNamespace(**dict(zip(fields[key], value, strict=True)))
        if key in fields
        else value
        for key, value in facts.items()
    }
    device = SimpleNamespace(
        name="card", vendor="vendor", driver_version="1", global_mem_size=1, max_mem_alloc_size=1,
        max_compute_units=1, available=True, compiler_available=True, type=4,
        opencl_c_version="OpenCL C 1.2", **answers,
    )  # fmt: skip
    cl: Any = SimpleNamespace(device_type=SimpleNamespace(GPU=4, CPU=2))
    assert identity(cl, "opencl:0.0", SimpleNamespace(name="platform"), device).pci == pci


def test_a_device_that_its_driver_does_not_describe_hides_no_other() -> None:
    class Lost:
        def __getattr__(self, fact: str) -> Any:
            raise RuntimeError("the card is gone")

    cl = cl_with((AMD, "OpenCL 2.1", "a"))
    platform = cl.get_platforms()[0]
    card, lost = SimpleNamespace(name="a"), Lost()
    platform.get_devices = lambda: [lost, card]
    (found,) = platforms_of(cl)
    assert found.devices == [lost, card]
    info = identity(cl, "opencl:0.0", platform, lost)
    assert info.unusable == "the driver does not describe it: the card is gone"
