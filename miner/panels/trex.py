"""The JSON of T-Rex 0.26 (API 4.1) under `/summary`."""

from __future__ import annotations

import sys
from typing import Any

from miner.devices.device_names import PciAddress
from miner.formatting import format_si
from miner.panels import panel_figures as figures
from miner.telemetry import BestShare, DeviceSnapshot, Hashrate, Snapshot

API_VERSION = "4.1"

NO_SHARE = 0
"""T-Rex's time and difficulty of a share that does not exist."""


def summary(snapshot: Snapshot) -> dict[str, Any]:
    """Return the summary: rates in H/s as integers, times in UNIX seconds, °C, W, percent, MHz.

    Unknown values are left out, as T-Rex does for a card without a fan: some readers do not accept
    null for a number.
    """
    total = figures.count_shares(snapshot.shares)
    devices = snapshot.devices
    return {
        "accepted_count": total.accepted,
        "rejected_count": total.rejected,
        "invalid_count": total.invalid,
        "solved_count": snapshot.shares.blocks,
        "active_pool": _active_pool(snapshot),
        "algorithm": figures.algorithm_name(snapshot.about),
        "api": API_VERSION,
        "coin": snapshot.about.coin.lower(),
        "description": figures.PROGRAM,
        "driver": next((d.info.driver for d in devices if d.info.vendor == "nvidia"), ""),
        "gpu_total": len(devices),
        "gpus": [_gpu(snapshot, index) for index in range(len(devices))],
        **_rates(snapshot.hashrate),
        "name": figures.PROGRAM,
        "os": "win" if sys.platform == "win32" else "linux",
        "paused": figures.all_paused(snapshot),
        "sharerate": figures.per_minute(total.accepted, snapshot.uptime),
        "sharerate_average": figures.per_minute(total.accepted, snapshot.uptime),
        "stat_by_gpu": [_shares(figures.count_shares(device.shares)) for device in devices],
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
    """Return the pool without the user's account, which is private."""
    pool = snapshot.pool
    return {
        "difficulty": format_si(snapshot.difficulty, "").strip() if snapshot.difficulty else "",
        "dns_https_server": "",
        "last_submit_ts": int(pool.last_share_at or NO_SHARE) if pool else NO_SHARE,
        "proxy": "",
        "retries": pool.losses if pool else 0,
        "url": figures.host_and_port(pool.label) if pool else "",
        "user": "",
        "worker": snapshot.about.rig,
        **_known(ping=figures.latency_ms(pool)),
    }


def _gpu(snapshot: Snapshot, index: int) -> dict[str, Any]:
    device = snapshot.devices[index]
    reading, slot = device.reading, PciAddress.parse(device.info.pci)
    per_joule = device.efficiency
    efficiency = None if per_joule is None else figures.rounded_int(per_joule / figures.KILO)
    return {
        "device_id": index,
        "gpu_id": index,
        "gpu_user_id": index,
        **_rates(device.hashrate),
        "hashrate_instant": figures.rounded_int(device.hashrate.ten_seconds),
        "lhr_lock_count": 0,
        "lhr_tune": 0.0,
        "mtweak": 0,
        "name": device.info.model,
        "paused": device.paused is not None,
        "potentially_unstable": device.shares.hardware > 0,
        "shares": {
            **_shares(figures.count_shares(device.shares)),
            "solved_count": device.shares.blocks,
            "last_share_diff": device.last_difficulty or NO_SHARE,
            "last_share_submit_ts": int(device.last_share_at or NO_SHARE),
            "max_share_diff": device.best_difficulty or NO_SHARE,
            **_known(max_share_submit_ts=_best_at(snapshot.best, device)),
        },
        "vendor": device.info.vendor,
        **_known(
            cclock=figures.rounded_int(reading.core_clock),
            efficiency=None if efficiency is None else f"{efficiency}kH/W",
            fan_speed=figures.rounded_int(reading.fan),
            mclock=figures.rounded_int(reading.memory_clock),
            memory_temperature=figures.rounded_int(reading.memory_temperature),
            pci_bus=slot.bus if slot else None,
            pci_domain=slot.domain if slot else None,
            pci_id=slot.device if slot else None,
            power=figures.rounded_int(reading.power),
            power_avr=figures.rounded_int(device.mean_power),
            temperature=figures.rounded_int(reading.temperature),
            uuid=device.info.uuid,
        ),
    }


def _rates(hashrate: Hashrate) -> dict[str, int | None]:
    """Return the rates of T-Rex's windows; hour and day show our longest, 15 minutes."""
    return {
        "hashrate": figures.rounded_int(figures.reported_rate(hashrate)),
        "hashrate_day": figures.rounded_int(hashrate.quarter_hour),
        "hashrate_hour": figures.rounded_int(hashrate.quarter_hour),
        "hashrate_minute": figures.rounded_int(hashrate.minute),
    }


def _shares(counts: figures.ShareCounts) -> dict[str, int]:
    return {
        "accepted_count": counts.accepted,
        "invalid_count": counts.invalid,
        "rejected_count": counts.rejected,
    }


def _best_at(best: tuple[BestShare, ...], device: DeviceSnapshot) -> int | None:
    """Return the time of the device's best share; None if it is not among the ten that are kept."""
    if device.best_difficulty is None:
        return NO_SHARE
    return next((int(share.at) for share in best if share.device == device.name), None)


def _known(**values: Any) -> dict[str, Any]:
    """Return the `values` that are not None."""
    return {key: value for key, value in values.items() if value is not None}
