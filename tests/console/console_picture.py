"""Draws docs/pictures/console.svg: python -m tests.console.console_picture."""

from __future__ import annotations

import asyncio
import io
import os
import re
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console as Terminal
from rich.terminal_theme import TerminalTheme

from miner.console.live import entry_text
from miner.console.live_table import draw_table
from miner.safe_text import Redactor
from miner.telemetry import Reading
from miner.telemetry.events import DevicePaused, SensorsRead
from miner.work import Outcome
from tests.fakes.rig import HOT, Rig, busy_rig, job

FILE = Path(__file__).parents[2] / "docs" / "pictures" / "console.svg"
WIDTH = 116

_THEME = TerminalTheme(
    (22, 27, 34),
    (201, 209, 217),
    [
        (72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34),
        (88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196),
    ],
)  # fmt: skip

# Without the font that Rich would load from the network.
_FORMAT = re.sub(
    r"@font-face \{\{.*?\}\}\s*|<!--.*?-->\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL
).replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


async def example_rig() -> Rig:
    """Return the rig of the tests, cooled down and mining."""
    rig = await busy_rig()
    cool = Reading(temperature=63.0, power=246.0, fan=48.0)
    rig.emit(SensorsRead("opencl:0.1", cool), DevicePaused("opencl:0.1", None))
    for device, seconds in (("cuda:0", 37), ("opencl:0.1", 82), ("cuda:0", 64)):
        await rig.mine(seconds, {"cuda:0": 35.2e6, "opencl:0.1": 45.1e6})
        rig.share(device, job(), Outcome.ACCEPTED, value=2**222 + seconds * 2**215)
    await rig.mine(83, {"cuda:0": 35.2e6, "opencl:0.1": 45.1e6})
    rig.emit(SensorsRead("cuda:0", HOT), SensorsRead("opencl:0.1", cool))
    return rig


def printed(rig: Rig) -> Terminal:
    """Return a terminal that has recorded the live view of `rig`."""
    terminal = Terminal(
        file=io.StringIO(), record=True, width=WIDTH, force_terminal=True, color_system="truecolor",
        legacy_windows=False, highlight=False,
    )  # fmt: skip
    for entry in rig.journal.entries[-11:]:
        terminal.print(entry_text(entry))
    terminal.print(draw_table(rig.telemetry.snapshot(), WIDTH, 50, Redactor()))
    return terminal


def main() -> None:
    os.environ["TZ"] = "UTC"
    time.tzset()
    svg = printed(asyncio.run(example_rig())).export_svg(
        title="progpow-miner", theme=_THEME, code_format=_FORMAT, unique_id="console"
    )
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
