"""Which device's driver ended the miner, and what follows from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from miner.devices import driver_history
from miner.devices.driver_history import CrashRecord, TrialResults, count_crashes, crash_problem
from miner.devices.opencl import OPENCL
from miner.devices.selection import ListedDevice, tried
from miner.devices.trials import Trials
from tests.devices.infos import info_of
from tests.fakes.variants import KAWPOW

CHECKOUT = Path(__file__).parents[2]
CARD, OTHER = info_of("opencl:0.0"), info_of("opencl:0.1")

RUN = """
import ctypes, os, signal, sys, threading
from miner.devices.driver_history import CrashRecord
from tests.devices.test_driver_history import CARD, OTHER
record = CrashRecord()
entered = threading.Event()
def other():
    with record.call(OTHER, "{other}"):
        entered.set()
        threading.Event().wait()
threading.Thread(target=other, daemon=True).start()
entered.wait()
with record.call(CARD, "{call}"):
    {end}
"""
SEGFAULT = "ctypes.string_at(0)"
EXIT = "ctypes.CDLL(None)._exit(8)"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    monkeypatch.delenv("PYTHONFAULTHANDLER", raising=False)


def run(end: str, call: str, other: str) -> None:
    """Have a process end in the call of one card, while another card is in a call too."""
    code = RUN.format(end=end, call=call, other=other)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert done.returncode, done.stderr


@pytest.mark.parametrize("call", ["opening", "searching"])
def test_a_crash_counts_against_the_device_whose_thread_crashed(call: str) -> None:
    results = TrialResults()
    run(SEGFAULT, call, "building a kernel")
    (crash,) = count_crashes(results)
    assert str(crash) == f"an earlier run ended while opencl:0.0 was {call}"
    assert crash.count == 1
    assert count_crashes(results) == []
    assert crash_problem(results, CARD) is None
    run(SEGFAULT, call, "building a kernel")
    assert [crash.count for crash in count_crashes(results)] == [2]
    assert crash_problem(results, CARD) == f"its driver ended the miner 2 times, last while {call}"
    assert crash_problem(results, OTHER) is None


@pytest.mark.parametrize(
    ("call", "other", "suspects"),
    [
        ("opening", "searching", ["opencl:0.0"]),
        ("searching", "opening", ["opencl:0.1"]),
        ("opening", "opening", []),
        ("searching", "searching", []),
        ("", "", []),
    ],
)
def test_an_exit_counts_only_against_the_one_device_in_a_rare_call(
    call: str, other: str, suspects: list[str]
) -> None:
    run(EXIT, call, other)
    assert [crash.device for crash in count_crashes(TrialResults())] == suspects


def test_a_device_that_crashed_twice_is_left_out_until_retry_or_boot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def good(*_: object) -> dict[str, object]:
        return {"problem": None}

    monkeypatch.setattr("miner.devices.trials.ask_child", good)
    listed = ListedDevice(CARD, OPENCL)

    def problem() -> str | None:
        return tried([listed], KAWPOW, Trials())[0].info.unusable

    results = TrialResults()
    for count in (1, 2):
        results.keep(f"{count} opening", "crashes", repr(CARD))
        assert (problem() is None) is (count == 1)
    assert str(problem()).startswith(
        "its driver ended the miner 2 times, last while opening; it is"
    )
    monkeypatch.setattr(driver_history, "boot_id", lambda: "another boot")
    assert problem() is None
    monkeypatch.undo()


def test_an_orderly_end_and_a_running_process_count_nothing(tmp_path: Path) -> None:
    record = CrashRecord()
    with record.call(CARD, "opening"):
        assert count_crashes(TrialResults()) == [], "its process has locked the file"
        record.close()
        assert list((tmp_path / "driver-calls").iterdir()) == []
    record.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 70000, b"[" * 3000, b"\xff\n" * 2000])
def test_a_damaged_record_counts_nothing(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "driver-calls"
    folder.mkdir()
    (folder / "x.calls").write_bytes(content)
    assert count_crashes(TrialResults()) == []
    assert list(folder.iterdir()) == []


def test_a_crash_before_the_boot_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run(SEGFAULT, "opening", "opening")
    monkeypatch.setattr(driver_history, "boot_id", lambda: "another boot")
    assert count_crashes(TrialResults()) == []


def test_on_windows_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pwrite")
    record = CrashRecord()
    with record.call(CARD, "opening"):
        pass
    record.close()
    assert not (tmp_path / "driver-calls").exists()


def test_without_a_writable_cache_nothing_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path / "file"))
    record = CrashRecord()
    with record.call(CARD, "opening"):
        pass
    record.close()
    assert count_crashes(TrialResults()) == []
