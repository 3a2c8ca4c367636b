"""The state of one pool, from its events."""

from __future__ import annotations

from miner.telemetry.histogram import ROUND_TRIPS
from miner.telemetry.snapshot import PoolSnapshot, PoolState
from miner.telemetry.tally import Tally
from miner.work import Outcome, Verdict


class PoolTracker:
    """Follows one pool by its events."""

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
        """Note a new connection, whose certificate may be `unverified`."""
        self._state, self._unverified = PoolState.CONNECTING, unverified
        self._reason, self._connected_at = "", None

    def ready(self, wall: float) -> None:
        """Note that the pool accepted the login, at UNIX second `wall`."""
        self._state, self._reason, self._connected_at = PoolState.CONNECTED, "", wall
        self._logins += 1

    def lost(self, reason: str, *, left: bool = False) -> None:
        """Note that the connection ended; it counts as a loss unless we `left` it."""
        # The event also comes without a connection: when the miner gives up, or for a ban.
        self._losses += self._state is not PoolState.LOST and not left
        self._state, self._reason, self._connected_at = PoolState.LOST, reason, None

    def answered(self, verdict: Verdict, wall: float) -> None:
        """Note the verdict on one of its shares, at UNIX second `wall`."""
        if verdict.seconds is not None:
            self._latency = verdict.seconds
            self._round_trips = self._round_trips.with_duration(verdict.seconds)
        if verdict.outcome is Outcome.ACCEPTED:
            self._last_share_at = wall
            self._work += verdict.solution.job.difficulty

    def snapshot(self, shares: Tally) -> PoolSnapshot:
        """Return the present state, with the pool's counts of `shares`."""
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
