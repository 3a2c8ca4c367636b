"""The plain console: one line an event, a status line now and then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from miner.clock import Clock
from miner.console.repeat_filter import Feed
from miner.formatting import (
    format_difficulty,
    format_efficiency,
    format_hashrate,
    format_milliseconds,
    format_uptime,
)
from miner.safe_text import Redactor
from miner.telemetry import (
    DeviceSnapshot,
    DeviceState,
    Journal,
    JournalEntry,
    Level,
    Reading,
    Snapshot,
    Telemetry,
)
from miner.work import Outcome


def status_line(snapshot: Snapshot) -> str:
    """Return hashrate and shares as one line."""
    parts = [_total(snapshot)]
    if len(snapshot.devices) > 1:
        parts += [f"{d.name} {format_hashrate(d.hashrate.ten_seconds)}" for d in snapshot.devices]
    return ", ".join(parts)


def full_status(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return topics and lines: of the whole, of the pool with its job, and of each device."""
    total = [_total(snapshot)]
    # The power of some devices would be taken for that of the rig.
    if snapshot.power is not None and snapshot.efficiency is not None:
        total.append(f"[P:{snapshot.power:.0f}W, E:{_efficiency(snapshot.efficiency)}]")
    total += [f"effort {snapshot.luck.effort:.0%}", f"up {format_uptime(snapshot.uptime)}"]
    lines = [("status", ", ".join(total))]
    if snapshot.pool:
        lines.append(("pool", _pool(snapshot)))
    lines += [(device.name, device_line(device)) for device in snapshot.devices]
    return lines


def device_line(device: DeviceSnapshot) -> str:
    """Return hashrate, sensors and shares of one device; sensors that say nothing are left out.

    R is the share of its answered shares that were not accepted, I that of its claims which were
    not true.
    """
    shares = device.shares
    refused = shares.not_accepted / shares.answered if shares.answered else 0.0
    claims = device.found + shares.hardware
    wrong = shares.hardware / claims if claims else 0.0
    parts = [format_hashrate(device.hashrate.ten_seconds)]
    if letters := sensors(device.reading, device.efficiency):
        parts.append(f"[{', '.join(letters)}]")
    parts.append(f"{shares.accepted}/{shares.answered} R:{refused:.0%} I:{wrong:.0%}")
    if device.state is not DeviceState.SEARCHING:
        parts.append(device.doing)
    return ", ".join(parts)


def sensors(reading: Reading, efficiency: float | None) -> list[str]:
    """Return what is known of temperature, power, fan and efficiency, each with its letter."""
    known = (
        (reading.temperature, "T:{:.0f}C"),
        (reading.power, "P:{:.0f}W"),
        (reading.fan, "F:{:.0f}%"),
    )
    letters = [form.format(value) for value, form in known if value is not None]
    if efficiency is not None:
        letters.append(f"E:{_efficiency(efficiency)}")
    return letters


def _efficiency(hashes_per_joule: float) -> str:
    return format_efficiency(hashes_per_joule).replace(" ", "")


def summary(snapshot: Snapshot) -> list[str]:
    """Return the lines that end a run."""
    shares = snapshot.shares
    others = ((o.phrase, n) for o, n in shares.outcomes.items() if o is not Outcome.ACCEPTED)
    refused = ", ".join(f"{n} {word}" for word, n in others if n) or "none"
    mean = snapshot.tried / snapshot.uptime if snapshot.uptime else 0.0
    return [
        f"{shares.accepted} shares accepted, not accepted: {refused}",
        (
            f"{snapshot.tried:,} hashes in {snapshot.uptime:.0f} s, "
            f"{format_hashrate(mean)} over all; {snapshot.faults} device faults"
        ),
    ]


def _total(snapshot: Snapshot) -> str:
    shares = snapshot.shares
    minute = format_hashrate(snapshot.hashrate.minute)
    parts = [
        f"{format_hashrate(snapshot.hashrate.ten_seconds)} (60 s {minute})",
        f"A{shares.accepted} R{shares.not_accepted} F{snapshot.faults}",
    ]
    if snapshot.pool and snapshot.pool.unverified:
        parts.append("TLS NOT VERIFIED")
    return ", ".join(parts)


def _pool(snapshot: Snapshot) -> str:
    pool = snapshot.pool
    assert pool is not None
    parts = [pool.label, pool.state.value]
    if pool.latency is not None:
        parts.append(f"{format_milliseconds(pool.latency)}")
    if job := snapshot.job:
        parts += [
            f"epoch {job.epoch.number}",
            f"period {job.period}",
            f"height {job.height}",
            f"difficulty {format_difficulty(job.difficulty)}",
        ]
    if snapshot.best:
        parts.append(f"best {format_difficulty(snapshot.best[0].difficulty)}")
    return ", ".join(parts)


TICK_SECONDS = 1.0
STATUS_SECONDS = 10.0
FULL_EVERY = 3
"""One in so many statuses has a line for each device."""


class LineConsole:
    """Prints a line for what happened and a while for how it goes; a kind says what they look
    like."""

    def __init__(
        self,
        telemetry: Telemetry,
        journal: Journal,
        clock: Clock,
        write: Callable[[str], None],
        redactor: Redactor,
    ) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._print = write
        self._redactor = redactor
        self._feed = Feed(journal, clock, self.entry, redactor)

    def set_level(self, level: Level) -> None:
        """Print from now on what matters at least so much."""
        self._feed.level = level

    def entry(self, entry: JournalEntry) -> None:
        """Print one entry of the journal."""
        raise NotImplementedError

    def status(self, snapshot: Snapshot, full: bool) -> None:
        """Print how it goes; `full` with each device."""
        raise NotImplementedError

    def write(self, line: str) -> None:
        """Print what is in no journal, such as the answer to a signal."""
        self._print(self._redactor.one_line(line))

    async def keep(self) -> None:
        """Print the status every ten seconds, and repeats in time, until cancelled."""
        due, count = self._clock.now() + STATUS_SECONDS, 0
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self._feed.tick()
            if self._clock.now() < due:
                continue
            due, count = due + STATUS_SECONDS, count + 1
            snapshot = self._telemetry.snapshot()
            if snapshot.tried and self._feed.level <= Level.INFO:
                self.status(snapshot, count % FULL_EVERY == 0)

    def close(self, lines: Sequence[str] = ()) -> None:
        """Print the last lines and no more after them."""
        self._feed.close()
        for line in lines:
            self._last(line)

    def _last(self, line: str) -> None:
        self.entry(
            JournalEntry(
                0, self._clock.wall(), Level.INFO, "summary", self._redactor.one_line(line)
            )
        )


class PlainConsole(LineConsole):
    """Prints "HH:MM:SS topic     text"."""

    def entry(self, entry: JournalEntry) -> None:
        self._print(plain_line(entry.at, entry.topic, entry.text))

    def status(self, snapshot: Snapshot, full: bool) -> None:
        lines = full_status(snapshot) if full else [("status", status_line(snapshot))]
        for topic, text in lines:
            self._print(plain_line(snapshot.at, topic, self._redactor.one_line(text)))


def plain_line(at: float, topic: str, text: str, date: bool = False) -> str:
    """Return a line with the local time at UNIX second `at`, with its `date` where lines are
    kept for long."""
    moment = datetime.fromtimestamp(at)
    return f"{moment:{'%Y-%m-%d ' if date else ''}%H:%M:%S} {topic:<9} {text}"
