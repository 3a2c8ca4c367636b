"""Figures and names that the panels share."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import isfinite

from miner.telemetry import Hashrate, Snapshot, Tally
from miner.work import Job, Outcome

_PCI = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PciSlot:
    """Where a card sits on the PCI bus."""

    domain: int
    bus: int
    device: int
    function: int

    def __str__(self) -> str:
        """As in "0a:00.0", which is how lspci and most panels write it."""
        return f"{self.bus:02x}:{self.device:02x}.{self.function}"


def slot(pci: str | None) -> PciSlot | None:
    """Return the slot of "0000:0a:00.0" or "0a:00.0"; None for what is no such address."""
    found = _PCI.fullmatch(pci) if pci else None
    if found is None:
        return None
    return PciSlot(*(int(part or "0", 16) for part in found.groups()))


def bus_number(pci: str | None) -> int | None:
    """Return the bus in the decimal form in which farm systems match cards: 10 for "0a:00.0"."""
    place = slot(pci)
    return place.bus if place else None


def short_pci(pci: str | None) -> str | None:
    """Return "0a:00.0" for "0000:0a:00.0"."""
    place = slot(pci)
    return str(place) if place else None


def host_and_port(label: str | None) -> str:
    """Return "pool.example:3333" for a pool's label; empty where there is no pool."""
    return label.rpartition("://")[2] if label else ""


def is_encrypted(label: str) -> bool:
    """Tell whether the pool of `label` is spoken to over TLS."""
    scheme = label.partition("://")[0]
    return scheme.endswith("+tls") or scheme == "https"


NAMES = {
    "evrprogpow": "evrprogpow",
    "firopow": "firopow",
    "kawpow": "kawpow",
    "meowpow": "meowpow",
    "phihash": "phihash",
    "progpow-0.9.2": "progpow",
    "progpow-0.9.3": "progpow",
    "progpow-0.9.4": "progpow",
    "progpow-quai": "progpow-quai",
    "progpow-sero": "progpow-sero",
    "progpow-veil": "progpow-veil",
    "progpowz": "progpowz",
    "telestai": "progpow-telestai",
}


def algorithm(variant: str) -> str:
    """Return a panel's name of `variant`; a variant of the user's own keeps its name."""
    return NAMES.get(variant, variant)


REFUSED = (
    Outcome.STALE,
    Outcome.LOW_DIFFICULTY,
    Outcome.DUPLICATE,
    Outcome.INVALID,
    Outcome.UNAUTHORIZED,
)
"""What a pool says no to."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Shares as panels sort them; the classes do not overlap."""

    accepted: int
    rejected: int
    """The pool refused them, for whatever reason."""
    invalid: int
    """The device claimed them, the CPU found them wrong; none of them was sent."""
    not_sent: int
    """Good, but too late to be worth sending; neither rejected nor invalid."""
    lost: int
    """Sent, and never answered; neither rejected nor invalid."""


def counts(tally: Tally) -> Counts:
    """Return how panels count `tally`."""
    outcomes = tally.outcomes
    return Counts(
        accepted=tally.accepted,
        rejected=sum(outcomes.get(outcome, 0) for outcome in REFUSED),
        invalid=tally.hardware,
        not_sent=outcomes.get(Outcome.NOT_SENT, 0),
        lost=tally.lost,
    )


PROGRAM = "progpow-miner"


def version_with_dash(snapshot: Snapshot) -> str:
    """Return "progpow-miner-1.2.3"."""
    return f"{PROGRAM}-{snapshot.about.version}"


def version_with_space(snapshot: Snapshot) -> str:
    """Return "progpow-miner 1.2.3"; scripts take the second word for the version."""
    return f"{PROGRAM} {snapshot.about.version}"


LARGEST = 2**63 - 1
"""Of the whole numbers that every reader takes."""

KILO = 1e3
MEGA = 1e6


def speed(hashrate: Hashrate) -> float:
    """Return H/s over the last minute: what a shape without windows of its own shows.

    Ten seconds hold too few launches for a farm's watchdog, a quarter of an hour hides a card
    that stopped.
    """
    return hashrate.minute


def whole(value: float | None) -> int | None:
    """Return `value` rounded, `LARGEST` where it is beyond, as a pool's difficulty may be; None
    for what is unknown or no finite number."""
    if value is None or not isfinite(value):
        return None
    return max(-LARGEST, min(round(value), LARGEST))


def known(value: float | None, digits: int = 2) -> float | None:
    """Return `value` rounded to `digits`; None for what is unknown or no finite number."""
    return round(value, digits) if value is not None and isfinite(value) else None


def per_minute(count: int, seconds: float) -> float:
    """Return how many of `count` came a minute over `seconds`; 0 where no time has passed."""
    return round(60 * count / seconds, 3) if seconds > 0 else 0.0


def wanted(job: Job | None) -> int | None:
    """Return the hashes that a share costs on average; None without a job."""
    return whole(job.difficulty) if job else None


def compact_json(answer: object) -> str:
    """Return `answer` as JSON on one line; a NaN or infinity in it is a ValueError."""
    return json.dumps(answer, allow_nan=False, separators=(",", ":"))
