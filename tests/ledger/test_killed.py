"""What a killed miner leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from miner.ledger import Filter, LedgerReader
from tests.ledger.living import Life, assert_sound

CHECKOUT = Path(__file__).parents[2]


def killed_after(path: Path, writes: int) -> tuple[str, int]:
    """Kill a miner that was seen to write `writes` times; return its run, and how many of its
    shares were known to be in the file."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.dying", str(path)],
        stdout=subprocess.PIPE, text=True, cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    ) as child:  # fmt: skip
        assert child.stdout is not None
        run = child.stdout.readline().strip()
        for _ in range(writes):
            assert child.stdout.readline().strip()
        child.send_signal(signal.SIGKILL)
        # Each line is whole: they are shorter than what a pipe takes at once.
        known = child.stdout.read().split()
    assert child.returncode == -signal.SIGKILL
    return run, int(known[-1]) if known else 20 * writes


@pytest.mark.parametrize("writes", [1, 7, 40])
def test_what_was_written_survives_a_kill_and_the_file_is_sound(path: Path, writes: int) -> None:
    """That writing is never a second away is shown with a clock, in test_writing."""
    kept: dict[str, int] = {}
    for more in range(3):
        run, known = killed_after(path, writes + more)
        shares = LedgerReader(path).shares(Filter(run=run), newest_first=False)
        numbers = [share.number for share in shares]
        assert numbers == list(range(1, len(numbers) + 1))
        # The batch that was on its way is there as a whole or not at all.
        assert len(numbers) - known in (0, 20)
        assert {share.outcome for share in shares} == {"accepted"}
        kept[run] = len(numbers)
        assert_sound(path)
    life = Life(path)
    life.lived()
    life.ledger.close()
    assert life.reports == []
    kept[life.ledger.run_id] = 1
    assert {run.id: run.shares for run in LedgerReader(path).runs()} == kept
