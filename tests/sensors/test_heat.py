from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.errors import BadValue
from miner.sensors.heat import HeatGuard, HeatLimits
from miner.telemetry import Reading

BOTH = HeatLimits(90.0, 75.0, 100.0, 80.0)


def guard(limits: HeatLimits = BOTH) -> HeatGuard:
    return HeatGuard({"gpu": limits})


def at(core: float | None = None, memory: float | None = None) -> Reading:
    return Reading(temperature=core, memory_temperature=memory)


def test_a_device_pauses_at_its_stop_and_goes_on_at_its_start() -> None:
    heat = guard()
    assert heat.judge("gpu", at(89.9)) is None
    assert heat.judge("gpu", at(91.0)) == ("overheating: core 91 °C, limit 90 °C, goes on at 75 °C")
    assert heat.judge("gpu", at(75.1)) is not None
    assert heat.judge("gpu", at(75.0)) is None
    assert heat.judge("gpu", at(89.0)) is None
    assert heat.judge("gpu", at(90.0)) is not None


def test_memory_has_limits_of_its_own() -> None:
    heat = guard()
    assert heat.judge("gpu", at(60, 100)) == (
        "overheating: memory 100 °C, limit 100 °C, goes on at 80 °C"
    )
    assert heat.judge("gpu", at(60, 81)) is not None
    assert heat.judge("gpu", at(60, 80)) is None


def test_both_must_be_cool_before_a_device_goes_on() -> None:
    heat = guard()
    heat.judge("gpu", at(95, 85))
    assert heat.judge("gpu", at(70, 85)) == "overheating: memory still warm, goes on at 80 °C"
    assert heat.judge("gpu", at(70, 79)) is None


def test_two_hot_parts_are_both_named() -> None:
    reason = guard().judge("gpu", at(95, 110))
    assert reason is not None
    assert "core 95 °C" in reason
    assert "memory 110 °C" in reason


def test_the_words_stay_the_same_while_it_cools() -> None:
    heat = guard()
    assert len({heat.judge("gpu", at(core)) for core in (93, 96, 90, 84, 76)}) == 1


def test_an_unknown_temperature_pauses_nothing() -> None:
    heat = guard()
    assert heat.judge("gpu", at()) is None
    assert heat.judge("gpu", at(None, 70)) is None


def test_an_overheated_part_that_falls_silent_keeps_the_device_paused() -> None:
    heat = guard()
    heat.judge("gpu", at(95, 70))
    reason = heat.judge("gpu", at(None, 60))
    assert reason is not None
    assert reason.endswith("but its temperature is unknown now")
    assert heat.judge("gpu", at(70, 60)) is None


def test_a_part_that_was_never_too_hot_may_fall_silent() -> None:
    heat = guard()
    heat.judge("gpu", at(95, 85))
    assert heat.judge("gpu", at(70, None)) is None


def test_the_hotspot_is_for_display_only() -> None:
    reading = Reading(temperature=60.0, hotspot_temperature=120.0)
    assert guard().judge("gpu", reading) is None


def test_devices_are_judged_apart_and_one_without_limits_never_pauses() -> None:
    heat = HeatGuard({"a": BOTH, "b": BOTH, "free": HeatLimits()})
    assert heat.judge("a", at(95)) is not None
    assert heat.judge("b", at(80)) is None
    assert heat.judge("free", at(120, 120)) is None
    assert heat.judge("stranger", at(120)) is None


def test_a_start_that_was_not_given_lies_15_degrees_below_its_stop() -> None:
    assert astuple(HeatLimits(90.0, None, 105.0)) == (90.0, 75.0, 105.0, 90.0)
    assert astuple(HeatLimits()) == (None, None, None, None)


@pytest.mark.parametrize("prefix", ["", "memory_"])
@pytest.mark.parametrize(
    ("stop", "start", "words"),
    [
        (80.0, 80.0, "temperature_start: 80 is not below 80, its"),
        (80.0, 85.0, "temperature_start: 85 is not below 80"),
        (80.0, float("nan"), "temperature_start: nan is not below 80"),
        (None, 60.0, "temperature_start: needs a .*temperature_stop above it"),
        (float("nan"), None, "temperature_stop: nan is no temperature"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(
    prefix: str, stop: float | None, start: float, words: str
) -> None:
    values = {f"{prefix}temperature_stop": stop, f"{prefix}temperature_start": start}
    with pytest.raises(BadValue, match=f"^{prefix}{words}"):
        HeatLimits(**values)


temperatures = st.none() | st.floats(20, 130, allow_nan=False)


@st.composite
def limits(draw: st.DrawFn) -> HeatLimits:
    ends: list[float | None] = []
    for _ in range(2):
        stop = draw(st.none() | st.floats(50, 110))
        start = None if stop is None else draw(st.none() | st.floats(30, stop - 1))
        ends += [stop, start]
    return HeatLimits(*ends)


@given(limits(), st.lists(st.tuples(temperatures, temperatures), max_size=40))
def test_over_any_walk_no_hot_device_runs_and_none_goes_on_warm(
    limit: HeatLimits, walk: list[tuple[float | None, float | None]]
) -> None:
    heat = HeatGuard({"gpu": limit})
    pairs = (
        (limit.temperature_stop, limit.temperature_start),
        (limit.memory_temperature_stop, limit.memory_temperature_start),
    )
    paused = False
    overheated = [False, False]
    for values in walk:
        reason = heat.judge("gpu", at(*values))
        reached = cool = False
        for part, (value, (stop, start)) in enumerate(zip(values, pairs, strict=True)):
            if stop is None or start is None or value is None:
                continue
            overheated[part] |= value >= stop
            reached |= value >= stop
            cool = value <= start
            overheated[part] &= not cool
            if paused and reason is None:
                assert cool, "it went on above its start"
        if reached:
            assert reason is not None, "it ran on at its stop"
        if reason is None:
            assert not any(overheated), "it went on without knowing that it cooled"
        if not paused and not reached:
            assert reason is None, "it paused below its stop"
        paused = reason is not None


def test_a_limit_that_is_taken_away_holds_no_device_back() -> None:
    heat = guard()
    assert heat.judge("gpu", at(95, 105)) is not None
    heat.take({"gpu": HeatLimits(memory_temperature_stop=100.0)})
    assert heat.judge("gpu", at(95, 105)) == (
        "overheating: memory 105 °C, limit 100 °C, goes on at 85 °C"
    )
    heat.take({"gpu": HeatLimits()})
    assert heat.judge("gpu", at(95, 105)) is None
    heat.take({"gpu": BOTH})
    assert heat.judge("gpu", at(95, 105)) is not None
    heat.take({})
    assert heat.judge("gpu", at()) is None
