"""Xid, the numbers by which NVIDIA's driver tells of errors in a card or in work given to it."""

from __future__ import annotations

from typing import Any

_XID_EVENTS = 0x8
"""NVML's bit for them."""

_MOST = 16
"""Taken at a time; a card in trouble can send them faster than they are read."""

_MEANINGS = {
    13: "an error in a kernel's run, often of an unstable clock",
    31: "an access outside of memory",
    43: "work was ended",
    48: "an error in memory that could not be corrected",
    62: "the card's own controller stopped",
    79: "the card has fallen off the bus",
}


class XidEvents:
    """The Xids of one card from now on; none where card, driver or system does not tell them.

    `module` is pynvml, `handle` its handle of the card.
    """

    def __init__(self, module: Any, handle: Any) -> None:
        self._module = module
        self._events: Any = None
        try:
            events = module.nvmlEventSetCreate()
            module.nvmlDeviceRegisterEvents(handle, _XID_EVENTS, events)
            self._events = events
        except (module.NVMLError, AttributeError):
            return

    def news(self) -> list[str]:
        """Return each Xid since the last call, as in "Xid 79, the card has fallen off the bus"."""
        found: list[str] = []
        while self._events is not None and len(found) < _MOST:
            try:
                number = int(self._module.nvmlEventSetWait_v2(self._events, 0).eventData)
            except self._module.NVMLError:
                break  # its way of saying that there is none; a lost card is told by its readings
            meaning = _MEANINGS.get(number)
            found.append(f"Xid {number}, {meaning}" if meaning else f"Xid {number}")
        return list(dict.fromkeys(found))
