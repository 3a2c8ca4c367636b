"""The events of one pool, folded."""

from __future__ import annotations

from miner.telemetry.histogram import ROUND_TRIPS
from miner.telemetry.snapshot import PoolSnapshot, PoolState, Tally
from miner.work import Outcome, Verdict


class PoolFold:
    """What is known of one pool."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._state = PoolState.LOST
        self._reason = ""
        self._unverified = False
        self._connected_at: float | None = None
        self._logins = self._losses = 0
        self._latency: float | None = None
        self._round_trips = ROUND_TRIPS
        self._last_share_at: float | None = None
        self._work = 0.0

    def connecting(self, unverified: bool) -> None:
        self._state, self._unverified = PoolState.CONNECTING, unverified
        self._reason, self._connected_at = "", None

    def ready(self, wall: float) -> None:
        """Note that the login was accepted, at UNIX second `wall`."""
        self._state, self._reason, self._connected_at = PoolState.CONNECTED, "", wall
        self._logins += 1

    def lost(self, reason: str, *, left: bool = False) -> None:
        """Note that the connection ended; it is no loss where we `left` it."""
        # Also told where patience ends, and of a pool that shuts us out, without a connection.
        self._losses += self._state is not PoolState.LOST and not left
        self._state, self._reason, self._connected_at = PoolState.LOST, reason, None

    def answered(self, verdict: Verdict, wall: float) -> None:
        if verdict.seconds is not None:
            self._latency = verdict.seconds
            self._round_trips = self._round_trips.counting(verdict.seconds)
        if verdict.outcome is Outcome.ACCEPTED:
            self._last_share_at = wall
            self._work += verdict.solution.job.difficulty

    def snapshot(self, shares: Tally) -> PoolSnapshot:
        """Return what is known now."""
        return PoolSnapshot(
            label=self._label,
            state=self._state,
            reason=self._reason,
            unverified=self._unverified,
            connected_at=self._connected_at,
            logins=self._logins,
            losses=self._losses,
            latency=self._latency,
            round_trips=self._round_trips,
            shares=shares,
            last_share_at=self._last_share_at,
            work=self._work,
        )
