"""Snapshots and renderings are shared by the requests of a short time."""

from __future__ import annotations

from miner.api.context import SNAPSHOT_SECONDS, CachedSnapshot
from miner.telemetry import Launched, PoolNotice, Snapshot
from tests.api.conftest import Serve
from tests.fakes.rig import FIRST, Rig


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
