"""Events of a pool session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from miner.work import Job, NonceSpace, Outcome, Solution, Verdict


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The pool opened the session and assigned `nonces`."""

    nonces: NonceSpace
    resumed: bool = False
    """The pool resumed the session that we asked for; its jobs are still valid."""


@dataclass(frozen=True, slots=True)
class Authorized:
    """The pool accepted user and password; shares may be sent."""


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """The pool refused to subscribe or authorize us, with `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class WrongProtocol:
    """The pool refused our first request, with `text`, or sent a job of another dialect."""

    text: str
    spoken: str = ""
    """Title of the dialect that it speaks instead, if known."""


@dataclass(frozen=True, slots=True)
class HashrateRefused:
    """The pool refused a hashrate report, with `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class JobReceived:
    """The pool announced `job`, which replaces the one before."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The last job must not be mined any more, and there is no other one yet."""


@dataclass(frozen=True, slots=True)
class ShareAnswer:
    """The pool answered the share with request id `id`."""

    id: int
    outcome: Outcome
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One line to show: a message of the pool, or a warning of `ours` about what it sent."""

    text: str
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Reconnect:
    """The pool asks us to reconnect in `wait` seconds; None: to the current host or port."""

    host: str | None
    port: int | None
    wait: float


@dataclass(frozen=True, slots=True)
class DifficultyNotice:
    """The pool announced the target of later jobs without one."""

    target: int


@dataclass(frozen=True, slots=True)
class ShareWritten:
    """A share was sent."""

    solution: Solution


PoolEvent = (
    Subscribed
    | Authorized
    | LoginRefused
    | WrongProtocol
    | HashrateRefused
    | JobReceived
    | JobEnded
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
