"""A miner in a separate process whose devices, clock and pools obey lines on standard input."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from unittest.mock import patch

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

from rig import TOKEN  # noqa: E402

from miner.api.api_server import ApiOptions  # noqa: E402
from miner.devices.device import Device  # noqa: E402
from miner.engine import engine  # noqa: E402
from miner.engine.retry_policy import RetryPolicy  # noqa: E402
from miner.errors import BuildFailed, DeviceHung, OutOfMemory  # noqa: E402
from miner.net.address import HostPort, PoolUrl  # noqa: E402
from miner.pool import failover  # noqa: E402
from miner.pool.pool_addresses import NODE, parse_pool_url  # noqa: E402
from miner.run.mining import mine  # noqa: E402
from miner.run.run_config import (  # noqa: E402
    LedgerConfig,
    LiveConfig,
    LogConfig,
    ReloadedConfig,
    RunConfig,
)
from miner.telemetry import Reading  # noqa: E402
from miner.variant_file import load_variant  # noqa: E402
from miner.work import DeviceInfo  # noqa: E402
from tests.fakes.sensors import FakeSensors  # noqa: E402
from tests.fakes.steady import Steady  # noqa: E402

NONCES = 4
"""Nonces of a launch, few because the devices compute them on the cores of the machine."""

AILING = ("ailing:1", "ailing:2")
"""Devices whose driver fails."""

HANGING = "hanging:3"
"""The device that hangs once, and is parked then."""

PAYEE = "miner"
"""Address that the node pays."""

STEADY_SECONDS = 5.0
"""Time after which a device's earlier failures no longer count; a minute by default."""

PARK_SECONDS = 20.0
"""First pause of a parked device; ten minutes by default."""

CHECK_SECONDS = 8.0
"""Interval of checking the first pool; ten minutes by default."""

LEAST_BAN_SECONDS = 5.0
"""Shortest pause after a ban; a minute by default."""

MOST_RETRY_SECONDS = 8.0
"""Longest pause before a retry; a minute by default. Few sessions last that long here."""

RETRY = partial(
    RetryPolicy, steady=STEADY_SECONDS, first_park=PARK_SECONDS, longest_park=PARK_SECONDS
)


@dataclass
class Ailing(Steady):
    """A device whose driver fails on request."""

    fail_build: int = 0
    no_memory: int = 0
    slow_build: float = 0.0
    """Seconds of the next build."""

    @property
    def info(self) -> DeviceInfo:
        # Each has another model, so that it does not get the kernels of the others.
        return replace(super().info, model=f"Ailing {self.name}")

    def open(self, info: DeviceInfo) -> Device:
        device: Any = _AilingDevice(super().open(info), self)
        return device  # type: ignore[no-any-return]


class _AilingDevice:
    """An open `Ailing`."""

    def __init__(self, device: Device, orders: Ailing) -> None:
        self._device, self._orders = device, orders

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def build(self, source: Any) -> Any:
        seconds, self._orders.slow_build = self._orders.slow_build, 0.0
        if seconds:
            threading.Event().wait(seconds)
        if self._orders.fail_build:
            self._orders.fail_build -= 1
            raise BuildFailed(f"{self._orders.name}: injected: it does not compile")
        return self._device.build(source)

    def generate(self, epoch: Any, light: Any, filler: Any) -> Any:
        if self._orders.no_memory:
            self._orders.no_memory -= 1
            raise OutOfMemory(f"{self._orders.name}: injected: the dataset needs more memory")
        return self._device.generate(epoch, light, filler)


class Pools:
    """The reloader of the settings: the lists of pools, one of which is chosen."""

    def __init__(self, lists: dict[str, list[str]]) -> None:
        self._lists = lists
        self.chosen = next(iter(lists))

    @property
    def live(self) -> LiveConfig:
        return LiveConfig(tuple(map(_parsed, self._lists[self.chosen])))

    def reload(self) -> ReloadedConfig:
        return ReloadedConfig(self.live)


def _parsed(url: str) -> PoolUrl:
    if url.startswith("http"):
        return replace(parse_pool_url(url), protocol=NODE, reward=PAYEE)
    return parse_pool_url(url, "wallet.rig", "x")


class SetClock:
    """The time of day, which can be set."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._time = time.time

    def __call__(self) -> float:
        return self._time() + self.ahead


def obey(devices: dict[str, Ailing], clock: SetClock, pools: Pools) -> None:
    """Carry out the commands on standard input: JSON objects, one a line."""
    with open(os.dup(0), "rb", buffering=0) as lines:
        rest = b""
        while data := lines.read(65536):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                order = json.loads(line)
                if "pools" in order:
                    pools.chosen = order["pools"]
                if "ahead" in order:
                    clock.ahead = order["ahead"]
                if "threads" in order:
                    names = sorted(thread.name for thread in threading.enumerate())
                    # Not into a file: the disk is full at times.
                    os.write(1, json.dumps({"threads": names}).encode() + b"\n")
                if "hang" in order:
                    devices[order["hang"]].hang = threading.Event()
                for name, value in order.get("set", {}).items():
                    setattr(devices[order["device"]], name, value)


async def _run(asked: argparse.Namespace, pools: Pools, clock: SetClock) -> dict[str, Any]:
    steady = Steady("steady:0", nonces=NONCES, pci="0000:0a:00.0")
    ailing = {
        name: Ailing(name, nonces=NONCES, pci=f"0000:0{number}:00.0")
        for number, name in enumerate((*AILING, HANGING), 1)
    }
    infos = [steady.info, *(each.info for each in ailing.values())]
    sensors = FakeSensors({info.name: Reading(61.0, 100.0, 40.0) for info in infos})
    threading.Thread(target=obey, args=(ailing, clock, pools), daemon=True).start()
    config = RunConfig(
        load_variant(asked.folder / "toy.toml"),
        [steady.listed, *(each.listed for each in ailing.values())],
        pools.live,
        rig="soak",
        api=ApiOptions("127.0.0.1", 0, explicit=True, token=TOKEN, panels=True),
        ethminer=HostPort("127.0.0.1", 0),
        sgminer=HostPort("127.0.0.1", 0),
        log=LogConfig("json", asked.folder / "log" / "miner.log", "json"),
        ledger=LedgerConfig(asked.folder / "ledger.sqlite"),
        park_hung=True,
        reloader=pools,
    )
    hung = False
    begun = monotonic()
    try:
        await mine(config, sensor_opener=lambda infos, clock: sensors)
    except* DeviceHung:
        hung = True
    return {
        "hung": hung, "seconds": monotonic() - begun,
        "tried": steady.tried, "claimed": steady.claimed, "opened": steady.opened,
        "wrong": sum(each.wrong for each in ailing.values()),
    }  # fmt: skip


def main() -> None:
    """Mine until a signal, then write the record of the device that is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with toy.toml and pools.json")
    asked = parser.parse_args()
    pools = Pools(json.loads((asked.folder / "pools.json").read_text()))
    clock = SetClock()
    with (
        patch.object(time, "time", clock),
        patch.object(engine, "RetryPolicy", RETRY),
        patch.object(failover, "FIRST_POOL_CHECK_SECONDS", CHECK_SECONDS),
        patch.object(failover, "MAX_FIRST_POOL_CHECK_SECONDS", CHECK_SECONDS),
        patch.object(failover, "MIN_BAN_SECONDS", LEAST_BAN_SECONDS),
        patch.object(failover, "MAX_RETRY_SECONDS", MOST_RETRY_SECONDS),
    ):
        record = asyncio.run(_run(asked, pools, clock))
    (asked.folder / "record.json").write_text(json.dumps(record))
    sys.stdout.flush()
    # The thread of a launch that hangs would keep the interpreter from ending.
    os._exit(DeviceHung.exit_code if record["hung"] else 0)


if __name__ == "__main__":
    main()
