"""Whether a supervisor should restart the miner, and whether it does its work."""

from __future__ import annotations

from miner.telemetry import DeviceSnapshot, DeviceState, PoolState, Snapshot


def liveness(snapshot: Snapshot) -> list[str]:
    """Return why a restart would help, in sentences; none: it would not."""
    return [_line(device) for device in snapshot.devices if device.state is DeviceState.HUNG]


def readiness(snapshot: Snapshot) -> list[str]:
    """Return why no device searches for a pool's job, in sentences; none: one does."""
    reasons = _of_pool(snapshot)
    if any(_searches(device) for device in snapshot.devices):
        return reasons
    if snapshot.light:
        reasons.append(f"building the {snapshot.light}")
    if not snapshot.devices:
        reasons.append("there is no device")
    return [*reasons, *map(_line, snapshot.devices)]


def _of_pool(snapshot: Snapshot) -> list[str]:
    pool = snapshot.pool
    if pool is None:
        return ["no pool was connected to yet"]
    if pool.state is PoolState.LOST:
        return [f"lost {pool.label}: {pool.reason}"]
    if pool.state is PoolState.CONNECTING:
        return [f"connecting to {pool.label}"]
    return [] if snapshot.job else [f"{pool.label} has sent no job"]


def _searches(device: DeviceSnapshot) -> bool:
    # With each new period a device is READY for the moment between its kernel and the first
    # launch; a probe must not see a rig come and go with every one of them.
    if device.state is DeviceState.READY:
        return device.tried > 0
    return device.state is DeviceState.SEARCHING


def _line(device: DeviceSnapshot) -> str:
    return f"{device.name}: {device.doing}"
