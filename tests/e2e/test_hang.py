"""Devices that hang or fail in a process that mines: the others' shares are not touched by it."""

from __future__ import annotations

import re
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest

from miner.engine.shutdown_deadline import STOP_SECONDS
from tests.e2e.test_mining import Program, port_of
from tests.e2e.test_reload import Start, pool_arguments, start

__all__ = ["start"]

HERE = Path(__file__).parent
SLACK = 15.0
"""Seconds that a busy machine may add; what hangs here does so for a minute."""


class Ailing:
    """A miner of ailing devices, and the pool that it mines for."""

    def __init__(self, start: Start, toy: str, folder: Path, script: str = "") -> None:
        self._start, self._toy, self.ledger = start, toy, folder / "ledger.sqlite"
        file = folder / "script.toml"
        file.write_text(script)
        # No block ends the height, so that no share can be late.
        options = {"difficulty": "0.00000001", "block_difficulty": "1000"}
        self.pool = start(
            *pool_arguments(toy, **options, **({"script": str(file)} if script else {}))
        )
        self._port = port_of(self.pool)

    def mine(self, *arguments: str) -> Program:
        return self._start(
            f"--variant={self._toy}", f"--pool={self._port}", f"--ledger={self.ledger}",
            *arguments, command=(sys.executable, str(HERE / "ailing.py")),
        )  # fmt: skip

    def every_share_is_accepted(self, miner: Program) -> None:
        assert self.pool.end(signal.SIGTERM) == 0
        found = re.search(r"summary +(\d+) shares accepted, not accepted: none", miner.text)
        assert found is not None, miner.text
        assert self.pool.text.count(" accepted ") == int(found[1])
        with closing(sqlite3.connect(self.ledger)) as ledger:
            (kept,) = ledger.execute("select count(*), min(outcome), max(outcome) from shares")
        assert kept == (int(found[1]), "accepted", "accepted")
        assert "Traceback" not in miner.text


@pytest.fixture
def ailing(start: Start, toy: str, tmp_path: Path) -> Ailing:
    return Ailing(start, toy, tmp_path)


def test_a_hung_and_a_failing_device_are_parked_while_the_third_continues(
    ailing: Ailing,
) -> None:
    miner = ailing.mine("--park", "well", "hangs", "fails")
    parked = r"hangs:1 +ERROR hung: a launch|fails:2 +ERROR parked"
    miner.until(parked, times=2)
    miner.until("share .*accepted", times=5)
    assert miner.process.poll() is None
    assert miner.end(signal.SIGTERM) == 5, miner.text
    assert "hangs:1: a launch did not return" in miner.text
    ailing.every_share_is_accepted(miner)


def test_a_hung_device_ends_the_process_after_every_share_is_answered(
    ailing: Ailing,
) -> None:
    miner = ailing.mine("well", "hangs")
    assert miner.end() == 5, miner.text
    assert "hangs:1: a launch did not return" in miner.text
    ailing.every_share_is_accepted(miner)


def test_a_stop_ends_within_its_limit_while_device_sensors_and_pool_hang(
    start: Start, toy: str, tmp_path: Path
) -> None:
    silence = '[[fault]]\nafter = 1\ndo = "swallow"\nshares = 1000\n'
    ailing = Ailing(start, toy, tmp_path, silence)
    miner = ailing.mine("--blocked", "--overdue=60", "well", "hangs")
    ailing.pool.until("^fault .* swallow")
    ailing.pool.until("^share .* accepted", times=3)
    begun = monotonic()
    assert miner.end(signal.SIGTERM) == 5, miner.text
    assert monotonic() - begun < STOP_SECONDS + SLACK
    assert "hangs:1: a driver call did not return" in miner.text
    assert "Traceback" not in miner.text
