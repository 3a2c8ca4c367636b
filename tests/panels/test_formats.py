"""The fields of each format, their units, and their values if unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from miner.catalog import variants
from miner.panels import ethminer, http_panels, sgminer, trex, xmrig
from miner.panels.panel_figures import (
    algorithm_name,
    bus_number,
    compact_json,
    host_and_port,
    rounded,
    rounded_int,
    short_pci,
)
from miner.telemetry import About, Snapshot
from miner.telemetry.events import (
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    NewJob,
    PoolConnecting,
)
from miner.work import Outcome
from tests.fakes.rig import FIRST, ONE, SECOND, ZERO, Rig, busy_rig, job
from tests.panels.rigs import POOL, RIGS, after, mining


@pytest.fixture
async def busy() -> Snapshot:
    return (await busy_rig()).telemetry.snapshot()


def test_ethminers_nine_strings(busy: Snapshot) -> None:
    assert ethminer.getstat1(busy) == [
        "progpow-miner-1.2.3",
        "16",
        "80000;4;4",
        "35000;45000",
        "0;0;0",
        "off;off",
        "61;57;91;0",
        "first.example:4444",
        "1;1;0;0",
    ]


def test_ethminers_nine_strings_without_devices() -> None:
    strings = ethminer.getstat1(RIGS["no devices"]())
    assert strings == ["progpow-miner-1.2.3", "0", "0;0;0", "", "0;0;0", "", "", "", "0;0;0;0"]


def test_ethminers_hashrates_as_an_object(busy: Snapshot) -> None:
    assert ethminer.getstathr(busy) == {
        "ethhashrate": 80_000_000,
        "ethhashrates": [35_000_000, 45_000_000],
        "ethinvalid": 1,
        "ethpoolsw": 1,
        "ethrejected": 4,
        "ethshares": 4,
        "fanpercentages": [57, 0],
        "ispaused": [False, True],
        "pooladdrs": "first.example:4444",
        "powerusages": [201.5, 0.0],
        "runtime": "16",
        "temperatures": [61, 91],
        "version": "progpow-miner-1.2.3",
    }


def test_ethminers_detail(busy: Snapshot) -> None:
    detail = ethminer.getstatdetail(busy)
    assert detail["connection"] == {
        "connected": True,
        "switches": 1,
        "uri": "stratum+tls://first.example:4444",
    }
    assert detail["host"] == {"name": "rig1", "runtime": 960, "version": "progpow-miner-1.2.3"}
    assert detail["monitors"] is None
    assert detail["mining"] == {
        "difficulty": 8_000_000_000,
        "epoch": busy.epoch,
        "epoch_changes": 1,
        "hashrate": hex(80_000_000),
        "shares": [4, 4, 1, 300],
    }
    zero, one = detail["devices"]
    assert zero["_mode"] == "CUDA"
    assert zero["hardware"] == {
        "name": ZERO.model,
        "pci": "0a:00.0",
        "sensors": [61, 57, 202],
        "type": "GPU",
    }
    assert one["hardware"]["sensors"] == [91, None, None]
    assert one["mining"]["paused"] is True
    assert one["mining"]["pause_reason"] == "Overheating"
    assert zero["mining"]["pause_reason"] is None
    assert zero["mining"]["segment"] == ["0xabcd000000000000", "0xabcdffffffffffff"]
    assert zero["mining"]["shares"] == [3, 4, 0, 300]


def test_ethminers_reason_of_a_pause() -> None:
    def reasons(snapshot: Snapshot) -> list[str | None]:
        devices = ethminer.getstatdetail(snapshot)["devices"]
        return [device["mining"]["pause_reason"] for device in devices]

    paused = after(*POOL, *mining(), DevicePaused(ZERO.name, "requested over the API"))
    assert reasons(paused) == ["Api request", None]
    stopped = after(
        DeviceResting(ZERO.name, "hardware errors", 600.0, parked=True),
        DeviceHanging(ONE.name, "no answer"),
    )
    assert reasons(stopped) == ["Parked", "Hung"]
    resting = after(DeviceResting(ZERO.name, "hardware errors", 5.0))
    assert reasons(resting) == ["Resting after a failure", None]


def test_ethminers_detail_without_pool_and_shares() -> None:
    detail = ethminer.getstatdetail(RIGS["no launch yet"]())
    assert detail["connection"] == {"connected": False, "switches": 0, "uri": ""}
    assert detail["mining"]["difficulty"] is None
    assert detail["mining"]["shares"] == [0, 0, 0, None]
    assert detail["devices"][0]["mining"]["segment"] == [None, None]


TREX = [
    "accepted_count", "rejected_count", "invalid_count", "solved_count", "active_pool",
    "algorithm", "api", "coin", "description", "driver", "gpu_total", "gpus", "hashrate",
    "hashrate_day", "hashrate_hour", "hashrate_minute", "name", "os", "paused", "sharerate",
    "sharerate_average", "stat_by_gpu", "success", "time", "ts", "uptime", "validate_shares",
    "version", "watchdog_stat",
]  # fmt: skip
TREX_GPU = [
    "cclock", "device_id", "efficiency", "fan_speed", "gpu_id", "gpu_user_id", "hashrate",
    "hashrate_day", "hashrate_hour", "hashrate_instant", "hashrate_minute", "lhr_lock_count",
    "lhr_tune", "mclock", "memory_temperature", "mtweak", "name", "paused", "pci_bus",
    "pci_domain", "pci_id", "potentially_unstable", "power", "power_avr", "shares", "temperature",
    "uuid", "vendor",
]  # fmt: skip


def test_trex(busy: Snapshot) -> None:
    answer = trex.summary(busy)
    assert sorted(answer) == sorted(TREX)
    zero, one = answer["gpus"]
    assert sorted(zero) == sorted(TREX_GPU)
    assert zero["pci_bus"] == 10
    assert zero["efficiency"] == "174kH/W"
    assert isinstance(zero["hashrate"], int)
    assert zero["shares"]["accepted_count"] == 3
    assert zero["shares"]["max_share_submit_ts"] > 0
    assert answer["active_pool"]["ping"] == 42
    assert answer["active_pool"]["difficulty"] == "8.00 G"
    assert answer["active_pool"]["url"] == "first.example:4444"
    assert answer["watchdog_stat"]["startup_ts"] == int(busy.started_at * 1e6)
    unknown = {"fan_speed", "power", "efficiency", "cclock", "mclock", "memory_temperature", "uuid"}
    assert not unknown & set(one)
    assert one["temperature"] == 91
    assert (answer["paused"], zero["paused"], one["paused"]) == (False, False, True)


def test_trex_has_zeros_before_the_first_share() -> None:
    answer = trex.summary(RIGS["no launch yet"]())
    assert answer["gpus"][0]["shares"] == {
        "accepted_count": 0,
        "invalid_count": 0,
        "rejected_count": 0,
        "solved_count": 0,
        "last_share_diff": 0,
        "last_share_submit_ts": 0,
        "max_share_diff": 0,
        "max_share_submit_ts": 0,
    }
    assert "ping" not in answer["active_pool"]


def test_a_rig_is_paused_if_all_its_cards_are() -> None:
    for rig, paused in (("all paused", True), ("no sensors", False), ("no devices", False)):
        assert trex.summary(RIGS[rig]())["paused"] is paused
        assert xmrig.summary(RIGS[rig]())["paused"] is paused


XMRIG = [
    "id", "worker_id", "uptime", "restricted", "resources", "features", "results", "algo",
    "connection", "version", "kind", "ua", "cpu", "donate_level", "paused", "algorithms",
    "hashrate",
]  # fmt: skip


def test_xmrig(busy: Snapshot) -> None:
    answer = xmrig.summary(busy)
    assert sorted(answer) == sorted(XMRIG)
    assert answer["restricted"] is True
    assert answer["hashrate"]["total"] == [80e6, 80e6, 80e6]
    assert answer["hashrate"]["threads"] == [[35e6] * 3, [45e6] * 3]
    assert answer["results"]["shares_total"] == 8
    assert answer["results"]["hashes_total"] == 32_000_000_000
    assert len(answer["results"]["best"]) == 10
    assert answer["results"]["best"] == sorted(answer["results"]["best"], reverse=True)
    connection = answer["connection"]
    assert connection["pool"] == "first.example:4444"
    assert connection["tls"] == "TLS"
    assert (connection["accepted"], connection["rejected"]) == (3, 4)
    assert (connection["uptime"], connection["uptime_ms"]) == (900, 900_000)


def test_xmrigs_backends(busy: Snapshot) -> None:
    cuda, opencl = xmrig.backends(busy)
    assert (cuda["type"], opencl["type"]) == ("cuda", "opencl")
    assert cuda["hashrate"] == [35e6, 35e6, 35e6]
    (thread,) = cuda["threads"]
    assert thread["bus_id"] == "0a:00.0"
    assert thread["smx"] == 48
    assert thread["health"] == {
        "temperature": 61,
        "power": 202,
        "clock": 1785,
        "mem_clock": 9501,
        "fan_speed": [57],
    }
    (other,) = opencl["threads"]
    assert other["cu"] == 84
    assert other["health"] == {
        "temperature": 91,
        "power": None,
        "clock": None,
        "mem_clock": None,
        "fan_speed": [],
    }
    processor = xmrig.backends(RIGS["a processor and a bare board"]())
    assert [one["type"] for one in processor] == ["cpu", "opencl"]
    assert processor[0]["threads"][0]["bus_id"] is None


def test_xmrigs_windows_fill_one_by_one() -> None:
    def windows(seconds: int) -> list[Any]:
        return list(xmrig.summary(after(*mining(seconds=seconds)))["hashrate"]["total"])

    assert windows(0) == [None, None, None]
    assert windows(5) == [None, None, None]
    assert windows(15)[0] == pytest.approx(2000, rel=0.1)
    assert windows(15)[1:] == [None, None]
    assert windows(61)[1] == pytest.approx(2000, rel=0.1)
    assert windows(61)[2] is None


def test_mmpos(busy: Snapshot) -> None:
    assert http_panels.mmpos(busy) == {
        "busid": [10, 33],
        "hash": [35000.0, 45000.0],
        "units": "khs",
        "air": [4, 1, 4],
        "shares": {"accepted": [3, 1], "rejected": [4, 0], "invalid": [0, 1]},
        "miner_name": "progpow-miner",
        "miner_version": "1.2.3",
    }
    assert http_panels.mmpos(RIGS["a processor and a bare board"]())["busid"] == ["cpu", None]


def test_hiveos(busy: Snapshot) -> None:
    assert http_panels.hiveos(busy) == {
        "khs": 80000.0,
        "stats": {
            "hs": [35000.0, 45000.0],
            "hs_units": "khs",
            "total_khs": 80000.0,
            "temp": [61, 91],
            "fan": [57, None],
            "power": [202, None],
            "uptime": 960,
            "ver": "1.2.3",
            "ar": [4, 4, 1, "0;1"],
            "algo": "kawpow",
            "bus_numbers": [10, 33],
        },
    }


def test_sgminers_rows(busy: Snapshot) -> None:
    (summary,) = sgminer.summary(busy)
    assert summary["KHS 30s"] == 80000.0
    assert summary["MHS av"] == 80.0
    assert (summary["Stale"], summary["Remote Failures"]) == (1, 1)
    zero, one = sgminer.devices(busy)
    assert (zero["Enabled"], one["Enabled"]) == ("Y", "N")
    assert zero["Fan Percent"] == 57
    assert "Fan Percent" not in one
    assert (zero["Last Share Pool"], one["Last Share Pool"]) == (1, 1)
    second, first = sgminer.pools(busy)
    assert (second["Status"], first["Status"]) == ("Dead", "Alive")
    assert (second["Stratum Active"], first["Stratum Active"]) == (False, True)
    assert second["Accepted"] + first["Accepted"] == summary["Accepted"]
    assert {second["User"], first["User"]} == {""}


def test_sgminers_last_pool_is_the_active_one_of_those_that_accepted() -> None:
    rig = Rig()
    rig.emit(*POOL, PoolConnecting(SECOND), PoolConnecting(FIRST))
    for pool in (FIRST, SECOND):
        rig.share(ZERO.name, job(pool=pool), Outcome.ACCEPTED)
    zero, one = sgminer.devices(rig.telemetry.snapshot())
    assert (zero["Last Share Pool"], one["Last Share Pool"]) == (0, -1)


def test_sgminers_status_of_a_card() -> None:
    zero, one = sgminer.devices(RIGS["parked and hung"]())
    assert (zero["Status"], one["Status"]) == ("Dead", "Dead")
    zero, one = sgminer.devices(after(*POOL, DeviceResting(ZERO.name, "hardware errors", 5.0)))
    assert (zero["Status"], one["Status"]) == ("Sick", "Initialising")
    assert zero["Last Share Pool"] == -1


def test_a_variant_file_names_the_algorithm_of_the_panels() -> None:
    variant = variants()["progpow-0.9.3"]
    about = About(algorithm=variant.name, panel_algorithm=variant.algorithm)
    assert algorithm_name(about) == "progpow"
    assert algorithm_name(replace(about, panel_algorithm="")) == "progpow-0.9.3"


@pytest.mark.parametrize(
    ("pci", "bus", "short"),
    [
        ("0a:00.0", 10, "0a:00.0"),
        ("0000:21:00.0", 33, "21:00.0"),
        ("00010000:FF:1f.7", 255, "ff:1f.7"),
        ("", None, None),
        (None, None, None),
        ("a bus", None, None),
    ],
)
def test_the_parts_of_a_pci_address(pci: str | None, bus: int | None, short: str | None) -> None:
    assert (bus_number(pci), short_pci(pci)) == (bus, short)


def test_a_pool_is_shown_by_host_and_port() -> None:
    assert host_and_port("stratum+tcp://[2001:db8::1]:3333") == "[2001:db8::1]:3333"
    assert host_and_port(None) == ""


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinities_count_as_unknown(value: float | None) -> None:
    assert rounded_int(value) is None
    assert rounded(value) is None


def test_json_with_nan_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        compact_json({"khs": float("nan")})


def test_blocks_are_counted_where_the_format_has_a_field() -> None:
    rig = Rig()
    share = job(block_target=2**250)
    rig.share("cuda:0", share, Outcome.ACCEPTED)
    snapshot = rig.telemetry.snapshot()
    assert trex.summary(snapshot)["solved_count"] == 1
    assert trex.summary(snapshot)["gpus"][0]["shares"]["solved_count"] == 1
    assert sgminer.summary(snapshot)[0]["Found Blocks"] == 1


def test_a_small_difficulty_has_no_trailing_blank() -> None:
    easy = replace(job(), share_target=2**256 // 431)
    assert trex.summary(after(*POOL, NewJob(easy)))["active_pool"]["difficulty"] == "431"
