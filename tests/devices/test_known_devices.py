from __future__ import annotations

import pytest

from miner.codegen.launch_shape import shape_named
from miner.devices.opencl.opencl_drivers import KNOWN_DEVICES, known_shape

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
    assert known_shape("rusticl", "llvmpipe (LLVM 15.0.6, 256 bits)") == "gpu"


def test_every_row_names_a_shape_for_gpus_and_applies_to_some_device() -> None:
    for row in KNOWN_DEVICES:
        assert shape_named(row.shape).family == "lanes"
        assert row.platform == row.platform.lower()
        assert row.device == row.device.lower()
