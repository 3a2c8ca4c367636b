"""Which of NVIDIA's cards `NVIDIA_VISIBLE_DEVICES` keeps from being used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from miner.devices.device import DeviceInfo
from miner.devices.selection import are_one

VARIABLE = "NVIDIA_VISIBLE_DEVICES"

HIDDEN = f"{VARIABLE} names other cards"
"""Why such a card cannot be used."""


def hidden(*uuids: str | None) -> str | None:
    """Return why a card may not be used that is known by any of `uuids`, None where it may.

    Only UUIDs can hide one here: numbers are counted outside a container, where its runtime has
    followed them already, and "void" is what it leaves in a container that has GPUs. A part of a
    divided card has the whole one's UUID beside its own.
    """
    wanted = [w.strip().lower() for w in os.environ.get(VARIABLE, "").split(",")]
    known = [uuid.lower() for uuid in uuids if uuid is not None]
    if not known or not all(w.startswith(("gpu-", "mig-")) for w in wanted):
        return None
    if any(uuid.startswith(w) for uuid in known for w in wanted):
        return None
    return HIDDEN


def with_twins_hidden(found: Sequence[DeviceInfo]) -> list[DeviceInfo]:
    """Return `found`, where what is hidden through one backend is hidden through all."""
    kept_back = [info for info in found if info.unusable == HIDDEN]

    def is_twin(info: DeviceInfo) -> bool:
        return info.unusable is None and any(are_one(info, other) for other in kept_back)

    return [replace(info, unusable=HIDDEN) if is_twin(info) else info for info in found]
