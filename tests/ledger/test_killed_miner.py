"""The ledger of a killed miner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from miner.ledger import Filter, LedgerReader
from tests.ledger.ledger_rig import LedgerRig, assert_sound

CHECKOUT = Path(__file__).parents[2]


def killed_after(path: Path, writes: int) -> tuple[str, int]:
    """Kill a miner after `writes` writes; return its run and the number of shares it has
    written."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ledger.killed_miner", str(path)],
        stdout=subprocess.PIPE, text=True, cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    ) as child:  # fmt: skip
        assert child.stdout is not None
        run = child.stdout.readline().strip()
        for _ in range(writes):
            assert child.stdout.readline().strip()
        child.send_signal(signal.SIGKILL)
        # Every line is complete: it is shorter than PIPE_BUF.
        known = child.stdout.read().split()
    assert child.returncode == -signal.SIGKILL
    return run, int(known[-1]) if known else 20 * writes


@pytest.mark.parametrize("writes", [1, 7, 40])
def test_written_shares_survive_a_kill(path: Path, writes: int) -> None:
    kept: dict[str, int] = {}
    for more in range(3):
        run, known = killed_after(path, writes + more)
        shares = list(LedgerReader(path).each(Filter(run=run)))
        numbers = [share.number for share in shares]
        assert numbers == list(range(1, len(numbers) + 1))
        # The batch in flight is written as a whole or not at all.
        assert len(numbers) - known in (0, 20)
        assert {share.outcome for share in shares} == {"accepted"}
        kept[run] = len(numbers)
        assert_sound(path)
    rig = LedgerRig(path)
    rig.finished()
    rig.ledger.close()
    assert rig.reports == []
    kept[rig.ledger.run_id] = 1
    assert {run.id: run.shares for run in LedgerReader(path).runs()} == kept
