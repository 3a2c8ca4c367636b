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
from miner.recordings.replayer import ReplayResult, replay
from miner.work import Outcome
from tests.fakes.variants import KAWPOW
from tests.recordings.recorded import Recorded, cut, records_of
from tests.stratum.dialogue import HEADER, LOGIN, answer, call, line, notify, solution


def variant_of(name: str) -> Variant:
    assert name == KAWPOW.name
    return KAWPOW


def replayed(path: Path) -> list[ReplayResult]:
    return replay(load_recording(path), variant_of)


async def mine(recorded: Recorded, places: list[int] | None = None, shares: int = 2) -> None:
    """Mine with a login, jobs, shares with different answers and requests of the pool."""
    async with recorded.talking():
        await simulation.settle()
        requests = call("client.get_version") + line({"id": 7, "method": "mining.ping"})
        data = LOGIN + requests + notify() + notify((0, "second"), (1, HEADER[::-1]))
        await recorded.feed(*cut(data, places or []))
        for i in range(shares):
            await asyncio.sleep(20)
            recorded.submit(solution(recorded.jobs[-1], recorded.jobs[-1].nonces.first + i))
            number = recorded.client.last_id
            reply = answer(number) if i % 2 == 0 else answer(number, None, [21, "stale"])
            await asyncio.sleep(0.25)
            await recorded.feed(*cut(reply + requests, places or []))
        await asyncio.sleep(100)
        recorded.stream.end()


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path / "session.jsonl")


def test_replay_sends_the_same_bytes(recorded: Recorded) -> None:
    simulation.run(mine(recorded))
    (result,) = replayed(recorded.path)
    assert result.difference is None
    assert (result.connection, result.url) == (1, "stratum+tcp://pool.example:3333")
    assert (result.protocol, result.jobs) == ("kawpow", 2)
    assert result.shares == {Outcome.ACCEPTED: 1, Outcome.STALE: 1}
    assert result.ended == "the pool closed the connection" == recorded.ended


def test_hashrate_reports_are_replayed(recorded: Recorded) -> None:
    recorded.rate = 23_456_789.5
    simulation.run(mine(recorded))
    assert len(recorded.stream.requests("eth_submitHashrate")) == 2
    assert [record["rate"] for record in recorded.records("hashrate")] == [23_456_789] * 2
    (result,) = replayed(recorded.path)
    assert result.difference is None


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 4000), max_size=40),
    st.integers(0, 4),
    st.sampled_from([None, 0.0, 1e7]),
    st.sampled_from(["x", "hunter2", "second", "RWallet.rig1", 'q"\\\u00e9', ""]),
)
def test_any_session_in_any_pieces_gives_the_same_bytes(
    places: list[int], shares: int, rate: float | None, password: str
) -> None:
    with TemporaryDirectory() as folder:
        recorded = Recorded(Path(folder) / "session.jsonl", rate=rate, password=password)
        simulation.run(mine(recorded, places, shares))
        (result,) = replayed(recorded.path)
    assert result.difference is None
    assert result.shares.total() == shares


def edit(path: Path, kind: str, index: int, **changes: Any) -> None:
    records = records_of(path)
    wanted = [record for record in records if record["kind"] == kind][index]
    wanted |= changes
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="ascii")


def test_first_difference_is_shown_with_its_line(recorded: Recorded) -> None:
    simulation.run(mine(recorded))
    sent = recorded.records("sent")[0]["text"]
    edit(recorded.path, "sent", 0, text=sent.replace("mining.authorize", "mining.authorise"))
    (result,) = replayed(recorded.path)
    assert result.difference is not None
    place = sent.index("mining.authorize") + len("mining.authori")
    assert result.difference.startswith(f"line 2, byte {place}: ")
    assert '\'{"id":2,"method":"mining.authorise"' in result.difference
    assert '\'{"id":2,"method":"mining.authorize"' in result.difference


def test_additional_or_missing_bytes_are_a_difference(recorded: Recorded, tmp_path: Path) -> None:
    simulation.run(mine(recorded))
    whole = recorded.path.read_text(encoding="ascii").splitlines(keepends=True)
    last = max(i for i, entry in enumerate(whole) if '"sent"' in entry)
    recorded.path.write_text("".join(whole[:last] + whole[last + 1 :]), encoding="ascii")
    (result,) = replayed(recorded.path)
    assert result.difference is not None
    assert "nothing was sent then" in result.difference
    more = whole[: last + 1] + whole[last:]
    recorded.path.write_text("".join(more), encoding="ascii")
    (result,) = replayed(recorded.path)
    assert result.difference is not None
    assert result.difference.startswith(f"line {last + 2}, byte 0")
    assert result.difference.endswith("nothing now")


def test_share_of_unknown_job_is_a_difference(recorded: Recorded) -> None:
    simulation.run(mine(recorded))
    edit(recorded.path, "found", 0, job="another")
    (result,) = replayed(recorded.path)
    assert result.difference is not None
    assert "the job of this share was not received" in result.difference


def test_waiting_share_is_submitted_while_the_same_bytes_are_handled(
    recorded: Recorded,
) -> None:
    """The client submits it while it handles a chunk with the job and a request."""

    async def twice() -> None:
        async with recorded.talking() as group:
            await recorded.feed(LOGIN + notify())
            waited = solution(recorded.jobs[0])
            recorded.stream.end()
            await simulation.settle()
            await asyncio.sleep(3)
            recorded.connect(group)
            recorded.waiting = waited
            ping = line({"id": 7, "method": "mining.ping"})
            await recorded.feed(LOGIN + ping + notify() + ping)
            recorded.stream.breaks(ConnectionLost("the connection broke: reset"))

    simulation.run(twice())
    (found,) = recorded.records("found")
    assert (found["within"], found["connection"]) == (True, 2)
    first, second = replayed(recorded.path)
    assert (first.difference, second.difference) == (None, None)
    assert second.shares == {Outcome.LOST: 1}
    assert second.ended == "the connection broke: reset"


def test_keepalives_are_replayed(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "session.jsonl", "ethstratum2")

    async def talk() -> None:
        async with recorded.talking():
            hello = {"proto": "EthereumStratum/2.0.0", "encoding": "plain", "timeout": "1e"}
            await recorded.feed(line({"id": 1, "result": hello}))
            await recorded.feed(line({"id": 2, "result": "s1"}), line({"id": 3, "result": "w1"}))
            await asyncio.sleep(95)
            recorded.session.leave("another pool is back")

    simulation.run(talk())
    assert recorded.stream.written.count(b"mining.noop") >= 4
    (result,) = replayed(recorded.path)
    assert result.difference is None
    assert result.ended == "we left"


def test_incomplete_last_line_is_ignored(recorded: Recorded) -> None:
    simulation.run(mine(recorded))
    text = recorded.path.read_text(encoding="ascii")
    recorded.path.write_text(text[: text.rindex('"closed"')], encoding="ascii")
    (result,) = replayed(recorded.path)
    assert result.difference is None
    assert result.ended == "the recording ends"


@pytest.mark.parametrize(
    ("number", "bad", "message"),
    [
        (1, "no json", "not JSON"),
        (1, "[]", "not a JSON object"),
        (1, '{"kind": "sent", "t": 0, "connection": 1, "text": ""}', "has no open record"),
        (2, '{"kind": "dance", "t": 0, "connection": 1}', "unknown kind of record 'dance'"),
        (2, '{"kind": "sent", "t": 0, "connection": 1}', "text is missing or not a text"),
        (2, '{"kind": "sent", "t": 0, "connection": true, "text": ""}', "connection is missing"),
        (2, '{"kind": "sent", "t": -1, "connection": 1, "text": ""}', "t is not a number"),
        (2, '{"kind": "sent", "t": NaN, "connection": 1, "text": ""}', "t is not a number"),
        (2, '{"kind": "sent", "t": 0, "connection": 1, "text": "\\u20ac"}', "beyond one byte"),
        (2, '{"kind": "received", "t": 0, "connection": 1, "text": ""}', "text is empty"),
        (2, '{"kind": "found", "t": 0, "connection": 1, "job": "", "header": "x"}', "not hex"),
        (2, '{"kind": "found", "t": 0, "connection": 1, "job": "", "header": ""}', "32 bytes"),
        (2, '{"kind": "hashrate", "t": 1e308, "connection": 1, "rate": 1}', "t is not a number"),
    ],
)  # fmt: skip
def test_malformed_line_is_named(recorded: Recorded, number: int, bad: str, message: str) -> None:
    simulation.run(mine(recorded))
    lines = recorded.path.read_text(encoding="ascii").splitlines()
    lines[number - 1] = bad
    recorded.path.write_text("\n".join(lines) + "\n", encoding="ascii")
    with pytest.raises(ConfigError) as caught:
        load_recording(recorded.path)
    assert f"{recorded.path}, line {number}: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format 2 is not 1"),
        ({"protocol": "morse"}, "unknown protocol 'morse'"),
        ({"diff1": "ff"}, "diff1 is not 32 bytes"),
        ({"port": None}, "port is missing"),
    ],
)
def test_unusable_open_record_is_named(
    recorded: Recorded, changes: dict[str, Any], message: str
) -> None:
    simulation.run(mine(recorded))
    edit(recorded.path, "open", 0, **changes)
    with pytest.raises(ConfigError, match=message):
        load_recording(recorded.path)


def test_contradictory_recording_is_refused(recorded: Recorded) -> None:
    simulation.run(mine(recorded))
    lines = recorded.path.read_text(encoding="ascii").splitlines(keepends=True)
    for changed, message in (
        (lines + lines[:1], "opened twice"),
        (lines + lines[1:2], "t decreases"),
        ([*lines, lines[-1]], "closed before"),
        ([], "has no connections"),
    ):
        recorded.path.write_text("".join(changed), encoding="ascii")
        with pytest.raises(ConfigError, match=message):
            load_recording(recorded.path)


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl: cannot be read: No such file"):
        load_recording(tmp_path / "none.jsonl")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_recording(tmp_path / "bytes")
