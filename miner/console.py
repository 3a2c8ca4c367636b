"""The terminal's view of the miner: a line for what happened, a line a while for how it goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from miner.clock import Clock
from miner.telemetry import Entry, Journal, Snapshot, Telemetry
from miner.telemetry.units import rate
from miner.work import Outcome

STATUS_SECONDS = 10.0


class Console:
    """Prints plain lines with the time, fit for a terminal, a pipe and a log."""

    def __init__(
        self, telemetry: Telemetry, journal: Journal, clock: Clock, write: Callable[[str], None]
    ) -> None:
        self._telemetry = telemetry
        self._journal = journal
        self._clock = clock
        self._write = write
        journal.subscribe(self.entry)

    def entry(self, entry: Entry) -> None:
        """Print one line with the time of day."""
        at = datetime.fromtimestamp(entry.at)
        self._write(f"{at:%H:%M:%S} {entry.topic:<9} {entry.text}")

    async def keep_status(self) -> None:
        """Print the status every ten seconds, until cancelled."""
        while True:
            await self._clock.sleep(STATUS_SECONDS)
            snapshot = self._telemetry.snapshot()
            if snapshot.tried:
                self._journal.say("status", status_line(snapshot))


def status_line(snapshot: Snapshot) -> str:
    """Return hashrate and shares as one line."""
    shares = snapshot.shares
    parts = [
        f"{rate(snapshot.hashrate.ten_seconds)} (60 s {rate(snapshot.hashrate.minute)})",
        f"A{shares.accepted} R{shares.not_accepted} F{snapshot.faults}",
    ]
    if snapshot.pool and snapshot.pool.unverified:
        parts.append("TLS NOT VERIFIED")
    if len(snapshot.devices) > 1:
        parts += [f"{d.name} {rate(d.hashrate.ten_seconds)}" for d in snapshot.devices]
    return ", ".join(parts)


def summary(snapshot: Snapshot) -> list[str]:
    """Return the lines that end a run."""
    shares = snapshot.shares
    others = ((o.value, n) for o, n in shares.outcomes.items() if o is not Outcome.ACCEPTED)
    refused = ", ".join(f"{n} {word}" for word, n in others if n) or "none"
    mean = snapshot.tried / snapshot.uptime if snapshot.uptime else 0.0
    return [
        f"{shares.accepted} shares accepted, not accepted: {refused}",
        (
            f"{snapshot.tried:,} hashes in {snapshot.uptime:.0f} s, "
            f"{rate(mean)} over all; {snapshot.faults} device faults"
        ),
    ]
