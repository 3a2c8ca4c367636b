"""The dashboard in a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from miner.api.api_server import ApiOptions, ApiServer
from miner.telemetry import DeviceState, Level, Reading, Telemetry
from miner.telemetry.events import (
    CandidateRefuted,
    DatasetBuilding,
    DeviceFault,
    DeviceResting,
    Launched,
    NewJob,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    SensorsRead,
)
from miner.work import Candidate, DeviceInfo, Outcome
from tests.api.browser import Browser, missing
from tests.api.conftest import context_of
from tests.fakes.api import FakeControl
from tests.fakes.rig import ABOUT, FIRST, HOT, ONE, SECOND, ZERO, Rig, busy_rig, job, rig_of

FOLDER = Path(__file__).parents[2] / "miner" / "api" / "dashboard"
BUDGET = 60_000
TOKEN = "correct hörse battery ☂"
DASH = "\N{EN DASH}"
MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if reason := missing():
        pytest.skip(reason)
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """The browser with the size of a laptop and no page."""
    await screen(chromium, 1366, 768)
    yield chromium
    await chromium.open("about:blank")


async def screen(browser: Browser, width: int, height: int) -> None:
    await browser.command(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=height, deviceScaleFactor=1, mobile=width < 700,
    )  # fmt: skip


@asynccontextmanager
async def serving(
    rig: Rig,
    control: FakeControl | None = None,
    *,
    token: str | None = TOKEN,
    port: int = 0,
) -> AsyncIterator[str]:
    async with ApiServer(ApiOptions(port=port, token=token), context_of(rig, control)) as server:
        assert server.url is not None
        yield server.url


@asynccontextmanager
async def showing(
    browser: Browser, rig: Rig, control: FakeControl | None = None, *, token: str | None = TOKEN
) -> AsyncIterator[str]:
    """Open the dashboard of `rig`; the browser must not log warnings until it is closed."""
    async with serving(rig, control, token=token) as url:
        await browser.open(url)
        yield url
        warnings = await browser.warnings()
        await browser.open("about:blank")
        assert warnings == []


def has(*texts: str) -> Callable[[str], bool]:
    return lambda seen: all(text in seen for text in texts)


def lacks(text: str) -> Callable[[str], bool]:
    return lambda seen: text not in seen


async def is_shown(browser: Browser, selector: str) -> bool:
    script = "return document.querySelector(arguments[0]).checkVisibility()"
    return bool(await browser.run(script, selector))


async def unlock(browser: Browser, token: str) -> None:
    await browser.click("#unlock")
    await browser.run("document.querySelector('#token').value = arguments[0]", token)
    await browser.click("#control [type=submit]")


def test_the_files_are_small_and_reference_no_other_host() -> None:
    files = [file for file in FOLDER.iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) < BUDGET
    for file in files:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        for banned in ("http:", "https:", "innerHTML", "insertAdjacentHTML", "eval(", " style="):
            assert banned not in text, (file.name, banned)
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert "<style" not in page
    assert " on" not in page.replace(" on ", "")
    assert page.count("<script") == page.count('<script type="module" src="dashboard.js"></script>')


async def test_all_values_are_shown_and_no_other_host_is_used(browser: Browser) -> None:
    rig = await busy_rig()
    async with showing(browser, rig) as url:
        await browser.until("#link", has("live"))
        await browser.until("#rig", has("rig1"))
        about = await browser.text("#about")
        assert about == "kawpow · RVN · progpow-miner 1.2.3 · up 16 min"
        assert await browser.text("#ready") == "ready"
        tiles = await browser.text("#tiles")
        for text in (
            "80.00 MH/s", "60 s: 80.00 MH/s", "15 min: 80.00 MH/s",
            "40% of 10 · 0.25/min",
            "2 rejected · 2 stale · 1 invalid · 1 lost · 1 hardware error · 1 fault",
            "202 W", "104%", "effort 300%", "best 1.10 TH",
            "10 found, 9.6 expected (4 to 16 is normal)",
            "3 000 000", "epoch 400", "period 1 000 000", "difficulty 8.00 GH",
        ):  # fmt: skip
            assert text in tiles, (text, tiles)
        zero = await browser.text("#devices [data-key='cuda:0']")
        for text in (
            "cuda:0", "GeForce RTX 3070 Ti", "0a:00.0", "searching",
            "5 min ago", "35.00 MH/s", "3 of 9", "61 °C", "88 °C", "57%",
            "202 W", "174", "214%",
        ):  # fmt: skip
            assert text in zero, (text, zero)
        one = await browser.text("#devices [data-key='opencl:0.1']")
        for text in (
            "paused: overheating: core 91 °C, limit 90 °C", "91 °C", "1 of 1",
            "last fault: hardware error: nonce 0000000000000007 of job 5a17 is wrong",
        ):  # fmt: skip
            assert text in one, (text, one)
        pools = await browser.text("#pools")
        for text in (
            FIRST, SECOND, "in use", "connected", "the pool closed the connection", "42 ms",
            "42 ms (42 ms)", "1 / 1", "3 of 9", "1 of 1", "Message from the pool: welcome",
        ):  # fmt: skip
            assert text in pools, (text, pools)
        assert await browser.text("#devices th.number") == "Hashrate"
        newest = rig.journal.entries[-1]
        assert newest.text in await browser.until("#events", has(newest.text))
        assert await browser.run("return document.title") == f"80.00 MH/s {DASH} rig1"
        requests = await browser.requests()
        assert len(requests) > 8
        assert [address for address in requests if not address.startswith(url)] == []
        names = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        assert [name for name in await browser.run(names) if not name.startswith(url)] == []


async def test_values_follow_the_stream(browser: Browser) -> None:
    rig = await busy_rig()
    async with showing(browser, rig):
        await browser.until("#link", has("live"))
        await browser.until("#tiles", has("202 W"))
        rig.emit(SensorsRead("cuda:0", replace(HOT, temperature=64.0, power=188.0)))
        rig.emit(DatasetBuilding("opencl:0.1", 400, 0.25, 3.0, 4 << 30))
        rig.emit(DeviceFault("cuda:0", "the fan does not turn"))
        await rig.clock.advance(1)
        await browser.until("#tiles", has("188 W", "1 hardware error · 2 faults"))
        await browser.until("#events", has("the fan does not turn"))
        await browser.click("#all")
        zero = await browser.text("#devices [data-key='cuda:0']")
        assert "64 °C" in zero
        assert "last fault: the fan does not turn" in zero
        await rig.mine(8, {"cuda:0": 70e6})
        await rig.clock.advance(1)
        rate = rig.telemetry.snapshot().device("cuda:0").hashrate.ten_seconds / 1e6
        assert rate > 36
        await browser.until("#devices [data-key='cuda:0']", has(f"{rate:.2f} MH/s"))


async def test_an_unchecked_certificate_is_shown(browser: Browser) -> None:
    rig = Rig()
    rig.emit(PoolConnecting(FIRST, unverified=True))
    async with showing(browser, rig):
        seen = await browser.until("#pools", has(FIRST, "connecting"))
        assert "its TLS certificate is not checked" in seen
        rig.emit(PoolConnecting(FIRST), PoolReady(FIRST))
        await rig.clock.advance(1)
        await browser.until("#pools", lacks("not checked"))


async def test_events_are_filtered_by_level(browser: Browser) -> None:
    rig = await busy_rig()
    rig.journal.add("cache", "a detail", Level.DEBUG)
    rig.journal.add("api", "a fact", Level.INFO)
    rig.journal.add("pool", "a doubt", Level.WARNING)
    rig.journal.add("cuda:0", "a failure", Level.ERROR)
    choose = (
        "const level = document.querySelector('#level'); level.value = arguments[0];"
        "level.dispatchEvent(new Event('change'))"
    )
    async with showing(browser, rig):
        await browser.until("#events", has("a fact", "a doubt", "a failure"))
        assert "a detail" not in await browser.text("#events")
        for level, shown, hidden in (
            ("error", "a failure", "a doubt"),
            ("warning", "a doubt", "a fact"),
            ("debug", "a detail", "no such thing"),
        ):
            await browser.run(choose, level)
            seen = await browser.text("#events")
            assert shown in seen
            assert hidden not in seen


async def test_plots_show_the_history_and_its_values(browser: Browser) -> None:
    rig = await busy_rig()
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(rig.history.keep())
        await rig.mine(100, {"cuda:0": 30e6, "opencl:0.1": 45e6})
        await rig.mine(100, {"cuda:0": 40e6})
        async with showing(browser, rig):
            summary = await browser.until(
                "#hashrate-plot .summary", has("now", "from 40.00 MH/s to 75.00 MH/s")
            )
            label = "return document.querySelector('#hashrate-plot svg').getAttribute('aria-label')"
            assert await browser.run(label) == summary
            assert await browser.text("#hashrate-plot .legend") == "Total\ncuda:0\nopencl:0.1"
            warm = await browser.text("#temperature-plot .summary")
            assert warm == "Temperature: from 61 °C to 91 °C."
            lines = "return document.querySelectorAll(arguments[0] + ' path.line').length"
            assert await browser.run(lines, "#hashrate-plot") == 3
            assert await browser.run(lines, "#temperature-plot") == 3
            units = "return [...document.querySelectorAll('.unit')].map((unit) => unit.textContent)"
            assert await browser.run(units) == ["MH/s", "°C"]
            press = (
                "const frame = document.querySelector('#hashrate-plot .frame');"
                "frame.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0]}))"
            )
            await browser.run(press, "Home")
            first = rig.history.samples(10)[0]
            rates = [first.hashrate, *(device.hashrate for device in first.devices)]
            shown = [f"{rate / 1e6:.2f} MH/s" for rate in rates]
            await browser.until("#hashrate-plot .readout", has(*shown))
            await browser.run(press, "ArrowLeft")
            await browser.run(press, "End")
            await browser.until("#hashrate-plot .readout", has("Total", "40.00 MH/s"))
            await browser.run(press, "Escape")
            assert await browser.run("return document.querySelector('.readout').hidden")
            point = (
                "const frame = document.querySelector('#temperature-plot .frame');"
                "const box = frame.getBoundingClientRect();"
                "const at = {clientX: box.right - 20, clientY: box.top + 50};"
                "frame.dispatchEvent(new PointerEvent('pointermove', at))"
            )
            await browser.run(point)
            await browser.until("#temperature-plot .readout", has("cuda:0 memory", "88 °C"))
            await browser.click("[data-step='300']")
            await browser.until("#hashrate-plot .summary", has("now"))
            assert "step=300" in "".join(await browser.requests())
            pressed = "return document.querySelector('[data-step=\"300\"]').ariaPressed"
            assert await browser.run(pressed) == "true"
        keeping.cancel()


async def test_many_devices_have_separate_plots(browser: Browser) -> None:
    rig = Rig()
    cards = [replace(ZERO, name=f"cuda:{number}") for number in range(12)]
    rig.telemetry = Telemetry(rig.clock, cards, ABOUT)
    rig.emit(*(SensorsRead(card.name, HOT) for card in cards))
    await rig.mine(5, {card.name: 20e6 for card in cards})
    async with showing(browser, rig):
        await browser.until("#hashrate-plot .summary", has("now 240.00 MH/s"))
        assert await browser.text("#hashrate-plot .legend") == "Total"
        each = await browser.text("#hashrate-each .summary")
        assert each == "Hashrate of each device: from 20.00 MH/s to 20.00 MH/s."
        memory = await browser.text("#temperature-memory .summary")
        assert memory == "Memory temperature: from 88 °C to 88 °C."
        looks = (
            "return [...document.querySelectorAll('#hashrate-each path')]"
            ".map((one) => one.getAttribute('class'))"
        )
        assert len(set(await browser.run(looks))) == len(cards)


async def test_an_unreachable_miner_is_shown_until_it_is_back(browser: Browser) -> None:
    rig = await busy_rig()
    async with serving(rig) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        await browser.open(url)
        await browser.until("#link", has("live"))
        await browser.until("#tiles", has("202 W"))
    alarm = await browser.until("#alarm", has("The miner cannot be reached; showing its values"))
    shown = "return new Date(arguments[0] * 1000).toLocaleTimeString('en-GB')"
    assert await browser.run(shown, rig.telemetry.snapshot().at) in alarm
    assert await browser.text("#link") == "not reachable"
    assert await browser.run("return document.title") == f"not reachable {DASH} rig1"
    assert "202 W" in await browser.text("#tiles")
    grey = "return getComputedStyle(document.querySelector('main')).filter"
    assert "grayscale" in await browser.run(grey)
    refused = [line for line in await browser.warnings() if "ERR_CONNECTION_REFUSED" not in line]
    assert [line for line in refused if "net::ERR" not in line] == []
    rig.emit(SensorsRead("cuda:0", replace(HOT, power=150.0)))
    async with serving(rig, port=port):
        await browser.until("#tiles", has("150 W"))
        await browser.until("#alarm", lacks("cannot be reached"))
        await browser.warnings()


async def test_without_the_stream_the_page_polls(browser: Browser) -> None:
    rig = await busy_rig()
    # A browser that may not listen is shown so, as the seventeenth is.
    block = {"urls": ["*/api/v1/stream*"]}
    await browser.command("Network.enable")
    await browser.command("Network.setBlockedURLs", **block)
    try:
        async with serving(rig) as url:
            await browser.open(url)
            await browser.until("#link", has("polling every few seconds"))
            await browser.until("#tiles", has("202 W"))
            rig.emit(SensorsRead("cuda:0", replace(HOT, power=150.0)))
            rig.journal.add("api", "something new")
            await browser.until("#tiles", has("150 W"))
            await browser.until("#events", has("something new"))
            assert await browser.text("#alarm") == ""
    finally:
        await browser.command("Network.setBlockedURLs", urls=[])
    lines = await browser.warnings()
    assert [line for line in lines if "api/v1/stream" not in line] == []


async def test_columns_and_cards_without_values_are_left_out(browser: Browser) -> None:
    rig = Rig()
    async with showing(browser, rig):
        await browser.until("#tiles", has("Hashrate", "Luck"))
        titles = (await browser.text("#devices thead")).split("\t")
        assert [title.strip() for title in titles if title.strip()] == [
            "Device", "State", "Hashrate", "15 min", "Accepted", "Faults",
        ]  # fmt: skip
        for selector in ("#temperature", "#pools"):
            assert not await is_shown(browser, selector), selector
        assert "Power" not in await browser.text("#tiles")
        rig.emit(SensorsRead("cuda:0", HOT), PoolConnecting(FIRST))
        await rig.clock.advance(1)
        await browser.until("#tiles", has("Power"))
        assert "Memory" in await browser.text("#devices thead")
        assert await is_shown(browser, "#temperature")
        assert await is_shown(browser, "#pools")


async def test_the_account_and_other_addresses_are_shown(browser: Browser) -> None:
    rig = Rig()
    rig.emit(PoolConnecting(FIRST), PoolReady(FIRST, account="RXk3p…9abc.rig1"))
    async with showing(browser, rig) as url:
        await browser.until("#about", has("for RXk3p…9abc.rig1"))
        links = await browser.run("return [...document.querySelectorAll('nav a')].map(a => a.href)")
        assert links == [
            url + path for path in ("help.html", "api/v1/status", "api/v1/openapi.json", "metrics")
        ]


async def test_a_height_of_nine_digits_fits(browser: Browser) -> None:
    rig = Rig()
    rig.emit(PoolConnecting(FIRST), PoolReady(FIRST), NewJob(job(288_888_888)))
    room = (
        "const value = document.querySelector('[data-key=Job] .value');"
        "const text = document.createRange(); text.selectNodeContents(value);"
        "return value.clientWidth - text.getBoundingClientRect().width"
    )
    async with showing(browser, rig):
        await browser.until("#tiles", has("288 888 888"))
        for width in (360, 701, 1000, 1001, 1190, 1280):
            await screen(browser, width, 900)
            assert await browser.run(room) >= 8, width


async def test_all_numbers_are_grouped_the_same_way(browser: Browser) -> None:
    async with showing(browser, Rig()) as url:
        script = (
            f"return import('{url}format.js').then((format) => format.luck("
            "{found: 1077, expected: 1067.4, band: {low: 1003, high: 1131}}))"
        )
        shown = str(await browser.run(script))
        assert shown.split(" found, ")[1].startswith("1 067 expected")


async def test_unknown_values_are_dashes(browser: Browser) -> None:
    rig = Rig()
    rig.emit(SensorsRead("cuda:0", Reading(temperature=0.0)))
    async with showing(browser, rig):
        await browser.until("#tiles", has("no job", f"Luck\n{DASH}", "no share yet"))
        script = (
            "return [...document.querySelector(arguments[0]).cells].map((cell) => cell.innerText)"
        )
        zero = await browser.run(script, "#devices [data-key='cuda:0']")
        one = await browser.run(script, "#devices [data-key='opencl:0.1']")
        core = 7
        assert (zero[core], one[core]) == ("0 °C", DASH)
        assert await browser.text("#ready") == "not ready"
        assert "not yet connected to a pool" in await browser.text("#reasons")
        assert "NaN" not in await browser.text("body")
        assert "undefined" not in await browser.text("body")
        assert "null" not in await browser.text("body")


async def test_foreign_texts_are_not_markup(browser: Browser) -> None:
    rig = Rig()
    evil = DeviceInfo("cuda:0", "cuda", MARKUP, "gpu", MARKUP, 8 << 30, 8 << 30, 48, pci=MARKUP)
    rig.telemetry = Telemetry(rig.clock, [evil, ONE], replace(ABOUT, rig=MARKUP, coin=MARKUP))
    rig.telemetry.subscribe(rig.journal.event)
    rig.emit(PoolConnecting(MARKUP), PoolReady(MARKUP), PoolNotice(MARKUP, MARKUP))
    rig.share("cuda:0", job(pool=MARKUP), Outcome.ACCEPTED)
    rig.share("cuda:0", job(pool=MARKUP), Outcome.LOW_DIFFICULTY, MARKUP)
    rig.emit(CandidateRefuted(Candidate(job(), 7, "cuda:0", 1.0), b"\xff" * 32))
    rig.emit(DeviceFault("cuda:0", MARKUP), PoolLost(MARKUP, MARKUP, 1.0))
    rig.journal.add(MARKUP, MARKUP, Level.ERROR)
    async with showing(browser, rig):
        await browser.until("#events", has(MARKUP))
        for place in ("#rig", "#about", "#reasons", "#devices", "#pools", "#notice"):
            await browser.until(place, has(MARKUP))
        assert await browser.run("return document.images.length") == 0
        assert await browser.run("return document.scripts.length") == 1
        assert "owned" not in str(await browser.run("return document.title")).replace(MARKUP, "")


async def test_the_page_fits_a_narrow_screen(browser: Browser) -> None:
    rig = await busy_rig()
    long = "a" * 300
    rig.emit(PoolNotice(FIRST, long), DeviceFault("cuda:0", long))
    rig.journal.add("cuda:0", long, Level.ERROR)
    wide = "return [document.documentElement.scrollWidth, innerWidth]"
    small = (
        "return [...document.querySelectorAll('button, select, input')]"
        ".filter((one) => one.offsetParent && one.offsetHeight < 44).map((one) => one.id)"
    )
    columns = "return getComputedStyle(document.querySelector('.plots')).gridTemplateColumns"
    title = "return getComputedStyle(document.querySelector('#devices td.number'), '::before')"
    async with showing(browser, rig):
        await browser.until("#events", has(long))
        await unlock(browser, TOKEN)
        await browser.until("#answer", has("the buttons use it"))
        for width in (360, 390, 768):
            await screen(browser, width, 780)
            for _ in range(2):
                scroll, inner = await browser.run(wide)
                assert scroll <= inner == width
                await browser.click("#all")
            if width < 700:
                assert await browser.run(small) == []
                assert len(str(await browser.run(columns)).split()) == 1
        await browser.click("#all")
        assert "Hashrate" in await browser.run(f"{title}.content")


async def test_pausing_and_resuming_with_the_token(browser: Browser) -> None:
    rig, control = await busy_rig(), FakeControl()
    button = "#devices [data-key='{}'] td.action button"
    shown = "return document.querySelector(arguments[0]).offsetParent !== null"
    async with showing(browser, rig, control):
        await browser.until("#devices tbody", has("cuda:0"))
        assert not await browser.run(shown, button.format(ZERO.name))
        await unlock(browser, TOKEN)
        await browser.until("#answer", has("the buttons use it"))
        assert await browser.run(shown, button.format(ZERO.name))
        assert await browser.text(button.format(ONE.name)) == "Resume"
        await browser.click(button.format(ZERO.name))
        await browser.until("#answer", has("cuda:0 pauses"))
        await browser.click(button.format(ONE.name))
        await browser.until("#answer", has("opencl:0.1 resumes"))
        await browser.click("[data-verb=pause]")
        await browser.until("#answer", has("every device pauses"))
        await browser.click("[data-verb=resume]")
        await browser.until("#answer", has("every device resumes"))
        assert control.calls == [
            ("pause", "cuda:0"), ("resume", "opencl:0.1"), ("pause", None), ("resume", None),
        ]  # fmt: skip
        assert TOKEN not in str(await browser.run("return document.documentElement.outerHTML"))
        assert await browser.run("return localStorage.length + document.cookie.length") == 0
        await browser.click("#forget")
        assert not await browser.run(shown, button.format(ZERO.name))


async def test_a_wrong_token_is_refused_when_it_is_entered(browser: Browser) -> None:
    rig, control = await busy_rig(), FakeControl()
    async with showing(browser, rig, control):
        await browser.until("#devices tbody", has("cuda:0"))
        await unlock(browser, "a guess")
        await browser.until("#answer", has("this is not the token of this miner"))
        assert await browser.run("return document.querySelector('#everything').hidden")
        assert await browser.run("return sessionStorage.length") == 0
        assert control.calls == []
        lines = await browser.warnings()
        assert [line for line in lines if "/api/v1/access" not in line] == []


async def test_a_miner_without_a_token_is_shown_as_read_only(browser: Browser) -> None:
    async with showing(browser, await busy_rig(), token=None):
        await browser.until("#unlock", has("Read-only"))
        assert not await is_shown(browser, "#control")
        await browser.click("#unlock")
        await browser.until("#control", has("This miner is read-only; set token_file"))
        assert not await is_shown(browser, "#token")


CUT = """
return [...document.querySelectorAll(".tile .value, #devices td, h1, .state, nav a")]
  .filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth)
  .map((one) => one.innerText);
"""
"""Returns the texts that are wider than their elements."""


@pytest.mark.parametrize("cards", [1, 12, 24])
async def test_the_devices_begin_on_the_first_screen(browser: Browser, cards: int) -> None:
    bottom = "return document.querySelector(arguments[0]).getBoundingClientRect().bottom"
    wide = "return document.documentElement.scrollWidth"
    tall = "return document.querySelector('#devices tbody tr').offsetHeight"
    last = f"#devices [data-key='cuda:{cards - 1}']"
    sizes = (1366, 768), (390, 844), (1024, 768), (1190, 800), (768, 1024)
    async with showing(browser, rig_of(cards)):
        await browser.until(last, has("cuda:", "0a:00.0"))
        for width, height in sizes:
            await screen(browser, width, height)
            assert await browser.run(bottom, "#devices [data-key='cuda:0']") <= height
            assert await browser.run(CUT) == [], width
            if cards <= 12 and width != 1024:
                assert await browser.run(bottom, last) <= height
            assert await browser.run(wide) <= width
        await unlock(browser, TOKEN)
        await browser.until("#answer", has("the buttons use it"))
        await browser.click("#all")
        for width, height in sizes:
            await screen(browser, width, height)
            assert await browser.run(wide) <= width
            assert width < 860 or await browser.run(tall) < 40


async def test_the_keyboard_follows_the_order_of_a_phone(browser: Browser) -> None:
    await screen(browser, 390, 844)
    tops = (
        "return [...document.querySelectorAll('button, select, input, a, [tabindex=\"0\"]')]"
        ".filter((one) => one.checkVisibility() && one.className !== 'skip')"
        ".map((one) => one.getBoundingClientRect().top)"
    )
    async with showing(browser, rig_of(12)):
        await browser.until("#devices tbody", has("cuda:11"))
        found = await browser.run(tops)
        assert len(found) > 8
        assert found == sorted(found)


CONTRASTS = """
const linear = (c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
const luminance = (rgb) => {
  const [r, g, b] = rgb.slice(0, 3).map((c) => linear(c / 255));
  return .2126 * r + .7152 * g + .0722 * b;
};
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const ground = (node) => {
  const found = parts(getComputedStyle(node).backgroundColor);
  return found[3] === 0 ? ground(node.parentElement) : found;
};
const hasText = (node) => [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim());
const contrast = (node) => {
  const style = getComputedStyle(node);
  const colour = parts(node.ownerSVGElement ? style.fill : style.color);
  const [high, low] = [colour, ground(node)].map(luminance).sort((a, b) => b - a);
  return (high + .05) / (low + .05);
};
return [...document.querySelectorAll("body *")]
  .filter((node) => node.checkVisibility() && hasText(node) && contrast(node) < 4.6)
  .map((node) => `${node.textContent}: ${contrast(node)}`);
"""
"""Returns the texts whose contrast with their background is too low."""


@asynccontextmanager
async def colours(browser: Browser, scheme: str) -> AsyncIterator[None]:
    """Prefer the colour scheme `scheme`."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    await browser.command("Emulation.setEmulatedMedia", features=[feature])
    try:
        yield
    finally:
        await browser.command("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_has_contrast(browser: Browser, scheme: str) -> None:
    async with colours(browser, scheme), showing(browser, await busy_rig()):
        await browser.until("#events", has("cuda:0"))
        await browser.click("#all")
        await unlock(browser, TOKEN)
        await browser.until("#answer", has("the buttons use it"))
        assert await browser.run(CONTRASTS) == []


@pytest.mark.parametrize("cards", [12, 24])
async def test_many_devices_are_readable_on_a_dark_phone(browser: Browser, cards: int) -> None:
    rig = rig_of(cards)
    rig.emit(DeviceResting("cuda:7", "wrong hashes", 600.0, parked=True))
    await screen(browser, 390, 844)
    dark = "return getComputedStyle(document.body).backgroundColor"
    rows = (
        "return [...document.querySelectorAll('#devices tbody tr')]"
        ".map((row) => [row.innerText, row.offsetHeight])"
    )
    async with colours(browser, "dark"), showing(browser, rig):
        await browser.until(f"#devices [data-key='cuda:{cards - 1}']", has("cuda:"))
        assert await browser.text("#ready") == f"{cards - 1} of {cards} devices"
        assert await browser.text("#reasons") == (
            f"{cards - 1} of {cards} expected devices are present\ncuda:7: parked: wrong hashes"
        )
        assert await browser.run(dark) == "rgb(15, 21, 27)"
        shown = await browser.run(rows)
        for number, (text, height) in enumerate(shown):
            for part in (f"cuda:{number}", "0a:00.0", "MH/s" if number != 7 else "H/s", "61 °C"):
                assert part in text
            assert height < (60 if number in (4, 7) else 32), text
        for _ in range(2):
            assert await browser.run(CONTRASTS) == []
            assert await browser.run(CUT) == []
            assert await browser.run("return document.documentElement.scrollWidth") == 390
            await browser.click("#all")


async def test_the_reason_for_waiting_is_the_one_of_the_job(browser: Browser) -> None:
    rig, other = Rig(), replace(job(), other_algorithm="randomx")
    rig.emit(PoolConnecting(FIRST), PoolReady(FIRST), NewJob(other))
    async with showing(browser, rig):
        assert other.wait_reason
        await browser.until("#tiles", has(other.wait_reason))


async def test_the_help_explains_every_state_and_tile(browser: Browser) -> None:
    async with showing(browser, await busy_rig()) as url:
        await browser.until("#tiles", has("Luck"))
        tiles = (await browser.text("#tiles")).splitlines()
        await browser.click("nav a")
        text = await browser.until("main", has("starting"))
        assert await browser.run("return location.href") == f"{url}help.html"
        assert [state.value for state in DeviceState if state.value not in text] == []
        titles = {"Hashrate", "Accepted", "Power", "Luck", "Job"}
        assert titles <= set(tiles)
        assert titles <= set(text.splitlines())
        assert await browser.run(CONTRASTS) == []


async def test_the_line_of_a_plot_has_no_gap_between_two_requests_of_the_history(
    browser: Browser,
) -> None:
    rig = await busy_rig()
    path = "return document.querySelector('#hashrate-plot path.total').getAttribute('d')"
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(rig.history.keep())
        await rig.mine(100, {"cuda:0": 30e6})
        async with showing(browser, rig):
            await browser.until("#hashrate-plot .summary", has("now"))
            for watts in range(231, 236):
                await rig.mine(10, {"cuda:0": 30e6})
                rig.emit(SensorsRead("cuda:0", replace(HOT, power=watts)))
                await rig.clock.advance(1)
                await browser.until("#tiles", has(f"{watts} W"))
            drawn = str(await browser.run(path))
            assert drawn.count("M") == 1
            width = await browser.run(
                "return document.querySelector('#hashrate-plot svg').clientWidth"
            )
            assert drawn.rpartition("L")[2].split()[0] == f"{width - 12:.1f}"
        keeping.cancel()


async def test_a_single_value_is_not_drawn_at_the_right_edge(browser: Browser) -> None:
    path = "return document.querySelector('#hashrate-plot path.total').getAttribute('d')"
    async with showing(browser, rig_of(1)):
        await browser.until("#hashrate-plot .summary", has("now"))
        assert await browser.run(path) == ""


async def test_a_new_run_starts_a_new_list_of_events(browser: Browser) -> None:
    rig = await busy_rig()
    async with serving(rig) as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        await browser.open(url)
        await browser.until("#events", has("nonce 0000000000000007"))
    await browser.until("#alarm", has("cannot be reached"))
    fresh = Rig()
    await fresh.clock.advance(5000)
    fresh.telemetry = Telemetry(fresh.clock, [ZERO], ABOUT)
    fresh.emit(Launched("cuda:0", 1000, 1.0, 0.1))
    fresh.journal.add("cuda:0", "a new beginning")
    async with serving(fresh, port=port):
        seen = await browser.until("#events", has("a new beginning"))
        seen = await browser.until("#events", lacks("nonce 0000000000000007"))
        assert "a new beginning" in seen
        rows = "return document.querySelectorAll('#devices tbody tr').length"
        assert await browser.run(rows) == 1
        await browser.warnings()
