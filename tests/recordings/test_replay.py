from __future__ import annotations

import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner import clock as simulation
from miner.errors import ConfigError, ConnectionLost
from miner.progpow.variant import Variant
from miner.recordings.reader import load_recording
from miner.recordings.replayer import Replayed, replay
from miner.work import Outcome
from tests.fakes.variants import KAWPOW
from tests.recordings.taped import Taped, cut, records_of
from tests.stratum.dialogue import HEADER, answer, call, line, notify, solution

LOGIN = answer(1, [None, "0b8e5b"]) + answer(2)


def variant_of(name: str) -> Variant:
    assert name == KAWPOW.name
    return KAWPOW


def replayed(path: Path) -> list[Replayed]:
    return replay(load_recording(path), variant_of)


async def mined(taped: Taped, places: list[int] | None = None, shares: int = 2) -> None:
    """A login, jobs, shares with different answers, a report, questions of the pool."""
    taped.open_tape()
    async with asyncio.TaskGroup() as group:
        taped.connect(group)
        await simulation.settle()
        asked = call("client.get_version") + line({"id": 7, "method": "mining.ping"})
        data = LOGIN + asked + notify() + notify((0, "second"), (1, HEADER[::-1]))
        await taped.feed(*cut(data, places or []))
        for i in range(shares):
            await asyncio.sleep(20)
            taped.submit(solution(taped.jobs[-1], taped.jobs[-1].nonces.first + i))
            number = taped.spoken.last_id
            said = answer(number) if i % 2 == 0 else answer(number, None, [21, "stale"])
            await asyncio.sleep(0.25)
            await taped.feed(*cut(said + asked, places or []))
        await asyncio.sleep(100)
        taped.stream.end()
    taped.tape.close()


@pytest.fixture
def taped(tmp_path: Path) -> Taped:
    return Taped(tmp_path / "tape.jsonl")


def test_the_same_bytes(taped: Taped) -> None:
    simulation.run(mined(taped))
    (result,) = replayed(taped.path)
    assert result.difference is None
    assert (result.connection, result.url) == (1, "stratum+tcp://pool.example:3333")
    assert (result.protocol, result.jobs) == ("kawpow", 2)
    assert result.shares == {Outcome.ACCEPTED: 1, Outcome.STALE: 1}
    assert result.ended == "the pool closed the connection" == taped.ended


def test_reports_of_the_hashrate_come_again(taped: Taped) -> None:
    taped.rate = 23_456_789.5
    simulation.run(mined(taped))
    assert len(taped.stream.requests("eth_submitHashrate")) == 2
    assert [record["rate"] for record in taped.records("hashrate")] == [23_456_789] * 2
    (result,) = replayed(taped.path)
    assert result.difference is None


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 4000), max_size=40),
    st.integers(0, 4),
    st.sampled_from([None, 0.0, 1e7]),
    st.sampled_from(["x", "hunter2", "second", "RWallet.rig1", 'q"\\\u00e9', ""]),
)
def test_any_dialogue_in_any_pieces_gives_the_same_bytes(
    places: list[int], shares: int, rate: float | None, password: str
) -> None:
    with TemporaryDirectory() as folder:
        taped = Taped(Path(folder) / "tape.jsonl", rate=rate, password=password)
        simulation.run(mined(taped, places, shares))
        (result,) = replayed(taped.path)
    assert result.difference is None
    assert result.shares.total() == shares


def edit(path: Path, kind: str, index: int, **changes: Any) -> None:
    records = records_of(path)
    wanted = [record for record in records if record["kind"] == kind][index]
    wanted |= changes
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="ascii")


def test_the_first_difference_is_shown_with_its_line(taped: Taped) -> None:
    simulation.run(mined(taped))
    sent = taped.records("sent")[0]["text"]
    edit(taped.path, "sent", 0, text=sent.replace("mining.authorize", "mining.authorise"))
    (result,) = replayed(taped.path)
    assert result.difference is not None
    place = sent.index("mining.authorize") + len("mining.authori")
    assert result.difference.startswith(f"line 2, byte {place}: ")
    assert '\'{"id":2,"method":"mining.authorise"' in result.difference
    assert '\'{"id":2,"method":"mining.authorize"' in result.difference


def test_what_is_said_too_much_or_not_at_all_is_a_difference(taped: Taped, tmp_path: Path) -> None:
    simulation.run(mined(taped))
    whole = taped.path.read_text(encoding="ascii").splitlines(keepends=True)
    last = max(i for i, entry in enumerate(whole) if '"sent"' in entry)
    taped.path.write_text("".join(whole[:last] + whole[last + 1 :]), encoding="ascii")
    (result,) = replayed(taped.path)
    assert result.difference is not None
    assert "nothing was sent then" in result.difference
    more = whole[: last + 1] + whole[last:]
    taped.path.write_text("".join(more), encoding="ascii")
    (result,) = replayed(taped.path)
    assert result.difference is not None
    assert result.difference.startswith(f"line {last + 2}, byte 0")
    assert result.difference.endswith("nothing now")


def test_a_share_of_no_job_is_a_difference(taped: Taped) -> None:
    simulation.run(mined(taped))
    edit(taped.path, "found", 0, job="another")
    (result,) = replayed(taped.path)
    assert result.difference is not None
    assert "no such job was brought" in result.difference


def test_a_share_that_waited_is_handed_in_at_the_same_moment(taped: Taped) -> None:
    """The client submits it while it takes the chunk that brings the job and a question."""

    async def twice() -> None:
        taped.open_tape()
        async with asyncio.TaskGroup() as group:
            taped.connect(group)
            await taped.feed(LOGIN + notify())
            waited = solution(taped.jobs[0])
            taped.stream.end()
            await simulation.settle()
            await asyncio.sleep(3)
            taped.connect(group)
            taped.waiting = waited
            ping = line({"id": 7, "method": "mining.ping"})
            await taped.feed(LOGIN + ping + notify() + ping)
            taped.stream.breaks(ConnectionLost("the connection broke: reset"))
        taped.tape.close()

    simulation.run(twice())
    (found,) = taped.records("found")
    assert (found["within"], found["connection"]) == (True, 2)
    first, second = replayed(taped.path)
    assert (first.difference, second.difference) == (None, None)
    assert second.shares == {Outcome.LOST: 1}
    assert second.ended == "the connection broke: reset"


def test_what_is_said_to_stay_in_talk_comes_again(tmp_path: Path) -> None:
    taped = Taped(tmp_path / "tape.jsonl", "ethstratum2")

    async def talk() -> None:
        taped.open_tape()
        async with asyncio.TaskGroup() as group:
            taped.connect(group)
            hello = {"proto": "EthereumStratum/2.0.0", "encoding": "plain", "timeout": "1e"}
            await taped.feed(line({"id": 1, "result": hello}))
            await taped.feed(line({"id": 2, "result": "s1"}), line({"id": 3, "result": "w1"}))
            await asyncio.sleep(95)
            taped.session.leave("another pool is back")
        taped.tape.close()

    simulation.run(talk())
    assert taped.stream.written.count(b"mining.noop") >= 4
    (result,) = replayed(taped.path)
    assert result.difference is None
    assert result.ended == "we left"


def test_a_recording_that_breaks_off_is_replayed_as_far_as_it_goes(taped: Taped) -> None:
    simulation.run(mined(taped))
    text = taped.path.read_text(encoding="ascii")
    taped.path.write_text(text[: text.rindex('"closed"')], encoding="ascii")
    (result,) = replayed(taped.path)
    assert result.difference is None
    assert result.ended == "the recording ends"


@pytest.mark.parametrize(
    ("number", "bad", "says"),
    [
        (1, "no json", "no JSON"),
        (1, "[]", "no JSON object"),
        (1, '{"kind": "sent", "t": 0, "connection": 1, "text": ""}', "was not opened"),
        (2, '{"kind": "dance", "t": 0, "connection": 1}', "'dance' is no kind"),
        (2, '{"kind": "sent", "t": 0, "connection": 1}', "text is missing or no text"),
        (2, '{"kind": "sent", "t": 0, "connection": true, "text": ""}', "connection is missing"),
        (2, '{"kind": "sent", "t": -1, "connection": 1, "text": ""}', "t is no number"),
        (2, '{"kind": "sent", "t": NaN, "connection": 1, "text": ""}', "t is no number"),
        (2, '{"kind": "sent", "t": 0, "connection": 1, "text": "\\u20ac"}', "are no bytes"),
        (2, '{"kind": "received", "t": 0, "connection": 1, "text": ""}', "text is empty"),
        (2, '{"kind": "found", "t": 0, "connection": 1, "job": "", "header": "x"}', "no hex"),
        (2, '{"kind": "found", "t": 0, "connection": 1, "job": "", "header": ""}', "32 bytes"),
        (2, '{"kind": "hashrate", "t": 1e308, "connection": 1, "rate": 1}', "t is no number"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(taped: Taped, number: int, bad: str, says: str) -> None:
    simulation.run(mined(taped))
    lines = taped.path.read_text(encoding="ascii").splitlines()
    lines[number - 1] = bad
    taped.path.write_text("\n".join(lines) + "\n", encoding="ascii")
    with pytest.raises(ConfigError) as caught:
        load_recording(taped.path)
    assert f"{taped.path}, line {number}: " in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": 2}, "format 2 is not 1"),
        ({"protocol": "morse"}, "protocol 'morse' is not known"),
        ({"diff1": "ff"}, "diff1 is not 32 bytes"),
        ({"port": None}, "port is missing"),
    ],
)
def test_a_bad_opening_is_named(taped: Taped, changes: dict[str, Any], says: str) -> None:
    simulation.run(mined(taped))
    edit(taped.path, "open", 0, **changes)
    with pytest.raises(ConfigError, match=says):
        load_recording(taped.path)


def test_what_contradicts_itself_is_named(taped: Taped) -> None:
    simulation.run(mined(taped))
    lines = taped.path.read_text(encoding="ascii").splitlines(keepends=True)
    for changed, says in (
        (lines + lines[:1], "opened twice"),
        (lines + lines[1:2], "t goes back"),
        ([*lines, lines[-1]], "closed before"),
        ([], "holds no connection"),
    ):
        taped.path.write_text("".join(changed), encoding="ascii")
        with pytest.raises(ConfigError, match=says):
            load_recording(taped.path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl: cannot be read: No such file"):
        load_recording(tmp_path / "none.jsonl")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is no text"):
        load_recording(tmp_path / "bytes")
