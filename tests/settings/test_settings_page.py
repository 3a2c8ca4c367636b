"""The settings page, the JSON Schema and the new file match the model."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from miner.settings.field_types import PLACEHOLDER
from miner.settings.key_table import all_keys, all_tables, value_type
from miner.settings.loading import examine, load
from miner.settings.model import Settings
from miner.settings.settings_page import json_schema, new_file, reference_page

CHECKOUT = Path(__file__).parents[2]
COMMENTED_KEY = re.compile(r"^#([a-z_]+ = .*)$", re.MULTILINE)


def test_the_settings_page_is_up_to_date() -> None:
    assert (CHECKOUT / "docs" / "settings.md").read_text(encoding="utf-8") == reference_page(), (
        "update it: python -m miner config reference > docs/settings.md"
    )


def test_the_page_describes_every_key() -> None:
    text = reference_page()
    for key in all_keys():
        assert key.description.endswith("."), key.place
        assert f"| `{key.name}` | {key.type_name} |" in text
        assert key.variable is None or f"`{key.variable}`" in text
        assert key.flag is None or f"| `{key.flag.names[0]}`" in text
    for table in all_tables().values():
        assert (table.__doc__ or "").strip().endswith(".")


def test_environment_variables_are_unique() -> None:
    variables = [key.variable for key in all_keys() if key.variable]
    assert len(variables) == len(set(variables))
    only_in_files = [key.place[:2] for key in all_keys() if key.variable is None]
    assert set(only_in_files) == {("devices", "tune")}


def test_a_new_file_is_valid_once_the_wallet_is_set(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    path.write_text(new_file(), encoding="utf-8")
    loaded, problems = examine(path)
    line = new_file()[: new_file().index(PLACEHOLDER)].count("\n") + 1
    assert loaded is None
    (problem,) = problems
    assert problem.startswith(f"{path}: line {line}: pools[1].user: is still the placeholder ")
    assert PLACEHOLDER in problem
    path.write_text(new_file().replace(PLACEHOLDER, "w"), encoding="utf-8")
    settings = load(path).settings
    bare = {"coin": "RVN", "pools": [{"url": settings.pools[0].url, "user": "w"}]}
    assert settings == Settings.model_validate(bare)
    assert max(map(len, new_file().splitlines())) <= 100


@pytest.mark.parametrize("index", range(len(COMMENTED_KEY.findall(new_file()))))
def test_each_commented_line_of_a_new_file_is_valid(tmp_path: Path, index: int) -> None:
    text = new_file().replace(PLACEHOLDER, "w")
    found = list(COMMENTED_KEY.finditer(text))[index]
    head, tail = text[: found.start()], text[found.end() :]
    if "#[[devices.tune]]" in head and "[api]" not in head:
        head = head.replace("#[[devices.tune]]", "[[devices.tune]]")
        if not found[1].startswith("match"):
            head = head.replace('#match = "', 'match = "')
    if found[1].startswith("variant"):
        tail = tail.replace('coin = "RVN"\n', "")
    path = tmp_path / "new.toml"
    path.write_text(head + found[1] + tail, encoding="utf-8")
    load(path)


def test_a_new_file_has_every_key() -> None:
    named = re.findall(r"^#?([a-z_]+) = ", new_file(), re.MULTILINE)
    assert sorted(named) == sorted(key.name for key in all_keys())


def test_commented_lines_show_the_defaults() -> None:
    for key in all_keys():
        if key.default not in (None, "", []):
            (line,) = {
                row
                for row in re.findall(rf"^#({key.name} = .*)$", new_file(), re.MULTILINE)
                if list(tomllib.loads(row).values()) == [key.default]
            }
            assert line


def test_the_schema_describes_every_key() -> None:
    whole = json_schema()
    assert whole["$schema"].endswith("2020-12/schema")
    for key in all_keys():
        node = whole if len(key.place) == 1 else whole["$defs"][key.table.__name__]
        assert node["additionalProperties"] is False
        assert node["properties"][key.name]["description"] == key.description
        assert node["properties"][key.name].get("default", key.default) == key.default
    assert "*****" not in str(whole)


def test_the_schema_accepts_the_examples() -> None:
    validators: Any = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    validator = validators.Draft202012Validator(json_schema())
    examples = sorted((CHECKOUT / "configs" / "examples").glob("*.toml"))
    for path in examples:
        validator.validate(tomllib.loads(path.read_text(encoding="utf-8")))
    assert examples
    for wrong in ({"coin": "RVN"}, {"pools": []}, {"pools": [{"url": "h:1", "ulr": 1}]}):
        assert not validator.is_valid(wrong)


def test_every_key_has_a_type_name() -> None:
    for key in all_keys():
        assert key.type_name
        assert value_type(key.field.annotation) == key.type
