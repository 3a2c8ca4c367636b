"""What is set for a device, after all blocks that match it."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.devices.tuning import COOLING, TemperatureLimits, Tuning, tuning_of
from miner.errors import BadValue, ConfigError
from tests.devices.infos import CARD


def limits(**values: float) -> Tuning:
    return Tuning(limits=TemperatureLimits(**values))


def test_the_last_block_that_matches_wins_key_by_key() -> None:
    blocks = [
        ("*3070*", Tuning("gpu", 0.2, TemperatureLimits(temperature_stop=70))),
        ("opencl:9.9", Tuning(shape="cpu")),
        ("0a:00.0", Tuning("gpu-128", limits=TemperatureLimits(memory_temperature_stop=100))),
    ]
    base = limits(temperature_stop=90, temperature_start=60, memory_temperature_stop=95)
    assert tuning_of(CARD, 0, blocks, base) == Tuning(
        "gpu-128", 0.2, TemperatureLimits(70, 60, 100, 85)
    )
    assert tuning_of(CARD, 0, []) == Tuning()


def test_a_start_that_is_not_set_is_15_degrees_below_its_stop() -> None:
    assert COOLING == 15
    assert astuple(TemperatureLimits(90.0, None, 105.0).completed()) == (90.0, 75.0, 105.0, 90.0)
    assert TemperatureLimits().completed() == TemperatureLimits()


def test_a_new_stop_drops_a_start_that_is_not_below_it() -> None:
    base = limits(temperature_stop=90, temperature_start=80)
    found = tuning_of(CARD, 0, [("*", limits(temperature_stop=70))], base)
    assert found.limits.temperature_start == 70 - COOLING


@pytest.mark.parametrize("prefix", ["", "memory_"])
@pytest.mark.parametrize(
    ("stop", "start", "problem"),
    [
        (80.0, 80.0, "temperature_start: 80 is not below 80, its"),
        (80.0, 85.0, "temperature_start: 85 is not below 80"),
        (80.0, float("nan"), "temperature_start: nan is not below 80"),
        (None, 60.0, "temperature_start: needs a .*temperature_stop above it"),
        (float("nan"), None, "temperature_stop: must be a finite temperature in °C, not nan"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(
    prefix: str, stop: float | None, start: float, problem: str
) -> None:
    values = {f"{prefix}temperature_stop": stop, f"{prefix}temperature_start": start}
    with pytest.raises(BadValue, match=f"^{prefix}{problem}"):
        TemperatureLimits(**values).completed()


@pytest.mark.parametrize(
    ("base", "block", "sentence"),
    [
        (
            limits(temperature_stop=60),
            limits(temperature_start=70),
            "temperature_start: 70 is not below 60, its temperature_stop; set both in the last",
        ),
        (
            Tuning(),
            limits(memory_temperature_start=70),
            "memory_temperature_start: needs a memory_temperature_stop",
        ),
    ],
)
def test_a_contradiction_between_blocks_names_the_device(
    base: Tuning, block: Tuning, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        tuning_of(CARD, 0, [("*", block)], base)
    assert str(caught.value).startswith(f"device opencl:1.0: {sentence}")


BLOCK = st.tuples(
    st.sampled_from(["*", "*3070*", "no", "7", "0a:00.0"]),
    st.builds(
        Tuning,
        st.sampled_from([None, "gpu", "cpu"]),
        st.sampled_from([None, 0.1, 0.5]),
        st.builds(TemperatureLimits, temperature_stop=st.none() | st.integers(50, 90)),
    ),
)


@given(st.lists(BLOCK, max_size=5))
def test_each_key_is_that_of_the_last_block_which_sets_it(blocks: list[tuple[str, Tuning]]) -> None:
    found = tuning_of(CARD, 7, blocks)
    matching = [tuning for name, tuning in blocks if name != "no"]

    def last(values: list[object]) -> object:
        return next((value for value in reversed(values) if value is not None), None)

    assert found.shape == last([t.shape for t in matching])
    assert found.launch_seconds == last([t.launch_seconds for t in matching])
    stop = last([t.limits.temperature_stop for t in matching])
    assert found.limits.temperature_stop == stop
    assert found.limits.temperature_start == (stop - COOLING if isinstance(stop, int) else None)
