"""JSON for the agents of two farm systems: HiveOS and mmpOS."""

from __future__ import annotations

from typing import Any

from miner.panels.panel_figures import (
    KILO,
    PROGRAM,
    algorithm_name,
    bus_number,
    count_shares,
    reported_rate,
    rounded_int,
)
from miner.telemetry import DeviceSnapshot, Snapshot


def hiveos(snapshot: Snapshot) -> dict[str, Any]:
    """Return `{"khs": …, "stats": {…}}`, the two variables that a stats script of HiveOS sets.

    Rates are in kH/s, temperatures in °C, fans in percent, power in W, uptime in seconds; unknown
    values are null. Bus numbers are decimal, null for a CPU. `ar` has accepted, rejected and
    invalid shares, and the invalid ones of each card as in "0;1".
    """
    devices = snapshot.devices
    total = count_shares(snapshot.shares)
    invalid = ";".join(str(count_shares(device.shares).invalid) for device in devices)
    khs = _khs(reported_rate(snapshot.hashrate))
    return {
        "khs": khs,
        "stats": {
            "hs": [_khs(reported_rate(device.hashrate)) for device in devices],
            "hs_units": "khs",
            "total_khs": khs,
            "temp": [rounded_int(device.reading.temperature) for device in devices],
            "fan": [rounded_int(device.reading.fan) for device in devices],
            "power": [rounded_int(device.reading.power) for device in devices],
            "uptime": int(snapshot.uptime),
            "ver": snapshot.about.version,
            "ar": [total.accepted, total.rejected, total.invalid, invalid],
            "algo": algorithm_name(snapshot.about),
            "bus_numbers": [bus_number(device.info.pci) for device in devices],
        },
    }


def mmpos(snapshot: Snapshot) -> dict[str, Any]:
    """Return rates in kH/s and shares of each card, in the order of the cards.

    `busid` is decimal, "cpu" for a CPU, null for a card with an unknown bus. `air` has accepted,
    invalid and rejected shares, in another order than HiveOS.
    """
    total = count_shares(snapshot.shares)
    each = [count_shares(device.shares) for device in snapshot.devices]
    return {
        "busid": [_mmpos_bus(device) for device in snapshot.devices],
        "hash": [_khs(reported_rate(device.hashrate)) for device in snapshot.devices],
        "units": "khs",
        "air": [total.accepted, total.invalid, total.rejected],
        "shares": {
            "accepted": [counts.accepted for counts in each],
            "rejected": [counts.rejected for counts in each],
            "invalid": [counts.invalid for counts in each],
        },
        "miner_name": PROGRAM,
        "miner_version": snapshot.about.version,
    }


def _mmpos_bus(device: DeviceSnapshot) -> int | str | None:
    return "cpu" if device.info.kind == "cpu" else bus_number(device.info.pci)


def _khs(rate: float) -> float:
    return round(rate / KILO, 3)
