"""The pool client with the test pool as strict as the strictest servers, in simulated time."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from miner.clock import LoopClock
from miner.stratum.chain import Chain
from miner.stratum.dialects import DIALECTS
from miner.stratum.session import Reports
from miner.testpool.pool_server import PoolServer, ServerOptions
from miner.testpool.server_events import ClientLeft, ServerEvent
from miner.work import Outcome
from tests.pool.test_chaos import TARGET, Listener, Miner, simulate
from tests.testpool.standins import KAWPOW, StandInProver, seed_of
from tests.testpool.test_strictness import USERS

SECONDS = 600.0
CONNECTIONS = 5
"""One for each optional request that ends a connection, and some."""


@pytest.mark.parametrize("named", [True, False], ids=["named", "detected"])
@pytest.mark.parametrize("name", DIALECTS)
def test_a_strict_and_odd_pool_is_mined_on_without_optional_requests(
    name: str, named: bool
) -> None:
    events: list[ServerEvent] = []
    miners: list[Miner] = []

    async def ten_minutes() -> None:
        chain = Chain(KAWPOW, 1000, TARGET, 1, Random(3), seed_of)
        options = ServerOptions(block_time=30.0, protocol=name, strict=True, odd_seed=1)
        server = PoolServer(chain, StandInProver(), LoopClock(), options, Listener(events))
        async with server.listen():
            miner = Miner(
                name if named else None, 1, [server.port], user=USERS[name],
                password="longpassword", seconds=SECONDS,
                reports=Reports(lambda: 1e6, bytes(32)),
            )  # fmt: skip
            miners.append(miner)
            await miner.run()

    simulate(ten_minutes())
    (miner,) = miners
    outcomes = Counter(verdict.outcome for verdict in miner.verdicts)
    assert outcomes[Outcome.ACCEPTED] > 100, (outcomes, left(events))
    if named:
        assert len(miner.dial.tries) <= CONNECTIONS, left(events)
    late = [verdict for verdict in miner.verdicts if verdict.text.startswith("malformed")]
    assert late == []


def left(events: list[ServerEvent]) -> list[str]:
    """Return why connections ended."""
    return [event.reason for event in events if isinstance(event, ClientLeft)]
