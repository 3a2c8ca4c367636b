"""The entries that reach a view: by level, redacted, without repeats."""

from __future__ import annotations

import pytest

from miner.console.repeat_filter import MOST_LINES, RepeatFilter
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level
from tests.fakes.clock import FakeClock


class Filtered:
    """A journal and the entries that a filter passes on."""

    def __init__(self, level: Level = Level.INFO, redactor: Redactor | None = None) -> None:
        self.clock = FakeClock()
        self.journal = Journal(self.clock)
        self.entries: list[JournalEntry] = []
        self.filter = RepeatFilter(self.journal, self.clock, redactor or Redactor(), self)
        self.filter.level = level

    def entry(self, entry: JournalEntry) -> None:
        self.entries.append(entry)

    @property
    def texts(self) -> list[str]:
        return [entry.text for entry in self.entries]


async def test_a_repeated_text_is_shown_once_and_then_counted() -> None:
    seen = Filtered()
    for _ in range(5):
        seen.journal.add("pool", "welcome")
    seen.journal.add("cuda:0", "welcome")
    assert seen.texts == ["welcome", "welcome"]
    assert len(seen.journal.entries) == 6
    await seen.clock.advance(9.9)
    seen.filter.tick()
    assert len(seen.texts) == 2
    await seen.clock.advance(0.1)
    seen.filter.tick()
    assert seen.texts[2:] == ["welcome (repeated 4 times)"]
    assert seen.entries[2].at == seen.clock.wall()
    assert seen.entries[2].topic == "pool"


async def test_lasting_repeats_are_counted_every_ten_seconds() -> None:
    seen = Filtered()
    for _ in range(120):
        seen.journal.add("pool", "busy")
        await seen.clock.advance(0.25)
        seen.filter.tick()
    assert seen.texts == ["busy", *(f"busy (repeated {n} times)" for n in (39, 40, 40))]
    await seen.clock.advance(20)
    seen.filter.tick()
    seen.journal.add("pool", "busy")
    assert seen.texts[4:] == ["busy"], "there was a pause"


async def test_close_sums_up_repeats() -> None:
    seen = Filtered()
    seen.journal.add("pool", "busy")
    seen.journal.add("pool", "busy")
    seen.filter.close()
    seen.journal.add("pool", "after the end")
    assert seen.texts == ["busy", "busy (repeated once)"]


@pytest.mark.parametrize("ends", ["at once", "later"])
async def test_alternating_texts_are_all_shown_in_order(ends: str) -> None:
    seen = Filtered()
    texts = ["paused", "resumed", "paused", "resumed", "paused"]
    for text in texts:
        seen.journal.add("cuda:0", text)
        seen.journal.add("cuda:1", "hot")  # another topic
    if ends == "later":
        await seen.clock.advance(10)
        seen.filter.tick()
    seen.filter.close()
    assert [e.text for e in seen.entries if e.topic == "cuda:0"] == texts
    assert [e.text for e in seen.entries if e.topic == "cuda:1"] == [
        "hot",
        "hot (repeated 4 times)",
    ]


def test_repeats_are_counted_before_another_text() -> None:
    seen = Filtered()
    for text in ["busy", "busy", "busy", "idle", "busy"]:
        seen.journal.add("pool", text)
    seen.filter.close()
    assert seen.texts == ["busy", "busy (repeated 2 times)", "idle", "busy"]


def test_different_texts_are_all_shown_and_one_per_topic_is_remembered() -> None:
    seen = Filtered()
    for number in range(MOST_LINES):
        seen.journal.add("pool", str(number))
    assert len(seen.texts) == MOST_LINES
    assert len(seen.filter._topics) == 1


@pytest.mark.parametrize("kinds", [2, 7, 3000])
async def test_the_lines_of_a_topic_are_limited(kinds: int) -> None:
    seen = Filtered()
    for second in range(20):
        for number in range(2000):
            seen.journal.add("pool", f"text {number % kinds}")
        seen.journal.add("cuda:0", f"{second}")
        await seen.clock.advance(1)
        seen.filter.tick()
    pool = [entry.text for entry in seen.entries if entry.topic == "pool"]
    assert MOST_LINES <= len(pool) <= 2 * (MOST_LINES + 2)
    last = f"text {1999 % kinds}"
    assert pool[-1] == f"{last} ({20000 - MOST_LINES} earlier lines left out)"
    assert [e.text for e in seen.entries if e.topic == "cuda:0"] == [str(n) for n in range(20)]


@pytest.mark.parametrize("ends", ["at once", "later"])
@pytest.mark.parametrize("more", [0, 1, 2, 3])
async def test_the_last_line_of_a_flood_is_shown(more: int, ends: str) -> None:
    seen = Filtered()
    texts = ["paused", "resumed"] * (MOST_LINES // 2)
    held = ["paused", "resumed", "paused"][:more]
    for text in [*texts, *held]:
        seen.journal.add("cuda:0", text, Level.WARNING)
    assert seen.texts == texts
    if ends == "later":
        await seen.clock.advance(10)
        seen.filter.tick()
    seen.filter.close()
    last = {0: [], 1: ["paused"], 2: ["resumed (1 earlier line left out)"],
            3: ["paused (2 earlier lines left out)"]}[more]  # fmt: skip
    assert seen.texts[len(texts) :] == last


async def test_lines_below_the_limit_are_never_held_back() -> None:
    seen = Filtered()
    for number in range(3 * MOST_LINES):
        seen.journal.add("share", f"accepted {number}")
        await seen.clock.advance(10 / MOST_LINES + 0.001)
        seen.filter.tick()
    seen.filter.close()
    assert seen.texts == [f"accepted {number}" for number in range(3 * MOST_LINES)]


@pytest.mark.parametrize(
    ("level", "texts"),
    [
        (Level.DEBUG, ["a", "b", "c", "d"]),
        (Level.INFO, ["b", "c", "d"]),
        (Level.WARNING, ["c", "d"]),
        (Level.ERROR, ["d"]),
    ],
)
def test_entries_below_the_level_are_left_out(level: Level, texts: list[str]) -> None:
    seen = Filtered(level)
    for text, at in zip("abcd", Level, strict=True):
        seen.journal.add("x", text, at)
    assert seen.texts == texts


def test_entries_of_every_level_are_redacted() -> None:
    seen = Filtered(Level.DEBUG, Redactor(["hunter22"]))
    for level in Level:
        seen.journal.add("pool hunter22", f"bad password hunter22 {level}", level)
    assert len(seen.entries) == 4
    assert "hunter22" not in str(seen.entries)


@pytest.mark.parametrize("between", ["\u200b", "\x1b", "\x00", "\u2060\u202e"])
def test_invisible_characters_do_not_protect_a_secret(between: str) -> None:
    seen = Filtered(redactor=Redactor(["hunter22"]))
    seen.journal.add("pool", f"bad password {between.join('hunter22')}")
    assert seen.texts == ["bad password (hidden)"]
