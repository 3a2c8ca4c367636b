"""The delay of the event loop, and what explains it."""

from __future__ import annotations

import asyncio

import pytest

from miner.engine.hang_watchdog import HangWatchdog
from miner.engine.loop_stalls import Activity, LoopWatch
from miner.telemetry.events import Event, LoopDelayed
from tests.engine.rig import Naps
from tests.fakes.device import Ticks


def test_a_stall_is_explained_by_what_ran_for_most_of_it():
    clock = Ticks(100.0)
    activity = Activity(clock)
    with activity.of("build"):
        clock.pass_time(2)
        with HangWatchdog(clock, activity, "fake:0").call("loading a kernel", 30.0):
            clock.pass_time(3)
        with activity.of("prove"):
            clock.pass_time(0.5)
        assert activity.during(102, 105.5) == "fake:0: loading a kernel, build"
    assert activity.during(102, 105.5) == "fake:0: loading a kernel, build", "although both ended"
    assert activity.during(100, 105.5) == "fake:0: loading a kernel, build"
    assert activity.during(105.5, 109) == ""


async def test_the_delay_of_the_event_loop_is_measured_all_the_time():
    clock = Naps(0.25, 0.35, 3.25)
    activity, events = Activity(clock), list[Event]()
    watch = LoopWatch(clock, activity, events.append)
    with activity.of("build"):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(watch.run())
            await clock.over.wait()
            task.cancel()
    assert [type(event) for event in events] == [LoopDelayed] * 3
    assert [event.seconds for event in events] == pytest.approx([0.0, 0.1, 3.0])
    assert events[-1].during == "build"
