"""Hardware that several platforms list, and hardware that the environment hides."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from miner.devices.device_names import PciAddress
from miner.work import DeviceInfo

SAME_MEMORY = 0.7
"""Least ratio of the memory that two platforms report for the same hardware: some reserve a quarter
or 2 GiB."""

_DECORATION = re.compile(
    r"\([^)]*\)|\[[^]]*\]|@.*|\d+-core\b|\b(?:processor|cpu|pthread|graphics|corporation|inc)\b"
)
"""Parts of a model's name that only some platforms add."""


def first_entries(found: Sequence[DeviceInfo]) -> dict[str, str]:
    """Return, for each device that is the same hardware as one before it in `found`, the name of
    the first such device. `found` is in order of preference.

    A platform lists a piece of hardware once, so several equal cards are matched one to one, in
    order.
    """
    cards = [[info] for info in found]
    for is_same, differ in ((_is_identified_as, _are_other_parts), (_is_equal_to, _are_others)):
        count = 0
        while len(cards) != count:  # an entry with address and UUID may join cards with one each
            count = len(cards)
            cards = _joined(cards, is_same, differ)
    return {other.name: card[0].name for card in cards for other in card[1:]}


_Comparison = Callable[[DeviceInfo, DeviceInfo], bool]


def _joined(
    cards: Iterable[list[DeviceInfo]], is_same: _Comparison, differ: _Comparison
) -> list[list[DeviceInfo]]:
    """Return `cards`, lists of entries, with each one appended to the first one before it that is
    the same by an entry of either, and differs in none."""
    joined: list[list[DeviceInfo]] = []
    for card in cards:
        for other in joined:
            pairs = [(a, b) for a in other for b in card]
            if any(is_same(a, b) for a, b in pairs) and not any(
                differ(a, b) or _platform(a) == _platform(b) for a, b in pairs
            ):
                other += card
                break
        else:
            joined.append(card)
    return joined


def _platform(info: DeviceInfo) -> str:
    return info.name.rpartition(".")[0] or info.backend


def _is_identified_as(a: DeviceInfo, b: DeviceInfo) -> bool:
    """Return whether both have the same PCI address or UUID."""
    address = PciAddress.parse(a.pci)
    if address is not None and address == PciAddress.parse(b.pci):
        return True
    return a.uuid is not None and b.uuid is not None and a.uuid.lower() == b.uuid.lower()


def _is_equal_to(a: DeviceInfo, b: DeviceInfo) -> bool:
    """Return whether two devices agree in kind, units and model, and GPUs nearly in memory. For
    CPUs, PoCL reports 60 % of the memory only."""
    names = _words(a.model), _words(b.model)
    least, most = sorted((a.memory, b.memory))
    return (
        a.kind == b.kind
        and a.units == b.units
        and (a.kind == "cpu" or least >= SAME_MEMORY * most)
        and bool(names[0] and names[1])
        and (names[0] <= names[1] or names[1] <= names[0])
    )


def _are_others(a: DeviceInfo, b: DeviceInfo) -> bool:
    """Return whether two devices that were not identified as the same are different ones."""
    return (a.pci is not None and b.pci is not None) or _are_other_parts(a, b)


def _are_other_parts(a: DeviceInfo, b: DeviceInfo) -> bool:
    """Return whether both have UUIDs of NVIDIA's form that differ, as parts of a divided card have,
    which share its address. Other UUIDs do not count, since each platform generates its own."""
    uuids = [uuid.lower() for uuid in (a.uuid, b.uuid) if uuid is not None]
    ours = [uuid for uuid in uuids if uuid.startswith(("gpu-", "mig-"))]
    return len(set(ours)) == 2


def _words(model: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", _DECORATION.sub(" ", model.lower())))


VARIABLE = "NVIDIA_VISIBLE_DEVICES"

HIDDEN = f"{VARIABLE} does not list this card"
"""The reason for which a hidden card is unusable."""


def hidden(*uuids: str | None) -> str | None:
    """Return `HIDDEN` for a card with these UUIDs that the variable does not list, else None.

    `uuids` are the card's own and, for a part of a divided card, that of the whole card.
    """
    # Only UUIDs can hide a card here. The container's runtime has already applied indexes, which
    # count the host's cards, and "all" and "void", which it also sets in containers with GPUs.
    wanted = [w.strip().lower() for w in os.environ.get(VARIABLE, "").split(",")]
    known = [uuid.lower() for uuid in uuids if uuid is not None]
    if not known or not all(w.startswith(("gpu-", "mig-")) for w in wanted):
        return None
    if any(uuid.startswith(w) for uuid in known for w in wanted):
        return None
    return HIDDEN


def hide_everywhere(found: Sequence[DeviceInfo], first: Mapping[str, str]) -> list[DeviceInfo]:
    """Return `found` with each card that one platform hides hidden in all; `first` is the result
    of `first_entries`."""
    cards = {first.get(i.name, i.name) for i in found if i.unusable == HIDDEN}

    def is_hidden(info: DeviceInfo) -> bool:
        return info.unusable is None and first.get(info.name, info.name) in cards

    return [replace(info, unusable=HIDDEN) if is_hidden(info) else info for info in found]
