"""docs/panels.md is correct."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from miner.panels.ethminer_rpc import READS, EthminerSession
from miner.panels.http_panels import RENDERERS
from miner.panels.sgminer_api import COMMANDS, GPU
from miner.settings.model import ApiSettings
from miner.telemetry import Telemetry
from tests.fakes.api import context_of
from tests.fakes.clock import FakeClock
from tests.fakes.rig import busy_rig
from tests.panels.answers import all_answers

PAGE = (Path(__file__).parents[2] / "docs" / "panels.md").read_text(encoding="utf-8")


def row(start: str) -> str:
    (found,) = re.findall(rf"^\| {re.escape(start)}.*$", PAGE, re.MULTILINE)
    return str(found)


def test_the_settings_exist_and_are_off_by_default() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    settings = ApiSettings(**tomllib.loads(block)["api"])
    assert (settings.panels, settings.ethminer, settings.sgminer) == (
        True, "127.0.0.1:3333", "127.0.0.1:4028",
    )  # fmt: skip
    left_out = ApiSettings()
    assert (left_out.panels, left_out.ethminer, left_out.sgminer) == (False, "", "")


def test_exactly_the_served_paths_are_listed() -> None:
    table = PAGE.partition("| path or port |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(/[^`]*)`", table)) == set(RENDERERS)


def test_exactly_the_supported_commands_are_listed() -> None:
    named = re.findall(r"`(\w+)`", row("TCP, `sgminer`"))
    assert set(named) == {"sgminer", GPU, *COMMANDS}
    named = re.findall(r"`(\w+)`", row("TCP, `ethminer`"))
    assert set(named) == {"ethminer", "miner_ping", *READS}


def test_the_example_request_is_answered() -> None:
    clock = FakeClock()
    session = EthminerSession(context_of(Telemetry(clock), clock))
    (request,) = re.findall(r"echo '(\{\"id\".*?)' \| nc", PAGE)
    assert len(json.loads(session.receive(request.encode() + b"\n"))["result"]) == 9


async def test_every_field_that_is_always_null_is_listed() -> None:
    rig = await busy_rig()
    for answer in all_answers(rig.telemetry.snapshot()).values():
        if not answer.startswith((b"{", b"[")):
            continue
        for name in nulls(json.loads(answer.rstrip(b"\0"))) - {"pause_reason"}:
            assert f"`{name}`" in PAGE, name


def nulls(value: Any, name: str = "") -> set[str]:
    """The keys that are null; `resources` as a whole."""
    if value is None:
        return {name}
    if name == "resources":
        return {name}
    members = value.items() if isinstance(value, dict) else ()
    rows = value[:1] if isinstance(value, list) else ()
    found = [nulls(member, key) for key, member in members] + [nulls(row, name) for row in rows]
    return set().union(*found)
