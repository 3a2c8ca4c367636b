"""PCI addresses, which drivers, tools and people write in different widths."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADDRESS = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])", re.I)


@dataclass(frozen=True, slots=True)
class PciAddress:
    """Where a card is on the PCI bus; `str()` writes it as Linux does, "0000:0a:00.0"."""

    domain: int
    bus: int
    device: int
    function: int

    @classmethod
    def parse(cls, text: str | None) -> PciAddress | None:
        """Return the address that `text` is: "0000:0a:00.0" with a domain of 1 to 8 digits, or
        "0a:00.0". None for any other text."""
        found = _ADDRESS.fullmatch(text.strip()) if text else None
        return cls(*(int(part or "0", 16) for part in found.groups())) if found else None

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.short}"

    @property
    def short(self) -> str:
        """Without the domain, as lspci and most panels write it: "0a:00.0"."""
        return f"{self.bus:02x}:{self.device:02x}.{self.function}"
