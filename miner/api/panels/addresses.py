"""Addresses of cards and pools as panels write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PCI = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a card sits on the PCI bus."""

    domain: int
    bus: int
    device: int
    function: int

    def __str__(self) -> str:
        """As in "0a:00.0", which is how lspci and most panels write it."""
        return f"{self.bus:02x}:{self.device:02x}.{self.function}"


def slot(pci: str | None) -> Slot | None:
    """Return the slot of "0000:0a:00.0" or "0a:00.0"; None for what is no such address."""
    found = _PCI.fullmatch(pci) if pci else None
    if found is None:
        return None
    return Slot(*(int(part or "0", 16) for part in found.groups()))


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
