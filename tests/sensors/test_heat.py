from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from miner.devices.tuning import TemperatureLimits
from miner.sensors.heat import HeatGuard
from miner.telemetry import Reading

BOTH = TemperatureLimits(90.0, 75.0, 100.0, 80.0)


def guard(limits: TemperatureLimits = BOTH) -> HeatGuard:
    return HeatGuard({"gpu": limits})


def at(core: float | None = None, memory: float | None = None) -> Reading:
    return Reading(temperature=core, memory_temperature=memory)


def test_a_device_pauses_at_its_stop_and_resumes_at_its_start() -> None:
    heat = guard()
    assert heat.judge("gpu", at(89.9)) is None
    assert heat.judge("gpu", at(91.0)) == ("overheating: core 91 °C, limit 90 °C, resumes at 75 °C")
    assert heat.judge("gpu", at(75.1)) is not None
    assert heat.judge("gpu", at(75.0)) is None
    assert heat.judge("gpu", at(89.0)) is None
    assert heat.judge("gpu", at(90.0)) is not None


def test_the_memory_has_its_own_limits() -> None:
    heat = guard()
    assert heat.judge("gpu", at(60, 100)) == (
        "overheating: memory 100 °C, limit 100 °C, resumes at 80 °C"
    )
    assert heat.judge("gpu", at(60, 81)) is not None
    assert heat.judge("gpu", at(60, 80)) is None


def test_a_device_resumes_when_both_parts_are_cool() -> None:
    heat = guard()
    heat.judge("gpu", at(95, 85))
    assert heat.judge("gpu", at(70, 85)) == "overheating: memory still warm, resumes at 80 °C"
    assert heat.judge("gpu", at(70, 79)) is None


def test_two_hot_parts_are_both_named() -> None:
    reason = guard().judge("gpu", at(95, 110))
    assert reason is not None
    assert "core 95 °C" in reason
    assert "memory 110 °C" in reason


def test_the_reason_stays_the_same_during_a_pause() -> None:
    heat = guard()
    assert len({heat.judge("gpu", at(core)) for core in (93, 96, 90, 84, 76)}) == 1


def test_an_unknown_temperature_pauses_no_device() -> None:
    heat = guard()
    assert heat.judge("gpu", at()) is None
    assert heat.judge("gpu", at(None, 70)) is None


def test_an_overheated_part_whose_temperature_becomes_unknown_keeps_the_device_paused() -> None:
    heat = guard()
    heat.judge("gpu", at(95, 70))
    reason = heat.judge("gpu", at(None, 60))
    assert reason is not None
    assert reason.endswith("but its temperature is unknown now")
    assert heat.judge("gpu", at(70, 60)) is None


def test_an_unknown_temperature_of_a_part_that_did_not_overheat_ends_the_pause() -> None:
    heat = guard()
    heat.judge("gpu", at(95, 85))
    assert heat.judge("gpu", at(70, None)) is None


def test_the_hotspot_has_no_limit() -> None:
    reading = Reading(temperature=60.0, hotspot_temperature=120.0)
    assert guard().judge("gpu", reading) is None


def test_each_device_has_its_own_state_and_limits() -> None:
    heat = HeatGuard({"a": BOTH, "b": BOTH, "unlimited": TemperatureLimits()})
    assert heat.judge("a", at(95)) is not None
    assert heat.judge("b", at(80)) is None
    assert heat.judge("unlimited", at(120, 120)) is None
    assert heat.judge("unknown", at(120)) is None


temperatures = st.none() | st.floats(20, 130, allow_nan=False)


@st.composite
def limits(draw: st.DrawFn) -> TemperatureLimits:
    ends: list[float | None] = []
    for _ in range(2):
        stop = draw(st.none() | st.floats(50, 110))
        start = None if stop is None else draw(st.none() | st.floats(30, stop - 1))
        ends += [stop, start]
    return TemperatureLimits(*ends).completed()


@given(limits(), st.lists(st.tuples(temperatures, temperatures), max_size=40))
def test_for_any_temperatures_no_hot_device_runs_and_no_warm_one_resumes(
    limit: TemperatureLimits, walk: list[tuple[float | None, float | None]]
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
                assert cool, "it resumed above its start"
        if reached:
            assert reason is not None, "it runs at its stop"
        if reason is None:
            assert not any(overheated), "it resumed with an unknown temperature"
        if not paused and not reached:
            assert reason is None, "it paused below its stop"
        paused = reason is not None


def test_a_removed_limit_pauses_no_device() -> None:
    heat = guard()
    assert heat.judge("gpu", at(95, 105)) is not None
    heat.set_limits({"gpu": TemperatureLimits(memory_temperature_stop=100.0)})
    assert heat.judge("gpu", at(95, 105)) == (
        "overheating: memory 105 °C, limit 100 °C, resumes at 85 °C"
    )
    heat.set_limits({"gpu": TemperatureLimits()})
    assert heat.judge("gpu", at(95, 105)) is None
    heat.set_limits({"gpu": BOTH})
    assert heat.judge("gpu", at(95, 105)) is not None
    heat.set_limits({})
    assert heat.judge("gpu", at()) is None
