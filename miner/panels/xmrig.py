"""The JSON of xmrig 6 under `/2/summary` and `/2/backends`."""

from __future__ import annotations

from hashlib import sha256
from itertools import groupby
from typing import Any

from miner.devices.registry import title_of
from miner.panels import panel_figures as figures
from miner.telemetry import WINDOWS, DeviceSnapshot, Hashrate, Snapshot


def summary(snapshot: Snapshot) -> dict[str, Any]:
    """Return the summary: rates in H/s over 10 s, 60 s and 15 min; null for unknown values and for
    windows that are not yet full."""
    about, devices = snapshot.about, snapshot.devices
    algorithm = figures.algorithm_name(about)
    total = figures.count_shares(snapshot.shares)
    longest = max((device.mining_seconds for device in devices), default=0.0)
    return {
        "id": sha256(about.rig.encode()).hexdigest()[:16],
        "worker_id": about.rig,
        "uptime": int(snapshot.uptime),
        "restricted": True,
        "resources": {
            "memory": {"free": None, "total": None, "resident_set_memory": None},
            "load_average": [None, None, None],
            "hardware_concurrency": None,
        },
        "features": ["api", "http", "tls", *dict.fromkeys(_kind(device) for device in devices)],
        "results": {
            "diff_current": figures.share_difficulty(snapshot.job),
            "shares_good": total.accepted,
            "shares_total": total.accepted + total.rejected,
            **_average_time(snapshot.uptime, total.accepted),
            "hashes_total": figures.rounded_int(sum(pool.work for pool in snapshot.pools)),
            "best": [figures.rounded_int(share.difficulty) for share in snapshot.best],
        },
        "algo": algorithm,
        "connection": _connection(snapshot, algorithm),
        "version": about.version,
        "kind": "miner",
        "ua": figures.version_with_space(snapshot).replace(" ", "/"),
        "cpu": {"brand": None},
        "donate_level": 0,
        "paused": figures.all_paused(snapshot),
        "algorithms": [algorithm],
        "hashrate": {
            "total": _windows(snapshot.hashrate, longest),
            "highest": None,
            "threads": [_windows(d.hashrate, d.mining_seconds) for d in devices],
        },
    }


def backends(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the devices by backend, in °C, W, MHz and percent; unknown values are null."""
    ordered = sorted(enumerate(snapshot.devices), key=lambda pair: _kind(pair[1]))
    return [
        _backend(snapshot, kind, list(members))
        for kind, members in groupby(ordered, key=lambda pair: _kind(pair[1]))
    ]


def _backend(
    snapshot: Snapshot, kind: str, members: list[tuple[int, DeviceSnapshot]]
) -> dict[str, Any]:
    longest = max(device.mining_seconds for _, device in members)
    total = sum((device.hashrate for _, device in members), Hashrate())
    return {
        "type": kind,
        "enabled": True,
        "algo": figures.algorithm_name(snapshot.about),
        "profile": figures.algorithm_name(snapshot.about),
        "platform": None,
        "hashrate": _windows(total, longest),
        "threads": [_thread(index, device, kind) for index, device in members],
    }


def _thread(index: int, device: DeviceSnapshot, kind: str) -> dict[str, Any]:
    reading, info = device.reading, device.info
    return {
        "index": index,
        "hashrate": _windows(device.hashrate, device.mining_seconds),
        "affinity": -1,
        "name": info.model,
        "bus_id": figures.short_pci(info.pci),
        "smx" if kind == "cuda" else "cu": info.units,
        "global_mem": info.memory,
        "health": {
            "temperature": figures.rounded_int(reading.temperature),
            "power": figures.rounded_int(reading.power),
            "clock": figures.rounded_int(reading.core_clock),
            "mem_clock": figures.rounded_int(reading.memory_clock),
            "fan_speed": [] if reading.fan is None else [figures.rounded_int(reading.fan)],
        },
    }


def _connection(snapshot: Snapshot, algorithm: str) -> dict[str, Any]:
    pool = snapshot.pool
    since = pool.connected_at if pool else None
    seconds = snapshot.at - since if since is not None else 0.0
    shares = figures.count_shares(pool.shares) if pool else None
    accepted = shares.accepted if shares else 0
    return {
        "pool": figures.host_and_port(pool.label) if pool else "",
        "ip": None,
        "uptime": int(seconds),
        "uptime_ms": int(seconds * figures.KILO),
        "ping": figures.latency_ms(pool),
        "failures": pool.losses if pool else 0,
        "tls": "TLS" if pool and figures.is_encrypted(pool.label) else None,
        "tls-fingerprint": None,
        "algo": algorithm,
        "diff": figures.share_difficulty(snapshot.job),
        "accepted": accepted,
        "rejected": shares.rejected if shares else 0,
        **_average_time(snapshot.uptime, accepted),
        "hashes_total": figures.rounded_int(pool.work) if pool else 0,
    }


def _windows(hashrate: Hashrate, seconds: float) -> list[float | None]:
    """Return the rate of each window, None if it is longer than `seconds` of mining."""
    rates = (hashrate.ten_seconds, hashrate.minute, hashrate.quarter_hour)
    return [
        figures.rounded(rate) if seconds >= window else None
        for rate, window in zip(rates, WINDOWS, strict=True)
    ]


def _average_time(seconds: float, accepted: int) -> dict[str, int | None]:
    """Return the average time per accepted share; null before the first."""
    mean = seconds / accepted if accepted else None
    return {
        "avg_time": figures.rounded_int(mean),
        "avg_time_ms": None if mean is None else figures.rounded_int(mean * figures.KILO),
    }


def _kind(device: DeviceSnapshot) -> str:
    return title_of(device.info.backend).lower()
