"""Events of the test pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from miner.stratum.share_rules import BlockFound, ShareJudged
from miner.testpool.faults import Fault


@dataclass(frozen=True, slots=True)
class ClientJoined:
    """A client authorized its first worker."""

    address: str
    """host:port"""
    worker: str
    agent: str
    """The client's user agent, printable ASCII; may be empty."""


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """The connection of a client ended."""

    address: str
    """host:port"""
    worker: str
    """Empty if none was authorized."""
    reason: str


@dataclass(frozen=True, slots=True)
class HeightAdvanced:
    """The chain advanced to `height`, and all clients have the new job."""

    height: int


@dataclass(frozen=True, slots=True)
class FaultInjected:
    """A fault was injected or skipped."""

    worker: str
    fault: Fault
    skipped: str
    """Why it was skipped; empty if it was not."""


ServerEvent = ClientJoined | ClientLeft | ShareJudged | BlockFound | HeightAdvanced | FaultInjected


class ServerListener(Protocol):
    """Receives the events of the pool on the event loop; must not block."""

    def on_event(self, event: ServerEvent) -> None:
        """Handle an event."""
