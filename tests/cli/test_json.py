"""Commands that print JSON on request."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.catalog import coins, find_variant, usual_height
from miner.cli.options import print_json
from tests.cli.running import run, settings_file, toy_file

pytestmark = pytest.mark.usefixtures("only_ref")

GOOD = 'variant = "kawpow"\n[[pools]]\nurl = "pool.example:1"\nuser = "w"\n'


def json_of(*arguments: str | Path, code: int = 0) -> Any:
    ran = run(*arguments, "--json")
    assert ran.code == code, ran.err
    assert ran.out.isascii()
    return json.loads(ran.out)


def test_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(folder))
    assert json_of("cache") == {"folder": str(folder), "parts": [], "deleted": False}
    (folder / "build-logs").mkdir(parents=True)
    (folder / "build-logs" / "one.log").write_bytes(bytes(100))
    parts = [{"name": "build-logs", "files": 1, "bytes": 100}]
    assert json_of("cache") == {"folder": str(folder), "parts": parts, "deleted": False}
    assert json_of("cache", "--clear")["deleted"] is True
    assert json_of("cache")["parts"] == []


def test_a_checked_settings_file(tmp_path: Path) -> None:
    path = settings_file(tmp_path, GOOD)
    report = json_of("config", "check", path)
    assert (report["file"], report["ok"], report["problems"]) == (str(path), True, [])
    assert any("example address" in note for note in report["notes"])
    settings_file(tmp_path, GOOD + "wroker = 1\nusre = 2\n")
    report = json_of("config", "check", path, code=2)
    assert not report["ok"]
    assert len(report["problems"]) == 2


@given(st.text(), st.sampled_from(["ascii", "cp1252", "cp437", "koi8-r", "shift_jis", "utf-8"]))
def test_json_is_valid_in_any_encoding_of_the_output(text: str, encoding: str) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding, errors="backslashreplace")
    with redirect_stdout(output):
        print_json({text: [text]})
    output.seek(0)
    assert json.load(output) == {text: [text]}


def test_settings_in_other_scripts_are_json_in_ascii(tmp_path: Path) -> None:
    path = settings_file(tmp_path, f'rig = "Bergbau Süd 🪨"\n{GOOD}')
    assert "Bergbau Süd 🪨" in str(json_of("config", "show", path))


@pytest.mark.parametrize("command", ["devices", "doctor", "variants", "config show"])
def test_nothing_but_json_is_on_the_standard_output(command: str, tmp_path: Path) -> None:
    with_settings = command in ("doctor", "config show")
    path = [settings_file(tmp_path, GOOD)] if with_settings else []
    assert json.loads(run(*command.split(), *path, "--json").out)


def test_the_progress_of_devices_is_on_the_error_output() -> None:
    ran = run("devices", "--json")
    assert [row["name"] for row in json.loads(ran.out)] == ["ref"]
    assert "looking for devices" in ran.err


def test_the_self_test(tmp_path: Path) -> None:
    toy = toy_file(tmp_path)
    row = {"device": "ref", "variant": "toy", "ok": True, "result": "1 known answers"}
    assert json_of("selftest", "-a", toy, "-d", "ref") == [row]
    rows = json_of("selftest", "-a", toy, "-d", "ref", "--height", "8000")
    assert rows[1]["result"] == "right at height 8000, epoch 80, 1.0 MiB"


def test_the_demo(tmp_path: Path) -> None:
    ran = run("demo", "-a", toy_file(tmp_path), "-d", "ref", "--shares", "1",
              "--difficulty", "1e-8", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert any("share" in line["topic"] for line in lines)
    assert "toy, the test pool; looking for devices" in lines[0]["text"]


def test_each_line_of_the_demo_has_a_date(tmp_path: Path) -> None:
    ran = run("demo", "-a", toy_file(tmp_path), "-d", "ref", "--shares", "1",
              "--difficulty", "1e-8")  # fmt: skip
    assert ran.code == 0, ran.err
    assert [line for line in ran.out.splitlines() if not re.match(r"20\d\d-\d\d-\d\d ", line)] == []


def test_a_benchmark_needs_no_height(tmp_path: Path) -> None:
    toy = toy_file(tmp_path)
    report = json_of("bench", "-a", toy, "-d", "ref", "--seconds", "1")
    assert report["height"] == 0
    assert usual_height("kawpow", find_variant("kawpow")) in {
        coin.chain.height for coin in coins().values() if coin.chain
    }
    ravencoin = coins()["RVN"].chain
    assert ravencoin is not None
    assert usual_height("rvn", find_variant("rvn")) == ravencoin.height
