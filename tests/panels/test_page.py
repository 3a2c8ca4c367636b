"""docs/panels.md says what is true."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from miner.panels.ethminer_rpc import READS, EthminerSession
from miner.panels.panel_routes import RENDERERS
from miner.panels.sgminer_api import COMMANDS, GPU
from miner.settings.model import ApiSettings
from miner.telemetry import Telemetry
from tests.fakes.clock import FakeClock
from tests.fakes.rig import busy_rig
from tests.panels.rigs import context_of
from tests.panels.views import everything

PAGE = (Path(__file__).parents[2] / "docs" / "panels.md").read_text(encoding="utf-8")


def row(beginning: str) -> str:
    (found,) = re.findall(rf"^\| {re.escape(beginning)}.*$", PAGE, re.MULTILINE)
    return str(found)


def test_the_settings_are_settings_and_off_without_being_asked_for() -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    asked = ApiSettings(**tomllib.loads(block)["api"])
    assert (asked.panels, asked.ethminer, asked.sgminer) == (
        True, "127.0.0.1:3333", "127.0.0.1:4028",
    )  # fmt: skip
    left_out = ApiSettings()
    assert (left_out.panels, left_out.ethminer, left_out.sgminer) == (False, "", "")


def test_every_path_is_named_and_no_other() -> None:
    table = PAGE.partition("| path or port |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(/[^`]*)`", table)) == set(RENDERERS)


def test_every_command_is_named_and_no_other() -> None:
    named = re.findall(r"`(\w+)`", row("TCP, `sgminer`"))
    assert set(named) == {"sgminer", GPU, *COMMANDS}
    named = re.findall(r"`(\w+)`", row("TCP, `ethminer`"))
    assert set(named) == {"ethminer", "miner_ping", *READS}


def test_what_is_to_be_typed_is_answered() -> None:
    clock = FakeClock()
    rpc = EthminerSession(context_of(Telemetry(clock), clock))
    (request,) = re.findall(r"echo '(\{\"id\".*?)' \| nc", PAGE)
    assert len(json.loads(rpc.receive(request.encode() + b"\n"))["result"]) == 9


async def test_what_is_null_on_a_rig_that_knows_all_is_named() -> None:
    rig = await busy_rig()
    for answer in everything(rig.telemetry.snapshot()).values():
        if not answer.startswith((b"{", b"[")):
            continue
        for name in nulls(json.loads(answer.rstrip(b"\0"))) - {"pause_reason"}:
            assert f"`{name}`" in PAGE, name


def nulls(value: Any, name: str = "") -> set[str]:
    """The keys that are null; of `resources` the whole."""
    if value is None:
        return {name}
    if name == "resources":
        return {name}
    members = value.items() if isinstance(value, dict) else ()
    rows = value[:1] if isinstance(value, list) else ()
    found = [nulls(member, key) for key, member in members] + [nulls(row, name) for row in rows]
    return set().union(*found)
