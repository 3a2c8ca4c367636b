"""Requests to a run: pause, resume, reload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from miner.devices.reference import REFERENCE
from miner.devices.selection import ListedDevice
from miner.devices.tuning import TemperatureLimits
from miner.errors import ConfigError
from miner.net.address import PoolUrl, Timeouts
from miner.run.run_config import LiveConfig, ReloadedConfig, RunConfig
from miner.run.run_controller import RunController
from miner.safe_text import Redactor
from miner.sensors.heat import HeatGuard
from miner.telemetry import Level, Reading
from miner.telemetry.events import Event, SettingsRead
from tests.fakes.device import info_of
from tests.fakes.variants import KAWPOW

FIRST = PoolUrl("first.example", 3333, "RWallet.rig1")
SECOND = PoolUrl("second.example", 3333, "RWallet.rig1")
LIVE = LiveConfig((FIRST,), heat={"fake:0": TemperatureLimits(90.0)})


class Parts:
    """Stands in for every part and records the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.limits = Timeouts()
        self.stays = True
        self.hidden: Sequence[Path] = ()

    def pause(self, *what: str) -> None:
        self.calls.append(("pause", *what))

    def resume(self, *what: str) -> None:
        self.calls.append(("resume", *what))

    def replace_pools(self, pools: tuple[PoolUrl, ...]) -> bool:
        self.calls.append(("pools", *pools))
        return self.stays

    def set_level(self, level: Level) -> None:
        self.calls.append(("level", level))

    def hide_paths(self, config: ReloadedConfig) -> None:
        self.hidden = config.private_files


class Bench:
    def __init__(
        self, *new: ReloadedConfig | Exception, fixed: dict[str, object] | None = None
    ) -> None:
        self.parts = Parts()
        self.guard = HeatGuard(LIVE.heat)
        self.new = list(new)
        devices = [ListedDevice(info_of(f"fake:{n}"), REFERENCE, n) for n in range(2)]
        config = RunConfig(KAWPOW, devices, LIVE, reloader=self, fixed=fixed or {})
        parts: Any = self.parts
        self.events: list[Event] = []
        self.control = RunController(
            config, parts, parts, parts, self.guard, parts, Redactor(), self.events.append
        )

    def reload(self) -> ReloadedConfig:
        new = self.new.pop(0)
        if isinstance(new, Exception):
            raise new
        return new


def test_pause_and_resume_one_device_or_all() -> None:
    bench = Bench()
    bench.control.pause("fake:1")
    bench.control.resume("fake:1")
    bench.control.pause(None)
    calls = [(what, name) for what, name, *_ in bench.parts.calls]
    assert calls == [
        ("pause", "fake:1"),
        ("resume", "fake:1"),
        ("pause", "fake:0"),
        ("pause", "fake:1"),
    ]
    for act in (bench.control.pause, bench.control.resume):
        with pytest.raises(KeyError):
            act("fake:2")


async def test_reloading_the_same_settings_changes_nothing() -> None:
    bench = Bench(ReloadedConfig(LIVE, {"coin": "RVN"}), fixed={"coin": "RVN"})
    assert await bench.control.reload() == ["nothing changed"]
    assert bench.parts.calls == []


async def test_each_live_setting_is_applied_separately() -> None:
    cooler = {"fake:0": TemperatureLimits(60.0)}
    bench = Bench(
        ReloadedConfig(replace(LIVE, level=Level.DEBUG)),
        ReloadedConfig(replace(LIVE, level=Level.DEBUG, heat=cooler)),
        ReloadedConfig(
            replace(LIVE, level=Level.DEBUG, heat=cooler, limits=Timeouts(silence=60.0))
        ),
        ReloadedConfig(LiveConfig((SECOND, FIRST), Timeouts(silence=60.0), cooler, Level.DEBUG)),
    )
    assert bench.guard.judge("fake:0", Reading(temperature=70.0)) is None
    assert await bench.control.reload() == ["log.level is now debug"]
    assert await bench.control.reload() == ["the temperature limits have changed"]
    assert "70 °C" in (bench.guard.judge("fake:0", Reading(temperature=70.0)) or "")
    assert len(await bench.control.reload()) == 1
    assert bench.parts.limits.silence == 60.0
    (sentence,) = await bench.control.reload()
    assert sentence == f"the pools are now {SECOND.label}, {FIRST.label}; the connection is kept"
    assert bench.parts.calls == [("level", Level.DEBUG), ("pools", SECOND, FIRST)]


async def test_a_connection_that_is_not_kept_is_reported() -> None:
    bench = Bench(ReloadedConfig(replace(LIVE, pools=(SECOND,))))
    bench.parts.stays = False
    (sentence,) = await bench.control.reload()
    assert sentence.endswith("reconnecting")


async def test_notes_on_logins_are_given_when_the_pools_change() -> None:
    wallet, other = ReloadedConfig(LIVE, notes=("mistyped",)), replace(LIVE, pools=(SECOND,))
    bench = Bench(wallet, ReloadedConfig(other, notes=("mistyped",)))
    assert await bench.control.reload() == ["nothing changed"]
    assert (await bench.control.reload())[1:] == ["mistyped"]


async def test_the_paths_in_reloaded_settings_are_hidden() -> None:
    bench = Bench(ReloadedConfig(LIVE, private_files=(Path("secret/password"),)))
    await bench.control.reload()
    assert bench.parts.hidden == (Path("secret/password"),)


async def test_each_reload_is_an_event() -> None:
    bench = Bench(
        ReloadedConfig(LIVE, digest="aa"),
        ConfigError("rig.toml: line 3: ..."),
        ReloadedConfig(LIVE, {"coin": "FIRO", "rig": "b"}, digest="bb"),
    )
    await bench.control.reload()
    with pytest.raises(ConfigError):
        await bench.control.reload()
    await bench.control.reload()
    assert bench.events == [
        SettingsRead(digest="aa"), SettingsRead(accepted=False),
        SettingsRead(digest="bb", pending=2),
    ]  # fmt: skip


async def test_settings_that_need_a_restart_are_named_at_each_reload() -> None:
    new = ReloadedConfig(LIVE, {"coin": "FIRO", "api.listen": "", "rig": "a"})
    fixed: dict[str, object] = {"coin": "RVN", "rig": "a", "devices.use": ("fake:0",)}
    bench = Bench(new, new, fixed=fixed)
    for _ in range(2):
        assert await bench.control.reload() == [
            "api.listen changes at the next start",
            "coin changes at the next start",
            "devices.use changes at the next start",
        ]


@pytest.mark.parametrize("key", ["coin", "variant"])
async def test_pools_for_another_coin_wait_for_the_restart(key: str) -> None:
    cooler = {"fake:0": TemperatureLimits(60.0)}
    new = ReloadedConfig(LiveConfig((SECOND,), heat=cooler), {key: "new"})
    bench = Bench(new, ReloadedConfig(LIVE, {key: "old"}), fixed={key: "old"})
    assert await bench.control.reload() == [
        "the temperature limits have changed",
        f"{key} changes at the next start",
        "the list of pools changes at the next start",
    ]
    assert bench.events == [SettingsRead(pending=2)]
    await bench.control.reload()
    assert bench.parts.calls == [], "the old pool was never left"


async def test_unusable_settings_change_nothing() -> None:
    bench = Bench(ConfigError("rig.toml: line 3: ..."), ReloadedConfig(LIVE))
    with pytest.raises(ConfigError, match="line 3"):
        await bench.control.reload()
    assert bench.parts.calls == []
    assert await bench.control.reload() == ["nothing changed"]
