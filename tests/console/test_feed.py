"""What a view tells of the journal: enough, once, and on one line."""

from __future__ import annotations

import pytest

from miner.console.repeat_filter import MOST_LINES, Feed
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level
from tests.fakes.clock import FakeClock


class Told:
    def __init__(self, level: Level = Level.INFO, redactor: Redactor | None = None) -> None:
        self.clock = FakeClock()
        self.journal = Journal(self.clock)
        self.entries: list[JournalEntry] = []
        tell = self.entries.append
        self.feed = Feed(self.journal, self.clock, tell, redactor or Redactor())
        self.feed.level = level

    @property
    def texts(self) -> list[str]:
        return [entry.text for entry in self.entries]


async def test_the_same_is_told_once_and_then_how_often() -> None:
    told = Told()
    for _ in range(5):
        told.journal.say("pool", "welcome")
    told.journal.say("cuda:0", "welcome")
    assert told.texts == ["welcome", "welcome"]
    assert len(told.journal.entries) == 6
    await told.clock.advance(9.9)
    told.feed.tick()
    assert len(told.texts) == 2
    await told.clock.advance(0.1)
    told.feed.tick()
    assert told.texts[2:] == ["welcome (said 4 times more)"]
    assert told.entries[2].at == told.clock.wall()
    assert told.entries[2].topic == "pool"


async def test_a_flood_is_summed_up_every_ten_seconds() -> None:
    told = Told()
    for _ in range(120):
        told.journal.say("pool", "busy")
        await told.clock.advance(0.25)
        told.feed.tick()
    assert told.texts == ["busy", *(f"busy (said {n} times more)" for n in (39, 40, 40))]
    await told.clock.advance(20)
    told.feed.tick()
    told.journal.say("pool", "busy")
    assert told.texts[4:] == ["busy"], "it has been quiet since"


async def test_the_end_tells_what_is_due() -> None:
    told = Told()
    told.journal.say("pool", "busy")
    told.journal.say("pool", "busy")
    told.feed.close()
    told.journal.say("pool", "after the end")
    assert told.texts == ["busy", "busy (said once more)"]


@pytest.mark.parametrize("ends", ["at once", "later"])
async def test_what_is_told_last_is_the_truth(ends: str) -> None:
    told = Told()
    said = ["pauses", "goes on", "pauses", "goes on", "pauses"]
    for text in said:
        told.journal.say("cuda:0", text)
        told.journal.say("cuda:1", "hot")  # another topic in between changes nothing
    if ends == "later":
        await told.clock.advance(10)
        told.feed.tick()
    told.feed.close()
    assert [e.text for e in told.entries if e.topic == "cuda:0"] == said
    assert [e.text for e in told.entries if e.topic == "cuda:1"] == [
        "hot",
        "hot (said 4 times more)",
    ]


def test_repeats_are_summed_up_before_another_text_is_told() -> None:
    told = Told()
    for text in ["busy", "busy", "busy", "idle", "busy"]:
        told.journal.say("pool", text)
    told.feed.close()
    assert told.texts == ["busy", "busy (said 2 times more)", "idle", "busy"]


def test_different_texts_are_all_told_and_one_of_a_topic_is_remembered() -> None:
    told = Told()
    for number in range(MOST_LINES):
        told.journal.say("pool", str(number))
    assert len(told.texts) == MOST_LINES
    assert len(told.feed._said) == 1


@pytest.mark.parametrize("kinds", [2, 7, 3000])
async def test_a_topic_has_so_many_lines_in_a_time_whatever_it_says(kinds: int) -> None:
    told = Told()
    for second in range(20):
        for number in range(2000):
            told.journal.say("pool", f"text {number % kinds}")
        told.journal.say("cuda:0", f"{second}")
        await told.clock.advance(1)
        told.feed.tick()
    pool = [entry.text for entry in told.entries if entry.topic == "pool"]
    assert MOST_LINES <= len(pool) <= 2 * (MOST_LINES + 2)
    last = f"text {1999 % kinds}"
    assert pool[-1] == f"{last} ({20000 - MOST_LINES} lines before it left out)"
    assert [e.text for e in told.entries if e.topic == "cuda:0"] == [str(n) for n in range(20)]


@pytest.mark.parametrize("ends", ["at once", "later"])
@pytest.mark.parametrize("more", [0, 1, 2, 3])
async def test_what_a_flood_ends_with_is_told(more: int, ends: str) -> None:
    told = Told()
    said = ["pauses", "goes on"] * (MOST_LINES // 2)
    held = ["pauses", "goes on", "pauses"][:more]
    for text in [*said, *held]:
        told.journal.say("cuda:0", text, Level.WARNING)
    assert told.texts == said
    if ends == "later":
        await told.clock.advance(10)
        told.feed.tick()
    told.feed.close()
    last = {0: [], 1: ["pauses"], 2: ["goes on (1 line before it left out)"],
            3: ["pauses (2 lines before it left out)"]}[more]  # fmt: skip
    assert told.texts[len(said) :] == last


async def test_lines_that_come_slowly_are_never_held_back() -> None:
    told = Told()
    for number in range(3 * MOST_LINES):
        told.journal.say("share", f"accepted {number}")
        await told.clock.advance(10 / MOST_LINES + 0.001)
        told.feed.tick()
    told.feed.close()
    assert told.texts == [f"accepted {number}" for number in range(3 * MOST_LINES)]


@pytest.mark.parametrize(
    ("level", "texts"),
    [
        (Level.DEBUG, ["a", "b", "c", "d"]),
        (Level.INFO, ["b", "c", "d"]),
        (Level.WARNING, ["c", "d"]),
        (Level.ERROR, ["d"]),
    ],
)
def test_levels(level: Level, texts: list[str]) -> None:
    told = Told(level)
    for text, at in zip("abcd", Level, strict=True):
        told.journal.say("x", text, at)
    assert told.texts == texts


def test_nothing_secret_is_told_at_any_level() -> None:
    told = Told(Level.DEBUG, Redactor(["hunter22"]))
    for level in Level:
        told.journal.say("pool hunter22", f"bad password hunter22 {level}", level)
    assert len(told.entries) == 4
    assert "hunter22" not in str(told.entries)


@pytest.mark.parametrize("between", ["\u200b", "\x1b", "\x00", "\u2060\u202e"])
def test_what_cannot_be_seen_hides_no_secret(between: str) -> None:
    told = Told(redactor=Redactor(["hunter22"]))
    told.journal.say("pool", f"bad password {between.join('hunter22')}")
    assert told.texts == ["bad password (hidden)"]
