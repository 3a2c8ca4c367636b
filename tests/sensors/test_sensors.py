from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pynvml  # type: ignore[import-untyped]
import pytest

from miner.errors import DeviceError
from miner.sensors.sensors import Sensors, open_sensors
from miner.telemetry import Reading
from miner.work import DeviceInfo
from tests.fakes.clock import FakeClock
from tests.sensors.nvml import FIRST, Card, FakeNvml
from tests.sensors.tree import AMD, INTEL, amd_tree, device_folder, info, write

WAIT = 20.0


class FakeSource:
    """A source with an answer that the test sets."""

    def __init__(self, answer: Reading | Exception) -> None:
        self.answer = answer
        self.identity = str(id(self))
        self.reads = 0
        self.closed = 0

    def read(self) -> Reading:
        self.reads += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def driver_errors(self) -> list[str]:
        return []

    def close(self) -> None:
        self.closed += 1


def opened(sysfs: Path, *devices: DeviceInfo, nvml: Any = None) -> Sensors:
    return open_sensors(devices, FakeClock(), sysfs, nvml or FakeNvml({}).module)


def test_each_device_is_read_by_its_vendors_source(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    write(
        device_folder(tmp_path, INTEL),
        {"hwmon/hwmon1/name": "xe", "hwmon/hwmon1/temp2_input": 44_000,
         "hwmon/hwmon1/temp2_label": "pkg"},
    )  # fmt: skip
    write(tmp_path / "class/hwmon/hwmon0", {"name": "cpu_thermal", "temp1_input": 39_000})
    sensors = opened(
        tmp_path,
        info("cuda:0", "nvidia", "0000:01:00.0"),
        info("opencl:0.0", "amd", AMD),
        info("opencl:1.0", "intel", INTEL),
        info("ref", "intel", kind="cpu"),
        nvml=FakeNvml({FIRST: Card()}).module,
    )
    temperatures = {name: reading.temperature for name, reading in sensors.read().items()}
    assert temperatures == {"cuda:0": 64.0, "opencl:0.0": 61.0, "opencl:1.0": 44.0, "ref": 39.0}
    assert sensors.missing == []


def test_an_unknown_vendor_is_found_by_its_pci_number(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    sensors = opened(tmp_path, info("opencl:0.0", "Mesa", AMD))
    assert sensors.read()["opencl:0.0"].temperature == 61.0


def test_devices_without_sensors_are_reported_with_the_reason(tmp_path: Path) -> None:
    sensors = opened(
        tmp_path,
        info("opencl:0.0", "nvidia", "0000:01:00.0"),
        info("opencl:0.1", "amd"),
        info("opencl:0.2", "Imagination"),
        info("fake:0", "", kind="cpu"),
    )
    assert sensors.read() == dict.fromkeys(
        ("opencl:0.0", "opencl:0.1", "opencl:0.2", "fake:0"), Reading()
    )
    assert [sentence.partition(": no sensors: ")[0] for sentence in sensors.missing] == [
        "opencl:0.0", "opencl:0.1", "opencl:0.2", "fake:0",
    ]  # fmt: skip
    assert "NVML_ERROR_NOT_FOUND" in sensors.missing[0]
    assert "does not report its PCI address" in sensors.missing[1]


def test_without_nvml_the_other_vendors_are_read(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    fake = FakeNvml({}, init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    sensors = opened(
        tmp_path,
        info("cuda:0", "nvidia", "0000:01:00.0"),
        info("cuda:1", "nvidia", "0000:02:00.0"),
        info("opencl:0.0", "amd", AMD),
        nvml=fake.module,
    )
    assert fake.calls == ["init"]
    assert [sentence[:6] for sentence in sensors.missing] == ["cuda:0", "cuda:1"]
    assert sensors.read()["opencl:0.0"].power == 121.0
    sensors.close()
    assert fake.calls == ["init"]


def test_an_unexpected_error_at_opening_costs_one_device_its_sensors(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    fake = FakeNvml({})
    fake.module.nvmlInit = None
    devices = info("cuda:0", "nvidia", "0000:01:00.0"), info("opencl:0.0", "amd", AMD)
    sensors = opened(tmp_path, *devices, nvml=fake.module)
    (sentence,) = sensors.missing
    assert sentence.startswith("cuda:0: no sensors: TypeError: ")
    assert sensors.read()["opencl:0.0"].power == 121.0


def test_without_nvidia_cards_nvml_is_not_loaded(tmp_path: Path) -> None:
    amd_tree(tmp_path)
    fake = FakeNvml({})
    opened(tmp_path, info("opencl:0.0", "amd", AMD), nvml=fake.module).close()
    assert fake.calls == []


def test_a_card_with_two_names_is_read_once(tmp_path: Path) -> None:
    card = Card(uuid="GPU-5")
    sensors = opened(
        tmp_path,
        info("cuda:0", "nvidia", None, "GPU-5"),
        info("opencl:0.0", "nvidia", "01:00.0"),
        nvml=FakeNvml({FIRST: card}).module,
    )
    readings = sensors.read()
    assert card.asked.count("PowerUsage") == 1
    assert readings["cuda:0"] == readings["opencl:0.0"] != Reading()


@pytest.mark.parametrize("error", [DeviceError("NVML says so"), OSError("odd"), KeyError("x")])
def test_a_failing_source_does_not_affect_the_others(error: Exception) -> None:
    good, bad = FakeSource(Reading(temperature=50.0)), FakeSource(error)
    sensors = Sensors({"a": bad, "b": good})
    assert sensors.read() == {"a": Reading(), "b": Reading(temperature=50.0)}
    (sentence,) = sensors.missing
    assert sentence.startswith("a: sensors do not answer: ")
    assert str(error) in sentence
    bad.answer = Reading(temperature=40.0)
    assert sensors.read()["a"].temperature == 40.0
    assert sensors.missing == []


def test_a_lost_card_is_reported_with_its_error(tmp_path: Path) -> None:
    lost, well = Card(uuid="GPU-1"), Card(uuid="GPU-2")
    fake = FakeNvml({FIRST: lost, "00000000:02:00.0": well})
    sensors = opened(
        tmp_path,
        info("cuda:0", "nvidia", "0000:01:00.0"),
        info("cuda:1", "nvidia", "0000:02:00.0"),
        nvml=fake.module,
    )
    lost.every_error = pynvml.NVML_ERROR_GPU_IS_LOST
    readings = sensors.read()
    assert readings["cuda:0"] == Reading()
    assert readings["cuda:1"].temperature == 64.0
    assert len(sensors.missing) == 1
    assert "NVML_ERROR_GPU_IS_LOST" in sensors.missing[0]


def test_an_error_of_the_driver_is_reported_once_with_the_device(tmp_path: Path) -> None:
    card = Card(xids=[79])
    sensors = opened(
        tmp_path,
        info("cuda:0", "nvidia", "0000:01:00.0"),
        info("opencl:0.0", "nvidia", "0000:01:00.0"),
        nvml=FakeNvml({FIRST: card}).module,
    )
    sensors.read()
    assert sensors.driver_errors == [
        "cuda:0: the driver reports Xid 79, the card has fallen off the bus"
    ]
    sensors.read()
    assert sensors.driver_errors == []
    card.xids.append(79)
    card.every_error = pynvml.NVML_ERROR_GPU_IS_LOST
    sensors.read()
    assert len(sensors.driver_errors) == 1, "a lost card may still report its Xid"


def test_closing_closes_each_source_and_the_library_once(tmp_path: Path) -> None:
    source = FakeSource(Reading())
    closings: list[str] = []
    sensors = Sensors({"a": source, "b": source}, close_library=lambda: closings.append("library"))
    sensors.close()
    sensors.close()
    assert (source.closed, closings) == (1, ["library"])


def test_closing_does_not_wait_for_a_read_that_hangs() -> None:
    begun, over = threading.Event(), threading.Event()

    class Hanging(FakeSource):
        def read(self) -> Reading:
            begun.set()
            assert over.wait(WAIT)
            return super().read()

    source = Hanging(Reading())
    sensors = Sensors({"a": source})
    thread = threading.Thread(target=sensors.read)
    thread.start()
    try:
        assert begun.wait(WAIT)
        sensors.close()
        assert source.closed == 0
    finally:
        over.set()
        thread.join()
