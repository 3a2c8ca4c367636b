"""The program of test_killed_miner: writes a ledger as fast as possible until killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from miner.engine.threads import WorkPool
from tests.ledger.ledger_rig import LedgerRig


async def mine(path: Path) -> None:
    """Print the name of the run, and after each write the number of shares written."""
    rig = LedgerRig(path)
    with WorkPool("ledger", 1) as pool:
        print(rig.ledger.run_id, flush=True)
        while True:
            for _ in range(20):
                rig.finished()
            written = rig.count
            await rig.ledger._write(pool)
            print(written, flush=True)


asyncio.run(mine(Path(sys.argv[1])))
