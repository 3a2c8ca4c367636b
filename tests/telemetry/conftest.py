from __future__ import annotations

import pytest

from miner.telemetry import Telemetry
from tests.fakes.device import Ticks, info_of


@pytest.fixture
def clock() -> Ticks:
    return Ticks(1000.0)


@pytest.fixture
def telemetry(clock: Ticks) -> Telemetry:
    return Telemetry(clock, [info_of("a"), info_of("b")])
