"""Memory of OpenCL's CPU devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miner.devices.opencl.opencl_memory import HUGE_PAGE, huge_pages

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def mapped_in_huge_pages(address: int) -> int:
    """Return the bytes in huge pages of this process's mapping that contains `address`."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):
            start, end = (int(part, 16) for part in first.split("-"))
            inside = start <= address < end
        elif inside and first == "AnonHugePages:":
            return int(rest[0]) * 1024
    raise AssertionError("no mapping has this address")


def test_a_dataset_of_a_cpu_device_lies_in_huge_pages() -> None:
    if not SETTING.is_file() or "[never]" in SETTING.read_text():
        pytest.skip(f"this system has no transparent huge pages ({SETTING})")
    memory = huge_pages(16 * HUGE_PAGE)
    assert memory is not None
    memory[:] = 1
    # The system may be short of some of them.
    assert mapped_in_huge_pages(memory.ctypes.data) >= 8 * HUGE_PAGE


@pytest.mark.parametrize("size", [1, 256, HUGE_PAGE + 1])
def test_memory_is_zeroed_and_aligned_for_any_size(size: int) -> None:
    memory = huge_pages(size)
    if memory is None:
        pytest.skip("this system has no huge pages")
    assert memory.nbytes == size
    assert memory.ctypes.data % HUGE_PAGE == 0
    assert not np.any(memory)


def test_memory_that_the_system_cannot_map_is_left_to_the_driver() -> None:
    assert huge_pages(1 << 60) is None
