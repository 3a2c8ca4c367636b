from __future__ import annotations

from pathlib import Path

import pytest

from miner.errors import DeviceError
from miner.sensors.sysfs import Processor
from miner.telemetry import Reading
from tests.sensors.tree import write

CORETEMP = {
    "class/hwmon/hwmon1/name": "coretemp",
    "class/hwmon/hwmon1/temp1_input": 67_000,
    "class/hwmon/hwmon1/temp1_label": "Package id 0",
    "class/hwmon/hwmon1/temp2_input": 69_000,
    "class/hwmon/hwmon1/temp2_label": "Core 0",
    "class/hwmon/hwmon0/name": "nvme",
    "class/hwmon/hwmon0/temp1_input": 88_000,
}
RAPL = {
    "class/powercap/intel-rapl:0/name": "package-0",
    "class/powercap/intel-rapl:0/energy_uj": 262_100_000_000,
    "class/powercap/intel-rapl:0/max_energy_range_uj": 262_143_000_000,
    "class/powercap/intel-rapl:0:0/name": "core",
    "class/powercap/intel-rapl:0:0/energy_uj": 1_000,
    "class/powercap/intel-rapl:1/name": "psys",
    "class/powercap/intel-rapl:1/energy_uj": 1_000,
}


def processor(sysfs: Path, *times: float) -> Processor:
    clock = iter(times)
    return Processor(sysfs, lambda: next(clock))


def test_the_temperature_is_that_of_the_package(tmp_path: Path) -> None:
    write(tmp_path, CORETEMP)
    assert processor(tmp_path, 0.0).read() == Reading(temperature=67.0)


def test_the_temperature_is_that_of_the_hottest_socket(tmp_path: Path) -> None:
    second = {
        "class/hwmon/hwmon2/name": "coretemp",
        "class/hwmon/hwmon2/temp1_input": 71_000,
        "class/hwmon/hwmon2/temp1_label": "Package id 1",
    }
    write(tmp_path, CORETEMP | second)
    assert processor(tmp_path, 0.0).read().temperature == 71.0


def test_tdie_is_preferred_to_tctl(tmp_path: Path) -> None:
    files = {
        "class/hwmon/hwmon4/name": "k10temp",
        "class/hwmon/hwmon4/temp1_input": 85_000,
        "class/hwmon/hwmon4/temp1_label": "Tctl",
    }
    write(tmp_path, files)
    assert processor(tmp_path, 0.0).read().temperature == 85.0
    write(tmp_path / "class/hwmon/hwmon4", {"temp2_input": 65_000, "temp2_label": "Tdie"})
    assert processor(tmp_path, 0.0).read().temperature == 65.0


def test_power_is_that_of_the_package_even_when_the_counter_wraps(tmp_path: Path) -> None:
    write(tmp_path, CORETEMP | RAPL)
    cpu = processor(tmp_path, 0.0, 2.0)
    assert cpu.read().power is None
    write(tmp_path, {"class/powercap/intel-rapl:0/energy_uj": 17_000_000})
    assert cpu.read() == Reading(temperature=67.0, power=30.0)


def test_power_is_the_sum_of_all_sockets_and_unknown_when_one_is(tmp_path: Path) -> None:
    second = {
        "class/powercap/intel-rapl:1/name": "package-1",
        "class/powercap/intel-rapl:1/energy_uj": 0,
    }
    write(tmp_path, RAPL | second)
    cpu = processor(tmp_path, 0.0, 1.0, 2.0)
    cpu.read()
    write(tmp_path, {"class/powercap/intel-rapl:0/energy_uj": 262_140_000_000})
    write(tmp_path, {"class/powercap/intel-rapl:1/energy_uj": 60_000_000})
    assert cpu.read().power == 100.0
    (tmp_path / "class/powercap/intel-rapl:1/energy_uj").unlink()
    assert cpu.read().power is None


def test_power_is_unknown_when_only_root_can_read_the_counter(tmp_path: Path) -> None:
    write(tmp_path, CORETEMP | RAPL)
    # A folder in the file's place fails at reading for root, too.
    counter = tmp_path / "class/powercap/intel-rapl:0/energy_uj"
    counter.unlink()
    counter.mkdir()
    cpu = processor(tmp_path, 0.0, 1.0)
    assert (cpu.read(), cpu.read()) == (Reading(temperature=67.0), Reading(temperature=67.0))


def test_a_machine_without_readable_sensors_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no energy counter is readable"):
        processor(tmp_path)
