"""What the API is given: where its answers come from, and what a token may change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, Protocol

from miner.api.moment import Moment
from miner.api.words import Paths
from miner.clock import Clock
from miner.telemetry import History, Journal, Snapshot, Telemetry

NewestShares = Callable[[int], Awaitable[Sequence[Mapping[str, Any]]]]
"""At most so many shares of the ledger, the newest first, by their columns' names; times are
UNIX seconds."""


class Control(Protocol):
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
    control: Control
    shares: NewestShares | None = None
    """None: this run keeps no ledger."""
    paths: Paths = field(default_factory=Paths)
    """What no sentence tells of this machine."""
    moment: Moment = field(init=False)
    """What every view but the stream's entries is made of."""

    def __post_init__(self, snapshot: Callable[[], Snapshot]) -> None:
        moment = Moment(snapshot, self.telemetry, self.clock)
        object.__setattr__(self, "moment", moment)
