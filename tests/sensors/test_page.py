"""docs/sensors.md agrees with the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pynvml  # type: ignore[import-untyped]

from miner.devices.tuning import COOLING
from miner.sensors.sensors import TIMEOUT
from miner.settings.model import DeviceSettings

PAGE = (Path(__file__).parents[2] / "docs/sensors.md").read_text(encoding="utf-8")
SOURCES = [
    path.read_text(encoding="utf-8")
    for path in (Path(__file__).parents[2] / "miner/sensors").glob("*.py")
]


def test_the_example_is_valid() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    devices = DeviceSettings.model_validate(tomllib.loads(text)["devices"])
    for block in (devices, *devices.tune):
        assert block.limits().completed().temperature_stop == block.temperature_stop


def test_every_error_of_nvml_that_the_page_explains_exists() -> None:
    names = re.findall(r"NVML_ERROR_\w+", PAGE)
    assert names
    assert [name for name in names if not hasattr(pynvml, name)] == []


def test_every_file_of_sysfs_that_the_page_names_is_read() -> None:
    table = PAGE.partition("| value |")[2].partition("\n\n")[0]
    names = [name for name in re.findall(r"`([^`]+)`", table) if "…" not in name]
    # The code builds the names of clocks and temperatures from their stems.
    stems = [re.sub(r"(?<=freq\d)_input", "", name) for name in names]
    assert len(stems) > 10
    assert [s for s in stems if not any(f'"{s}"' in source for source in SOURCES)] == []


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"{COOLING:g} °C below its stop" in PAGE
    assert f"within {TIMEOUT:g} s" in PAGE
