"""The table of the live view at several sizes."""

from __future__ import annotations

import html
import io
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console as Terminal
from rich.text import Text

from miner.console.live_table import draw_table
from miner.console.plain import full_status, status_line
from miner.safe_text import Redactor
from miner.telemetry import Reading, Snapshot
from miner.telemetry.events import (
    DatasetBuilding,
    DeviceHanging,
    DeviceResting,
    Launched,
    NewJob,
    PoolConnecting,
    PoolLost,
    SensorsRead,
)
from tests.console.console_picture import FILE, example_rig, printed
from tests.fakes.rig import FIRST, HOT, Rig, busy_rig, job, rig_of

GOLDEN = Path(__file__).parent / "golden"


def text_of(drawn: Text, width: int) -> str:
    terminal = Terminal(
        file=io.StringIO(), record=True, width=width, force_terminal=True, legacy_windows=False
    )
    terminal.print(drawn)
    return terminal.export_text()


def lines_of(snapshot: Snapshot, width: int = 100, height: int = 50) -> list[str]:
    return draw_table(snapshot, width, height, Redactor()).plain.splitlines()


@pytest.mark.parametrize("width", [120, 80, 40])
async def test_the_table_at_a_width(width: int) -> None:
    rig = await busy_rig()
    text = text_of(draw_table(rig.telemetry.snapshot(), width, 50, Redactor()), width)
    file = GOLDEN / f"live-{width}.txt"
    assert text == file.read_text(encoding="utf-8"), f"if this is intended, write it to {file.name}"


@given(width=st.integers(1, 200), height=st.integers(1, 60))
@settings(max_examples=200)
def test_no_size_is_exceeded(width: int, height: int) -> None:
    drawn = draw_table(busy, width, height, Redactor()).plain.split("\n")
    assert len(drawn) <= height
    assert max(map(cell_len, drawn)) <= width


async def test_the_picture_in_the_documents_is_current(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        texts = printed(await example_rig()).export_text().split()
    finally:
        monkeypatch.undo()
        time.tzset()
    svg = re.sub(r"<style>.*?</style>|<title>.*?</title>", "", FILE.read_text(encoding="utf-8"))
    shown = html.unescape(re.sub(r"<[^>]*>", " ", svg)).split()
    missing = [text for text in texts if text not in shown]
    assert not missing, "run python -m tests.console.console_picture"
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


async def test_lines_that_do_not_fit_are_counted() -> None:
    rig = await busy_rig()
    whole = lines_of(rig.telemetry.snapshot(), height=50)
    cut = lines_of(rig.telemetry.snapshot(), height=5)
    assert cut[:4] == whole[:4]
    assert re.fullmatch(r"… \d+ more lines", cut[4])


async def test_the_counts_are_those_of_the_status() -> None:
    snapshot = (await busy_rig()).telemetry.snapshot()
    tally = snapshot.devices[0].shares
    accepted, refused, wrong = tally.accepted, tally.not_accepted, tally.hardware
    assert f"not accepted {snapshot.shares.not_accepted}, " in status_line(snapshot)
    row = next(line for line in lines_of(snapshot) if line.startswith("cuda:0 "))
    assert f"{accepted:5}  {refused:3}  {wrong:2}  " in row


async def test_twelve_cards_fit_a_terminal_of_80_columns_with_model_and_address() -> None:
    rig = rig_of(12)
    lines = lines_of(rig.telemetry.snapshot(), width=80, height=23)
    rows = [line for line in lines if line.startswith("cuda:")]
    assert len(rows) == 12
    assert all("0a:00.0  RTX 3070 Ti" in row and "61 °C" in row for row in rows)
    total = lines[-1]
    assert total.startswith("total")
    assert "2418 W" in total


@pytest.mark.parametrize(("width", "titles"), [
    (60, "device PCI 10 s acc rej HW core power"), (40, "device 10 s acc rej core"),
])  # fmt: skip
def test_a_narrow_window_has_the_important_columns(width: int, titles: str) -> None:
    lines = lines_of(rig_of(12).telemetry.snapshot(), width=width)
    head = next(line for line in lines if line.startswith("device"))
    assert " ".join(head.split()) == titles
    assert len([line for line in lines if line.startswith("cuda:")]) == 12


@pytest.mark.parametrize("width", [80, 60, 40])
def test_a_low_window_keeps_the_sum_and_the_devices_with_a_problem(width: int) -> None:
    rig = rig_of(24)
    rig.emit(DeviceResting("cuda:23", "wrong hashes", 600.0, parked=True))
    lines = lines_of(rig.telemetry.snapshot(), width=width, height=23)
    assert len(lines) == 23
    assert lines[-1].startswith("total")
    assert "480.00 MH/s" in lines[-1]
    assert "  parked: wrong hashes" in lines
    assert any(line.startswith("  paused: overheating") for line in lines)
    shown = [line.split()[0] for line in lines if line.startswith("cuda:")]
    assert {"cuda:0", "cuda:4", "cuda:23"} <= set(shown)
    assert lines[-2] == f"… {24 - len(shown)} more devices"
    assert any("DEVICES 23/24" in line for line in lines)


def test_columns_without_any_value_are_left_out() -> None:
    rig = Rig()
    assert "core" not in "\n".join(lines_of(rig.telemetry.snapshot(), 120))
    rig.emit(SensorsRead("cuda:0", Reading(temperature=61.0)))
    text = "\n".join(lines_of(rig.telemetry.snapshot(), 120))
    assert "core" in text
    assert "fan" not in text


async def test_a_job_of_another_algorithm_is_shown_as_waiting() -> None:
    rig = await busy_rig()
    rig.emit(NewJob(replace(job(), other_algorithm="randomx")))
    snapshot = rig.telemetry.snapshot()
    waiting = f"waiting: height {job().height} is for randomx"
    assert any(line.startswith(waiting) for line in lines_of(snapshot))
    assert waiting in dict(full_status(snapshot))["pool"]


def test_a_rig_before_its_first_job() -> None:
    rig = Rig()
    lines = lines_of(rig.telemetry.snapshot())
    assert "no pool yet" in lines
    assert any(line.startswith("no job: devices idle") for line in lines)
    assert lines.count("  starting") == 2
    rig.emit(DatasetBuilding("cuda:0", 7, 0.5, 1.0, 1 << 30))
    assert any(
        "dataset (DAG) of epoch 7: 50%" in line for line in lines_of(rig.telemetry.snapshot())
    )


def test_failures_are_shown_with_their_device_or_pool() -> None:
    rig = Rig()
    rig.emit(PoolConnecting(FIRST, unverified=True), PoolLost(FIRST, "it is silent", 3.0))
    rig.emit(
        DeviceResting("cuda:0", "wrong hashes", 600.0, parked=True),
        DeviceHanging("opencl:0.1", "no answer"),
    )
    text = "\n".join(lines_of(rig.telemetry.snapshot()))
    assert f"{FIRST}  lost: it is silent  TLS NOT VERIFIED" in text
    assert "  parked: wrong hashes" in text
    assert "  hung: no answer" in text


async def test_the_hashrate_of_a_window_is_shown_when_it_is_full() -> None:
    rig = Rig()
    rig.emit(NewJob(job()))
    await rig.mine(5, {"cuda:0": 35e6})
    assert lines_of(rig.telemetry.snapshot())[2] == "35.00 MH/s"
    await rig.mine(30, {"cuda:0": 35e6})
    assert lines_of(rig.telemetry.snapshot())[2] == "35.00 MH/s  60 s 35.00 MH/s"
    await rig.mine(60, {"cuda:0": 35e6})
    assert lines_of(rig.telemetry.snapshot())[2].endswith("15 min 35.00 MH/s")


async def test_power_is_shown_when_every_device_reports_it() -> None:
    rig = Rig()
    await rig.mine(5, {"cuda:0": 35e6})
    rig.emit(SensorsRead("cuda:0", HOT))
    assert " W" not in lines_of(rig.telemetry.snapshot())[2]
    rig.emit(SensorsRead("opencl:0.1", Reading(power=98.5)))
    assert lines_of(rig.telemetry.snapshot())[2].endswith("300 W  117 kH/W")


async def test_the_table_is_redacted() -> None:
    rig = await busy_rig()
    drawn = draw_table(rig.telemetry.snapshot(), 100, 50, Redactor(["overheating"], [FIRST])).plain
    assert "overheating" not in drawn
    assert "first.example" not in drawn
    assert "(hidden)" in drawn


def _busy() -> Snapshot:
    rig = Rig()
    rig.emit(
        PoolConnecting(FIRST),
        NewJob(job()),
        DeviceResting("cuda:0", "显卡坏了" * 9, 600.0, parked=True),
    )
    rig.emit(Launched("opencl:0.1", 35_000_000, 1.0), SensorsRead("cuda:0", HOT))
    return rig.telemetry.snapshot()


busy = _busy()
