"""How it goes, in lines as users of other miners know them."""

from __future__ import annotations

from miner.telemetry import DeviceSnapshot, DeviceState, Reading, Snapshot
from miner.telemetry.units import expected, rate
from miner.work import Outcome


def status_line(snapshot: Snapshot) -> str:
    """Return hashrate and shares as one line."""
    parts = [_total(snapshot)]
    if len(snapshot.devices) > 1:
        parts += [f"{d.name} {rate(d.hashrate.ten_seconds)}" for d in snapshot.devices]
    return ", ".join(parts)


def full_status(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return topics and lines: of the whole, of the pool with its job, and of each device."""
    total = [_total(snapshot)]
    # The power of some devices would be taken for that of the rig.
    if snapshot.power is not None and snapshot.efficiency is not None:
        total.append(f"[P:{snapshot.power:.0f}W, E:{per_watt(snapshot.efficiency)}kH/W]")
    total += [f"effort {snapshot.luck.effort:.0%}", f"up {duration(snapshot.uptime)}"]
    lines = [("status", ", ".join(total))]
    if snapshot.pool:
        lines.append(("pool", _pool(snapshot)))
    lines += [(device.name, device_line(device)) for device in snapshot.devices]
    return lines


def device_line(device: DeviceSnapshot) -> str:
    """Return hashrate, sensors and shares of one device; sensors that say nothing are left out.

    R is the share of its answered shares that were not accepted, I that of its claims which were
    not true.
    """
    shares = device.shares
    refused = shares.not_accepted / shares.answered if shares.answered else 0.0
    claims = device.found + shares.hardware
    wrong = shares.hardware / claims if claims else 0.0
    parts = [rate(device.hashrate.ten_seconds)]
    if letters := sensors(device.reading, device.efficiency):
        parts.append(f"[{', '.join(letters)}]")
    parts.append(f"{shares.accepted}/{shares.answered} R:{refused:.0%} I:{wrong:.0%}")
    if device.state is not DeviceState.SEARCHING:
        parts.append(device.doing)
    return ", ".join(parts)


def sensors(reading: Reading, efficiency: float | None) -> list[str]:
    """Return what is known of temperature, power, fan and efficiency, each with its letter."""
    known = (
        (reading.temperature, "T:{:.0f}C"),
        (reading.power, "P:{:.0f}W"),
        (reading.fan, "F:{:.0f}%"),
    )
    letters = [form.format(value) for value, form in known if value is not None]
    if efficiency is not None:
        letters.append(f"E:{per_watt(efficiency)}kH/W")
    return letters


def per_watt(efficiency: float) -> str:
    """Return hashes per joule as thousands of hashes a second per watt."""
    thousands = efficiency / 1000
    return f"{thousands:.0f}" if thousands >= 10 else f"{thousands:.2f}"


def duration(seconds: float) -> str:
    """Return a time as in "4:05", "3:04:05" or "2 d 03:04:05"."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if not hours:
        return f"{minute}:{second:02}"
    days, hour = divmod(hours, 24)
    clock = f"{minute:02}:{second:02}"
    return f"{days} d {hour:02}:{clock}" if days else f"{hour}:{clock}"


def summary(snapshot: Snapshot) -> list[str]:
    """Return the lines that end a run."""
    shares = snapshot.shares
    others = ((o.phrase, n) for o, n in shares.outcomes.items() if o is not Outcome.ACCEPTED)
    refused = ", ".join(f"{n} {word}" for word, n in others if n) or "none"
    mean = snapshot.tried / snapshot.uptime if snapshot.uptime else 0.0
    return [
        f"{shares.accepted} shares accepted, not accepted: {refused}",
        (
            f"{snapshot.tried:,} hashes in {snapshot.uptime:.0f} s, "
            f"{rate(mean)} over all; {snapshot.faults} device faults"
        ),
    ]


def _total(snapshot: Snapshot) -> str:
    shares = snapshot.shares
    parts = [
        f"{rate(snapshot.hashrate.ten_seconds)} (60 s {rate(snapshot.hashrate.minute)})",
        f"A{shares.accepted} R{shares.not_accepted} F{snapshot.faults}",
    ]
    if snapshot.pool and snapshot.pool.unverified:
        parts.append("TLS NOT VERIFIED")
    return ", ".join(parts)


def _pool(snapshot: Snapshot) -> str:
    pool = snapshot.pool
    assert pool is not None
    parts = [pool.label, pool.state.value]
    if pool.latency is not None:
        parts.append(f"{pool.latency * 1000:.0f} ms")
    if job := snapshot.job:
        parts += [
            f"epoch {job.epoch.number}",
            f"period {job.period}",
            f"height {job.height}",
            f"difficulty {expected(job.difficulty)}H",
        ]
    if snapshot.best:
        parts.append(f"best {expected(snapshot.best[0].difficulty)}H")
    return ", ".join(parts)
