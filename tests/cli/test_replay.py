"""The command `replay`, with a session that the library recorded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from miner import clock as simulation
from tests.cli.running import TOY, run, toy_file
from tests.recordings.recorded import Recorded
from tests.stratum.dialogue import LOGIN, answer, notify, solution


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    recorded = Recorded(tmp_path / "recording.jsonl")

    async def talk() -> None:
        async with recorded.talking():
            await recorded.feed(LOGIN + notify())
            for i in range(3):
                await asyncio.sleep(30)
                recorded.submit(solution(recorded.jobs[0], recorded.jobs[0].nonces.first + i))
                said = (
                    answer(recorded.client.last_id, True) if i else answer(4, None, [21, "stale"])
                )
                await recorded.feed(said)
            recorded.stream.end()

    simulation.run(talk())
    return recorded.path


def changed(recording: Path, old: str, new: str) -> None:
    text = recording.read_text(encoding="ascii")
    assert old in text
    recording.write_text(text.replace(old, new), encoding="ascii")


def test_replay_of_an_unchanged_recording(recording: Path) -> None:
    ran = run("replay", recording)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "connection 1: stratum+tcp://pool.example:3333, kawpow",
        "  jobs    1",
        "  shares  1 stale, 2 accepted",
        "  ended   the pool closed the connection",
        "  same bytes",
    ]


def test_a_changed_byte_is_a_failed_check(recording: Path) -> None:
    changed(recording, "mining.submit", "mining.sobmit")
    ran = run("replay", recording)
    assert ran.code == 1
    assert ran.err == (
        f"progpow-miner: 1 of 1 connections in {recording} differ from the recording\n"
    )
    difference = ran.out.splitlines()[-1]
    assert "mining.sobmit" in difference
    assert "mining.submit" in difference
    assert "same bytes" not in ran.out


@pytest.mark.parametrize("code", [0, 1])
def test_as_json(recording: Path, code: int) -> None:
    if code:
        changed(recording, "mining.submit", "mining.sobmit")
    ran = run("replay", recording, "--json")
    assert ran.code == code
    (result,) = json.loads(ran.out)
    assert result.pop("difference") is None or code
    assert result == {
        "connection": 1,
        "url": "stratum+tcp://pool.example:3333",
        "protocol": "kawpow",
        "jobs": 1,
        "shares": {"stale": 1, "accepted": 2},
        "messages": [],
        "ended": "the pool closed the connection",
    }


def test_an_unusable_file(recording: Path, tmp_path: Path) -> None:
    changed(recording, '"kind": "received"', '"kind": "dreamt"')
    ran = run("replay", recording)
    assert (ran.code, ran.out) == (2, "")
    assert f"recording {recording}, line 3: unknown kind of record 'dreamt'" in ran.err
    ran = run("replay", tmp_path / "none.jsonl")
    assert ran.code == 2
    assert ran.err.count("\n") == 1


def test_replay_with_a_variant_file(recording: Path, tmp_path: Path) -> None:
    changed(recording, '"variant": "kawpow"', '"variant": "toy"')
    ran = run("replay", recording)
    assert ran.code == 2
    assert "variant 'toy' is not known" in ran.err
    assert f"give its file with -a, or copy it to {recording.parent}/toy.toml" in ran.err
    assert 'name = "toy"' in TOY
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ran = run("replay", recording, "-a", toy_file(elsewhere, ("length = 100", "length = 7500")))
    assert ran.code == 0, ran.err
    toy_file(recording.parent, ("length = 100", "length = 7500"))
    assert run("replay", recording) == ran
