"""PCI addresses, which every tool writes in its own width."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})(?:\.([0-7]))?", re.I)


def pci_address(text: str | None) -> str | None:
    """Return `text` as Linux writes it, as in "0000:01:00.0"; None for what is no PCI address."""
    found = _ADDRESS.fullmatch(text.strip()) if text else None
    if found is None:
        return None
    domain, bus, device, function = (int(part or "0", 16) for part in found.groups())
    return f"{domain:04x}:{bus:02x}:{device:02x}.{function}"
