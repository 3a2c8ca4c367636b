from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from miner.errors import DeviceError
from miner.sensors.sysfs import AmdCard
from miner.telemetry import Reading
from tests.sensors.tree import AMD, amd_tree, device_folder, write

WHOLE = Reading(
    temperature=61.0,
    memory_temperature=84.0,
    hotspot_temperature=78.5,
    power=121.0,
    power_limit=203.0,
    fan=40.0,
    core_clock=1350.0,
    memory_clock=1000.0,
    memory_used=4_831_838_208.0,
    utilization=99.0,
)


def test_every_value_has_its_unit(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    assert AmdCard(AMD, tmp_path).read() == WHOLE


@pytest.mark.parametrize(
    ("files", "field"),
    [
        (("temp2",), "hotspot_temperature"),
        (("temp3",), "memory_temperature"),
        (("power1_average",), "power"),
        (("power1_cap",), "power_limit"),
        (("pwm1", "fan1"), "fan"),
        (("freq1",), "core_clock"),
        (("freq2",), "memory_clock"),
        (("mem_info",), "memory_used"),
        (("gpu_busy",), "utilization"),
    ],
)
def test_a_value_without_a_file_is_unknown(
    tmp_path: Path, files: tuple[str, ...], field: str
) -> None:
    amd_tree(tmp_path, *files)
    assert AmdCard(AMD, tmp_path).read() == replace(WHOLE, **{field: None})  # type: ignore[arg-type]


def test_an_unreadable_value_is_unknown(tmp_path: Path) -> None:
    amd_tree(tmp_path, "power1_average", "gpu_busy")
    # A folder in the file's place fails at reading, as a driver's file with EINVAL does.
    (device_folder(tmp_path, AMD) / "hwmon/hwmon3/power1_average").mkdir()
    write(device_folder(tmp_path, AMD), {"gpu_busy_percent": "N/A"})
    assert AmdCard(AMD, tmp_path).read() == replace(WHOLE, power=None, utilization=None)


def test_newer_kernels_have_the_present_power(tmp_path: Path) -> None:
    amd_tree(tmp_path, "power1_average", power1_input=87_500_000)
    assert AmdCard(AMD, tmp_path).read().power == 87.5


def test_a_power_of_zero_is_unknown(tmp_path: Path) -> None:
    amd_tree(tmp_path, power1_average=0)
    assert AmdCard(AMD, tmp_path).read().power is None


def test_older_kernels_have_one_sensor_without_a_label(tmp_path: Path) -> None:
    amd_tree(tmp_path, "temp2", "temp3", "temp1_label", "freq1_label", "freq2_label")
    reading = AmdCard(AMD, tmp_path).read()
    assert reading == replace(WHOLE, memory_temperature=None, hotspot_temperature=None)


def test_the_core_temperature_of_an_accelerator_is_its_junction(tmp_path: Path) -> None:
    amd_tree(tmp_path, "temp1")
    assert AmdCard(AMD, tmp_path).read() == replace(WHOLE, temperature=78.5)


def test_the_511_degrees_of_a_dead_chip_are_unknown(tmp_path: Path) -> None:
    amd_tree(tmp_path, temp1_input=511_000, temp2_input=511_000, temp3_input=511_000)
    reading = AmdCard(AMD, tmp_path).read()
    unknown = (None, None, None)
    assert (
        reading.temperature,
        reading.hotspot_temperature,
        reading.memory_temperature,
    ) == unknown


@pytest.mark.parametrize(("drive", "percent"), [(0, 0.0), (255, 100.0), (51, 20.0)])
def test_the_drive_of_the_fan_is_returned_in_percent(
    tmp_path: Path, drive: int, percent: float
) -> None:
    amd_tree(tmp_path, pwm1=drive)
    assert AmdCard(AMD, tmp_path).read().fan == percent


def test_the_drive_of_the_fan_may_have_its_own_range(tmp_path: Path) -> None:
    amd_tree(tmp_path, pwm1=50, pwm1_max=100)
    assert AmdCard(AMD, tmp_path).read().fan == 50.0


def test_another_chip_on_the_card_is_ignored(tmp_path: Path) -> None:
    folder = amd_tree(tmp_path)
    write(folder / "hwmon/hwmon0", {"name": "other", "temp1_input": 20_000})
    assert AmdCard(AMD, tmp_path).read() == WHOLE


def test_without_a_drive_the_speed_of_the_fan_is_returned_in_percent(tmp_path: Path) -> None:
    amd_tree(tmp_path, "pwm1", fan1_input=1650)
    assert AmdCard(AMD, tmp_path).read().fan == 50.0
    amd_tree(tmp_path, fan1_max=0)
    (device_folder(tmp_path, AMD) / "hwmon/hwmon3/pwm1").unlink()
    assert AmdCard(AMD, tmp_path).read().fan is None


def test_a_renamed_hwmon_folder_is_found(tmp_path: Path) -> None:
    folder = amd_tree(tmp_path)
    card = AmdCard(AMD, tmp_path)
    (folder / "hwmon/hwmon3").rename(folder / "hwmon/hwmon9")
    assert card.read() == WHOLE


def test_a_removed_card_is_an_error(tmp_path: Path) -> None:
    folder = amd_tree(tmp_path)
    card = AmdCard(AMD, tmp_path)
    shutil.rmtree(folder)
    with pytest.raises(DeviceError, match=f"{AMD} is gone"):
        card.read()


def test_a_card_without_its_driver_is_an_error(tmp_path: Path) -> None:
    write(device_folder(tmp_path, AMD), {"vendor": "0x1002"})
    with pytest.raises(DeviceError, match="amdgpu"):
        AmdCard(AMD, tmp_path)
