"""The metrics for Prometheus: values, names, labels and formats."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from miner.api.metric_series import LEAN
from miner.api.metrics import CONTENT_TYPE, device_labels, exposition, metrics, open_metrics
from miner.telemetry import (
    About,
    DeviceState,
    Histogram,
    PoolState,
    Reading,
    Snapshot,
    Tally,
    Telemetry,
)
from miner.telemetry.events import (
    CandidateRefuted,
    DatasetBuilding,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    JobTaken,
    KernelReady,
    Launched,
    NewJob,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    SensorsRead,
    SettingsRead,
)
from miner.work import Candidate, Outcome
from tests.fakes.rig import FIRST, HOT, ONE, SECOND, ZERO, Rig, busy_rig, job

CHECKOUT = Path(__file__).parents[2]
PROMTOOL = shutil.which("promtool")
OPENMETRICS = "application/openmetrics-text"
MINE = "progpow_miner_"

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


def families(snapshot: Snapshot) -> dict[str, Metric]:
    parsed = list(parse_text(metrics(snapshot).decode()))
    named = {family.name: family for family in parsed}
    assert len(named) == len(parsed)
    return named


def values(snapshot: Snapshot) -> Values:
    """Every series by name and labels; Prometheus ignores empty labels."""
    found: Values = {}
    for family in families(snapshot).values():
        for sample in family.samples:
            labels = frozenset((k, v) for k, v in sample.labels.items() if v)
            assert (sample.name, labels) not in found, "duplicate series"
            found[sample.name, labels] = sample.value
    return found


class RemainingSeries:
    """Removes checked series, so that a test can assert that none is left."""

    def __init__(self, snapshot: Snapshot, **common: str) -> None:
        self.left = {k: v for k, v in values(snapshot).items() if k[0].startswith(MINE)}
        self.common = common

    def take(self, name: str, /, **labels: str | None) -> float | None:
        known = {k: v for k, v in (self.common | labels).items() if v}
        return self.left.pop((MINE + name, frozenset(known.items())), None)

    def holds(self, name: str, value: float | None, /, **labels: str | None) -> None:
        assert self.take(name, **labels) == value, (name, labels)

    def counts(self, name: str, histogram: Histogram) -> None:
        bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
        for bound, count in zip(bounds, accumulate(histogram.counts), strict=True):
            self.holds(f"{name}_bucket", count, le=bound)
        self.holds(f"{name}_count", histogram.count)
        self.holds(f"{name}_sum", histogram.total)


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return asyncio.run(busy_rig()).telemetry.snapshot()


def test_every_series_has_the_value_of_the_snapshot(snapshot: Snapshot) -> None:
    series = RemainingSeries(snapshot, algorithm="kawpow")
    series.holds("info", 1, rig="rig1", version="1.2.3", coin="RVN")
    series.holds("start_time_seconds", snapshot.started_at)
    series.holds("devices_expected", 2)
    series.holds("devices_present", 2)
    series.holds("job_known", 1)
    series.holds("job_timestamp_seconds", snapshot.job_at)
    series.holds("settings_hash", 1, hash="5f70bf18a086")
    series.holds("settings_read_timestamp_seconds", snapshot.settings.read_at)
    series.holds("settings_reload_failed", 1)
    series.holds("settings_pending", 2)
    series.holds("jobs_total", 2)
    series.holds("epoch_changes_total", snapshot.epochs)
    series.holds("difficulty_hashes", snapshot.difficulty)
    series.holds("height", snapshot.height)
    series.holds("epoch", snapshot.epoch)
    series.holds("period", snapshot.period)
    series.holds("effort_ratio", snapshot.luck.effort)
    series.counts("event_loop_delay_seconds", snapshot.loop_delays)
    series.holds("luck_band_shares", snapshot.luck.band.low, bound="low")
    series.holds("luck_band_shares", snapshot.luck.band.high, bound="high")
    for d in snapshot.devices:
        series.common = {
            "algorithm": "kawpow",
            "device": d.info.pci or "",
            "uuid": d.info.uuid or "",
        }
        series.holds(
            "device_info", 1, name=d.name, model=d.info.model, backend=d.info.backend,
            kind="gpu", vendor=d.info.vendor, driver=d.info.driver,
        )  # fmt: skip
        series.holds("hashrate_hashes_per_second", d.hashrate.ten_seconds, window="10s")
        series.holds("hashrate_hashes_per_second", d.hashrate.minute, window="60s")
        series.holds("hashrate_hashes_per_second", d.hashrate.quarter_hour, window="15m")
        series.holds("hashes_total", d.tried)
        series.holds("shares_found_total", d.found)
        series.holds("shares_expected_total", d.luck.expected)
        series.holds("device_effort_ratio", d.luck.effort)
        series.holds("best_share_hashes", d.best_difficulty)
        series.holds("device_last_share_timestamp_seconds", d.last_share_at)
        for state in DeviceState:
            series.holds("device_state", d.state is state, state=state.name.lower())
        series.holds("device_faults_total", d.faults)
        series.holds("device_kernels_total", d.kernels)
        series.holds("device_datasets_total", d.datasets)
        series.holds("device_temperature_celsius", d.reading.temperature, sensor="core")
        series.holds("device_temperature_celsius", d.reading.hotspot_temperature, sensor="hotspot")
        series.holds("device_temperature_celsius", d.reading.memory_temperature, sensor="memory")
        series.counts("kernel_build_seconds", d.kernel_builds)
        series.counts("job_switch_seconds", d.job_switches)
        series.counts("dataset_build_seconds", d.dataset_builds)
        series.holds("device_power_watts", d.reading.power)
        series.holds("device_power_limit_watts", d.reading.power_limit)
        series.holds("device_energy_joules_total", d.energy)
        first = d.info is ZERO
        series.holds("device_fan_ratio", 0.57 if first else None)
        series.holds("device_utilization_ratio", 0.99 if first else None)
        series.holds("device_clock_hertz", 1.785e9 if first else None, clock="core")
        series.holds("device_clock_hertz", 9.501e9 if first else None, clock="memory")
        series.holds("device_memory_bytes", d.info.memory)
        series.holds("device_memory_used_bytes", d.reading.memory_used)
        for pool in (FIRST, SECOND):
            tally = snapshot.by_pool.get((d.name, pool), Tally())
            for outcome in Outcome:
                count = tally.outcomes.get(outcome, 0)
                series.holds("shares_total", count, pool=pool, outcome=outcome.name.lower())
            series.holds("shares_total", tally.hardware, pool=pool, outcome="hardware")
    for p in snapshot.pools:
        series.common = {"algorithm": "kawpow", "pool": p.label}
        series.holds("pool_connected", p.state is PoolState.CONNECTED)
        series.holds("pool_unverified", p.unverified)
        series.holds("pool_logins_total", p.logins)
        series.holds("pool_losses_total", p.losses)
        series.holds("pool_latency_seconds", p.latency)
        series.holds("pool_last_share_timestamp_seconds", p.last_share_at)
        series.holds("pool_accepted_work_hashes_total", p.work)
        series.counts("share_round_trip_seconds", p.round_trips)
    assert not series.left


def test_the_busy_rig_has_distinct_share_counts(snapshot: Snapshot) -> None:
    series = RemainingSeries(
        snapshot, algorithm="kawpow", device="0000:0a:00.0", uuid=ZERO.uuid or ""
    )
    series.holds("shares_total", 2, pool=FIRST, outcome="accepted")
    series.holds("shares_total", 1, pool=SECOND, outcome="accepted")
    for outcome in ("stale", "not_sent", "low_difficulty", "duplicate", "invalid", "lost"):
        series.holds("shares_total", 1, pool=FIRST, outcome=outcome)
    series.holds("shares_total", 0, pool=FIRST, outcome="hardware")
    series.common |= {"device": "0000:21:00.0", "uuid": ""}
    series.holds("shares_total", 1, pool=FIRST, outcome="hardware")
    series.holds("device_state", 1, state="paused")


def test_unknown_values_have_no_series() -> None:
    rig = Rig()
    empty = {name for name, _ in values(rig.telemetry.snapshot())}
    for name in (
        "height", "epoch", "period", "difficulty_hashes", "job_timestamp_seconds",
        "best_share_hashes", "device_last_share_timestamp_seconds", "device_temperature_celsius",
        "device_power_watts", "device_power_limit_watts", "device_fan_ratio",
        "device_clock_hertz", "device_memory_used_bytes", "device_utilization_ratio",
        "device_throttled", "device_dataset_progress_ratio", "pool_connected",
        "pool_latency_seconds", "shares_total",
    ):  # fmt: skip
        assert MINE + name not in empty
    assert MINE + "job_known" in empty
    rig.emit(PoolConnecting(FIRST))
    names = {name for name, _ in values(rig.telemetry.snapshot())}
    assert names - empty == {
        MINE + name
        for name in (
            "pool_connected", "pool_unverified", "pool_logins_total", "pool_losses_total",
            "pool_accepted_work_hashes_total", "shares_total",
            "share_round_trip_seconds_bucket", "share_round_trip_seconds_count",
            "share_round_trip_seconds_sum",
        )
    }  # fmt: skip


def test_a_miner_without_devices_and_names(snapshot: Snapshot) -> None:
    empty = replace(snapshot, about=About(), devices=(), pools=(), by_pool={}, job=None)
    series = RemainingSeries(empty)
    series.holds("info", 1)
    series.holds("job_known", 0)


def test_dataset_progress_and_throttle_reasons() -> None:
    rig = Rig()
    rig.emit(DatasetBuilding(ZERO.name, 400, 0.25, 1.0, 4 << 30))
    rig.emit(SensorsRead(ZERO.name, Reading(fan=0.0, throttle="power limit, too hot")))
    series = RemainingSeries(rig.telemetry.snapshot(), algorithm="kawpow", device="0000:0a:00.0")
    series.common["uuid"] = ZERO.uuid or ""
    series.holds("device_dataset_progress_ratio", 0.25)
    series.holds("device_fan_ratio", 0)
    series.holds("device_throttled", 1, reason="power limit")
    series.holds("device_throttled", 1, reason="too hot")
    series.holds("device_state", 1, state="building")


def test_the_device_label_is_its_unique_pci_address_or_its_name() -> None:
    twin = replace(ONE, name="opencl:1.0", pci=ZERO.pci)
    bare = replace(ONE, name="ref", pci=None)
    odd = replace(ONE, name="odd", pci="ref")
    assert device_labels([ZERO, ONE, twin, odd, bare]) == {
        "cuda:0": "0000:0a:00.0",
        "opencl:0.1": "0000:21:00.0",
        "opencl:1.0": "opencl:1.0",
        "odd": "odd",
        "ref": "ref",
    }


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.sampled_from("abcd")), max_size=6)
)
def test_device_labels_are_unique(named: list[tuple[str, str | None]]) -> None:
    infos = [replace(ZERO, name=name, pci=pci) for name, pci in dict(named).items()]
    assert len(set(device_labels(infos).values())) == len(infos)


@given(st.text(alphabet=st.characters(), max_size=20), st.text(max_size=20))
@settings(max_examples=25)
def test_any_text_can_be_a_label(rig: str, model: str) -> None:
    clock = Rig().clock
    telemetry = Telemetry(clock, [replace(ZERO, model=model)], About(rig, "1", "kawpow", "RVN"))
    series = families(telemetry.snapshot())
    shown = rig.encode("utf-8", "replace").decode()
    assert series[MINE + "info"].samples[0].labels["rig"] == shown
    assert series[MINE + "device_info"].samples[0].labels["model"] == model


@pytest.mark.parametrize("rig", ["\udcff", 'a"b', "a\\b", "a\nb", "a\rb", "ä€"])
def test_labels_are_escaped(rig: str) -> None:
    series = families(Telemetry(Rig().clock, [], About(rig)).snapshot())
    assert series[MINE + "info"].samples[0].labels["rig"] == rig.replace("\udcff", "?")


def test_no_text_of_a_pool_is_in_the_metrics() -> None:
    rig = Rig()
    evil = 'evil"} 1\nprogpow_miner_evil'
    theirs = replace(job(), id=evil)
    rig.emit(PoolConnecting(FIRST), PoolReady(FIRST), PoolNotice(FIRST, evil), NewJob(theirs))
    for outcome in Outcome:
        rig.share(ZERO.name, theirs, outcome, evil)
    rig.emit(DeviceFault(ZERO.name, evil), PoolLost(FIRST, evil, None))
    assert b"evil" not in metrics(rig.telemetry.snapshot())


EVENTS: list[Callable[[Rig], object]] = [
    lambda rig: rig.emit(PoolConnecting(FIRST), PoolReady(FIRST), NewJob(job())),
    lambda rig: rig.emit(PoolConnecting(SECOND), PoolReady(SECOND), NewJob(job(2, SECOND))),
    lambda rig: rig.emit(NewJob(None), PoolLost(FIRST, "gone", 1.0)),
    lambda rig: rig.emit(Launched(ZERO.name, 35_000_000, 1.0, 0.01)),
    lambda rig: rig.emit(Launched(ONE.name, 1, 1e-9, 1e-9)),
    lambda rig: rig.emit(DatasetBuilding(ZERO.name, 1, 0.5, 1.0, 1)),
    lambda rig: rig.emit(DatasetBuilding(ZERO.name, 1, 1.0, 1e4, 1)),
    lambda rig: rig.emit(KernelReady(ONE.name, 1, 0.1), JobTaken(ONE.name, 0.1)),
    lambda rig: rig.emit(DeviceFault(ONE.name, "it failed"), DeviceResting(ONE.name, "it", 1)),
    lambda rig: rig.emit(DeviceHanging(ONE.name, "it hangs")),
    lambda rig: rig.emit(DevicePaused(ZERO.name, "hot")),
    lambda rig: rig.emit(SensorsRead(ZERO.name, Reading(power=100.0))),
    lambda rig: rig.emit(SensorsRead(ZERO.name, Reading())),
    lambda rig: rig.emit(CandidateRefuted(Candidate(job(), 1, ONE.name, 0.0), b"\xff" * 32)),
    lambda rig: rig.emit(CandidateRefuted(Candidate(job(), 1, "new", 0.0), b"\xff" * 32)),
    *(
        (lambda rig, outcome=outcome, pool=pool: rig.share(ZERO.name, job(pool=pool), outcome))
        for outcome in Outcome
        for pool in (FIRST, SECOND)
    ),
]


async def counters_after_each(actions: list[Callable[[Rig], object]]) -> list[Values]:
    rig = Rig()
    readings: list[Values] = []
    for action in actions:
        await rig.clock.advance(1)
        action(rig)
        readings.append(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in families(rig.telemetry.snapshot()).values()
                for sample in family.samples
                if family.type in ("counter", "histogram") and family.name.startswith(MINE)
            }
        )
    return readings


@given(st.lists(st.sampled_from(EVENTS), min_size=2, max_size=15))
@settings(max_examples=25)
def test_counters_never_decrease(actions: list[Callable[[Rig], object]]) -> None:
    for before, after in pairwise(asyncio.run(counters_after_each(actions))):
        for series, value in before.items():
            assert after[series] >= value, series


def test_names_follow_the_conventions_of_prometheus(snapshot: Snapshot) -> None:
    labels = {"device", "uuid", "algorithm", "pool"}
    for name, family in families(snapshot).items():
        if not name.startswith(MINE):
            assert name.startswith("process_")
            continue
        assert re.fullmatch(r"progpow_miner(_[a-z]+)+", name)
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        assert not re.search(r"_(ms|milliseconds|minutes|percent|mhz|mb|megabytes|kwh)(_|$)", name)
        assert not name.endswith(("_total", "_count", "_sum", "_bucket")), "added by its kind"
        if family.type == "histogram":
            assert name.endswith("_seconds")
        for sample in family.samples:
            if family.type == "counter":
                assert sample.name == f"{name}_total"
            assert "algorithm" in sample.labels
            of_device = ("device_", "hash", "shares", "kernel", "job_switch", "dataset")
            if name.startswith(tuple(MINE + start for start in of_device)):
                assert labels - {"pool"} <= set(sample.labels)
            if name.startswith((MINE + "pool", MINE + "shares_total", MINE + "share_round_trip")):
                assert "pool" in sample.labels


def test_every_series_of_a_metric_has_the_same_labels(snapshot: Snapshot) -> None:
    for family in families(snapshot).values():
        for name in {sample.name for sample in family.samples}:
            assert len({tuple(sorted(s.labels)) for s in family.samples if s.name == name}) == 1


def test_the_process_metrics_are_included(snapshot: Snapshot) -> None:
    found = values(snapshot)
    for name in (
        "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
    ):  # fmt: skip
        assert found[name, frozenset()] > 0


def test_the_lean_metrics_are_some_of_the_others(snapshot: Snapshot) -> None:
    text = metrics(snapshot, True).decode().splitlines()
    lean = {line for line in text if not line.startswith("#")}
    full = {line for line in metrics(snapshot).decode().splitlines() if line.startswith(MINE)}
    assert lean < full
    names = {line.partition("{")[0].removeprefix(MINE) for line in lean}
    assert names == LEAN - {"device_throttled"} | {"info", "device_info"}, "no card is throttled"


def test_a_measured_zero_is_among_the_lean_metrics() -> None:
    rig = Rig()
    rig.emit(SensorsRead(ZERO.name, replace(HOT, temperature=0.0, power=0.0)))
    lean = metrics(rig.telemetry.snapshot(), True).decode()
    assert re.search(r'^progpow_miner_device_temperature_celsius{.*sensor="core"} 0.0$', lean, re.M)
    assert re.search(r"^progpow_miner_device_power_watts{.*} 0.0$", lean, re.M)
    assert not re.search(r"^progpow_miner_device_state{.*} 0$", lean, re.M)


@pytest.mark.parametrize(("value", "text"), [("inf", "+Inf"), ("-inf", "-Inf"), ("nan", "NaN")])
def test_values_that_are_not_finite_are_written_as_the_format_says(value: str, text: str) -> None:
    rig = Rig()
    rig.emit(SensorsRead(ZERO.name, replace(HOT, power=float(value))))
    for render in (metrics, open_metrics):
        written = render(rig.telemetry.snapshot()).decode()
        (line,) = re.findall(r"^progpow_miner_device_power_watts{.*} (.*)$", written, re.M)
        assert line == text


def test_the_number_of_series_is_that_of_the_page() -> None:
    """Of a card with all sensors that mines with one pool, besides those of its rig."""
    page = (CHECKOUT / "docs/howto/farm.md").read_text("utf-8")
    told = re.findall(r"^\| `/metrics(?:\?lean=1)?` \| \d+ \| (\d+) \|", page, re.M)
    rig = Rig()
    rig.emit(PoolConnecting(FIRST), PoolReady(FIRST), NewJob(job()), SettingsRead(digest="1f"))
    rig.emit(SensorsRead(ZERO.name, HOT))
    rig.share(ZERO.name, job(), Outcome.ACCEPTED)
    snapshot = rig.telemetry.snapshot()
    without = replace(snapshot, devices=snapshot.devices[1:], by_pool={})

    def series(shot: Snapshot, lean: bool) -> int:
        return metrics(shot, lean).count(b"\nprogpow_miner_")

    counts = [series(snapshot, lean) - series(without, lean) for lean in (False, True)]
    assert counts == [int(number) for number in told]


def test_rendering_twice_gives_the_same_text(snapshot: Snapshot) -> None:
    mine = [
        [line for line in metrics(snapshot).decode().splitlines() if MINE in line] for _ in range(2)
    ]
    assert mine[0] == mine[1]


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "text/plain;version=0.0.4", "text/html, */*;q=0.1", "application/openmetrics"],
)
def test_the_text_format_is_the_default(snapshot: Snapshot, accept: str) -> None:
    render, kind = exposition(accept)
    text = render(snapshot, False)
    assert kind == CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# EOF" not in text


@pytest.mark.parametrize(
    "accept",
    [
        OPENMETRICS,
        "application/OpenMetrics-Text; version=1.0.0; charset=utf-8",
        f"{OPENMETRICS};version=nonsense;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3",
    ],
)
def test_openmetrics_is_used_if_accepted(snapshot: Snapshot, accept: str) -> None:
    render, kind = exposition(accept)
    text = render(snapshot, False)
    assert kind == f"{OPENMETRICS}; version=1.0.0; charset=utf-8"
    parsed = {family.name: family for family in parse_openmetrics(text.decode())}
    assert {f.name for f in families(snapshot).values() if f.type == "counter"} <= set(parsed)
    for name, family in parsed.items():
        unit = name.rpartition("_")[2]
        if unit in ("seconds", "celsius", "watts", "hertz", "hashes", "shares", "ratio"):
            assert family.unit == unit or name.startswith("process_")
    assert parsed[MINE + "hashrate_hashes_per_second"].unit == "hashes_per_second"


def test_promtool_accepts_the_metrics(snapshot: Snapshot) -> None:
    if PROMTOOL is None:
        pytest.skip("promtool is not on the path (Debian: package prometheus)")
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"],
        input=metrics(snapshot),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
