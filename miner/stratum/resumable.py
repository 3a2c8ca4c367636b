"""What a pool keeps of a client, for some dialects also after its connection has ended."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from miner.stratum.share_rules import Judge, Offer
from miner.work import NonceSpace

RESUME_SECONDS = 60.0
"""Time in which a client may come back to its session."""


@dataclass(eq=False, slots=True)
class Seat:
    """One client's extranonce, target, offers and shares."""

    judge: Judge
    name: str = ""
    """Empty where the dialect cannot resume."""
    nonces: NonceSpace | None = None
    """None: not subscribed."""
    share_target: int | None = None
    """None: the chain's."""
    offers: OrderedDict[str, Offer] = field(default_factory=OrderedDict)
    """By what a share names: a job id, or a header hash's hex digits."""
    renamed: int = 0
    """How many ids were made up for templates offered again."""


@dataclass(slots=True)
class _KeptSession:
    seat: Seat
    holders: int = 1
    until: float = inf


class Sessions:
    """Named seats; `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: dict[str, _KeptSession] = {}
        self._named = 0

    def open(self, seat: Seat) -> str:
        """Keep `seat` and return the name that it is given."""
        self._forget_old()
        self._named += 1
        seat.name = f"s-{self._named:06x}"
        self._kept[seat.name] = _KeptSession(seat)
        return seat.name

    def resume(self, name: str) -> Seat | None:
        """Return the seat of that name, None where there is none or its time is over.

        It may still be held by a connection whose end nobody has noticed yet.
        """
        self._forget_old()
        kept = self._kept.get(name)
        if kept is None:
            return None
        kept.holders += 1
        kept.until = inf
        return kept.seat

    def leave(self, name: str) -> None:
        """Note that a connection which held `name` has ended."""
        kept = self._kept[name]
        kept.holders -= 1
        if not kept.holders:
            kept.until = self._now() + RESUME_SECONDS

    def _forget_old(self) -> None:
        now = self._now()
        self._kept = {name: kept for name, kept in self._kept.items() if kept.until >= now}
