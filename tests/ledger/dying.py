"""A miner that does nothing but keep its ledger, as fast as it can, until it is killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from miner.engine.threads import WorkPool
from tests.ledger.living import Life


async def live(path: Path) -> None:
    """Print how many shares are known to be written, each time that this becomes true."""
    life = Life(path)
    with WorkPool("ledger", 1) as pool:

        async def offload(write: Callable[..., Any], *arguments: Any) -> Any:
            notices = await pool.offload(write, *arguments)
            print(written, flush=True)
            return notices

        print(life.ledger.run_id, flush=True)
        while True:
            for _ in range(20):
                life.lived()
            written = life.shares_told
            await life.ledger._write(offload)


asyncio.run(live(Path(sys.argv[1])))
