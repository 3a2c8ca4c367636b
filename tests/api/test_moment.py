"""What is made once for all who ask within a moment."""

from __future__ import annotations

from miner.api.context import MOMENT_SECONDS, Moment
from miner.telemetry import Launched, PoolNotice, Snapshot
from tests.api.conftest import Serve
from tests.fakes.rig import FIRST, Rig


def tried(snapshot: Snapshot) -> int:
    return snapshot.tried


async def test_a_snapshot_is_taken_once_in_a_moment() -> None:
    rig = Rig()
    moment = Moment(rig.telemetry.snapshot, rig.telemetry, rig.clock)
    assert moment.of(tried) == 0
    rig.emit(Launched("cuda:0", 1000, 0.1))
    assert moment.of(tried) == moment.snapshot().tried == 0
    await rig.clock.advance(MOMENT_SECONDS)
    assert moment.of(tried) == moment.snapshot().tried == 1000


async def test_what_happens_is_told_at_once() -> None:
    rig = Rig()
    moment = Moment(rig.telemetry.snapshot, rig.telemetry, rig.clock)
    assert moment.snapshot().notice == ""
    assert moment.of(tried) == 0
    rig.emit(Launched("cuda:0", 1000, 0.1), PoolNotice(FIRST, "welcome"))
    assert moment.snapshot().notice == "welcome"
    assert moment.of(tried) == 1000


async def test_many_who_ask_at_once_cost_one_snapshot(serve: Serve) -> None:
    taken = 0
    rig = Rig()

    def take() -> Snapshot:
        nonlocal taken
        taken += 1
        return rig.telemetry.snapshot()

    service = await serve(sources={"snapshot": take}, panels=True)
    for path in ("api/v1/status", "metrics", "readyz", "livez", "summary", "2/backends"):
        for _ in range(3):
            assert (await service.get(f"/{path}")).status in (200, 503)
    assert taken == 1
