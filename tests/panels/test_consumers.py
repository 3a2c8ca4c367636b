"""All readers of the panels' formats see the values of the snapshot."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings

from miner.panels.panel_figures import count_shares
from miner.telemetry import Snapshot
from tests.fakes.rig import busy_rig
from tests.panels import consumers
from tests.panels.answers import SIMPLE_MINING, SUMMARY_AND_DEVS, TEXTS, Frozen, all_answers, http
from tests.panels.consumers import Farm
from tests.panels.rigs import RIGS, snapshots

READERS: dict[str, Callable[[Snapshot], Farm]] = {
    "HiveOS, ethminer": lambda s: consumers.hive_ethminer(Frozen(s).ethminer("miner_getstat1")),
    "Foreman": lambda s: consumers.foreman_ethminer(Frozen(s).ethminer("miner_getstathr")),
    "HiveOS, T-Rex": lambda s: consumers.hive_trex(http(s, "/summary")),
    "HiveOS, xmrig": lambda s: consumers.hive_xmrig(http(s, "/api.json"), http(s, "/2/backends")),
    "HiveOS, TeamRedMiner": lambda s: consumers.hive_teamred(Frozen(s).sgminer(SUMMARY_AND_DEVS)),
    "HiveOS, custom": lambda s: consumers.hive_custom(http(s, "/hiveos")),
    "SimpleMining": lambda s: consumers.simple_mining(Frozen(s).sgminer(SIMPLE_MINING)),
    "mmpOS": lambda s: consumers.mmpos_agent(http(s, "/mmpos")),
}


def close(value: float) -> object:
    """Equal within five digits and within 1 kH/s, ethminer's resolution."""
    return pytest.approx(value, rel=1e-4, abs=0.5)


def agrees(farm: Farm, snapshot: Snapshot) -> None:
    total = count_shares(snapshot.shares)
    assert (farm.accepted, farm.rejected) == (total.accepted, total.rejected)
    assert farm.invalid in (None, total.invalid)
    assert farm.khs == close(snapshot.hashrate.minute / 1000)
    assert farm.hs == [close(device.hashrate.minute / 1000) for device in snapshot.devices]
    if farm.uptime is not None:
        assert snapshot.uptime - 60 < farm.uptime <= snapshot.uptime


@pytest.mark.parametrize("reader", READERS)
async def test_all_readers_see_the_values_of_the_snapshot(reader: str) -> None:
    snapshot = (await busy_rig()).telemetry.snapshot()
    farm = READERS[reader](snapshot)
    agrees(farm, snapshot)
    assert farm.khs == 80_000
    assert farm.hs == [35_000, 45_000]
    assert (farm.accepted, farm.rejected) == (4, 4)
    assert farm.invalid in (None, 1)
    assert farm.temp in (None, [61, 91])
    assert farm.fan in (None, [57, 0])
    assert farm.bus in (None, [10, 33])
    assert farm.algo in (None, "kawpow")
    assert farm.ver is None or farm.ver.removeprefix("progpow-miner-") == "1.2.3"


@pytest.mark.parametrize("reader", sorted(set(READERS) - {"HiveOS, xmrig"}))
@pytest.mark.parametrize("rig", RIGS)
def test_every_reader_reads_every_rig(reader: str, rig: str) -> None:
    snapshot = RIGS[rig]()
    agrees(READERS[reader](snapshot), snapshot)


@pytest.mark.parametrize("rig", RIGS)
def test_xmrig_windows_are_null_until_they_are_full(rig: str) -> None:
    snapshot = RIGS[rig]()
    farm = READERS["HiveOS, xmrig"](snapshot)
    full = any(device.mining_seconds >= 10 for device in snapshot.devices)
    assert farm.khs == (close(snapshot.hashrate.ten_seconds / 1000) if full else 0)
    total = consumers.parse_strictly(http(snapshot, "/2/summary"))["hashrate"]["total"]
    assert (total[0] is not None) == full
    assert total[2] is None or snapshot.uptime >= 900


@settings(max_examples=150)
@given(snapshots())
def test_every_answer_is_valid_json_after_any_events(snapshot: Snapshot) -> None:
    texts = {text.decode() for text in TEXTS}
    for name, answer in all_answers(snapshot).items():
        if name in texts:
            assert consumers.plain(answer)
        else:
            consumers.parse_strictly(answer.removesuffix(b"\0"))
    for name, reader in READERS.items():
        farm = reader(snapshot)
        assert (farm.accepted, farm.rejected) == (
            count_shares(snapshot.shares).accepted,
            count_shares(snapshot.shares).rejected,
        ), name
