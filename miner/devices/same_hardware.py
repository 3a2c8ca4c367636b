"""Hardware that several platforms show, and hardware that the environment hides."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from miner.devices.device_names import PciAddress
from miner.work import DeviceInfo

SAME_MEMORY = 0.7
"""Least part of one platform's memory that another one states for the same hardware: some keep
back a quarter or 2 GiB."""

_DECORATION = re.compile(
    r"\([^)]*\)|\[[^]]*\]|@.*|\d+-core\b|\b(?:processor|cpu|pthread|graphics|corporation|inc)\b"
)
"""What one platform adds to a model's name and another does not."""


def first_views(found: Sequence[DeviceInfo]) -> dict[str, str]:
    """Return, for each device that is the same hardware as one before it in `found`, the name of
    the first such device. `found` is in order of preference.

    A platform shows a piece of hardware once, so of several equal cards each is matched with
    another one, in order.
    """
    first: dict[str, str] = {}
    for is_same in (_is_identified_as, _is_equal_to):
        for number, info in enumerate(found):
            if info.name in first:
                continue
            taken = {first.get(o.name) for o in found if _platform(o) == _platform(info)}
            for other in found[:number]:
                if (
                    other.name in first
                    or other.name in taken
                    or _platform(other) == _platform(info)
                ):
                    continue
                if is_same(info, other):
                    first[info.name] = other.name
                    break
    return first


def _platform(info: DeviceInfo) -> str:
    return info.name.rpartition(".")[0] or info.backend


def _is_identified_as(a: DeviceInfo, b: DeviceInfo) -> bool:
    """Return whether an address or a UUID shows that both are the same hardware."""
    address = PciAddress.parse(a.pci)
    if address is not None and address == PciAddress.parse(b.pci):
        # Parts of a divided card share its address.
        return not _are_other_parts(a, b)
    return a.uuid is not None and b.uuid is not None and a.uuid.lower() == b.uuid.lower()


def _is_equal_to(a: DeviceInfo, b: DeviceInfo) -> bool:
    """Return whether both are the same hardware by all that is known of them: at least one of
    them has no address."""
    if a.pci is not None and b.pci is not None:
        return False
    if _are_other_parts(a, b):
        return False
    names = _words(a.model), _words(b.model)
    least, most = sorted((a.memory, b.memory))
    return (
        a.kind == b.kind
        and a.units == b.units
        and least >= SAME_MEMORY * most
        and bool(names[0] and names[1])
        and (names[0] <= names[1] or names[1] <= names[0])
    )


def _are_other_parts(a: DeviceInfo, b: DeviceInfo) -> bool:
    """Return whether both have UUIDs of NVIDIA's, and different ones. Other vendors' platforms
    invent their own."""
    uuids = [uuid.lower() for uuid in (a.uuid, b.uuid) if uuid is not None]
    ours = [uuid for uuid in uuids if uuid.startswith(("gpu-", "mig-"))]
    return len(set(ours)) == 2


def _words(model: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", _DECORATION.sub(" ", model.lower())))


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


def hide_twins(found: Sequence[DeviceInfo], first: Mapping[str, str]) -> list[DeviceInfo]:
    """Return `found` with each card that is hidden in one platform hidden in all of them; `first`
    is that of `first_views`."""
    hidden_cards = {first.get(i.name, i.name) for i in found if i.unusable == HIDDEN}

    def is_twin(info: DeviceInfo) -> bool:
        return info.unusable is None and first.get(info.name, info.name) in hidden_cards

    return [replace(info, unusable=HIDDEN) if is_twin(info) else info for info in found]
