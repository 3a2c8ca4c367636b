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
from miner.stratum.client_side import Opening
from miner.stratum.dialects import DIALECTS
from tests.fakes.clock import FakeClock
from tests.fakes.dial import FakeStream
from tests.fakes.variants import KAWPOW
from tests.recordings.taped import RIG, URL, Taped, records_of
from tests.stratum.dialogue import answer, notify, solution

LOGIN = answer(1, [None, "0b8e5b"]) + answer(2)


def opening(password: str = "hunter2", user: str = URL.user, diff1: int | None = None) -> Opening:
    return Opening(
        user, password, "progpow-miner/0", KAWPOW, 3, URL.host, URL.port, diff1=diff1
    )  # fmt: skip


@pytest.fixture
def taped(tmp_path: Path) -> Taped:
    return Taped(tmp_path / "tape.jsonl")


def test_what_passes_is_passed_on_and_written_down(taped: Taped) -> None:
    async def talk() -> None:
        taped.open_tape()
        async with asyncio.TaskGroup() as group:
            taped.connect(group)
            await asyncio.sleep(1.5)
            await taped.feed(LOGIN + notify())
            await asyncio.sleep(2)
            taped.submit(solution(taped.jobs[0]))
            taped.session.leave("the miner stopped")
        assert taped.stream.closed
        taped.tape.close()

    simulation.run(talk())
    header, start, received, found, share, closed = taped.records()
    assert header == {
        "kind": "open", "t": 0.0, "connection": 1, "format": 1,
        "url": "stratum+tcp://pool.example:3333", "protocol": "kawpow", "variant": "kawpow",
        "user": "RWallet.rig1", "agent": "progpow-miner/0", "session": 1,
        "host": "pool.example", "port": 3333, "diff1": None, "resume": None, "rig": RIG.hex(),
    }  # fmt: skip
    written = taped.stream.written.decode()
    assert start["text"] + share["text"] == written.replace("hunter2", "***")
    assert (received["t"], received["text"]) == (1.5, (LOGIN + notify()).decode())
    assert (found["kind"], found["within"]) == ("found", False)
    assert found["nonce"] == f"{taped.jobs[0].nonces.first:016x}"
    assert found["t"] == pytest.approx(3.5, abs=0.001)
    assert (closed["kind"], closed["by"]) == ("closed", "us")


def test_difficulty_one_is_kept(tmp_path: Path) -> None:
    with Recorder(tmp_path / "tape", FakeClock(), print) as tape:
        tape.opened(FakeStream(), URL, "kawpow", opening(diff1=255), RIG)
    (header,) = records_of(tmp_path / "tape")
    assert header["diff1"] == f"{255:064x}"


@pytest.mark.parametrize("protocol", DIALECTS)
def test_no_dialect_leaves_its_password(protocol: str, tmp_path: Path) -> None:
    taped = Taped(tmp_path / "tape.jsonl", protocol, password="p4ss w0rd")

    async def talk() -> None:
        taped.open_tape()
        async with asyncio.TaskGroup() as group:
            taped.connect(group)
            hello = {"proto": "EthereumStratum/2.0.0", "encoding": "plain"}
            await taped.feed(json.dumps({"id": 1, "result": hello, "error": None}).encode() + b"\n")
            await taped.feed(json.dumps({"id": 2, "result": "s1", "error": None}).encode() + b"\n")
            taped.stream.end()
        taped.tape.close()

    simulation.run(talk())
    assert taped.records("sent")
    assert b"p4ss w0rd" in taped.stream.written
    text = taped.path.read_text(encoding="ascii")
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


def test_only_its_owner_may_read_it(taped: Taped) -> None:
    simulation.run(opened_only(taped))
    assert stat.S_IMODE(taped.path.stat().st_mode) == 0o600


async def opened_only(taped: Taped) -> None:
    taped.open_tape()
    taped.tape.close()


def test_no_file_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text("mine", encoding="ascii")
    with pytest.raises(ConfigError, match="the file exists already; name another one"):
        Recorder(path, FakeClock(), print)
    assert path.read_text(encoding="ascii") == "mine"


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: No such file or directory"):
        Recorder(tmp_path / "none" / "tape", FakeClock(), print)
    with pytest.raises(ConfigError, match="cannot be written: embedded null"):
        Recorder(Path("a\0b"), FakeClock(), print)


def test_each_line_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tape"
    with Recorder(path, FakeClock(), print) as tape:
        tape.received(1, b"\xff\n")
        assert records_of(path)[0]["text"] == "\u00ff\n"


def test_a_full_disk_ends_the_recording_and_nothing_else(taped: Taped) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def talk() -> None:
        taped.open_tape()
        async with asyncio.TaskGroup() as group:
            taped.connect(group)
            await simulation.settle()
            resource.setrlimit(resource.RLIMIT_FSIZE, (taped.path.stat().st_size, limit[1]))
            try:
                await taped.feed(LOGIN + notify())
                taped.submit(solution(taped.jobs[0]))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            await taped.feed(answer(taped.spoken.last_id))
            taped.stream.end()

    simulation.run(talk())
    assert len(taped.verdicts) == 1
    assert taped.told == [
        f"recording {taped.path}: File too large; the recording ends here, mining continues"
    ]
    assert [record["kind"] for record in taped.records()] == ["open", "sent"]


@pytest.mark.parametrize("how", ["end", "break"])
def test_the_end_says_whose_it_is(taped: Taped, how: str) -> None:
    async def talk() -> None:
        taped.open_tape()
        async with asyncio.TaskGroup() as group:
            taped.connect(group)
            await taped.feed(LOGIN)
            if how == "end":
                taped.stream.end()
            else:
                taped.stream.breaks(ConnectionLost("the connection broke: reset"))
        taped.tape.close()

    simulation.run(talk())
    (closed,) = taped.records("closed")
    assert (closed["by"], closed["reason"]) == {
        "end": ("pool", "the pool closed the connection"),
        "break": ("fault", "the connection broke: reset"),
    }[how]
