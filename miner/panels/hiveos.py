"""What a stats script of HiveOS has to come up with, ready made."""

from __future__ import annotations

from typing import Any

from miner.panels.panel_figures import KILO, algorithm, bus_number, counts, speed, whole
from miner.telemetry import Snapshot


def hiveos(snapshot: Snapshot) -> dict[str, Any]:
    """Return `{"khs": …, "stats": {…}}`: the two variables that a script sets.

    Rates are kH/s, temperatures °C, fans percent, power W, uptime seconds; null where a card does
    not tell. Bus numbers are decimal, null for a CPU. `ar` is accepted, rejected, invalid, and the
    invalid ones of each card as "0;1".
    """
    devices = snapshot.devices
    total = counts(snapshot.shares)
    invalid = ";".join(str(counts(device.shares).invalid) for device in devices)
    khs = round(speed(snapshot.hashrate) / KILO, 3)
    return {
        "khs": khs,
        "stats": {
            "hs": [round(speed(device.hashrate) / KILO, 3) for device in devices],
            "hs_units": "khs",
            "total_khs": khs,
            "temp": [whole(device.reading.temperature) for device in devices],
            "fan": [whole(device.reading.fan) for device in devices],
            "power": [whole(device.reading.power) for device in devices],
            "uptime": int(snapshot.uptime),
            "ver": snapshot.about.version,
            "ar": [total.accepted, total.rejected, total.invalid, invalid],
            "algo": algorithm(snapshot.about.algorithm),
            "bus_numbers": [bus_number(device.info.pci) for device in devices],
        },
    }
