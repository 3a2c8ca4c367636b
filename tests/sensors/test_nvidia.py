from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pynvml  # type: ignore[import-untyped]
import pytest

from miner.errors import BackendUnavailable, DeviceError
from miner.sensors.nvidia import Nvml
from miner.telemetry import Reading
from tests.sensors.nvml import FIRST, NOT_SUPPORTED, Card, FakeNvml

WHOLE = Reading(
    temperature=64.0,
    memory_temperature=92.0,
    hotspot_temperature=77.0,
    power=118.25,
    power_limit=130.0,
    fan=55.0,
    core_clock=1515.0,
    memory_clock=9251.0,
    memory_used=4_500_000_000.0,
    utilization=100.0,
    throttle="power limit",
)


def read(card: Card) -> Reading:
    return Nvml(FakeNvml({FIRST: card}).module).card("0000:01:00.0", None).read()


def test_every_value_has_its_unit() -> None:
    assert read(Card()) == WHOLE


@pytest.mark.parametrize(
    ("question", "field"),
    [
        ("Temperature", "temperature"),
        ("MemoryTemperature", "memory_temperature"),
        ("Hotspot", "hotspot_temperature"),
        ("PowerUsage", "power"),
        ("FanSpeed", "fan"),
        ("Graphics", "core_clock"),
        ("Memory", "memory_clock"),
        ("MemoryInfo", "memory_used"),
        ("UtilizationRates", "utilization"),
    ],
)
@pytest.mark.parametrize(
    "error", [NOT_SUPPORTED, pynvml.NVML_ERROR_UNKNOWN, pynvml.NVML_ERROR_NO_PERMISSION]
)
def test_a_value_that_fails_is_unknown_and_the_others_are_read(
    question: str, field: str, error: int
) -> None:
    card = Card(errors={question: error})
    assert read(card) == replace(WHOLE, **{field: None})  # type: ignore[arg-type]


def test_a_card_without_any_value_has_an_unknown_reading() -> None:
    assert read(Card(values={})) == Reading()


def test_the_fan_is_between_0_and_100_percent() -> None:
    card = Card()
    card.values["FanSpeed"] = 0
    assert read(card).fan == 0.0
    card.values["FanSpeed"] = 104
    assert read(card).fan == 100.0


@pytest.mark.parametrize("answer", [(0, 0), (NOT_SUPPORTED, 4711)])
def test_memory_without_a_sensor_has_an_unknown_temperature(answer: tuple[int, int]) -> None:
    card = Card()
    card.values["MemoryTemperature"] = answer
    assert read(card).memory_temperature is None


def test_a_power_of_zero_is_unknown() -> None:
    card = Card()
    card.values["PowerUsage"] = 0
    assert read(card).power is None


def test_older_drivers_are_read_through_older_functions() -> None:
    missing = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
    card = Card(
        errors={
            "Temperature": missing,
            "EnforcedPowerLimit": missing,
            "ClocksEventReasons": missing,
        }
    )
    card.values |= {"OldTemperature": 63, "ClocksThrottleReasons": 0x60}
    reading = read(card)
    assert reading.temperature == 63.0
    assert reading.power_limit == 140.0
    assert reading.throttle == "temperature, temperature by hardware"


def test_functions_that_an_older_package_lacks_are_skipped() -> None:
    fake = FakeNvml({FIRST: Card()})
    del fake.module.nvmlDeviceGetTemperatureV
    del fake.module.NVML_TEMPERATURE_GPU_MAX
    fake.cards[FIRST].values["OldTemperature"] = 63
    reading = Nvml(fake.module).card("01:00.0", None).read()
    assert (reading.temperature, reading.hotspot_temperature) == (63.0, None)


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0, ""),
        (pynvml.nvmlClocksEventReasonGpuIdle, ""),
        (pynvml.nvmlClocksEventReasonApplicationsClocksSetting, "clocks set by the user"),
        (pynvml.nvmlClocksEventReasonSwPowerCap, "power limit"),
        (pynvml.nvmlClocksEventReasonHwSlowdown, "hardware slowdown"),
        (pynvml.nvmlClocksEventReasonSwThermalSlowdown, "temperature"),
        (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, "power brake"),
        (0x4 | 0x20, "power limit, temperature"),
        (1 << 40, ""),
    ],
)
def test_throttle_reasons_are_named(bits: int, words: str) -> None:
    card = Card()
    card.values["ClocksEventReasons"] = bits
    assert read(card).throttle == (words or None)


@pytest.mark.parametrize("address", ["0000:01:00.0", "01:00.0", "00000000:01:00.0", "0:1:0.0"])
def test_a_card_is_found_by_its_address_in_any_width(address: str) -> None:
    nvml = Nvml(FakeNvml({FIRST: Card()}).module)
    assert nvml.card(address, None).read() == WHOLE


def test_a_card_with_an_unknown_address_is_found_by_its_uuid() -> None:
    nvml = Nvml(FakeNvml({FIRST: Card(uuid="GPU-77")}).module)
    assert nvml.card("0000:09:00.0", "GPU-77").identity == "GPU-77"
    assert nvml.card(None, "GPU-77").identity == nvml.card("01:00.0", None).identity


def test_a_card_that_nvml_does_not_find_is_an_error_with_both_names() -> None:
    nvml = Nvml(FakeNvml({FIRST: Card()}).module)
    with pytest.raises(DeviceError, match=r"NVML_ERROR_NOT_FOUND for 0000:09:00.0, .* for GPU-9"):
        nvml.card("0000:09:00.0", "GPU-9")
    with pytest.raises(DeviceError, match="neither its PCI address nor its UUID"):
        nvml.card(None, None)


@pytest.mark.parametrize(
    "name", ["NVML_ERROR_GPU_IS_LOST", "NVML_ERROR_RESET_REQUIRED", "NVML_ERROR_UNINITIALIZED"]
)
def test_a_lost_card_is_an_error_with_its_name(name: str) -> None:
    card = Card()
    nvml = Nvml(FakeNvml({FIRST: card}).module)
    found = nvml.card("01:00.0", None)
    card.every_error = getattr(pynvml, name)
    with pytest.raises(DeviceError, match=name):
        found.read()


def test_a_card_lost_between_two_values_is_an_error() -> None:
    card = Card(errors={"FanSpeed": pynvml.NVML_ERROR_GPU_IS_LOST})
    with pytest.raises(DeviceError, match="NVML_ERROR_GPU_IS_LOST: the card does not answer"):
        read(card)


def test_an_error_of_an_earlier_reading_is_forgotten() -> None:
    card = Card(errors={"FanSpeed": pynvml.NVML_ERROR_UNKNOWN})
    found = Nvml(FakeNvml({FIRST: card}).module).card("01:00.0", None)
    found.read()
    card.every_error, card.errors = NOT_SUPPORTED, {}
    assert found.read() == Reading()


def test_a_reading_in_which_every_value_fails_is_an_error() -> None:
    with pytest.raises(DeviceError, match="NVML_ERROR_UNKNOWN"):
        read(Card(every_error=pynvml.NVML_ERROR_UNKNOWN))


def test_a_missing_driver_is_explained() -> None:
    fake = FakeNvml({}, init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    with pytest.raises(BackendUnavailable, match=r"NVML_ERROR_LIBRARY_NOT_FOUND.*utility"):
        Nvml(fake.module)


def test_an_error_without_a_name_has_its_number() -> None:
    nvml = Nvml(FakeNvml({}).module)
    assert nvml.name_of(pynvml.NVMLError(4711)) == "NVML error 4711"


def test_the_library_is_initialised_and_shut_down_once() -> None:
    fake = FakeNvml({FIRST: Card()})
    nvml = Nvml(fake.module)
    nvml.close()
    assert fake.calls == ["init", "shutdown"]


def test_importing_the_sensors_loads_no_driver() -> None:
    code = "import sys, miner.sensors.sensors; sys.exit('pynvml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_function_of_the_fake_exists_in_the_package() -> None:
    fake = FakeNvml({})
    for name in vars(fake.module):
        assert hasattr(pynvml, name), name


def test_an_xid_is_reported_once_with_its_meaning() -> None:
    card = Card(xids=[79, 31, 31, 999])
    found = Nvml(FakeNvml({FIRST: card}).module).card("01:00.0", None)
    assert found.driver_errors() == [
        "the driver reports Xid 79, the card has fallen off the bus",
        "the driver reports Xid 31, an access outside of memory",
        "the driver reports Xid 999",
    ]
    assert found.driver_errors() == []


def test_the_xids_of_one_call_are_limited() -> None:
    card = Card(xids=[13] * 1000)
    found = Nvml(FakeNvml({FIRST: card}).module).card("01:00.0", None)
    assert len(found.driver_errors()) == 1
    assert len(card.xids) == 984


def test_a_card_without_xid_events_is_read() -> None:
    card = Card(errors={"Events": NOT_SUPPORTED}, xids=[31])
    found = Nvml(FakeNvml({FIRST: card}).module).card("01:00.0", None)
    assert found.driver_errors() == []
    assert found.read() == WHOLE
