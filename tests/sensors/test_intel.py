from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from miner.errors import DeviceError
from miner.sensors.sysfs import IntelGpu
from miner.telemetry import Reading
from tests.fakes.clock import FakeClock
from tests.sensors.tree import INTEL, device_folder, write

XE = {
    "hwmon/hwmon5/name": "xe",
    "hwmon/hwmon5/temp2_input": 58_000,
    "hwmon/hwmon5/temp2_label": "pkg",
    "hwmon/hwmon5/temp3_input": 72_000,
    "hwmon/hwmon5/temp3_label": "vram",
    "hwmon/hwmon5/energy1_input": 1_000_000_000,
    "hwmon/hwmon5/energy2_input": 600_000_000,
    "hwmon/hwmon5/power1_max": 0,
    "hwmon/hwmon5/power1_cap": 190_000_000,
    "hwmon/hwmon5/fan1_input": 1200,
    "tile0/gt0/freq0/act_freq": 2400,
    "tile0/gt0/freq0/throttle/status": 1,
    "tile0/gt0/freq0/throttle/reason_pl1": 1,
    "tile0/gt0/freq0/throttle/reason_thermal": 0,
}
I915 = {
    "hwmon/hwmon2/name": "i915",
    "hwmon/hwmon2/temp1_input": 55_000,
    "hwmon/hwmon2/energy1_input": 0,
    "hwmon/hwmon2/power1_max": 175_000_000,
    "drm/card0/gt_act_freq_mhz": 2050,
    "drm/card0/gt/gt0/throttle_reason_thermal": 1,
    "drm/card0/gt/gt0/throttle_reason_pl2": 1,
}


async def test_every_value_of_xe_has_its_unit(tmp_path: Path) -> None:
    folder = write(device_folder(tmp_path, INTEL), XE)
    clock = FakeClock()
    gpu = IntelGpu(INTEL, tmp_path, clock.now)
    first = gpu.read()
    assert first == Reading(
        temperature=58.0,
        memory_temperature=72.0,
        power_limit=190.0,
        core_clock=2400.0,
        throttle="power limit",
    )
    await clock.advance(2.0)
    write(folder, {"hwmon/hwmon5/energy1_input": 1_290_000_000})
    assert gpu.read().power == 145.0


async def test_every_value_of_i915_has_its_unit(tmp_path: Path) -> None:
    folder = write(device_folder(tmp_path, INTEL), I915)
    clock = FakeClock()
    gpu = IntelGpu(INTEL, tmp_path, clock.now)
    write(folder, {"hwmon/hwmon2/energy1_input": 1_000_000})
    gpu.read()
    await clock.advance(1.0)
    write(folder, {"hwmon/hwmon2/energy1_input": 101_000_000})
    assert gpu.read() == Reading(
        temperature=55.0,
        power=100.0,
        power_limit=175.0,
        core_clock=2050.0,
        throttle="power limit, temperature",
    )


def test_the_counter_of_the_package_replaces_a_missing_one_of_the_card(tmp_path: Path) -> None:
    files = {"hwmon/hwmon5/name": "xe", "hwmon/hwmon5/energy2_input": 5_000_000}
    folder = write(device_folder(tmp_path, INTEL), files)
    times = iter([0.0, 1.0])
    gpu = IntelGpu(INTEL, tmp_path, lambda: next(times))
    assert gpu.read() == Reading()
    write(folder, {"hwmon/hwmon5/energy2_input": 75_000_000})
    assert gpu.read() == Reading(power=70.0)


def test_a_gpu_without_sensors_or_removed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="neither i915 nor xe"):
        IntelGpu(INTEL, tmp_path, lambda: 0.0)
    folder = write(device_folder(tmp_path, INTEL), XE)
    gpu = IntelGpu(INTEL, tmp_path, lambda: 0.0)
    shutil.rmtree(folder)
    with pytest.raises(DeviceError, match=f"{INTEL} is gone"):
        gpu.read()
