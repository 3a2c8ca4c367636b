"""The time for which clients of the API may occupy the event loop, each and all together."""

from __future__ import annotations

import types
from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import ceil
from time import monotonic, thread_time
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from cachetools import TTLCache

from miner.api.auth import network_of
from miner.clock import Clock

T = TypeVar("T")

PROBES = frozenset({"/livez", "/readyz"})
"""Paths that have a budget and connections of their own."""

REQUEST_SECONDS = 0.0002
"""Charged for a request besides the parts that are measured: tasks, routing, headers."""

CONNECTION_SECONDS = 0.0005
"""Charged for a new connection."""

REFUSAL_SECONDS = 0.0001
"""Charged for a request that is refused before it is parsed."""

HOLD_SECONDS = 1.0
"""Delay of a refusal, so that a client that ignores refusals costs little."""

TOO_MANY_REQUESTS = (
    "this address asks for more than the miner can answer beside mining; ask less often"
)

MAX_ADDRESSES = 1024
"""Addresses whose use is counted, the latest ones."""


@dataclass(frozen=True, slots=True)
class LoopLimits:
    """Limits for the time that requests of one kind take on the event loop."""

    per_second: float
    """Seconds per second, of all addresses."""
    burst: float
    """Seconds that all addresses may use at once."""
    slowdown: float = 1.0
    """On a busy machine a request occupies the loop for longer than its processor time. It counts
    for at most this multiple of that time."""
    largest_part: float = 0.5
    """Part of both limits for an address that is the only one. Several have equal parts."""


READERS = LoopLimits(per_second=0.1, burst=1.0, slowdown=4.0, largest_part=1.0)
PROBERS = LoopLimits(per_second=0.05, burst=0.5)


Times = tuple[float, float]
"""Seconds of the clock, and of the processor for this thread."""


def now() -> Times:
    """Return the present times, for `LoopBudget.charge_since`."""
    return monotonic(), thread_time()


class LoopBudget:
    """Counts the seconds that each address uses, and returns who has to wait.

    An address may use its part of the limits, which shrinks as more addresses are active: so all
    together stay within the limits, and an address that asks little is served while others ask
    too much.
    """

    def __init__(self, limits: LoopLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._idle = limits.burst / limits.per_second
        """Seconds of silence after which an address has its whole part again."""
        self._used: TTLCache[str, tuple[float, float]] = TTLCache(
            MAX_ADDRESSES, self._idle, timer=clock.now
        )

    def charge(self, address: str, seconds: float) -> None:
        """Count `seconds` that were used for `address`."""
        self._used[address] = self._level(address) + seconds, self._clock.now()

    def charge_since(self, address: str, begun: Times) -> None:
        """Count the time since `begun`, from `now`, for `address`."""
        occupied, computed = (end - begin for begin, end in zip(begun, now(), strict=True))
        self.charge(address, min(occupied, computed * self._limits.slowdown))

    def seconds_to_wait(self, address: str) -> float:
        """Return the time until `address` may be served; 0 if it may be now."""
        part = self._part()
        excess = self._level(address) - part * self._limits.burst
        return min(max(excess, 0.0) / (part * self._limits.per_second), self._idle)

    def _part(self) -> float:
        self._used.expire()
        return min(self._limits.largest_part, 1 / max(len(self._used), 1))

    def _level(self, address: str) -> float:
        """Return what `address` has used and time has not given back yet, in seconds."""
        now = self._clock.now()
        used, at = self._used.get(address, (0.0, now))
        return max(used - (now - at) * self._part() * self._limits.per_second, 0.0)


class LoopBudgets:
    """The budgets of readers and of probes: neither takes from the other.

    The time for which the loop is occupied delays mining. On a busy machine that is more than the
    processor time, so readers get less there; probes do not.
    """

    def __init__(
        self, clock: Clock, readers: LoopLimits = READERS, probers: LoopLimits = PROBERS
    ) -> None:
        self.clock = clock
        self.readers = LoopBudget(readers, clock)
        self.probes = LoopBudget(probers, clock)

    def of(self, path: str) -> LoopBudget:
        """Return the budget of requests for `path`."""
        return self.probes if path in PROBES else self.readers


@types.coroutine
def metered(
    steps: Generator[Any, Any, T], budget: LoopBudget, address: str
) -> Generator[Any, Any, T]:
    """Await `steps`, from `__await__`; charge each of them to `address`."""
    resume: Callable[[Any], Any] = steps.send
    value: Any = None
    while True:
        begun = now()
        try:
            waiting_for = resume(value)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            budget.charge_since(address, begun)
        resume = steps.send
        try:
            value = yield waiting_for
        except BaseException as error:  # noqa: BLE001 - thrown into the steps
            resume, value = steps.throw, error


def budget_guard(budgets: LoopBudgets) -> Middleware:
    """Return the middleware that charges requests to their address, and answers 429 to those of an
    address that has used its part."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        budget, address = budgets.of(request.path), network_of(request.remote)
        budget.charge(address, REQUEST_SECONDS)
        if wait := budget.seconds_to_wait(address):
            await budgets.clock.sleep(HOLD_SECONDS)
            raise web.HTTPTooManyRequests(
                text=TOO_MANY_REQUESTS, headers={"Retry-After": str(ceil(wait))}
            )
        return await metered(handler(request).__await__(), budget, address)

    return middleware
