"""A headless browser that does not block the event loop of the server under test."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

TEXT = r"return document.querySelector(arguments[0])?.innerText.replace(/\s*\n\s*/g, '\n') ?? ''"
"""Returns the visible text of an element without empty lines."""

TIMEOUT = 15.0
"""Limit on waiting for a condition, in seconds."""

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)


def missing() -> str:
    """Return why there is no browser to test with; empty if there is one."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(lacking)} cannot be found; install Debian's packages" if lacking else ""


class Browser:
    """One browser with one page; each of its methods but `close` leaves the event loop free."""

    def __init__(self, profile: Path) -> None:
        options = ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self._driver = Chrome(options, Service(shutil.which("chromedriver")))

    def close(self) -> None:
        self._driver.quit()

    async def open(self, url: str) -> None:
        """Show `url` in a fresh page; earlier log lines are dropped."""
        await asyncio.to_thread(self._driver.get, "about:blank")
        await self.warnings()
        await self.requests()
        await asyncio.to_thread(self._driver.get, url)

    async def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a JavaScript function returns."""
        return await asyncio.to_thread(self._driver.execute_script, script, *arguments)

    async def command(self, name: str, **arguments: Any) -> Any:
        """Give a command of the DevTools protocol."""
        return await asyncio.to_thread(self._driver.execute_cdp_cmd, name, arguments)

    async def text(self, selector: str) -> str:
        """Return the text that a reader sees of the first element."""
        return str(await self.run(TEXT, selector))

    async def until(self, selector: str, holds: Callable[[str], bool]) -> str:
        """Wait until `holds` is true of the text of an element; return the text."""
        seen = ""

        def look(driver: Chrome) -> bool:
            nonlocal seen
            seen = str(driver.execute_script(TEXT, selector))
            return holds(seen)

        wait = WebDriverWait(self._driver, TIMEOUT, poll_frequency=0.05)
        try:
            await asyncio.to_thread(wait.until, look)
        except Exception as error:
            raise AssertionError(f"{selector} became {seen!r}") from error
        return seen

    async def click(self, selector: str) -> None:
        await self.run("document.querySelector(arguments[0]).click()", selector)

    async def warnings(self) -> list[str]:
        """Return warnings and errors of the console since the last call, those of the content
        security policy among them."""
        lines: list[dict[str, Any]] = await asyncio.to_thread(self._driver.get_log, "browser")
        return [line["message"] for line in lines if line["level"] in ("WARNING", "SEVERE")]

    async def requests(self) -> list[str]:
        """Return the addresses requested since the last call."""
        lines: list[dict[str, Any]] = await asyncio.to_thread(self._driver.get_log, "performance")
        messages = [json.loads(line["message"])["message"] for line in lines]
        return [
            str(message["params"]["request"]["url"])
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    async def picture(self) -> bytes:
        """Return the visible part of the page as PNG."""
        return await asyncio.to_thread(self._driver.get_screenshot_as_png)
