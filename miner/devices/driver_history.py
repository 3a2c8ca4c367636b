"""Which driver call or launch shape ended an earlier process, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from miner.devices.crash_record import (
    SEARCHING,
    CrashRecord,
    RecordedCall,
    ShapeOnTrial,
    ended_records,
    read_record,
    without_buffers,
)
from miner.devices.trial_results import TrialResults
from miner.progpow.variant import Variant
from miner.work import DeviceInfo

MOST_CRASHES = 2
"""Crashes since the boot after which a device is left out, or a launch shape that the device had
searched in before."""


@dataclass(frozen=True, slots=True)
class Crash:
    """The end of an earlier process in a driver call."""

    device: str
    """Name of the device."""
    call: str
    count: int
    """Crashes since the boot: those of trials of `shape`, or else those of the device."""
    shape: str | None = None
    """The launch shape that was on trial."""
    leaves_out: bool = False
    """Whether that shape is left out from now on."""

    def __str__(self) -> str:
        text = f"an earlier run ended while {self.device} was {self.call}"
        if self.shape is not None:
            text += f" in the launch shape {self.shape}"
        return f"{text}; it is not tried again on this model" if self.leaves_out else text


def count_crashes(results: TrialResults) -> list[Crash]:
    """Read and delete the records of ended processes; count and return their crashes, those during
    a trial against the launch shape, others against the device."""
    return [_counted(results, call) for content in ended_records() for call in _suspects(content)]


def count_hang(results: TrialResults, record: CrashRecord, device: str) -> None:
    """Count a driver call of `device` that does not return against the shape on trial, if any."""
    if (trial := record.trials.get(device)) is not None:
        _leave_out(results, trial, "a driver call did not return")


def _leave_out(results: TrialResults, trial: ShapeOnTrial, what: str) -> None:
    for name in trial.names:
        results.keep(what, *_key(trial.where, name), until_boot=False)


def _counted(results: TrialResults, call: RecordedCall) -> Crash:
    trial = call.trial
    key = call.key if trial is None else repr((trial.where, trial.names))
    count = _crashes(results, key)[0] + 1
    results.keep(f"{count} {call.what}", "crashes", key)
    if trial is None:
        return Crash(call.device, call.what, count)
    leaves_out = count >= MOST_CRASHES or not trial.is_proved
    if leaves_out:
        _leave_out(results, trial, call.what)
    return Crash(call.device, call.what, count, trial.names[0], leaves_out)


def crash_problem(results: TrialResults, info: DeviceInfo) -> str | None:
    """Return why `info` is left out, if its driver crashed too often; else None."""
    count, call = _crashes(results, repr(info))
    if count < MOST_CRASHES:
        return None
    return f"its driver ended the miner {count} times, last while {call}"


def crashed_shapes(
    results: TrialResults, info: DeviceInfo, variant: Variant, names: Sequence[str]
) -> dict[str, str]:
    """Return those of `names`, as `shape_beside` takes them, that are not tried on devices like
    `info`, since the process ended during an earlier trial; with the reason as a sentence."""
    reasons = {}
    for name in names:
        result = results.get(*_key((*info.alike, variant.name), name))
        if result is not None and result.problem is not None:
            reasons[name] = (
                f"an earlier trial ended the miner while {result.problem}; "
                "`progpow-miner devices --retry` allows another one"
            )
    return reasons


def _crashes(results: TrialResults, key: str) -> tuple[int, str]:
    result = results.get("crashes", key)
    count, _, call = (result.problem or "" if result else "").partition(" ")
    return (int(count), call) if count.isdecimal() else (0, "")


def _suspects(content: bytes) -> list[RecordedCall]:
    """Return the call that ended the process, or one call for each shape on trial that may have;
    none if the cause is unknown.

    A process that ends without a fault was killed, or a driver called `exit`. Devices search nearly
    all the time, so a search in a shape that has searched before is not suspected of that.
    """
    calls, fault = read_record(content)
    thread = re.search(rb"Current thread 0x([0-9a-f]+)", fault)
    if thread is not None:
        suspects = [call for call in calls if call.thread == int(thread[1], 16)]
    else:
        # Wrongly suspecting a shape costs little; a shape that ends each run must be found.
        suspects = [
            call
            for call in calls
            if call.trial and (fault or call.what != SEARCHING or not call.trial.is_proved)
        ]
        suspects = suspects or [c for c in calls if c.trial is None and c.what != SEARCHING]
    if all(call.trial for call in suspects):
        return list({call.trial: call for call in suspects}.values())
    return suspects[:1] if len({call.key for call in suspects}) == 1 else []


def _key(where: tuple[object, ...], shape: str) -> tuple[object, ...]:
    return ("shape", where, without_buffers(shape))
