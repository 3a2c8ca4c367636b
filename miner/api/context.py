"""What every request handler works with: the snapshot of the moment, the journal, the controls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, Protocol, TypeVar, TypeVarTuple

from miner.api.path_redaction import Paths
from miner.clock import Clock
from miner.telemetry import Event, History, Journal, Launched, Snapshot, Telemetry

MOMENT_SECONDS = 0.25
"""How old the rates in an answer may be."""

T = TypeVar("T")
Given = TypeVarTuple("Given")


class Moment:
    """Takes a snapshot by `take` only where a moment has passed since the one before, or anything
    but a launch has happened: what is made of it for twelve cards takes milliseconds, which
    clients must not be able to ask for as often as they like."""

    def __init__(self, take: Callable[[], Snapshot], telemetry: Telemetry, clock: Clock) -> None:
        self._take, self._clock = take, clock
        self._taken: tuple[float, Snapshot] | None = None
        self._made: dict[tuple[Callable[..., Any], tuple[Any, ...]], Any] = {}
        telemetry.subscribe(self._note)

    def snapshot(self) -> Snapshot:
        """Return a snapshot no older than a moment."""
        now = self._clock.now()
        if self._taken is None or now - self._taken[0] >= MOMENT_SECONDS:
            self._made.clear()
            self._taken = now, self._take()
        return self._taken[1]

    def of(self, make: Callable[[Snapshot, *Given], T], *given: *Given) -> T:
        """Return what `make` makes of the snapshot and what else is `given`; asked again within the
        moment, the same."""
        snapshot = self.snapshot()
        if (make, given) not in self._made:
            self._made[make, given] = make(snapshot, *given)
        made: T = self._made[make, given]
        return made

    def _note(self, event: Event) -> None:
        if not isinstance(event, Launched):
            self._taken = None


NewestShares = Callable[[int], Awaitable[Sequence[Mapping[str, Any]]]]
"""At most so many shares of the ledger, the newest first, by their columns' names; times are
UNIX seconds."""


class RunControl(Protocol):
    """What the owner of the rig may do to a run."""

    def pause(self, device: str | None) -> None:
        """Have `device` (None: every one) rest; raises `KeyError` for an unknown one."""

    def resume(self, device: str | None) -> None:
        """Have `device` (None: every one) go on; raises `KeyError` for an unknown one."""

    async def reload(self) -> list[str]:
        """Read the settings again; return what changed, in sentences.

        Raises `ConfigError` where they cannot be used; then nothing changed.
        """


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that the API shows or does; used on the event loop's thread only."""

    snapshot: InitVar[Callable[[], Snapshot]]
    journal: Journal
    history: History
    telemetry: Telemetry
    clock: Clock
    control: RunControl
    shares: NewestShares | None = None
    """None: this run keeps no ledger."""
    paths: Paths = field(default_factory=Paths)
    """What no sentence tells of this machine."""
    moment: Moment = field(init=False)
    """What every view but the stream's entries is made of."""

    def __post_init__(self, snapshot: Callable[[], Snapshot]) -> None:
        moment = Moment(snapshot, self.telemetry, self.clock)
        object.__setattr__(self, "moment", moment)
