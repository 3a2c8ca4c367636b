"""A new sensor value is one field of `Reading`; every view shows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.adding.conftest import SECONDS, ProductCopy
from tests.harness.child import captured

FIELD = """    noise: float | None = _sensor(
        "Noise of the fans", "percent", Metric("device_noise_ratio"), log=True
    )
"""

SHOW = """
import json
from miner.api.metrics import metrics
from miner.api.openapi import document
from miner.api.path_redaction import PathRedactor
from miner.api.responses import to_json
from miner.api.v1 import status
from miner.clock import SystemClock
from miner.console.json_lines import json_status
from miner.safe_text import Redactor
from miner.telemetry import Reading, Telemetry
from miner.telemetry.events import SensorsRead
from miner.work import DeviceInfo

device = DeviceInfo("ref", "ref", "model", "cpu", "1", 0, 0, 1)
telemetry = Telemetry(SystemClock(), [device])
telemetry.emit(SensorsRead("ref", Reading(noise=42.0)))
snapshot = telemetry.snapshot()
print(json.dumps({
    "api": json.loads(to_json(status(snapshot), PathRedactor()))["devices"][0],
    "metrics": metrics(snapshot).decode(),
    "log": json.loads(json_status(snapshot, Redactor()))["devices"][0],
    "openapi": document()["components"]["schemas"]["ReadingAnswer"],
}))
"""


@pytest.fixture
def views(product: ProductCopy) -> dict[str, Any]:
    """What each view of the extended product shows."""
    product.add_row("miner/telemetry/device_snapshot.py", "    throttle: str | None", FIELD)
    done = captured(
        product.python("-c", SHOW), cwd=product.root, env=product.environment(), timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


def test_a_sensor_value_added_in_one_place_is_in_every_view(views: dict[str, Any]) -> None:
    assert views["api"]["reading"]["noise"] == 42.0
    assert "# HELP progpow_miner_device_noise_ratio Noise of the fans.\n" in views["metrics"]
    sample = 'progpow_miner_device_noise_ratio{algorithm="",device="ref",uuid=""} 0.42\n'
    assert sample in views["metrics"]
    assert views["log"]["noise"] == 42.0
    described = views["openapi"]["properties"]["noise"]
    assert described["description"] == "Noise of the fans (percent)."
    assert "noise" in views["openapi"]["required"]
