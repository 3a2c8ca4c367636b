"""Signals before mining starts and after it ends."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from miner.signals import handled, signals
from tests.cli.running import CHECKOUT

BROKEN = "coin = "
STRAY = ["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO"]


def starting(tmp_path: Path, number: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Send a signal to a miner that is reading its settings, which are invalid."""
    fifo = tmp_path / "settings.toml"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [sys.executable, "-m", "miner", "mine", "-c", str(fifo)],
        cwd=CHECKOUT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with fifo.open("w") as settings:  # blocks until the miner reads
        process.send_signal(number)
        if number is signal.SIGTERM:
            ended(process)
        else:
            settings.write(BROKEN)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, out, err)


def ended(process: subprocess.Popen[str]) -> None:
    """Repeat the signal until the miner prints its last message.

    A signal that arrives just before a blocking read is handled after the read only.
    """
    for _ in range(120):
        if select.select([process.stderr], [], [], 0.5)[0]:
            return
        process.send_signal(signal.SIGTERM)
    process.kill()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no FIFO")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1"])
def test_a_signal_other_than_a_stop_is_ignored_during_the_start(name: str, tmp_path: Path) -> None:
    ran = starting(tmp_path, signal.Signals[name])
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "settings.toml: line 1: is not valid TOML" in ran.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no FIFO")
def test_sigterm_during_the_start_exits_at_once(tmp_path: Path) -> None:
    ran = starting(tmp_path, signal.SIGTERM)
    assert ran.returncode == 130
    assert "Traceback" not in ran.stderr


def test_an_ignored_signal_stays_ignored() -> None:
    with handled("SIGHUP", signal.SIG_IGN), handled("SIGHUP", signal.default_int_handler):
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_previous_handlers_are_restored() -> None:
    def theirs(*_: object) -> None:
        raise AssertionError

    async def run() -> None:
        with signals(lambda: None, lambda line: None, lambda: None):
            assert signal.getsignal(signal.SIGTERM) is not theirs

    with handled("SIGTERM", theirs), handled("SIGHUP", signal.SIG_IGN):
        asyncio.run(run())
        assert signal.getsignal(signal.SIGTERM) is theirs
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal masks")
@pytest.mark.parametrize(
    "name",
    sorted(
        {"SIGINT", "SIGTERM", "SIGQUIT", "SIGPWR", "SIGXCPU"} & signal.Signals.__members__.keys()
    ),
)
def test_the_first_signal_stops_also_where_it_was_blocked(name: str) -> None:
    async def run() -> list[str]:
        stopped = asyncio.Event()
        with signals(stopped.set, lines.append):
            os.kill(os.getpid(), signal.Signals[name])
            await asyncio.wait_for(stopped.wait(), 60)
        return lines

    lines: list[str] = []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.Signals[name]])
    try:
        assert asyncio.run(run()) == [
            "stopping: shares found are submitted; another signal stops at once"
        ]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_signals_without_a_meaning_are_reported_once_and_stop_nothing() -> None:
    async def run() -> None:
        stopped = asyncio.Event()
        with signals(stopped.set, lines.append):
            for name in (*STRAY, *STRAY, "SIGTERM"):
                os.kill(os.getpid(), signal.Signals[name])
                await asyncio.sleep(0)
            await asyncio.wait_for(stopped.wait(), 60)

    lines: list[str] = []
    asyncio.run(run())
    assert lines[:-1] == [f"{name} is ignored; SIGTERM stops in order" for name in STRAY]
    assert lines[-1].startswith("stopping: ")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_the_handler_of_a_profiler_stays() -> None:
    async def run() -> None:
        with signals(lambda: None, lambda line: None):
            assert signal.getsignal(signal.SIGPROF) is signal.default_int_handler

    with handled("SIGPROF", signal.default_int_handler):
        asyncio.run(run())
