"""The names by which a person may call a device."""

from __future__ import annotations

from fnmatch import fnmatchcase

from miner.devices.pci import PciAddress
from miner.work import DeviceInfo


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
