"""What mmpOS's agent fetches from `/mmpos`."""

from __future__ import annotations

from typing import Any

from miner.panels.panel_figures import KILO, PROGRAM, bus_number, counts, speed
from miner.telemetry import DeviceSnapshot, Snapshot

CPU = "cpu"
"""Stands for the bus of what sits on none."""


def mmpos(snapshot: Snapshot) -> dict[str, Any]:
    """Return rates in kH/s and shares by card, in the cards' order.

    `busid` is decimal, "cpu" for a CPU, null for a card whose bus is not known. `air` is accepted,
    invalid, rejected: in that order, unlike HiveOS's.
    """
    total = counts(snapshot.shares)
    each = [counts(device.shares) for device in snapshot.devices]
    return {
        "busid": [_bus(device) for device in snapshot.devices],
        "hash": [round(speed(device.hashrate) / KILO, 3) for device in snapshot.devices],
        "units": "khs",
        "air": [total.accepted, total.invalid, total.rejected],
        "shares": {
            "accepted": [one.accepted for one in each],
            "rejected": [one.rejected for one in each],
            "invalid": [one.invalid for one in each],
        },
        "miner_name": PROGRAM,
        "miner_version": snapshot.about.version,
    }


def _bus(device: DeviceSnapshot) -> int | str | None:
    return CPU if device.info.kind == "cpu" else bus_number(device.info.pci)
