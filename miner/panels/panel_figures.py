"""Names, share counts and number formats that several panels use."""

from __future__ import annotations

import json
from math import isfinite
from typing import NamedTuple

from miner.devices.device_names import PciAddress
from miner.telemetry import About, Hashrate, PoolSnapshot, Snapshot, Tally
from miner.work import Job, Outcome

PROGRAM = "progpow-miner"

KILO = 1e3
MEGA = 1e6

MAX_INT = 2**63 - 1
"""Largest integer that every reader accepts."""


def version_with_dash(snapshot: Snapshot) -> str:
    """Return "progpow-miner-1.2.3"."""
    return f"{PROGRAM}-{snapshot.about.version}"


def version_with_space(snapshot: Snapshot) -> str:
    """Return "progpow-miner 1.2.3"; scripts take the second word for the version."""
    return f"{PROGRAM} {snapshot.about.version}"


def algorithm_name(about: About) -> str:
    """Return the name of the variant for panels, by default its own."""
    return about.panel_algorithm or about.algorithm


def host_and_port(label: str | None) -> str:
    """Return "pool.example:3333" for a pool's label; empty without a pool."""
    return label.rpartition("://")[2] if label else ""


def is_encrypted(label: str) -> bool:
    """Return whether the connection to the pool `label` uses TLS."""
    scheme = label.partition("://")[0]
    return scheme.endswith("+tls") or scheme == "https"


def bus_number(pci: str | None) -> int | None:
    """Return the decimal bus number, by which farm systems match cards: 10 for "0a:00.0"."""
    address = PciAddress.parse(pci)
    return address.bus if address else None


def short_pci(pci: str | None) -> str | None:
    """Return "0a:00.0" for "0000:0a:00.0"."""
    address = PciAddress.parse(pci)
    return address.short if address else None


class ShareCounts(NamedTuple):
    """Shares by the classes that panels show; each share is in one class."""

    accepted: int
    rejected: int
    """Sent and refused by the pool."""
    invalid: int
    """Hardware errors: found wrong on the CPU and not sent."""
    not_sent: int
    """Valid, but too late to send."""
    lost: int
    """Sent, but never answered."""


REJECTED = (
    Outcome.STALE, Outcome.LOW_DIFFICULTY, Outcome.DUPLICATE, Outcome.INVALID, Outcome.UNAUTHORIZED,
)  # fmt: skip
"""The outcomes that panels show as rejected."""


def count_shares(tally: Tally) -> ShareCounts:
    """Return the shares of `tally` as panels count them."""
    outcomes = tally.outcomes
    return ShareCounts(
        accepted=tally.accepted,
        rejected=sum(outcomes.get(outcome, 0) for outcome in REJECTED),
        invalid=tally.hardware,
        not_sent=outcomes.get(Outcome.NOT_SENT, 0),
        lost=tally.lost,
    )


def reported_rate(hashrate: Hashrate) -> float:
    """Return H/s over the last minute, for panels that show one hashrate.

    Ten seconds have too few launches for a farm's watchdog; a quarter of an hour hides a card that
    stopped.
    """
    return hashrate.minute


def per_minute(count: int, seconds: float) -> float:
    """Return the rate of `count` events in `seconds`; 0 if no time has passed."""
    return round(60 * count / seconds, 3) if seconds > 0 else 0.0


def share_difficulty(job: Job | None) -> int | None:
    """Return the average number of hashes for one share; None without a job."""
    return rounded_int(job.difficulty) if job else None


def latency_ms(pool: PoolSnapshot | None) -> int | None:
    """Return the latency of `pool` in milliseconds; None if it is unknown."""
    return rounded_int(pool.latency * KILO) if pool and pool.latency is not None else None


def all_paused(snapshot: Snapshot) -> bool:
    """Return whether every device is paused; False without devices."""
    return bool(snapshot.devices) and all(d.paused is not None for d in snapshot.devices)


def rounded_int(value: float | None) -> int | None:
    """Return `value` rounded and limited to `MAX_INT`, which a pool's difficulty may exceed; None
    for None, NaN and infinities."""
    if value is None or not isfinite(value):
        return None
    return max(-MAX_INT, min(round(value), MAX_INT))


def rounded(value: float | None) -> float | None:
    """Return `value` rounded to two decimals; None for None, NaN and infinities."""
    return round(value, 2) if value is not None and isfinite(value) else None


def compact_json(value: object) -> str:
    """Return `value` as JSON on one line; raises `ValueError` for NaN and infinities."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
