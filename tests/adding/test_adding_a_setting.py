"""A new setting is one field of the model; its flag, variable, schema and page follow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.adding.conftest import ProductCopy

FIELD = '''    cooldown: Annotated[Annotated[int, Field(ge=1)] | None, Flag("--cooldown")] = (
        Field(default=7, examples=[9])
    )
    """Days to cool down."""
'''

POOL = 'variant = "kawpow"\n[[pools]]\nurl = "h:1"\nuser = "w"\n'


@pytest.fixture
def extended(product: ProductCopy) -> ProductCopy:
    """Return a product with a setting `log.cooldown`."""
    product.add_row(
        "miner/settings/model.py", '    format: Literal["text", "json"] = "text"\n', FIELD
    )
    return product


def settings_file(folder: Path, value: int) -> str:
    path = folder / "rig.toml"
    path.write_text(f"{POOL}[log]\ncooldown = {value}\n", encoding="utf-8")
    return str(path)


def test_a_new_setting_can_be_given_everywhere(
    extended: ProductCopy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings_file(tmp_path, 8)
    assert ": ok: " in extended.run("config", "check", file)
    assert "cooldown = 8" in extended.run("config", "show", file)
    monkeypatch.setenv("PROGPOW_MINER_LOG_COOLDOWN", "9")
    shown = extended.run("config", "show", file)
    assert "cooldown = 9" in shown
    assert "# environment PROGPOW_MINER_LOG_COOLDOWN" in shown
    # The flag overrides both: its value is the one that is rejected.
    output = extended.run("mine", "-c", file, "--cooldown", "0", code=2)
    assert "command line: log.cooldown: 0 is too small" in output


def test_a_new_setting_is_documented_everywhere(extended: ProductCopy) -> None:
    assert "--cooldown INTEGER Days to cool down. Default: 7." in " ".join(
        extended.run("mine", "--help").split()
    )
    schema = json.loads(extended.run("config", "schema"))
    described = schema["$defs"]["LogSettings"]["properties"]["cooldown"]["description"]
    assert described == "Days to cool down."
    row = "| `cooldown` | whole number | `7` | `PROGPOW_MINER_LOG_COOLDOWN` | `--cooldown` |"
    assert row in extended.run("config", "reference")
    assert "# Days to cool down.\n#cooldown = 7" in extended.run("config", "init", "-")
