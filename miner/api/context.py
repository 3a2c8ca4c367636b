"""The state that the request handlers share: cached answers, journal, history, controls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol, TypeVar, TypeVarTuple

from cachetools import LRUCache

from miner.api import v1
from miner.api.path_redaction import PathRedactor
from miner.api.responses import Response, to_json
from miner.clock import Clock
from miner.telemetry import History, Journal, JournalEntry, Snapshot, Telemetry
from miner.telemetry.events import Event, Launched, LoopDelayed
from miner.telemetry.journal import KEPT

SNAPSHOT_SECONDS = 0.25
"""Maximum age of the rates in a response."""

SHARES_SECONDS = 1.0
"""Maximum age of the ledger's shares in a response."""

SHARES_READ = (100, 1000)
"""Numbers of shares that are read from the ledger: a request for fewer takes the first of them."""

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class CachedSnapshot:
    """Calls `take` for a snapshot at most every `SNAPSHOT_SECONDS`, sooner only after an event
    that is neither `Launched` nor `LoopDelayed`.

    Rendering a snapshot of twelve cards takes milliseconds. Clients must not cause that work as
    often as they like, so each rendering is kept as long as its snapshot.
    """

    def __init__(self, take: Callable[[], Snapshot], telemetry: Telemetry, clock: Clock) -> None:
        self._take, self._clock = take, clock
        self._taken: tuple[float, Snapshot] | None = None
        self._renderings: dict[tuple[Callable[..., Any], tuple[Any, ...]], Any] = {}
        telemetry.subscribe(self._on_event)

    def newest(self) -> Snapshot:
        """Return a snapshot that is not outdated."""
        now = self._clock.now()
        if self._taken is None or now - self._taken[0] >= SNAPSHOT_SECONDS:
            self._renderings.clear()
            self._taken = now, self._take()
        return self._taken[1]

    def render(self, renderer: Callable[[Snapshot, *Arguments], T], *arguments: *Arguments) -> T:
        """Return `renderer(snapshot, *arguments)`, called once for each snapshot."""
        snapshot = self.newest()
        key = (renderer, arguments)
        if key not in self._renderings:
            self._renderings[key] = renderer(snapshot, *arguments)
        rendering: T = self._renderings[key]
        return rendering

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, Launched | LoopDelayed):
            self._taken = None


NewestShares = Callable[[int], Awaitable[Sequence[Mapping[str, Any]]]]
"""Returns at most the given number of the ledger's shares, newest first, by column name; times are
UNIX seconds."""


class CachedEntries:
    """Renders each entry of the journal as JSON once: to redact 500 sentences takes 10 ms."""

    def __init__(self, redact: PathRedactor) -> None:
        self._redact = redact
        self._rendered: LRUCache[JournalEntry, bytes] = LRUCache(KEPT)

    def json(self, entry: JournalEntry) -> bytes:
        """Return `entry` as an `EntryAnswer` in JSON."""
        if (rendered := self._rendered.get(entry)) is None:
            rendered = self._rendered[entry] = to_json(v1.entry(entry), self._redact)
        return rendered


class CachedShares:
    """Reads the newest shares from the ledger, one read at a time, and keeps them for a second."""

    def __init__(self, newest: NewestShares, clock: Clock, redact: PathRedactor) -> None:
        self._newest, self._clock, self._redact = newest, clock, redact
        self._reading = asyncio.Lock()
        self._read: dict[int, tuple[float, list[bytes]]] = {}

    async def json(self, limit: int) -> list[bytes]:
        """Return at most `limit` shares, each a `LedgerShare` in JSON, newest first."""
        number = next((number for number in SHARES_READ if limit <= number), limit)
        async with self._reading:
            at, shares = self._read.get(number, (-inf, []))
            if self._clock.now() - at >= SHARES_SECONDS:
                rows = v1.shares(await self._newest(number)).shares
                shares = [to_json(row, self._redact) for row in rows]
                self._read[number] = self._clock.now(), shares
        return shares[:limit]


class RunControl(Protocol):
    """Requests of a user to a run: pause, resume, reload."""

    def pause(self, device: str | None) -> None:
        """Pause `device`, or all devices if None; raises `KeyError` for an unknown one."""

    def resume(self, device: str | None) -> None:
        """End the pause of `device`, or of all if None; raises `KeyError` for an unknown one."""

    async def reload(self) -> list[str]:
        """Read the settings again; return the changes as sentences.

        Raises `ConfigError` for unusable settings; then nothing changes.
        """


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Everything that the API shows or controls; used on the event loop's thread only."""

    snapshots: CachedSnapshot
    journal: Journal
    history: History
    clock: Clock
    control: RunControl
    shares: NewestShares | None = None
    """None: this run keeps no ledger."""
    redact: PathRedactor = field(default_factory=PathRedactor)
    """Removes this machine's paths from sentences."""
    entries: CachedEntries = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", CachedEntries(self.redact))

    def json(self, answer: Callable[[Snapshot], Response | Sequence[Response]]) -> bytes:
        """Return `answer(snapshot)` as JSON, rendered once for each snapshot."""
        return self.snapshots.render(_json, answer, self.redact)


def _json(
    snapshot: Snapshot,
    answer: Callable[[Snapshot], Response | Sequence[Response]],
    redact: PathRedactor,
) -> bytes:
    return to_json(answer(snapshot), redact)
