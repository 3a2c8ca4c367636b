"""How the process ends: with an output that takes nothing, with a compiler that runs on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import CHECKOUT, python, toy_file

FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")


def shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = " ".join(arguments)
    return subprocess.run(
        ["/bin/sh", "-c", f"exec {sys.executable} -m miner {words} {redirection}"],
        capture_output=True, text=True, cwd=CHECKOUT, timeout=120, check=False,
    )  # fmt: skip


def mining(folder: Path) -> tuple[str, ...]:
    """Arguments of a run that ends by itself."""
    return (
        "mine", "-a", str(toy_file(folder)), "--backend", "ref", "--api", "off", "--no-ledger",
        "-o", "stratum+tcp://127.0.0.1:9", "-u", "w", "--give-up", "0.1",
    )  # fmt: skip


def without_ledger(arguments: tuple[str, ...]) -> list[str]:
    return [word for word in arguments if word != "--no-ledger"]


def test_a_ledger_that_was_asked_for_and_cannot_be_had_ends_the_run_before_it_begins(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(f'[ledger]\nfile = "{tmp_path}"\n')
    ran = python("-m", "miner", *without_ledger(mining(tmp_path)), "-c", str(path))
    assert ran.returncode == 2
    assert ran.stderr == (
        f"progpow-miner: share ledger {tmp_path} cannot be written: Is a directory; name "
        "another file\n"
    )


def test_a_ledger_that_nobody_named_is_said_at_the_start_and_mining_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    monkeypatch.setenv("PROGPOW_MINER_STATE", str(tmp_path))
    ran = python("-m", "miner", *without_ledger(mining(tmp_path)))
    assert ran.returncode == 4
    assert ran.stdout.count("cannot be written: Is a directory") == 1


def test_a_log_that_is_a_folder_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    ran = python("-m", "miner", *mining(tmp_path), "-l", str(tmp_path))
    assert ran.returncode == 2
    assert ran.stderr == (
        f"progpow-miner: {tmp_path}: is a folder; name a file in it for the log\n"
    )


@needs_full
def test_a_full_disk_ends_a_command_in_one_sentence() -> None:
    ran = shell(f"> {FULL}", "config", "init", "-")
    assert ran.returncode == 1
    assert ran.stderr == ("progpow-miner: the output cannot be written: No space left on device\n")


@needs_full
def test_a_full_disk_does_not_keep_the_miner_from_mining(tmp_path: Path) -> None:
    ran = shell(f"> {FULL}", *mining(tmp_path))
    assert ran.returncode == 4
    assert ran.stderr.startswith("progpow-miner: no pool for 0.1 s")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("redirection", [">&-", "<&- >&-"])
def test_a_closed_output_does_not_keep_the_miner_from_mining(
    tmp_path: Path, redirection: str
) -> None:
    ran = shell(redirection, *mining(tmp_path))
    assert ran.returncode == 4
    assert ran.stderr.startswith("progpow-miner: no pool for 0.1 s")


@pytest.mark.parametrize("redirection", ["2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_an_error_output_that_takes_nothing_keeps_the_exit_code(
    tmp_path: Path, redirection: str
) -> None:
    ran = shell(redirection, *mining(tmp_path))
    assert ran.returncode == 4
    assert "Traceback" not in ran.stdout


COMPILING = """
import sys, threading
from miner import cli
from miner.engine import threads
threads.CLOSE_SECONDS = 0.01
@cli.cli.command()
def compile():
    with threads.WorkPool("build", 1) as builds:
        builds.submit(threading.Event().wait)
    print("done")
sys.argv = ["progpow-miner", "compile"]
cli.main()
"""


def test_a_compiler_that_runs_on_does_not_keep_the_process() -> None:
    ran = python("-c", COMPILING)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")


STARTING = """
import os, signal, sys, threading
from miner import cli
from miner.run import resolve
def resolve_settings(read):
    print("looking for devices", flush=True)
    os.kill(os.getpid(), signal.{signal})
    threading.Event().wait(20)  # as a driver that compiles
    print("mining")
resolve.resolve_settings = resolve_settings
sys.argv = ["progpow-miner", "mine", "-a", "kawpow", "-o", "127.0.0.1:9", "-u", "w"]
cli.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_before_mining_ends_the_process_at_once(name: str) -> None:
    ran = python("-c", STARTING.format(signal=name))
    assert ran.returncode == 130
    assert ran.stdout == "looking for devices\n"
    assert ran.stderr == "progpow-miner: stopped at once\n"
