"""Names of devices: PCI addresses, models, and the devices that the environment hides."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from miner.work import DeviceInfo

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


def matches(info: DeviceInfo, index: int, name: str) -> bool:
    """Return whether `name` means the device `info`, at position `index` of the list.

    A name is "opencl:0.0" or "0.0", an index in decimal digits, a PCI address with or without its
    domain, a UUID, a model, or a pattern (`*`, `?`, `[…]`) of the model or the name. Case is
    ignored. Decimal digits alone are always an index.
    """
    wanted, model = _folded(name), info.model.lower()
    if wanted.isdecimal():
        return int(wanted) == index
    if wanted and (wanted == model or (is_pattern(wanted) and fnmatchcase(model, wanted))):
        return True
    return is_called(wanted, info.name, info.pci, info.uuid)


def is_called(wanted: str, name: str, pci: str | None, uuid: str | None) -> bool:
    """As `matches`, for the names that a device keeps: not its index, which depends on the other
    devices, and not its model."""
    wanted = _folded(wanted)
    if wanted in _own_names(name) or (uuid is not None and wanted == uuid.lower()):
        return True
    if pci is not None and (address := PciAddress.parse(wanted)) is not None:
        return address == PciAddress.parse(pci)
    return is_pattern(wanted) and fnmatchcase(name.lower(), wanted)


def is_pattern(name: str) -> bool:
    """Return whether `name` is a pattern, which may match no device."""
    return any(sign in name for sign in "*?[")


def names_the_entry(info: DeviceInfo, index: int, name: str) -> bool:
    """Return whether `name` means this entry of the list, and not the hardware behind it."""
    wanted = _folded(name)
    return wanted in _own_names(info.name) or (wanted.isdecimal() and int(wanted) == index)


def same_hardware(a: DeviceInfo, b: DeviceInfo) -> bool:
    """Return whether two backends reach the same hardware as `a` and `b`. Parts of a divided GPU
    share their address, but not their UUID."""
    if a.backend == b.backend:
        return False
    if a.uuid is not None and b.uuid is not None:
        return a.uuid.lower() == b.uuid.lower()
    address = PciAddress.parse(a.pci)
    return address is not None and address == PciAddress.parse(b.pci)


def _folded(name: str) -> str:
    return name.strip().lower()


def _own_names(name: str) -> set[str]:
    """ "opencl:0.0" and "0.0" of "opencl:0.0"."""
    own = name.lower()
    return {own, own.partition(":")[2]} - {""}


VARIABLE = "NVIDIA_VISIBLE_DEVICES"

HIDDEN = f"{VARIABLE} does not list this card"
"""Why a hidden card cannot be used."""


def hidden(*uuids: str | None) -> str | None:
    """Return `HIDDEN` for a card with these UUIDs that the variable does not list, else None.

    `uuids` are the card's own and, for a part of a divided card, that of the whole card.
    """
    # Only UUIDs can hide a card here. Indexes count the host's cards, and the container's runtime
    # has applied them; so have "all" and "void", which it also leaves in containers with GPUs.
    wanted = [w.strip().lower() for w in os.environ.get(VARIABLE, "").split(",")]
    known = [uuid.lower() for uuid in uuids if uuid is not None]
    if not known or not all(w.startswith(("gpu-", "mig-")) for w in wanted):
        return None
    if any(uuid.startswith(w) for uuid in known for w in wanted):
        return None
    return HIDDEN


def hide_twins(found: Sequence[DeviceInfo]) -> list[DeviceInfo]:
    """Return `found` with each card that is hidden in one backend hidden in all backends."""
    hidden_cards = [info for info in found if info.unusable == HIDDEN]

    def is_twin(info: DeviceInfo) -> bool:
        return info.unusable is None and any(same_hardware(info, card) for card in hidden_cards)

    return [replace(info, unusable=HIDDEN) if is_twin(info) else info for info in found]
