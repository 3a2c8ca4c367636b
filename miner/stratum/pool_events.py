"""What a pool's bytes turn out to say, as events that are plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from miner.work import Job, NonceSpace, Outcome, Solution, Verdict


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The pool opened the session; `nonces` are ours to search."""

    nonces: NonceSpace
    resumed: bool = False
    """It is the earlier session that we asked for: its jobs still hold."""


@dataclass(frozen=True, slots=True)
class Authorized:
    """The pool accepted user and password: shares may be sent."""


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """The pool refused to subscribe or to authorize us; `text` holds its words."""

    text: str


@dataclass(frozen=True, slots=True)
class WrongProtocol:
    """The pool did not take our first request: it may speak another dialect."""

    text: str


@dataclass(frozen=True, slots=True)
class HashrateRefused:
    """The pool takes no reports of our hashrate; `text` holds its words."""

    text: str


@dataclass(frozen=True, slots=True)
class JobReceived:
    """The pool asks for `job` from now on."""

    job: Job


@dataclass(frozen=True, slots=True)
class ShareAnswer:
    """The answer to the share that was sent with `id`."""

    id: int
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One line for a person: the pool's own words, or `ours` on what is odd about what it sent."""

    text: str
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The pool asks to connect anew in `wait` seconds; None: where we are connected now."""

    host: str | None
    port: int | None
    wait: float


@dataclass(frozen=True, slots=True)
class DifficultyNotice:
    """The target of jobs from the next one on, where they bring none themselves."""

    target: int


@dataclass(frozen=True, slots=True)
class ShareWritten:
    """A share went out on the connection."""

    solution: Solution


PoolEvent = (
    Subscribed
    | Authorized
    | LoginRefused
    | WrongProtocol
    | HashrateRefused
    | JobReceived
    | ShareAnswer
    | ShareWritten
    | Message
    | Reconnect
    | DifficultyNotice
)


class SessionListener(Protocol):
    """Receives what happens in a session, in order; called on the event loop, must not block."""

    def on_event(self, event: PoolEvent) -> None:
        """Handle a subscription, an accepted login, a job, a message or a reconnect request."""

    def on_verdict(self, verdict: Verdict) -> None:
        """Handle the result of a submitted share."""

    def on_unsent(self, solution: Solution, reason: str) -> None:
        """Take back a solution that the session ended before sending."""
