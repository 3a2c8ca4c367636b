"""The way of jobs from the pool client to telemetry and the engine."""

from __future__ import annotations

import io
from dataclasses import replace
from unittest.mock import Mock, call

from miner.run.mining import MiningRun
from miner.run.run_config import LiveConfig, RunConfig
from miner.sensors.sensors import open_sensors
from miner.telemetry.events import Event, NewJob
from tests.fakes.device import job_at
from tests.fakes.variants import KAWPOW


def test_a_repeated_job_is_announced_once_unless_its_target_changed() -> None:
    run = MiningRun(RunConfig(KAWPOW, [], LiveConfig(())), io.StringIO(), None, open_sensors)
    run._engine = engine = Mock()
    announced: list[Event] = []
    run._telemetry.subscribe(announced.append)
    job = job_at(7501)
    easier = replace(job, share_target=2**200)
    jobs = [job, replace(job, id="again"), easier, None, None]
    for each in jobs:
        run.work_on(each)
    assert announced == [NewJob(job), NewJob(easier), NewJob(None)]
    assert engine.mock_calls == [call.work_on(each) for each in jobs]
