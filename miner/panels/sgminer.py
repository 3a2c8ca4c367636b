"""The sections of sgminer's API, with TeamRedMiner's additional keys."""

from __future__ import annotations

import platform
from typing import Any

from miner.panels import panel_figures as figures
from miner.telemetry import DeviceSnapshot, DeviceState, Hashrate, PoolState, Snapshot

API_VERSION = "4.0"

NEVER = 0
"""The API's time of an event that has not happened."""

NO_POOL = -1
"""The API's pool number before the first share."""

Row = dict[str, Any]
"""Values of a section by key; unknown values are left out, since the API has no null."""

HEALTH = {
    DeviceState.STARTING: "Initialising",
    DeviceState.RESTING: "Sick",
    DeviceState.PARKED: "Dead",
    DeviceState.HUNG: "Dead",
}
"""The API's names of states; all others are "Alive"."""


def summary(snapshot: Snapshot) -> list[Row]:
    """Return the whole rig as one row, in MH, MH/s, kH/s, seconds and shares per minute."""
    count = figures.count_shares(snapshot.shares)
    return [
        {
            "Elapsed": int(snapshot.uptime),
            **_rates(snapshot.hashrate, snapshot.tried, snapshot.uptime),
            "Found Blocks": snapshot.shares.blocks,
            "Getworks": snapshot.jobs,
            "Accepted": count.accepted,
            "Rejected": count.rejected,
            "Hardware Errors": count.invalid,
            "Utility": figures.per_minute(count.accepted, snapshot.uptime),
            "Stale": count.not_sent,
            "Remote Failures": count.lost,
            "Total MH": round(snapshot.tried / figures.MEGA, 4),
            "Last getwork": int(snapshot.job_at or NEVER),
        }
    ]


def devices(snapshot: Snapshot) -> list[Row]:
    """Return a row for each device, also in °C, percent and MHz."""
    return [device(snapshot, index) for index in range(len(snapshot.devices))]


def device(snapshot: Snapshot, index: int) -> Row:
    """Return the row of the device at `index`."""
    one = snapshot.devices[index]
    count, reading = figures.count_shares(one.shares), one.reading
    row = {
        "GPU": index,
        "Name": one.info.model,
        "Enabled": "N" if one.paused is not None else "Y",
        "Status": HEALTH.get(one.state, "Alive"),
        "Temperature": figures.rounded(reading.temperature),
        "Fan Percent": figures.rounded_int(reading.fan),
        "GPU Clock": figures.rounded_int(reading.core_clock),
        "Memory Clock": figures.rounded_int(reading.memory_clock),
        "GPU Activity": figures.rounded_int(reading.utilization),
        **_rates(one.hashrate, one.tried, snapshot.uptime),
        "Accepted": count.accepted,
        "Rejected": count.rejected,
        "Hardware Errors": count.invalid,
        "Utility": figures.per_minute(count.accepted, snapshot.uptime),
        "Last Share Pool": _last_pool(snapshot, one),
        "Last Share Time": int(one.last_share_at or NEVER),
        "Total MH": round(one.tried / figures.MEGA, 4),
        "Device Elapsed": int(one.mining_seconds),
    }
    return {key: value for key, value in row.items() if value is not None}


def pools(snapshot: Snapshot) -> list[Row]:
    """Return a row for each pool of this run, without users."""
    rows = []
    for index, pool in enumerate(snapshot.pools):
        count, active = figures.count_shares(pool.shares), pool.label == snapshot.active
        alive = pool.state is PoolState.CONNECTED
        rows.append(
            {
                "POOL": index,
                "URL": pool.label,
                "Status": "Alive" if alive else "Dead",
                "Priority": index,
                "Quota": 1,
                "Long Poll": "N",
                "Accepted": count.accepted,
                "Rejected": count.rejected,
                "Stale": count.not_sent,
                "Remote Failures": count.lost,
                "User": "",
                "Last Share Time": int(pool.last_share_at or NEVER),
                "Has Stratum": not pool.label.startswith("http"),
                "Stratum Active": active and alive,
                "Stratum URL": figures.host_and_port(pool.label),
            }
        )
    return rows


def version(snapshot: Snapshot) -> list[Row]:
    """Return the versions of the miner and of the API."""
    return [
        {
            "Miner": figures.version_with_space(snapshot),
            "SGMiner": snapshot.about.version,
            "API": API_VERSION,
        }
    ]


def config(snapshot: Snapshot) -> list[Row]:
    """Return the counts of devices and pools, and constants."""
    return [
        {
            "GPU Count": len(snapshot.devices),
            "ASC Count": 0,
            "PGA Count": 0,
            "Pool Count": len(snapshot.pools),
            "ADL": "N",
            "ADL in use": "N",
            "Strategy": "Failover",
            "Device Code": "GPU ",
            "OS": platform.system(),
        }
    ]


def coin(snapshot: Snapshot) -> list[Row]:
    """Return the algorithm, and the block's difficulty if the pool reported it."""
    job = snapshot.job
    row: Row = {
        "Hash Method": figures.algorithm_name(snapshot.about),
        "Current Block Time": round(snapshot.job_at or NEVER, 3),
        "Current Block Hash": "",
        "LP": False,
    }
    if job is not None and job.block_target:
        row["Network Difficulty"] = 2**256 / (job.block_target + 1)
    return [row]


def gpucount(snapshot: Snapshot) -> list[Row]:
    """Return the number of devices."""
    return [{"Count": len(snapshot.devices)}]


def _rates(hashrate: Hashrate, tried: int, seconds: float) -> Row:
    """Return the rates: over the whole run, and over a minute under the keys with "30s"."""
    mean = tried / seconds if seconds > 0 else 0.0
    return {
        "MHS av": round(mean / figures.MEGA, 6),
        "MHS 30s": round(figures.reported_rate(hashrate) / figures.MEGA, 6),
        "KHS av": round(mean / figures.KILO, 3),
        "KHS 30s": round(figures.reported_rate(hashrate) / figures.KILO, 3),
    }


def _last_pool(snapshot: Snapshot, one: DeviceSnapshot) -> int:
    """Return the number of the pool that accepted the device's newest share; among several pools
    that accepted shares, the active one."""
    if one.last_share_at is None:
        return NO_POOL
    accepting = [
        index
        for index, pool in enumerate(snapshot.pools)
        if (tally := snapshot.by_pool.get((one.name, pool.label))) and tally.accepted
    ]
    active = [index for index in accepting if snapshot.pools[index].label == snapshot.active]
    return [NO_POOL, *accepting, *active][-1]
