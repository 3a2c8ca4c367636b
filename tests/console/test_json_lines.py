"""Lines of JSON."""

from __future__ import annotations

import asyncio
import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.console import open_console
from miner.console.json_lines import JsonLines, json_status
from miner.console.output import HELD, Output
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level, Reading, Telemetry
from miner.telemetry.events import SensorsRead
from tests.fakes.clock import FakeClock
from tests.fakes.rig import FIRST, Rig, busy_rig

Object = dict[str, Any]


def test_an_entry() -> None:
    line = JsonLines(Redactor()).entry(
        JournalEntry(7, 1_800_000_000.25, Level.WARNING, "pool", "lost °")
    )
    assert json.loads(line) == {
        "at": "2027-01-15T08:00:00.250Z", "level": "warning", "topic": "pool", "text": "lost °",
    }  # fmt: skip


@given(st.text(), st.text())
def test_any_text_becomes_one_line(topic: str, text: str) -> None:
    line = JsonLines(Redactor()).entry(JournalEntry(1, 0.0, Level.INFO, topic, text))
    assert line.splitlines() == [line]
    assert json.loads(line)["text"] == text


async def test_the_status() -> None:
    rig = await busy_rig()
    record: Object = json.loads(json_status(rig.telemetry.snapshot(), Redactor()))
    devices = {device["name"]: device for device in record.pop("devices")}
    assert record["topic"] == "status"
    assert record["text"].startswith("80.00 MH/s (60 s 80.00 MH/s), accepted 4, ")
    assert record["hashrate"] == {"ten_seconds": 8e7, "minute": 8e7, "quarter_hour": 8e7}
    assert record["shares"] == {
        "accepted": 4, "rejected": 2, "stale": 2, "invalid": 1, "lost": 1, "hardware": 1,
    }  # fmt: skip
    assert record["job"]["height"] == 3_000_000
    assert round(record["job"]["difficulty"]) == 8_000_000_000
    assert record["pool"] == {
        "label": FIRST, "state": "connected", "unverified": False, "account": None,
        "latency": 0.042,
    }  # fmt: skip
    assert devices["cuda:0"]["power"] == 201.5
    assert devices["opencl:0.1"]["power"] is None, "unknown is not 0"
    assert devices["opencl:0.1"]["efficiency"] is None
    assert devices["opencl:0.1"]["state"] == "paused"
    assert record["power"] == 201.5
    assert record["efficiency"] is None


async def test_the_page_lists_every_member_of_a_status() -> None:
    rig = await busy_rig()
    record: Object = json.loads(json_status(rig.telemetry.snapshot(), Redactor()))
    page = (Path(__file__).parents[2] / "docs/console.md").read_text(encoding="utf-8")
    rows = [line for line in page.partition("## JSON lines")[2].splitlines() if line[:3] == "| `"]
    listed = [re.findall(r"`(\w+)`", row) for row in rows]
    assert {name for names in listed for name in names} >= record.keys()
    for name in ("job", "pool", "devices", "shares", "hashrate"):
        (members,) = (names[1:] for names in listed if names[0] == name)
        first = record[name][0] if name == "devices" else record[name]
        assert members == list(first), name


async def test_unknown_values_are_null() -> None:
    record = json.loads(json_status(Rig().telemetry.snapshot(), Redactor()))
    assert record["job"] is record["pool"] is record["best_difficulty"] is record["power"] is None


async def test_nan_and_infinity_are_null() -> None:
    rig = Rig()
    rig.emit(SensorsRead("cuda:0", Reading(temperature=float("nan"), power=float("inf"))))
    device = json.loads(json_status(rig.telemetry.snapshot(), Redactor()))["devices"][0]
    assert device["temperature"] is device["power"] is None


async def test_every_line_of_a_run_is_an_object() -> None:
    rig = await busy_rig()
    stream, redactor = StringIO(), Redactor(["hunter22"], ["first.example:4444"])
    console = open_console("json", rig.telemetry, rig.journal, rig.clock, stream, redactor)
    rig.journal.add("pool", 'no "hunter22" \u2028 here', Level.ERROR)
    console.write("stopping, hunter22")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(console.keep())
        await rig.clock.advance(70)
        task.cancel()
    console.close(["2 shares accepted"])
    rig.journal.add("pool", "after the end")
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [r["topic"] for r in records] == ["pool", "note", "status", "status", "summary"]
    assert records[0]["level"] == "error"
    assert records[-1]["text"] == "2 shares accepted"
    assert "hunter22" not in stream.getvalue()
    assert "first.example:4444" not in stream.getvalue()


def test_dropped_lines_are_counted_in_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream, ready = FakeClock(), StringIO(), [False]
    monkeypatch.setattr(Output, "ready", property(lambda output: ready[0]))
    console = open_console("json", Telemetry(clock), Journal(clock), clock, stream, Redactor())
    for number in range(HELD + 1):
        console.write(f"line {number}")
    ready[0] = True
    console.write("the last")
    lines = [json.loads(line)["text"] for line in stream.getvalue().splitlines()]
    assert lines[0] == "(2 lines dropped: the output was not read)"
    assert lines[-1] == "the last"
