"""Takes docs/pictures/dashboard*.png: python -m tests.api.dashboard_pictures."""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from miner.api.api_server import ApiOptions, ApiServer
from miner.telemetry import History, Telemetry
from miner.telemetry.events import (
    DeviceFault,
    DevicePaused,
    NewJob,
    PoolConnecting,
    PoolReady,
    SensorsRead,
)
from miner.work import Outcome
from tests.api.browser import Browser, missing
from tests.api.conftest import context_of
from tests.fakes.rig import ABOUT, DIFFICULTY, FIRST, HOT, ONE, ZERO, Rig, job

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"

SHOTS = {
    "dashboard": (1366, 975, "light"),
    "dashboard-dark": (1366, 975, "dark"),
    "dashboard-phone": (390, 844, "light"),
}
"""Width, height and colour scheme of each picture."""

CARDS = [
    replace(
        (ONE if number % 4 == 3 else ZERO),
        name=f"opencl:0.{number // 4}" if number % 4 == 3 else f"cuda:{number - number // 4}",
        pci=f"0000:{number + 1:02x}:00.0",
    )
    for number in range(12)
]
"""Nine cards of one model and three of another."""

MINUTES = 50


async def example_rig() -> Rig:
    """Return a rig of twelve cards after `MINUTES`; one has overheated."""
    rig = Rig()
    rig.telemetry = Telemetry(rig.clock, CARDS, ABOUT)
    rig.telemetry.subscribe(rig.journal.event)
    rig.history = History(rig.telemetry.snapshot, rig.clock)
    keeping = asyncio.create_task(rig.history.keep())
    rig.emit(PoolConnecting(FIRST), PoolReady(FIRST, account="RXk3p…9abc.rig1"))
    paused = CARDS[4].name
    found = [0.0] * len(CARDS)
    for minute in range(MINUTES):
        work = job(3_000_000 + minute)
        rig.emit(NewJob(work))
        if minute == MINUTES - 6:
            rig.emit(DevicePaused(paused, "overheating: core 91 °C, limit 90 °C"))
        rates = {}
        for number, card in enumerate(CARDS):
            wave = math.sin(minute / 4 + number)
            if card.name != paused or minute < MINUTES - 6:
                rates[card.name] = (24.6e6 if card.backend == "cuda" else 39.8e6) * (1 + wave / 90)
            overheated = 3 * max(0, minute - MINUTES + 16) if card.name == paused else 0
            heat = 55 + number % 5 + 2 * wave + min(overheated, 32)
            reading = replace(
                HOT, temperature=heat, memory_temperature=heat + 22, power=118 + 2 * wave
            )
            rig.emit(SensorsRead(card.name, reading))
        await rig.mine(60, rates)
        for number, (name, rate) in enumerate(rates.items()):
            found[number] += rate * 60 / DIFFICULTY
            while found[number] > 1:
                found[number] -= 1
                outcome = Outcome.STALE if (minute, number) == (20, 3) else Outcome.ACCEPTED
                rig.share(name, work, outcome, value=2**216 + 2**217 * (minute * number % 31))
        if minute == 30:
            fault = "hardware error: nonce 0000000000000007 of job 5a17 is wrong"
            rig.emit(DeviceFault(CARDS[7].name, fault))
    keeping.cancel()
    return rig


async def take(browser: Browser, rig: Rig, width: int, height: int, scheme: str) -> bytes:
    """Return a picture of the dashboard of `rig`."""
    await browser.command(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=height, deviceScaleFactor=1, mobile=width < 700,
    )  # fmt: skip
    feature = {"name": "prefers-color-scheme", "value": scheme}
    await browser.command("Emulation.setEmulatedMedia", features=[feature])
    await browser.command("Emulation.setTimezoneOverride", timezoneId="UTC")
    await browser.command("Emulation.setScrollbarsHidden", hidden=True)
    async with ApiServer(ApiOptions(port=0, token="of-the-pictures"), context_of(rig)) as server:
        await browser.open(server.url or "")
        await browser.until("#hashrate-plot .summary", lambda text: "now" in text)
        await browser.until("#link", lambda text: text == "live")
        drawn = "#hashrate-plot path.total"
        script = "return (document.querySelector(arguments[0])?.getAttribute('d') ?? '').length"
        while await browser.run(script, drawn) < 1000:  # the history has arrived
            await asyncio.sleep(0.1)
        picture = await browser.picture()
        await browser.open("about:blank")
    return picture


async def main() -> None:
    if reason := missing():
        sys.exit(reason)
    rig = await example_rig()
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile))
        try:
            for name, (width, height, scheme) in SHOTS.items():
                picture = await take(browser, rig, width, height, scheme)
                (FOLDER / f"{name}.png").write_bytes(picture)
        finally:
            browser.close()


if __name__ == "__main__":
    asyncio.run(main())
