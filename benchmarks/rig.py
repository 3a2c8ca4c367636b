"""A miner in a separate process: a device with a fixed rate, and every view open."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT)]

from miner.api.api_server import ApiOptions  # noqa: E402
from miner.devices.device import Device, Pending  # noqa: E402
from miner.devices.selection import ListedDevice, choose_devices  # noqa: E402
from miner.errors import DeviceError  # noqa: E402
from miner.net.address import HostPort  # noqa: E402
from miner.pool.pool_addresses import parse_pool_url  # noqa: E402
from miner.run.mining import mine  # noqa: E402
from miner.run.run_config import LedgerConfig, LiveConfig, LogConfig, RunConfig  # noqa: E402
from miner.telemetry import Reading  # noqa: E402
from miner.variant_file import load_variant  # noqa: E402
from miner.work import DeviceInfo, Job, NonceRange  # noqa: E402
from tests.fakes.sensors import FakeSensors  # noqa: E402
from tests.fakes.steady import Steady  # noqa: E402

TOKEN = "a-token-of-the-soak"
PARKING = 4
"""Failed openings after a failed launch with which the miner parks a device."""


@dataclass
class Breakable:
    """A real device that fails on request."""

    real: ListedDevice
    fail_launch: int = 0
    fail_open: int = 0

    @property
    def listed(self) -> ListedDevice:
        return ListedDevice(self.real.info, self)

    def open(self, info: DeviceInfo) -> Device:
        if self.fail_open:
            self.fail_open -= 1
            raise DeviceError(f"{self.real.info.name}: injected failure: cannot be opened")
        device: Any = _Broken(self.real.open(), self)
        return device  # type: ignore[no-any-return]


class _Broken:
    """The opened device."""

    def __init__(self, device: Device, orders: Breakable) -> None:
        self._device, self._orders = device, orders

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def launch(self, kernel: Any, job: Job, span: NonceRange) -> Pending:
        if self._orders.fail_launch:
            self._orders.fail_launch -= 1
            raise DeviceError(f"{self._orders.real.info.name}: injected failure: the launch failed")
        return self._device.launch(kernel, job, span)


async def _run(asked: argparse.Namespace, real: ListedDevice | None) -> None:
    variant = load_variant(asked.variant)
    # A real device takes all cores, so the fake one must hash hardly anything.
    nonces = 4 if asked.second == "opencl" else 16
    steady = Steady("steady:0", nonces=nonces, pci="0000:0a:00.0")
    other: Breakable | Steady | None = None
    if real is not None:
        other = Breakable(real)
    elif asked.second == "steady":
        other = Steady("steady:1", pci="0000:0b:00.0")
    devices = [steady.listed, *([other.listed] if other else [])]
    reading = Reading(temperature=61.0, power=100.0, fan=40.0)
    sensors = FakeSensors({one.info.name: reading for one in devices})
    loop = asyncio.get_running_loop()

    broken: list[float] = []

    def break_(openings: int) -> None:
        assert other is not None
        broken.append(monotonic())
        other.fail_launch, other.fail_open = 1, openings

    if asked.recover is not None:
        loop.call_later(asked.recover, break_, 0)
    if asked.park is not None:
        loop.call_later(asked.park, break_, PARKING)
    url = parse_pool_url(f"stratum+tcp://127.0.0.1:{asked.pool}", "wallet", "x")
    mining = RunConfig(
        variant,
        devices,
        LiveConfig((url,)),
        rig="soak",
        api=ApiOptions("127.0.0.1", 0, explicit=True, token=TOKEN, panels=True),
        ethminer=HostPort("127.0.0.1", 0),
        sgminer=HostPort("127.0.0.1", 0),
        log=LogConfig("json", asked.folder / "miner.log", "json"),
        ledger=LedgerConfig(asked.folder / "ledger.sqlite"),
    )
    accepted = await mine(mining, sensor_opener=lambda infos, clock: sensors)
    record = {
        "accepted": accepted,
        "broken": broken,
        "launched": list(steady.launched),
        "idle": list(steady.idle),
        "tried": steady.tried,
        "claimed": steady.claimed,
        "opened": steady.opened,
    }
    (asked.folder / "record.json").write_text(json.dumps(record))


def main() -> None:
    """Mine until a signal, then write the record of the device with the fixed rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", type=Path, required=True)
    parser.add_argument("--pool", type=int, required=True, help="port of the pool")
    parser.add_argument(
        "--folder", type=Path, required=True, help="directory for log, ledger and record"
    )
    parser.add_argument("--second", choices=("opencl", "steady"), help="a second device")
    parser.add_argument("--recover", type=float, help="seconds until the second device fails once")
    parser.add_argument(
        "--park", type=float, help="seconds until the second device fails permanently"
    )
    asked = parser.parse_args()
    real = None
    if asked.second == "opencl":
        variant = load_variant(asked.variant)
        real = choose_devices("opencl", None, variant, cpu_allowed=True).use[0]
    asyncio.run(_run(asked, real))


if __name__ == "__main__":
    main()
