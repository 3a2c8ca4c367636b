"""Names of devices: as listed, PCI addresses, UUIDs, models, patterns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miner.work import DeviceInfo

_ADDRESS = re.compile(r"(?:([0-9a-f]{1,8}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])", re.I)

CPU = "cpu"
"""The best CPU device of all backends, as the value of `--backend` or as a device's name."""

VENDORS = ("nvidia", "amd", "intel")
"""Names that mean all GPUs of a vendor."""


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


def matches(info: DeviceInfo, index: int, name: str) -> bool:
    """Return whether `name` means the device `info`, at position `index` of the list.

    A name is "opencl:0.0" or "0.0", an index in decimal digits, a PCI address with or without its
    domain, a UUID, a model, a pattern (`*`, `?`, `[…]`) of the model or the name, a vendor of GPUs
    (`VENDORS`), or "cpu". Case is ignored. Decimal digits alone are always an index.
    """
    wanted, model = _folded(name), info.model.lower()
    if wanted.isdecimal():
        return int(wanted) == index
    if wanted == CPU:
        return info.kind == CPU
    if wanted in VENDORS:
        return info.kind == "gpu" and info.vendor == wanted
    if wanted and (wanted == model or (is_pattern(wanted) and fnmatchcase(model, wanted))):
        return True
    return is_called(wanted, info.name, info.pci, info.uuid)


def is_called(wanted: str, name: str, pci: str | None, uuid: str | None) -> bool:
    """Return whether `wanted` is one of the names that a device keeps: its own, its PCI address,
    its UUID, or a pattern of its own name. Its index depends on the other devices."""
    wanted = _folded(wanted)
    if wanted in _own_names(name) or (uuid is not None and wanted == uuid.lower()):
        return True
    if pci is not None and (address := PciAddress.parse(wanted)) is not None:
        return address == PciAddress.parse(pci)
    return is_pattern(wanted) and fnmatchcase(name.lower(), wanted)


def is_pattern(name: str) -> bool:
    """Return whether `name` is a pattern, which may match no device."""
    return any(sign in name for sign in "*?[")


def means_cpu(name: str) -> bool:
    """Return whether `name` means the best CPU device, not a device of the list."""
    return _folded(name) == CPU


def is_model(info: DeviceInfo, pattern: str) -> bool:
    """Return whether `pattern` matches the device's model by at least one letter or digit; "*"
    does not."""
    folded = _folded(pattern)
    return any(c.isalnum() for c in folded) and fnmatchcase(info.model.lower(), folded)


def names_the_entry(info: DeviceInfo, index: int, name: str) -> bool:
    """Return whether `name` means this entry of the list, and not the hardware behind it."""
    wanted = _folded(name)
    return wanted in _own_names(info.name) or (wanted.isdecimal() and int(wanted) == index)


def _folded(name: str) -> str:
    return name.strip().lower()


def _own_names(name: str) -> set[str]:
    """Return "opencl:0.0" and "0.0" for "opencl:0.0"."""
    own = name.lower()
    return {own, own.partition(":")[2]} - {""}
