"""The terminal's view of the miner: a line for what happened, a line a while for how it goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from miner.clock import Clock
from miner.telemetry import (
    DatasetBuilding,
    DeviceFault,
    DeviceResting,
    Event,
    KernelReady,
    LightCacheBuilding,
    NewJob,
    NoncesExhausted,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    ResultOverflow,
    ShareAnswered,
    Snapshot,
    Telemetry,
)
from miner.work import Outcome, Verdict

STATUS_SECONDS = 10.0
PROGRESS_STEP = 0.1
"""A dataset's progress is told in steps of this share."""


def rate(hashes: float) -> str:
    """Return hashes a second with its unit, as in "182.4 kH/s"."""
    for unit, size in (("GH/s", 1e9), ("MH/s", 1e6), ("kH/s", 1e3)):
        if hashes >= size:
            return f"{hashes / size:.2f} {unit}"
    return f"{hashes:.0f} H/s"


def expected(hashes: float) -> str:
    """Return a number of hashes, as in "4.29 G"."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if hashes >= size:
            return f"{hashes / size:.2f} {unit}"
    return f"{hashes:.0f} "


class Console:
    """Prints plain lines with the time, fit for a terminal, a pipe and a log."""

    def __init__(self, telemetry: Telemetry, clock: Clock, write: Callable[[str], None]) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._write = write
        self._told: dict[str, int] = {}
        self._repeated: dict[str, float] = {}

    def line(self, text: str) -> None:
        """Print one line with the time of day."""
        self._write(f"{datetime.now():%H:%M:%S} {text}")

    def event(self, event: Event) -> None:
        """Print what a person wants to know of `event`."""
        text = self._sentence(event)
        if text:
            self.line(text)

    async def keep_status(self) -> None:
        """Print the status every ten seconds, until cancelled."""
        while True:
            await self._clock.sleep(STATUS_SECONDS)
            snapshot = self._telemetry.snapshot()
            if snapshot.tried:
                self.line(status_line(snapshot))

    def _sentence(self, event: Event) -> str | None:
        match event:
            case PoolConnecting(pool, unverified):
                unchecked = ", its certificate is not verified" if unverified else ""
                return f"pool      connecting to {pool}{unchecked}"
            case PoolReady(pool):
                return f"pool      logged in at {pool}"
            case PoolLost(pool, reason, retry):
                then = f"next try in {retry:.0f} s" if retry is not None else "it is given up"
                return f"pool      lost {pool}: {reason}; {then}"
            case PoolNotice(pool, text):
                return f"pool      {pool}: {text}"
            case NewJob(None):
                return "job       none: the devices rest"
            case NewJob(job) if job is not None:
                return (
                    f"job       {job.id[:16]} height {job.height} epoch {job.epoch.number} "
                    f"period {job.period} difficulty {expected(2**256 / (job.target + 1))}H"
                )
            case LightCacheBuilding(epoch, done, seconds, from_disk):
                return self._light(epoch, done, seconds, from_disk)
            case DatasetBuilding(device, epoch, done, seconds, size):
                return self._dataset(device, epoch, done, seconds, size)
            case KernelReady(device, period, seconds):
                return f"{device:<9} kernel of period {period} built and proved in {seconds:.1f} s"
            case ResultOverflow(device, found):
                return self._seldom(f"{device:<9} {found} nonces in one launch: searched in halves")
            case NoncesExhausted(device):
                return f"{device:<9} every nonce under the pool's prefix was tried; it rests"
            case DeviceFault(device, reason):
                return self._seldom(f"{device:<9} FAULT {reason}")
            case DeviceResting(device, reason, seconds):
                length = "for this run" if seconds is None else f"for {seconds:.0f} s"
                return f"{device:<9} rests {length}: {reason}"
            case ShareAnswered(verdict):
                return self._verdict(verdict)
            case _:
                return None

    def _light(self, epoch: int, done: float, seconds: float, from_disk: bool) -> str | None:
        if done < 1.0:
            return self._stepwise(f"cache     light cache of epoch {epoch}", done)
        how = "read from disk" if from_disk else "built"
        return f"cache     light cache of epoch {epoch} {how} in {seconds:.1f} s"

    def _dataset(
        self, device: str, epoch: int, done: float, seconds: float, size: int
    ) -> str | None:
        what = f"{device:<9} dataset of epoch {epoch}, {size / 2**30:.2f} GiB"
        if done < 1.0:
            return self._stepwise(what, done)
        return f"{what}, generated and proved in {seconds:.1f} s"

    def _stepwise(self, what: str, done: float) -> str | None:
        step = int(done / PROGRESS_STEP + 1e-6)
        if self._told.get(what) == step:
            return None
        self._told[what] = step
        return f"{what}: {done:4.0%}"

    def _seldom(self, text: str) -> str | None:
        """Let each kind of line through once in ten seconds."""
        kind, now = text[:40], self._clock.now()
        if now - self._repeated.get(kind, -STATUS_SECONDS) < STATUS_SECONDS:
            return None
        self._repeated[kind] = now
        return text

    def _verdict(self, verdict: Verdict) -> str:
        snapshot = self._telemetry.snapshot()
        solution = verdict.solution
        reached = expected(2**256 / (solution.value + 1))
        after = f" {verdict.seconds * 1000:.0f} ms" if verdict.seconds is not None else ""
        block = " BLOCK" if solution.is_block else ""
        if verdict.outcome is Outcome.ACCEPTED:
            return (
                f"share     accepted {snapshot.accepted}{after} {solution.device} "
                f"difficulty {reached}H{block}"
            )
        why = f": {verdict.text}" if verdict.text else ""
        return f"share     {verdict.outcome.value}{after} {solution.device}{why}"


def status_line(snapshot: Snapshot) -> str:
    """Return hashrate and shares as one line."""
    rejected = sum(snapshot.rejected.values())
    parts = [
        f"status    {rate(snapshot.hashrate.ten_seconds)} (60 s {rate(snapshot.hashrate.minute)})",
        f"A{snapshot.accepted} R{rejected} F{snapshot.faults}",
    ]
    if snapshot.unverified:
        parts.append("TLS NOT VERIFIED")
    if len(snapshot.devices) > 1:
        parts += [f"{d.name} {rate(d.hashrate.ten_seconds)}" for d in snapshot.devices]
    return ", ".join(parts)


def summary(snapshot: Snapshot) -> list[str]:
    """Return the lines that end a run."""
    rejected = ", ".join(f"{n} {o.value}" for o, n in snapshot.rejected.items() if n) or "none"
    mean = snapshot.tried / snapshot.uptime if snapshot.uptime else 0.0
    return [
        f"summary   {snapshot.accepted} shares accepted, not accepted: {rejected}",
        (
            f"summary   {snapshot.tried:,} hashes in {snapshot.uptime:.0f} s, "
            f"{rate(mean)} over all; {snapshot.faults} device faults"
        ),
    ]
