from __future__ import annotations

import asyncio
import json
import resource
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner import clock as simulation
from miner.errors import ConfigError, ConnectionLost
from miner.recordings.recorder import PasswordMask, Recorder
from miner.stratum.dialects import DIALECTS
from miner.stratum.opening import Opening
from tests.fakes.clock import FakeClock
from tests.fakes.dial import FakeStream
from tests.fakes.variants import KAWPOW
from tests.recordings.recorded import RIG, URL, Recorded, records_of
from tests.stratum.dialogue import LOGIN, answer, notify, solution


def opening(password: str = "hunter2", user: str = URL.user, diff1: int | None = None) -> Opening:
    return Opening(
        user, password, "progpow-miner/0", KAWPOW, 3, URL.host, URL.port, diff1=diff1
    )  # fmt: skip


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path / "session.jsonl")


def test_stream_is_passed_through_and_recorded(recorded: Recorded) -> None:
    async def talk() -> None:
        async with recorded.talking():
            await asyncio.sleep(1.5)
            await recorded.feed(LOGIN + notify())
            await asyncio.sleep(2)
            recorded.submit(solution(recorded.jobs[0]))
            recorded.session.leave("the miner stopped")
        assert recorded.stream.closed

    simulation.run(talk())
    header, start, received, found, share, closed = recorded.records()
    assert header == {
        "kind": "open", "t": 0.0, "connection": 1, "format": 1,
        "url": "stratum+tcp://pool.example:3333", "protocol": "kawpow", "variant": "kawpow",
        "user": "RWallet.rig1", "agent": "progpow-miner/0", "session": 1,
        "host": "pool.example", "port": 3333, "diff1": None, "resume": None, "left_out": "",
        "rig": RIG.hex(),
    }  # fmt: skip
    written = recorded.stream.written.decode()
    assert start["text"] + share["text"] == written.replace("hunter2", "***")
    assert (received["t"], received["text"]) == (1.5, (LOGIN + notify()).decode())
    assert (found["kind"], found["within"]) == ("found", False)
    assert found["nonce"] == f"{recorded.jobs[0].nonces.first:016x}"
    assert found["t"] == pytest.approx(3.5, abs=0.001)
    assert (closed["kind"], closed["by"]) == ("closed", "us")


def test_own_difficulty_one_is_recorded(tmp_path: Path) -> None:
    with Recorder(tmp_path / "session", FakeClock(), print) as recorder:
        recorder.wrap(FakeStream(), URL, "kawpow", opening(diff1=255), RIG)
    (header,) = records_of(tmp_path / "session")
    assert header["diff1"] == f"{255:064x}"


@pytest.mark.parametrize("protocol", DIALECTS)
def test_password_of_every_dialect_is_masked(protocol: str, tmp_path: Path) -> None:
    recorded = Recorded(tmp_path / "session.jsonl", protocol, password="p4ss w0rd")

    async def talk() -> None:
        async with recorded.talking():
            hello = {"proto": "EthereumStratum/2.0.0", "encoding": "plain"}
            await recorded.feed(answer(1, hello))
            await recorded.feed(answer(2, "s1"))
            recorded.stream.end()

    simulation.run(talk())
    assert recorded.records("sent")
    assert b"p4ss w0rd" in recorded.stream.written
    text = recorded.path.read_text(encoding="ascii")
    assert "p4ss w0rd" not in text
    assert '\\"***\\"' in text


def masked(data: bytes, password: str, *, user: str = "wallet.rig1", login: str = "login") -> bytes:
    dialect = replace(DIALECTS["kawpow"], logins=frozenset({login}))
    return PasswordMask(dialect, opening(password, user=user)).apply(data)


@given(st.text(max_size=20))
def test_login_is_recorded_as_if_the_password_were_the_mask(password: str) -> None:
    kawpow = DIALECTS["kawpow"]
    sent, shown = kawpow.connect(opening(password)), kawpow.connect(opening("***"))
    assert PasswordMask(kawpow, opening(password)).apply(sent.start()) == shown.start()


def test_password_is_masked_in_every_form_of_login() -> None:
    named = b'{"id":1,"method":"login","params":{"user":"u","pass":"x","agent":"a"}}\n'
    assert masked(named, "x") == named.replace(b'"pass":"x"', b'"pass":"***"')
    same = b'{"id":1,"method":"login","params":["x","x"]}\n'
    assert masked(same, "x", user="x") == b'{"id":1,"method":"login","params":["x","***"]}\n'
    assert masked(b'{"broken":"s3cret"', "s3cret") == b'{"broken":"***"'
    bare = b'{"id":1,"method":"login"}\n'
    assert masked(bare, "x") == bare


def test_password_is_masked_in_requests_that_the_dialect_does_not_list() -> None:
    listed = b'{"id":1,"method":"enter","params":["u",{"deep":["s3cret"]}],"pass":"s3cret"}\n'
    assert masked(listed, "s3cret") == listed.replace(b"s3cret", b"***")


@pytest.mark.parametrize("password", ["", "x", "wallet.rig1", "rig1"])
def test_password_that_is_not_secret_is_kept_outside_of_logins(password: str) -> None:
    request = json.dumps({"id": 4, "method": "enter", "params": [password]}).encode()
    assert masked(request, password) == request


def test_share_whose_job_id_equals_the_password_is_kept() -> None:
    share = b'{"id":4,"method":"mining.submit","params":["wallet","s3cret","0x00"]}\n'
    assert masked(share, "s3cret") == share


def test_recording_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    with Recorder(tmp_path / "session", FakeClock(), print):
        assert stat.S_IMODE((tmp_path / "session").stat().st_mode) == 0o600


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_text("mine", encoding="ascii")
    with pytest.raises(ConfigError, match="the file exists already; name another one"):
        Recorder(path, FakeClock(), print)
    assert path.read_text(encoding="ascii") == "mine"


def test_file_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: No such file or directory"):
        Recorder(tmp_path / "none" / "session", FakeClock(), print)
    with pytest.raises(ConfigError, match="cannot be written: embedded null"):
        Recorder(Path("a\0b"), FakeClock(), print)


def test_each_line_is_written_at_once(tmp_path: Path) -> None:
    path = tmp_path / "session"
    with Recorder(path, FakeClock(), print) as recorder:
        recorder.received(1, b"\xff\n")
        assert records_of(path)[0]["text"] == "\u00ff\n"


def test_full_disk_ends_the_recording_but_not_the_session(recorded: Recorded) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def talk() -> None:
        async with recorded.talking():
            await simulation.settle()
            resource.setrlimit(resource.RLIMIT_FSIZE, (recorded.path.stat().st_size, limit[1]))
            try:
                await recorded.feed(LOGIN + notify())
                recorded.submit(solution(recorded.jobs[0]))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            await recorded.feed(answer(recorded.client.last_id))
            recorded.stream.end()

    simulation.run(talk())
    assert len(recorded.verdicts) == 1
    assert recorded.warnings == [
        f"recording {recorded.path}: File too large; the recording ends here, mining continues"
    ]
    assert [record["kind"] for record in recorded.records()] == ["open", "sent"]


def test_recording_ends_before_its_size_limit_with_one_warning(tmp_path: Path) -> None:
    path, warnings = tmp_path / "session", list[str]()
    with Recorder(path, FakeClock(), warnings.append, limit=1024) as recorder:
        for number in range(20):
            recorder.received(1, b"%030d\n" % number)
        recorder.received(1, b"")
    (warning,) = warnings
    assert warning == (
        f"recording {path}: its limit of 1 KiB is reached; the recording ends here, mining "
        "continues"
    )
    assert 900 < path.stat().st_size <= 1024
    texts = [record["text"] for record in records_of(path)]
    assert texts == [f"{number:030}\n" for number in range(len(texts))], "whole lines"


@pytest.mark.parametrize("how", ["end", "break"])
def test_end_is_recorded_with_its_cause(recorded: Recorded, how: str) -> None:
    async def talk() -> None:
        async with recorded.talking():
            await recorded.feed(LOGIN)
            if how == "end":
                recorded.stream.end()
            else:
                recorded.stream.breaks(ConnectionLost("the connection broke: reset"))

    simulation.run(talk())
    (closed,) = recorded.records("closed")
    assert (closed["by"], closed["reason"]) == {
        "end": ("pool", "the pool closed the connection"),
        "break": ("fault", "the connection broke: reset"),
    }[how]
