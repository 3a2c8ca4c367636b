"""The names and settings in the pages exist and are valid."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml

from miner.codegen.launch_shape import SHAPES
from miner.ledger import OUTCOMES
from miner.progpow.variant import Absorbed, ByteOrder, Choices
from miner.settings.key_table import all_tables
from miner.settings.loading import examine
from miner.telemetry import DeviceState
from tests.cli.running import CHECKOUT

DOCS = CHECKOUT / "docs"
PAGES = sorted([CHECKOUT / "README.md", *DOCS.glob("**/*.md")])
TABLES = {place[0] for place in all_tables() if place}

WHOLE = 'coin = "RVN"\n\n[[pools]]\nurl = "stratum+tcp://pool.example:3333"\nuser = "a"\n\n'


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    found = re.findall(rf"^[ ]*```{language}\n(.*?)^[ ]*```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^  ", "", block, flags=re.MULTILINE) for block in found]


def settings_blocks() -> list[tuple[str, str]]:
    """Return (page, block) for each block that contains settings."""
    return [
        (str(page.relative_to(CHECKOUT)), block)
        for page in PAGES
        for block in blocks(page, "toml")
        if set(tomllib.loads(block)) & TABLES
    ]


@pytest.mark.parametrize(("page", "block"), settings_blocks())
def test_settings_in_the_pages_are_valid(page: str, block: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    whole = block if "[[pools]]" in block else WHOLE + block
    path.write_text(whole.replace("YOUR_WALLET", "practice"), encoding="utf-8")
    loaded, problems = examine(path, environ={})
    assert problems == [], page
    assert loaded is not None


def test_settings_in_the_pages_are_found() -> None:
    assert len(settings_blocks()) > 8


def test_every_state_of_a_device_is_explained() -> None:
    table = (DOCS / "devices.md").read_text("utf-8").partition("| state |")[2].partition("\n\n")[0]
    said = re.findall(r"^\| ([\w() ]+) \|", table, re.MULTILINE)
    assert said == [state.value for state in DeviceState]


def test_every_launch_shape_is_named() -> None:
    table = (DOCS / "devices.md").read_text("utf-8").partition("| shape | for |")[2]
    rows = "".join(re.findall(r"^\| (`.*?) \|", table.partition("\n\n")[0], re.MULTILINE))
    assert re.findall(r"`([\w-]+)`", rows) == list(SHAPES)


def test_every_choice_of_a_variant_is_explained_with_its_values() -> None:
    kinds = get_type_hints(Choices) | {"absorbs": Absorbed, "byte_order": ByteOrder}
    page = (DOCS / "adding-a-variant.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE))
    assert list(rows) == list(kinds)
    for key, kind in kinds.items():
        assert [v for v in re.findall(r"`([\w-]+)`", rows[key]) if v in get_args(kind)] == [
            *get_args(kind)
        ]


def test_outcomes_of_late_shares_are_called_as_the_ledger_calls_them() -> None:
    page = (DOCS / "howto/stale-shares.md").read_text("utf-8")
    table = page.partition("| outcome |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)
    assert named
    assert set(named) <= set(OUTCOMES)


def test_every_alert_has_a_place_to_look_at() -> None:
    rules = yaml.safe_load((CHECKOUT / "packaging/grafana/alerts.yml").read_text("utf-8"))
    alerts = {rule["alert"] for g in rules["groups"] for rule in g["rules"] if "alert" in rule}
    said = re.findall(r"`(Miner\w+)`", (DOCS / "howto/farm.md").read_text("utf-8"))
    assert set(said) == alerts


@pytest.mark.parametrize("page", sorted(DOCS.glob("howto/*.md")), ids=lambda p: p.stem)
def test_every_metric_is_one_of_the_reference(page: Path) -> None:
    known = set(re.findall(r"progpow_miner\w+", (DOCS / "metrics.md").read_text("utf-8")))
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for name in re.findall(r"`(progpow_miner_\w+)", prose):
        assert name in known, name


def test_the_diagram_of_the_rooms_follows_the_import_contract() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    depth = {name: i for i, layer in enumerate(layers) for name in layer.split(" | ")}
    rooms = {path.parent.name for path in (CHECKOUT / "miner").glob("*/__init__.py")}
    diagram = blocks(DOCS / "architecture.md", "mermaid")[0]
    arrows = re.findall(r"(\w+)(?:\[\".*?\"\])? --> (\w+)", diagram)
    assert {name for arrow in arrows for name in arrow} >= rooms
    assert [(a, b) for a, b in arrows if depth[a] >= depth[b]] == []
