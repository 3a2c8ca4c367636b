from __future__ import annotations

import pytest

from miner.sensors.sysfs import EnergyMeter


def test_power_is_the_mean_between_two_readings() -> None:
    meter = EnergyMeter()
    assert meter.power(10.0, 5_000_000.0) is None
    assert meter.power(12.0, 245_000_000.0) == 120.0
    assert meter.power(13.0, 275_000_000.0) == 30.0


def test_a_counter_that_wraps_is_corrected_by_its_range() -> None:
    meter = EnergyMeter(wraps_at=262_143_000_000.0)
    meter.power(0.0, 262_100_000_000.0)
    assert meter.power(2.0, 17_000_000.0) == 30.0


def test_without_its_range_a_counter_that_wraps_gives_no_power_once() -> None:
    meter = EnergyMeter()
    meter.power(0.0, 9_000_000.0)
    assert meter.power(1.0, 1_000_000.0) is None
    assert meter.power(2.0, 6_000_000.0) == 5.0


def test_after_an_unknown_reading_the_power_is_unknown() -> None:
    meter = EnergyMeter()
    meter.power(0.0, 0.0)
    assert meter.power(1.0, 50_000_000.0) == 50.0
    assert meter.power(2.0, None) is None
    assert meter.power(3.0, 90_000_000.0) is None
    assert meter.power(4.0, 100_000_000.0) == 10.0


def test_two_readings_at_the_same_time_have_the_same_power() -> None:
    meter = EnergyMeter()
    meter.power(0.0, 0.0)
    assert meter.power(1.0, 50_000_000.0) == 50.0
    assert meter.power(1.0, 50_000_000.0) == 50.0


def test_a_constant_counter_gives_no_power() -> None:
    meter = EnergyMeter()
    meter.power(0.0, 7.0)
    assert meter.power(1.0, 7.0) == pytest.approx(0.0)
