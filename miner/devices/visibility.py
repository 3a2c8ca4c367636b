"""`NVIDIA_VISIBLE_DEVICES`: the NVIDIA cards that a container was given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from miner.devices.device_names import same_hardware
from miner.work import DeviceInfo

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
