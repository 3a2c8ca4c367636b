"""Liveness and readiness."""

from __future__ import annotations

from dataclasses import replace

from miner.api.v1 import degradation, liveness, readiness
from miner.console.plain import status_line
from miner.telemetry.events import (
    DatasetBuilding,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    Event,
    KernelReady,
    Launched,
    LightCacheBuilding,
    NewJob,
    PoolConnecting,
    PoolLost,
    PoolReady,
)
from tests.api.conftest import Serve
from tests.fakes.rig import FIRST, Rig, busy_rig, job

CONNECTED = (PoolConnecting(FIRST), PoolReady(FIRST), NewJob(job()))


def problems(*events: Event) -> list[str]:
    rig = Rig()
    rig.emit(*events)
    return readiness(rig.telemetry.snapshot())


def test_a_rig_without_a_pool_is_not_ready() -> None:
    idle = ["cuda:0: starting", "opencl:0.1: starting"]
    assert problems() == ["not yet connected to a pool", *idle]
    assert problems(PoolConnecting(FIRST)) == [f"connecting to {FIRST}", *idle]
    assert problems(PoolConnecting(FIRST), PoolReady(FIRST)) == [
        f"{FIRST} has sent no job",
        *idle,
    ]
    lost = PoolLost(FIRST, "the pool closed the connection", 1.0)
    assert (
        problems(PoolConnecting(FIRST), lost)[0] == f"lost {FIRST}: the pool closed the connection"
    )


def test_a_building_rig_is_not_ready_for_a_reason() -> None:
    reasons = problems(
        *CONNECTED,
        LightCacheBuilding(400, 0.4),
        DatasetBuilding("cuda:0", 400, 0.5, 3.0, 4 << 30),
    )
    assert reasons == [
        "building the light cache of epoch 400: 40%",
        "cuda:0: building the dataset (DAG) of epoch 400: 50%",
        "opencl:0.1: starting",
    ]


def test_one_mining_device_makes_a_rig_ready() -> None:
    assert problems(*CONNECTED, Launched("cuda:0", 1000, 0.1)) == []
    assert problems(
        *CONNECTED,
        Launched("cuda:0", 1000, 0.1),
        LightCacheBuilding(401, 0.1),
        DevicePaused("opencl:0.1", "by hand"),
    ) == []  # fmt: skip


def test_a_rig_stays_ready_at_a_new_period() -> None:
    ready = KernelReady("cuda:0", 1_000_000, 0.3)
    assert problems(*CONNECTED, ready)[0] == "cuda:0: kernel for period 1000000 ready"
    assert problems(*CONNECTED, Launched("cuda:0", 1000, 0.1), ready) == []


def test_a_rig_is_ready_while_another_algorithm_makes_the_block() -> None:
    other = NewJob(replace(job(), other_algorithm="randomx"))
    assert problems(*CONNECTED, Launched("cuda:0", 1000, 0.1), other) == []
    building = DatasetBuilding("cuda:0", 400, 0.5, 3.0, 4 << 30)
    assert problems(*CONNECTED, other, building)[0].startswith("cuda:0: building the dataset")


def test_a_rig_that_lost_its_pool_is_not_ready() -> None:
    reasons = problems(
        *CONNECTED, Launched("cuda:0", 1, 0.1), PoolLost(FIRST, "timed out", 1.0), NewJob(None)
    )
    assert reasons == [
        f"lost {FIRST}: timed out",
        "cuda:0: waiting for a job",
        "opencl:0.1: starting",
    ]


def test_a_rig_with_fewer_devices_than_expected_is_ready_but_degraded() -> None:
    rig = Rig()
    rig.emit(*CONNECTED, Launched("cuda:0", 1000, 0.1))
    snapshot = rig.telemetry.snapshot()
    assert (snapshot.devices_expected, snapshot.devices_present) == (2, 2)
    assert degradation(snapshot) == []

    lost = ("cuda:7: its driver crashed",)
    about = replace(snapshot.about, devices_expected=3, devices_missing=lost)
    assert readiness(replace(snapshot, about=about)) == []
    assert degradation(replace(snapshot, about=about)) == [
        "2 of 3 expected devices are present", *lost,
    ]  # fmt: skip

    rig.emit(DeviceResting("opencl:0.1", "five failures", 600.0, parked=True))
    snapshot = rig.telemetry.snapshot()
    assert readiness(snapshot) == []
    assert degradation(snapshot) == [
        "1 of 2 expected devices are present", "opencl:0.1: parked: five failures",
    ]  # fmt: skip
    assert "DEVICES 1/2" in status_line(snapshot)


async def test_only_a_hung_device_fails_the_liveness_check() -> None:
    rig = await busy_rig()
    assert liveness(rig.telemetry.snapshot()) == []
    assert liveness(Rig().telemetry.snapshot()) == []
    rig.emit(DeviceHanging("cuda:0", "a launch did not come back within 30 s"))
    assert liveness(rig.telemetry.snapshot()) == [
        "cuda:0: hung: a launch did not come back within 30 s"
    ]


async def test_health_checks_return_their_reasons(serve: Serve) -> None:
    service = await serve(busy=True)
    for path, more in (("/livez", {}), ("/readyz", {"degraded": []})):
        answer = await service.get(path)
        assert (answer.status, answer.json) == (200, {"ok": True, "reasons": [], **more})
        assert (await service.ask("HEAD", path)).status == 200
    service.rig.emit(DeviceHanging("cuda:0", "no answer"))
    answer = await service.get("/livez")
    assert (answer.status, answer.json) == (
        503,
        {"ok": False, "reasons": ["cuda:0: hung: no answer"]},
    )
    answer = await service.get("/readyz")
    assert answer.status == 503
    assert answer.json["reasons"][0] == "cuda:0: hung: no answer"


async def test_building_a_dataset_is_alive_but_not_ready(serve: Serve) -> None:
    service = await serve()
    for device in ("cuda:0", "opencl:0.1"):
        service.rig.emit(DatasetBuilding(device, 400, 0.5, 3.0, 4 << 30))
    assert (await service.get("/livez")).status == 200
    answer = await service.get("/readyz")
    assert answer.status == 503
    assert "building the dataset (DAG) of epoch 400: 50%" in answer.json["reasons"][0]
    status = (await service.get("/api/v1/status")).json
    assert (status["ready"], status["reasons"]) == (False, answer.json["reasons"])
