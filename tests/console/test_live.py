"""The live view: drawn at most once a second, and never blocking."""

from __future__ import annotations

import asyncio
import io
import os
import re
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.console.live import LiveConsole
from miner.console.output import Output
from miner.safe_text import Redactor
from miner.telemetry import Level, Reading
from miner.telemetry.events import (
    DatasetBuilding,
    DeviceFault,
    DevicePaused,
    DeviceResting,
    Event,
    KernelReady,
    Launched,
    LightCacheBuilding,
    NewJob,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    SensorsRead,
)
from tests.fakes.rig import FIRST, SECOND, Rig, busy_rig, job


class Paper(io.StringIO):
    """A terminal that records each drawing."""

    def __init__(self) -> None:
        super().__init__()
        self.drawings: list[str] = []

    def write(self, text: str) -> int:
        self.drawings.append(text)
        return len(text)

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        return "".join(self.drawings)


class Seen:
    def __init__(self, rig: Rig, redactor: Redactor | None = None, colour: bool = False) -> None:
        self.rig = rig
        self.paper = Paper()
        self.console = LiveConsole(
            rig.telemetry, rig.journal, rig.clock, Output(self.paper),
            redactor or Redactor(), colour, 80, 24,
        )  # fmt: skip

    async def during(self, action: Callable[[], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.console.keep())
            await action()
            task.cancel()


async def test_the_table_is_drawn_at_most_once_a_second() -> None:
    seen = Seen(await busy_rig())

    async def flood() -> None:
        for number in range(1000):
            seen.rig.journal.add("pool", f"notice {number}")
            if number % 100 == 0:
                await seen.rig.clock.advance(0.1)

    await seen.during(flood)
    drawings = [text for text in seen.paper.drawings if "device" in text]
    assert len(drawings) <= 3


async def test_entries_are_printed_above_the_table_in_order() -> None:
    seen = Seen(await busy_rig())

    async def happen() -> None:
        seen.rig.journal.add("pool", "first")
        await seen.rig.clock.advance(0.5)
        seen.console.write("second")
        await seen.rig.clock.advance(0.5)

    await seen.during(happen)
    seen.rig.journal.add("pool", "third")
    seen.console.close(["4 shares accepted"])
    seen.rig.journal.add("pool", "after the end")
    text = seen.paper.text
    places = [text.index(word) for word in ("first", "second", "third", "4 shares accepted")]
    assert places == sorted(places)
    assert text.rindex("device ") < text.index("third"), "the last table stays above"
    assert "after the end" not in text


async def test_a_line_is_drawn_together_with_the_newest_table() -> None:
    seen = Seen(await busy_rig())

    async def happen() -> None:
        await seen.rig.clock.advance(0)
        for number in range(4):
            before = len(seen.paper.drawings)
            seen.rig.journal.add("pool", f"notice {number}")
            await seen.rig.clock.advance(1.0)
            (drawn,) = seen.paper.drawings[before:]
            uptime = seen.rig.telemetry.snapshot().uptime
            assert re.search(rf"notice {number}\n.*up 16:{int(uptime) % 60:02}\n", drawn, re.DOTALL)

    await seen.rig.clock.advance(0.25)
    await seen.during(happen)


async def test_each_drawing_is_synchronised_and_the_cursor_stays_visible() -> None:
    seen = Seen(await busy_rig())
    await seen.during(lambda: seen.rig.clock.advance(2))
    seen.console.close()
    assert all(
        t.startswith("\x1b[?2026h") and t.endswith("\x1b[?2026l") for t in seen.paper.drawings
    )
    assert "\x1b[?25" not in seen.paper.text
    assert "\x1b[?1049" not in seen.paper.text


async def test_a_changed_size_redraws_the_screen() -> None:
    seen = Seen(await busy_rig())
    terminal = seen.console._terminal

    async def change() -> None:
        seen.rig.journal.add("pool", "printed before")
        await seen.rig.clock.advance(1)
        before = len(seen.paper.drawings)
        terminal.size = terminal.size._replace(width=40)
        await seen.rig.clock.advance(1)
        (drawn,) = seen.paper.drawings[before:]
        assert "\x1b[2J\x1b[H" in drawn
        assert drawn.count("printed before") == 1
        shown = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]|\r", "", drawn).splitlines()
        assert max(map(len, shown)) == 40
        await seen.rig.clock.advance(1)
        assert "\x1b[2J" not in seen.paper.drawings[-1]

    await seen.during(change)


async def test_nothing_is_drawn_while_the_terminal_is_not_read() -> None:
    rig = await busy_rig()
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as stream:
        console = LiveConsole(
            rig.telemetry, rig.journal, rig.clock, Output(stream), Redactor(), width=80
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(console.keep())
            await rig.clock.advance(600)
            task.cancel()
        console.close(["the end does not wait either"])
    read = 0
    while some := os.read(reading, 1 << 16):
        read += len(some)
    os.close(reading)
    assert 0 < read <= 1 << 16


@pytest.mark.parametrize("colour", [True, False])
async def test_colours_can_be_turned_off(colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    seen = Seen(await busy_rig(), colour=colour)
    await seen.during(lambda: seen.rig.clock.advance(1))
    assert ("\x1b[1;36m" in seen.paper.text) is colour


async def test_lines_and_table_are_redacted() -> None:
    seen = Seen(await busy_rig(), Redactor(["hunter22"], [FIRST]))
    seen.rig.journal.add("pool", "bad password hunter22", Level.ERROR)
    seen.console.write("stopping hunter22")
    await seen.during(lambda: seen.rig.clock.advance(1))
    seen.console.close(["hunter22"])
    assert seen.paper.text.count("(hidden)") == 3
    assert "hunter22" not in seen.paper.text
    assert "first.example" not in seen.paper.text


DEVICES = st.sampled_from(["cuda:0", "opencl:0.1", "ref"])
POOLS = st.sampled_from([FIRST, SECOND])
SECONDS = st.floats(0, 1e6)
TEXTS = st.text(max_size=120)
NUMBERS = st.none() | st.floats(-1e3, 1e6)
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(PoolConnecting, POOLS, st.booleans()),
    st.builds(PoolReady, POOLS),
    st.builds(PoolLost, POOLS, TEXTS, st.none() | SECONDS),
    st.builds(PoolNotice, POOLS, TEXTS),
    st.builds(NewJob, st.none() | st.integers(0, 10**7).map(job)),
    st.builds(LightCacheBuilding, st.integers(0, 999), st.floats(0, 1), SECONDS, st.booleans()),
    st.builds(
        DatasetBuilding, DEVICES, st.integers(0, 999), st.floats(0, 1), SECONDS, st.just(1 << 30)
    ),
    st.builds(KernelReady, DEVICES, st.integers(0, 10**6), SECONDS),
    st.builds(Launched, DEVICES, st.integers(0, 10**9), st.floats(0.001, 10)),
    st.builds(DeviceFault, DEVICES, TEXTS),
    st.builds(DeviceResting, DEVICES, TEXTS, SECONDS, st.booleans()),
    st.builds(DevicePaused, DEVICES, st.none() | TEXTS),
    st.builds(
        SensorsRead,
        DEVICES,
        st.builds(Reading, temperature=NUMBERS, power=NUMBERS, fan=NUMBERS),
    ),
)


@given(st.lists(EVENTS, max_size=30), st.integers(1, 130), st.integers(1, 50))
@settings(max_examples=150)
def test_any_events_can_be_drawn(events: list[Event], width: int, height: int) -> None:
    rig = Rig()
    paper = Paper()
    console = LiveConsole(
        rig.telemetry, rig.journal, rig.clock, Output(paper), Redactor(), width=width, height=height
    )
    console.draw()
    for event in events:
        rig.emit(event)
        console.draw()
    console.close(["done"])
    assert "done" in paper.text.replace("\n", "") or width < 10
