"""What is costly to make is made once for the requests of a short time."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import ANY

from miner.api.context import SHARES_SECONDS, SNAPSHOT_SECONDS, CachedShares, CachedSnapshot
from miner.api.path_redaction import PathRedactor
from miner.telemetry import Snapshot
from miner.telemetry.events import Launched, LoopDelayed, PoolNotice
from tests.api.conftest import ROW, Serve
from tests.fakes.clock import settle
from tests.fakes.rig import FIRST, Rig
from tests.panels.rigs import ManualClock


def tried(snapshot: Snapshot) -> int:
    return snapshot.tried


async def test_a_snapshot_is_kept_for_a_short_time() -> None:
    rig = Rig()
    snapshots = CachedSnapshot(rig.telemetry.snapshot, rig.telemetry, rig.clock)
    assert snapshots.render(tried) == 0
    rig.emit(Launched("cuda:0", 1000, 0.1))
    assert snapshots.render(tried) == snapshots.newest().tried == 0
    await rig.clock.advance(SNAPSHOT_SECONDS)
    assert snapshots.render(tried) == snapshots.newest().tried == 1000


async def test_an_event_outdates_the_snapshot() -> None:
    rig = Rig()
    snapshots = CachedSnapshot(rig.telemetry.snapshot, rig.telemetry, rig.clock)
    assert snapshots.newest().notice == ""
    assert snapshots.render(tried) == 0
    rig.emit(Launched("cuda:0", 1000, 0.1), PoolNotice(FIRST, "welcome"))
    assert snapshots.newest().notice == "welcome"
    assert snapshots.render(tried) == 1000


async def test_the_delays_of_the_loop_outdate_no_snapshot() -> None:
    rig = Rig()
    snapshots = CachedSnapshot(rig.telemetry.snapshot, rig.telemetry, rig.clock)
    kept = snapshots.newest()
    rig.emit(LoopDelayed(0.001))
    assert snapshots.newest() is kept


async def test_many_requests_take_one_snapshot(serve: Serve) -> None:
    taken = 0
    rig = Rig()

    def take() -> Snapshot:
        nonlocal taken
        taken += 1
        return rig.telemetry.snapshot()

    service = await serve(context={"take": take}, panels=True)
    for path in ("api/v1/status", "metrics", "readyz", "livez", "summary", "2/backends"):
        for _ in range(3):
            assert (await service.get(f"/{path}")).status in (200, 503)
    assert taken == 1


class CountingRedactor(PathRedactor):
    """Counts the sentences that it is given."""

    count = 0

    def __call__(self, text: str) -> str:
        self.count += 1
        return super().__call__(text)


async def test_an_entry_of_the_journal_is_rendered_once(serve: Serve) -> None:
    redact = CountingRedactor()
    service = await serve(context={"redact": redact}, busy=True)
    newest = (await service.get("/api/v1/events?limit=500")).json["events"]
    assert redact.count == len(newest)
    for query in ("limit=500", "limit=7", "after=3&limit=100"):
        assert (await service.get(f"/api/v1/events?{query}")).status == 200
    assert redact.count == len(newest)


async def test_clients_who_ask_at_once_wait_for_one_read_of_the_ledger() -> None:
    reads, may_end = 0, asyncio.Event()

    async def rows(limit: int) -> list[dict[str, Any]]:
        nonlocal reads
        reads += 1
        await may_end.wait()
        return [ROW]

    shares = CachedShares(rows, ManualClock(), PathRedactor())
    asking = [asyncio.ensure_future(shares.json(1)) for _ in range(3)]
    await settle()
    may_end.set()
    assert await asyncio.gather(*asking) == [[ANY]] * 3
    assert reads == 1


async def test_the_ledger_is_read_once_a_second_however_many_shares_clients_want(
    serve: Serve,
) -> None:
    reads: list[int] = []

    async def rows(limit: int) -> list[dict[str, Any]]:
        reads.append(limit)
        return [{**ROW, "number": number} for number in range(limit)]

    service = await serve(context={"shares": rows})
    for limit in (1, 7, 99, 100):
        shares = (await service.get(f"/api/v1/shares?limit={limit}")).json["shares"]
        assert [share["number"] for share in shares] == list(range(limit))
    assert reads == [100]
    assert len((await service.get("/api/v1/shares?limit=900")).json["shares"]) == 900
    await service.rig.clock.advance(SHARES_SECONDS)
    await service.get("/api/v1/shares")
    assert reads == [100, 1000, 100]
