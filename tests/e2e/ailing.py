"""A miner in a separate process; its arguments choose devices that work, hang or fail."""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from functools import partial
from pathlib import Path
from unittest.mock import patch

sys.path[:0] = [str(Path(__file__).parents[2])]

from miner import cli  # noqa: E402
from miner.api.api_server import ApiOptions  # noqa: E402
from miner.engine import engine, hang_watchdog  # noqa: E402
from miner.engine.retry_policy import RetryPolicy  # noqa: E402
from miner.pool.pool_addresses import parse_pool_url  # noqa: E402
from miner.run.mining import mine  # noqa: E402
from miner.run.run_config import LedgerConfig, LiveConfig, RunConfig  # noqa: E402
from miner.telemetry import Reading  # noqa: E402
from miner.variant_file import load_variant  # noqa: E402
from tests.fakes.sensors import FakeSensors  # noqa: E402
from tests.fakes.steady import LONGEST_HANG, Steady  # noqa: E402

HANGS_AFTER = 3
"""Launches of a device that is to hang."""

OVERDUE = 1.0
"""Seconds that a launch may take here."""


class Hanging(Steady):
    """A device whose fourth launch, and each one after it, does not come back."""

    @property
    def hang(self) -> threading.Event | None:
        return threading.Event() if len(self.launched) > HANGS_AFTER else None

    @hang.setter
    def hang(self, given: threading.Event | None) -> None:
        pass  # it is as it is


class BlockedSensors(FakeSensors):
    """Sensors whose driver does not answer."""

    def read(self) -> dict[str, Reading]:
        threading.Event().wait(LONGEST_HANG)
        return super().read()


def mining(asked: argparse.Namespace) -> int:
    kinds = {"well": Steady, "hangs": Hanging, "fails": partial(Steady, fail_launch=10**6)}
    devices = [kinds[kind](f"{kind}:{n}", nonces=8) for n, kind in enumerate(asked.devices)]
    plan = RunConfig(
        load_variant(asked.variant),
        [device.listed for device in devices],
        LiveConfig((parse_pool_url(f"stratum+tcp://127.0.0.1:{asked.pool}", "w", "x"),)),
        park_hung=asked.park,
        ledger=LedgerConfig(asked.ledger),
        api=ApiOptions("127.0.0.1", 0),
    )
    sensors = (BlockedSensors if asked.blocked else FakeSensors)({})
    asyncio.run(mine(plan, sensor_opener=lambda infos, clock: sensors))
    return 0


def main() -> None:
    """Mine until it ends, with the exit code that the command has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", type=Path, required=True)
    parser.add_argument("--pool", type=int, required=True, help="port of the pool")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--park", action="store_true", help="continue without a device that hangs")
    parser.add_argument("--blocked", action="store_true", help="the sensors block, too")
    parser.add_argument("--overdue", type=float, default=OVERDUE, help="seconds of a launch")
    parser.add_argument("devices", nargs="+", help="each well, hangs or fails")
    asked = parser.parse_args()
    quick = partial(RetryPolicy, first_pause=0.05)
    with (
        patch.object(hang_watchdog, "LAUNCH_SECONDS", asked.overdue),
        patch.object(engine, "RetryPolicy", quick),
        patch.object(cli, "cli") as command,
    ):
        command.main = lambda arguments, **options: mining(asked)
        cli.main()


if __name__ == "__main__":
    main()
