"""Words of others in events, freed of what must not be shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from miner.telemetry.events import Event, PoolLost, PoolNotice, PoolRemark, ShareAnswered

Clean = Callable[[str], str]
"""Returns a text without secrets."""


def cleaned(event: Event, clean: Clean) -> Event:
    """Return `event` with what a pool or a node said in it cleaned: pools echo wallets."""
    match event:
        case PoolLost(_, reason, _):
            return replace(event, reason=clean(reason))
        case PoolNotice(_, text) | PoolRemark(_, text):
            return replace(event, text=clean(text))
        case ShareAnswered(verdict) if verdict.text:
            return ShareAnswered(replace(verdict, text=clean(verdict.text)))
        case _:
            return event
