"""ethminer's answers: the nine strings of `miner_getstat1`, and `miner_getstatdetail`."""

from __future__ import annotations

from typing import Any

from miner.panels.panel_figures import (
    KILO,
    counts,
    host_and_port,
    short_pci,
    speed,
    version_with_dash,
    wanted,
    whole,
)
from miner.telemetry import DeviceSnapshot, DeviceState, PoolState, Snapshot, Tally

MODES = {"cuda": "CUDA", "opencl": "OpenCL"}
"""Our backends by ethminer's name; every other one is its "CPU"."""

NO_SECOND_COIN = "0;0;0"
"""Rate, accepted and rejected of a second coin, of which there is none."""

OFF = "off"
"""A card's rate for that coin."""

UNKNOWN = 0
"""What a temperature or a fan is in a string of numbers when the card does not tell it."""

OVERHEATING = "Overheating"
"""ethminer's word for a pause because of heat."""

ASKED_FOR = "Api request"
"""ethminer's word for a pause that a person asked for."""


def getstat1(snapshot: Snapshot) -> list[str]:
    """Return nine strings: version; minutes; kH/s, accepted, rejected; kH/s of each card; the same
    two for a second coin; °C and fan percent of each card by turns; the pool's host:port; invalid
    shares and changes of pool, and again for a second coin."""
    total = counts(snapshot.shares)
    devices = snapshot.devices
    heat = (
        _number(value)
        for device in devices
        for value in (device.reading.temperature, device.reading.fan)
    )
    return [
        version_with_dash(snapshot),
        str(int(snapshot.uptime // 60)),
        f"{_khs(speed(snapshot.hashrate))};{total.accepted};{total.rejected}",
        ";".join(_khs(speed(device.hashrate)) for device in devices),
        NO_SECOND_COIN,
        ";".join(OFF for _ in devices),
        ";".join(heat),
        host_and_port(snapshot.active),
        f"{total.invalid};{_switches(snapshot)};0;0",
    ]


def getstatdetail(snapshot: Snapshot) -> dict[str, Any]:
    """Return everything by name: rates as hex H/s, °C, percent, W, seconds; null where a card
    does not tell."""
    pool = snapshot.pool
    return {
        "connection": {
            "connected": pool is not None and pool.state is PoolState.CONNECTED,
            "switches": _switches(snapshot),
            "uri": pool.label if pool else "",
        },
        "devices": [_device(snapshot, index) for index in range(len(snapshot.devices))],
        "host": {
            "name": snapshot.about.rig,
            "runtime": int(snapshot.uptime),
            "version": version_with_dash(snapshot),
        },
        "mining": {
            "difficulty": wanted(snapshot.job),
            "epoch": snapshot.epoch,
            "epoch_changes": snapshot.epochs,
            "hashrate": hex(round(speed(snapshot.hashrate))),
            "shares": _shares(
                snapshot,
                snapshot.shares,
                max((d.last_share_at for d in snapshot.devices if d.last_share_at), default=None),
            ),
        },
        "monitors": None,
    }


def connections(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the pools that were connected to in this run, without their users."""
    return [
        {"active": pool.label == snapshot.active, "index": index, "uri": pool.label}
        for index, pool in enumerate(snapshot.pools)
    ]


def _device(snapshot: Snapshot, index: int) -> dict[str, Any]:
    device = snapshot.devices[index]
    info, reading = device.info, device.reading
    reason = _pause_reason(device)
    return {
        "_index": index,
        "_mode": MODES.get(info.backend, "CPU"),
        "hardware": {
            "name": info.model,
            "pci": short_pci(info.pci),
            "sensors": [whole(reading.temperature), whole(reading.fan), whole(reading.power)],
            "type": info.kind.upper(),
        },
        "mining": {
            "hashrate": hex(round(speed(device.hashrate))),
            "pause_reason": reason,
            "paused": reason is not None,
            "segment": _segment(snapshot),
            "shares": _shares(snapshot, device.shares, device.last_share_at),
        },
    }


def _segment(snapshot: Snapshot) -> list[str | None]:
    """Return first and last nonce of the pool's space, which all cards share."""
    if snapshot.job is None:
        return [None, None]
    space = snapshot.job.nonces
    return [hex(space.first), hex(space.first + space.size - 1)]


def _shares(snapshot: Snapshot, tally: Tally, last: float | None) -> list[int | None]:
    """Return accepted, rejected, failed, and seconds since the last accepted one."""
    count = counts(tally)
    since = None if last is None else max(0, int(snapshot.at - last))
    return [count.accepted, count.rejected, count.invalid, since]


def _pause_reason(device: DeviceSnapshot) -> str | None:
    """Return why the device does nothing, in ethminer's words where it has some."""
    if device.state in (DeviceState.PARKED, DeviceState.HUNG, DeviceState.RESTING):
        return str(device.state.value).capitalize()
    if device.paused is None:
        return None
    return OVERHEATING if device.paused.startswith("overheating") else ASKED_FOR


def _switches(snapshot: Snapshot) -> int:
    """Return how often a pool was logged in to after the first time."""
    return max(0, sum(pool.logins for pool in snapshot.pools) - 1)


def _khs(rate: float) -> str:
    return str(round(rate / KILO))


def _number(value: float | None) -> str:
    number = whole(value)
    return str(UNKNOWN if number is None else number)
