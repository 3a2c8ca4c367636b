"""The view that is opened for a stream, and what every view has in common."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from miner.console import open_console
from miner.console.console import ConsoleKind, ConsoleView
from miner.console.live import LiveConsole
from miner.safe_text import Redactor
from tests.fakes.rig import Rig


class TerminalStream(io.StringIO):
    def isatty(self) -> bool:
        return True


def opened(kind: ConsoleKind, stream: io.StringIO, term: str = "xterm") -> ConsoleView:
    rig = Rig()
    return open_console(
        kind, rig.telemetry, rig.journal, rig.clock, stream, Redactor(), {"TERM": term}
    )


def kind_of(kind: ConsoleKind, stream: io.StringIO, term: str = "xterm") -> str:
    view = opened(kind, stream, term)
    if isinstance(view, LiveConsole):
        return "live"
    stream.seek(0)
    stream.truncate()
    view.write("a line")
    line = stream.getvalue()
    return "json" if line.startswith("{") and json.loads(line)["text"] == "a line" else "plain"


@pytest.mark.parametrize(
    ("kind", "in_terminal", "in_pipe"),
    [
        ("auto", "live", "plain"),
        ("live", "live", "plain"),
        ("plain", "plain", "plain"),
        ("json", "json", "json"),
    ],
)
def test_a_view_is_live_only_in_a_terminal(
    kind: ConsoleKind, in_terminal: str, in_pipe: str
) -> None:
    assert kind_of(kind, TerminalStream()) == in_terminal
    assert kind_of(kind, io.StringIO()) == in_pipe
    for term in ("dumb", "unknown", ""):
        assert kind_of(kind, TerminalStream(), term) == in_pipe


def test_a_live_view_that_is_impossible_is_reported() -> None:
    stream = io.StringIO()
    opened("live", stream)
    assert "no live view" in stream.getvalue()
    opened("auto", quiet := io.StringIO())
    assert quiet.getvalue() == ""


@pytest.mark.parametrize("kind", ["plain", "live", "json"])
async def test_every_view_shows_lines_in_order_until_close(kind: ConsoleKind) -> None:
    rig, stream = Rig(), TerminalStream()
    view = open_console(
        kind, rig.telemetry, rig.journal, rig.clock, stream, Redactor(), {"TERM": "xterm"}
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(view.keep())
        rig.journal.add("pool", "welcome")
        view.write("stopping")
        await rig.clock.advance(1)
        task.cancel()
    view.close(["the end"])
    view.close()
    rig.journal.add("pool", "after the end")
    text = stream.getvalue()
    assert text.index("welcome") < text.index("stopping") < text.index("the end")
    assert "after the end" not in text
