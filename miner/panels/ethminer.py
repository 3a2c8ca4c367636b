"""ethminer's answers to its read-only methods."""

from __future__ import annotations

from typing import Any

from miner.devices.registry import title_of
from miner.panels import panel_figures as figures
from miner.telemetry import DeviceSnapshot, DeviceState, PoolState, Snapshot, Tally

NO_SECOND_COIN = "0;0;0"
"""Rate, accepted and rejected shares of the second coin that ethminer can mine."""

SECOND_COIN_OFF = "off"
"""Rate of a card for the second coin."""

UNKNOWN = 0
"""Stands for an unknown temperature, fan speed or power."""

OVERHEATING = "Overheating"
"""ethminer's reason for a pause because of heat."""

API_REQUEST = "Api request"
"""ethminer's reason for a pause that a user requested."""


def getstat1(snapshot: Snapshot) -> list[str]:
    """Return nine strings: the version; the uptime in minutes; kH/s, accepted and rejected shares;
    kH/s of each card; the last two again for a second coin; °C and fan percent of each card; the
    pool's host:port; invalid shares and pool changes, both again for a second coin."""
    total = figures.count_shares(snapshot.shares)
    devices = snapshot.devices
    heat = (
        _number(value)
        for device in devices
        for value in (device.reading.temperature, device.reading.fan)
    )
    return [
        figures.version_with_dash(snapshot),
        str(int(snapshot.uptime // 60)),
        f"{_khs(figures.reported_rate(snapshot.hashrate))};{total.accepted};{total.rejected}",
        ";".join(_khs(figures.reported_rate(device.hashrate)) for device in devices),
        NO_SECOND_COIN,
        ";".join(SECOND_COIN_OFF for _ in devices),
        ";".join(heat),
        figures.host_and_port(snapshot.active),
        f"{total.invalid};{_switches(snapshot)};0;0",
    ]


def getstathr(snapshot: Snapshot) -> dict[str, Any]:
    """Return the values of `getstat1` as an object, with W and pauses of each card: rates in H/s,
    the uptime in minutes. Readers take no null: unknown numbers are 0."""
    total = figures.count_shares(snapshot.shares)
    devices = snapshot.devices
    readings = [device.reading for device in devices]
    return {
        "ethhashrate": round(figures.reported_rate(snapshot.hashrate)),
        "ethhashrates": [round(figures.reported_rate(device.hashrate)) for device in devices],
        "ethinvalid": total.invalid,
        "ethpoolsw": _switches(snapshot),
        "ethrejected": total.rejected,
        "ethshares": total.accepted,
        "fanpercentages": [figures.rounded_int(r.fan) or UNKNOWN for r in readings],
        "ispaused": [_pause_reason(device) is not None for device in devices],
        "pooladdrs": figures.host_and_port(snapshot.active),
        "powerusages": [figures.rounded(r.power) or float(UNKNOWN) for r in readings],
        "runtime": str(int(snapshot.uptime // 60)),
        "temperatures": [figures.rounded_int(r.temperature) or UNKNOWN for r in readings],
        "version": figures.version_with_dash(snapshot),
    }


def getstatdetail(snapshot: Snapshot) -> dict[str, Any]:
    """Return the state as an object: rates in H/s as hex, °C, percent, W, seconds; unknown values
    are null."""
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
            "version": figures.version_with_dash(snapshot),
        },
        "mining": {
            "difficulty": figures.share_difficulty(snapshot.job),
            "epoch": snapshot.epoch,
            "epoch_changes": snapshot.epochs,
            "hashrate": hex(round(figures.reported_rate(snapshot.hashrate))),
            "shares": _shares(
                snapshot,
                snapshot.shares,
                max((d.last_share_at for d in snapshot.devices if d.last_share_at), default=None),
            ),
        },
        "monitors": None,
    }


def connections(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the pools of this run, without users."""
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
        "_mode": title_of(info.backend),
        "hardware": {
            "name": info.model,
            "pci": figures.short_pci(info.pci),
            "sensors": [
                figures.rounded_int(reading.temperature),
                figures.rounded_int(reading.fan),
                figures.rounded_int(reading.power),
            ],
            "type": info.kind.upper(),
        },
        "mining": {
            "hashrate": hex(round(figures.reported_rate(device.hashrate))),
            "pause_reason": reason,
            "paused": reason is not None,
            "segment": _segment(snapshot),
            "shares": _shares(snapshot, device.shares, device.last_share_at),
        },
    }


def _segment(snapshot: Snapshot) -> list[str | None]:
    """Return first and last nonce of the job, which all cards share."""
    if snapshot.job is None:
        return [None, None]
    space = snapshot.job.nonces
    return [hex(space.first), hex(space.first + space.size - 1)]


def _shares(snapshot: Snapshot, tally: Tally, last: float | None) -> list[int | None]:
    """Return accepted, rejected and invalid shares, and seconds since the last accepted one."""
    counts = figures.count_shares(tally)
    since = None if last is None else int(snapshot.at - last)
    return [counts.accepted, counts.rejected, counts.invalid, since]


def _pause_reason(device: DeviceSnapshot) -> str | None:
    """Return why the device does not mine, in ethminer's words where it has them."""
    if device.state in (DeviceState.PARKED, DeviceState.HUNG, DeviceState.RESTING):
        return str(device.state.value).capitalize()
    if device.paused is None:
        return None
    return OVERHEATING if device.paused.startswith("overheating") else API_REQUEST


def _switches(snapshot: Snapshot) -> int:
    """Return the number of logins after the first one."""
    return max(0, sum(pool.logins for pool in snapshot.pools) - 1)


def _khs(rate: float) -> str:
    return str(round(rate / figures.KILO))


def _number(value: float | None) -> str:
    number = figures.rounded_int(value)
    return str(UNKNOWN if number is None else number)
