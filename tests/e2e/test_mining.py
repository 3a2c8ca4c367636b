"""The whole miner against the test pool, as processes, on a toy-sized KawPow."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENOUGH = 180
"""Seconds after which a wait has failed."""


MINER = (sys.executable, "-m", "miner")


class Program:
    """A running command with its lines."""

    def __init__(self, *arguments: str, cache: Path, command: Sequence[str] = MINER) -> None:
        environment = {**os.environ, "PROGPOW_MINER_CACHE": str(cache), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines: list[str] = []
        self._limit = threading.Timer(ENOUGH, self.process.kill)
        self._limit.start()

    def until(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Read lines until `pattern` was seen `times` times."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(pattern, line):
                times -= 1
                if not times:
                    return found
        pytest.fail(f"never saw {pattern!r} in:\n{''.join(self.lines)}")

    def end(self, number: signal.Signals | None = None) -> int:
        """Signal it, read the rest, return the exit code."""
        if number:
            self.process.send_signal(number)
        assert self.process.stdout is not None
        self.lines += self.process.stdout
        return self.process.wait()

    def close(self) -> None:
        self._limit.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def text(self) -> str:
        return "".join(self.lines)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    own = os.environ.get("PROGPOW_MINER_CACHE")
    return Path(own) if own else tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(cache: Path) -> Iterator[object]:
    programs: list[Program] = []

    def start(*arguments: str) -> Program:
        programs.append(Program(*arguments, cache=cache))
        return programs[-1]

    yield start
    for program in programs:
        program.close()


def pool_arguments(toy: str, port: int = 0, **more: str) -> list[str]:
    options = {"variant": toy, "difficulty": "0.000002", "listen": f"127.0.0.1:{port}"} | more
    return ["pool", *(f"--{k.replace('_', '-')}={v}" for k, v in options.items())]


def port_of(pool: Program) -> int:
    return int(pool.until(r"listening on stratum\+tcp://127\.0\.0\.1:(\d+)")[1])


def miner_arguments(toy: str, port: int) -> list[str]:
    return [
        "mine",
        "-a",
        toy,
        "-o",
        f"stratum+tcp://127.0.0.1:{port}",
        "-u",
        "w",
        "-w",
        "rig",
        "-d",
        "cpu",
    ]


def test_the_demo_ends_with_its_shares_accepted(run, toy: str) -> None:  # type: ignore[no-untyped-def]
    # By default one share in 256 is a block, which makes the shares after it stale.
    no_block = ("--block-difficulty", "1000")
    demo = run("demo", "--variant", toy, "--shares", "2", "--difficulty", "0.000002", *no_block)
    assert demo.end() == 0, demo.text
    assert "built and verified" in demo.text
    assert re.search(r"summary .*\d shares accepted, not accepted: none", demo.text), demo.text


def test_many_periods_have_no_rejected_shares_except_stale_ones(run, toy: str) -> None:  # type: ignore[no-untyped-def]
    pool = run(*pool_arguments(toy, block_time="1"))
    miner = run(*miner_arguments(toy, port_of(pool)))
    miner.until("share .*accepted", times=3)
    miner.until("kernel for period", times=4)
    miner.until("share .*accepted", times=3)
    assert miner.end(signal.SIGINT) == 0
    assert pool.end(signal.SIGTERM) == 0
    refused = [x for x in pool.lines if x.startswith("share") and " refused " in x]
    assert all("refused 21" in line for line in refused), pool.text
    assert "fault: " not in miner.text


def test_a_pool_that_is_killed_and_comes_back_is_mined_on_again(run, toy: str) -> None:  # type: ignore[no-untyped-def]
    pool = run(*pool_arguments(toy))
    port = port_of(pool)
    miner = run(*miner_arguments(toy, port))
    miner.until("share .*accepted")
    pool.end(signal.SIGKILL)
    miner.until("pool .*lost")
    again = run(*pool_arguments(toy, port=port))
    port_of(again)
    miner.until("pool .*logged in")
    miner.until("share .*accepted")
    assert miner.end(signal.SIGTERM) == 0, miner.text


def test_a_run_without_a_pool_gives_up_with_exit_code_4(run, toy: str) -> None:  # type: ignore[no-untyped-def]
    miner = run(*miner_arguments(toy, 9), "--give-up", "1")
    assert miner.end() == 4, miner.text
    assert "Traceback" not in miner.text


def test_a_second_signal_stops_at_once_with_130(run, toy: str) -> None:  # type: ignore[no-untyped-def]
    pool = run(*pool_arguments(toy))
    miner = run(*miner_arguments(toy, port_of(pool)))
    miner.until("kernel for period")
    miner.process.send_signal(signal.SIGINT)
    assert miner.end(signal.SIGTERM) == 130, miner.text


TITLES = {
    "kawpow": "KawPow Stratum",
    "ethstratum": "EthereumStratum/1.0.0",
    "ethproxy": "ETHPROXY",
    "ethstratum2": "EthereumStratum/2.0.0",
    "sero": "SERO's Stratum",
    "zano": "ETHPROXY",
    "epic": "EPIC Cash's Stratum",
}
"""What each kind of pool is found to speak; Zano's dialect differs from ETHPROXY in its answers."""


@pytest.mark.parametrize("protocol", TITLES)
def test_the_protocol_of_a_pool_is_found_and_its_shares_are_proved(  # type: ignore[no-untyped-def]
    run, toy: str, protocol: str
) -> None:
    # No block ends the height, so that no share can be late.
    pool = run(*pool_arguments(toy, protocol=protocol, block_difficulty="1000000"), "--odd")
    miner = run(*miner_arguments(toy, port_of(pool)), "--shares", "2")
    assert miner.end() == 0, miner.text
    assert f"it speaks {TITLES[protocol]}" in miner.text
    assert re.search(r"summary .*\d shares accepted, not accepted: none", miner.text), miner.text
    assert pool.end(signal.SIGTERM) == 0
    assert "accepted difficulty" in pool.text
