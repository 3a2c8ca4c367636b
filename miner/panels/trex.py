"""T-Rex's `/summary`, as its version 0.26 (API 4.1) answers it."""

from __future__ import annotations

import sys
from typing import Any

from miner.formatting import format_si
from miner.panels.panel_figures import (
    KILO,
    PROGRAM,
    Counts,
    algorithm,
    counts,
    host_and_port,
    per_minute,
    slot,
    speed,
    whole,
)
from miner.telemetry import BestShare, DeviceSnapshot, Hashrate, Snapshot

API = "4.1"

NONE_YET = 0
"""T-Rex's own word for a share that there has not been: time and difficulty are 0."""


def summary(snapshot: Snapshot) -> dict[str, Any]:
    """Return the summary: rates in H/s as integers, times in UNIX seconds, °C, W, percent, MHz.

    What is not known is left out, as T-Rex does for a card without a fan: there are readers that
    take no null for a number.
    """
    total = counts(snapshot.shares)
    devices = snapshot.devices
    return {
        "accepted_count": total.accepted,
        "rejected_count": total.rejected,
        "invalid_count": total.invalid,
        "solved_count": snapshot.shares.blocks,
        "active_pool": _active_pool(snapshot),
        "algorithm": algorithm(snapshot.about.algorithm),
        "api": API,
        "coin": snapshot.about.coin.lower(),
        "description": PROGRAM,
        "driver": next((d.info.driver for d in devices if d.info.vendor == "nvidia"), ""),
        "gpu_total": len(devices),
        "gpus": [_gpu(snapshot, index) for index in range(len(devices))],
        **_rates(snapshot.hashrate),
        "name": PROGRAM,
        "os": "win" if sys.platform == "win32" else "linux",
        "paused": bool(devices) and all(device.paused is not None for device in devices),
        "sharerate": per_minute(total.accepted, snapshot.uptime),
        "sharerate_average": per_minute(total.accepted, snapshot.uptime),
        "stat_by_gpu": [_shares(counts(device.shares)) for device in devices],
        "success": 1,
        "time": int(snapshot.at),
        "ts": int(snapshot.at),
        "uptime": int(snapshot.uptime),
        "validate_shares": True,
        "version": snapshot.about.version,
        "watchdog_stat": {
            "built_in": False,
            "startup_ts": int(snapshot.started_at * 1e6),
            "total_restarts": 0,
            "uptime": int(snapshot.uptime),
            "wd_version": snapshot.about.version,
        },
    }


def _active_pool(snapshot: Snapshot) -> dict[str, Any]:
    """Return the pool without its user: an account is nobody's business."""
    pool = snapshot.pool
    latency = pool.latency if pool else None
    return {
        "difficulty": format_si(snapshot.difficulty, "").strip() if snapshot.difficulty else "",
        "dns_https_server": "",
        "last_submit_ts": int(pool.last_share_at or NONE_YET) if pool else NONE_YET,
        "proxy": "",
        "retries": pool.losses if pool else 0,
        "url": host_and_port(pool.label) if pool else "",
        "user": "",
        "worker": snapshot.about.rig,
        **_told(ping=None if latency is None else whole(latency * KILO)),
    }


def _gpu(snapshot: Snapshot, index: int) -> dict[str, Any]:
    device = snapshot.devices[index]
    reading, place = device.reading, slot(device.info.pci)
    per_joule = device.efficiency
    efficiency = None if per_joule is None else whole(per_joule / KILO)
    return {
        "device_id": index,
        "gpu_id": index,
        "gpu_user_id": index,
        **_rates(device.hashrate),
        "hashrate_instant": round(device.hashrate.ten_seconds),
        "lhr_lock_count": 0,
        "lhr_tune": 0.0,
        "mtweak": 0,
        "name": device.info.model,
        "paused": device.paused is not None,
        "potentially_unstable": device.shares.hardware > 0,
        "shares": {
            **_shares(counts(device.shares)),
            "solved_count": device.shares.blocks,
            "last_share_diff": device.last_difficulty or NONE_YET,
            "last_share_submit_ts": int(device.last_share_at or NONE_YET),
            "max_share_diff": device.best_difficulty or NONE_YET,
            **_told(max_share_submit_ts=_best_at(snapshot.best, device)),
        },
        "vendor": device.info.vendor,
        **_told(
            cclock=whole(reading.core_clock),
            efficiency=None if efficiency is None else f"{efficiency}kH/W",
            fan_speed=whole(reading.fan),
            mclock=whole(reading.memory_clock),
            memory_temperature=whole(reading.memory_temperature),
            pci_bus=place.bus if place else None,
            pci_domain=place.domain if place else None,
            pci_id=place.device if place else None,
            power=whole(reading.power),
            power_avr=whole(device.drawn),
            temperature=whole(reading.temperature),
            uuid=device.info.uuid,
        ),
    }


def _rates(hashrate: Hashrate) -> dict[str, int]:
    """Return T-Rex's windows; a quarter of an hour, our longest, stands for hour and day."""
    return {
        "hashrate": round(speed(hashrate)),
        "hashrate_day": round(hashrate.quarter_hour),
        "hashrate_hour": round(hashrate.quarter_hour),
        "hashrate_minute": round(hashrate.minute),
    }


def _shares(count: Counts) -> dict[str, int]:
    return {
        "accepted_count": count.accepted,
        "invalid_count": count.invalid,
        "rejected_count": count.rejected,
    }


def _best_at(best: tuple[BestShare, ...], device: DeviceSnapshot) -> int | None:
    """Return when the device's best share was found; None if it is not among the ten kept."""
    if device.best_difficulty is None:
        return NONE_YET
    found = (
        s.at for s in best if (s.device, s.difficulty) == (device.name, device.best_difficulty)
    )
    return next((int(at) for at in found), None)


def _told(**values: Any) -> dict[str, Any]:
    """Return those of `values` that are known."""
    return {key: value for key, value in values.items() if value is not None}
