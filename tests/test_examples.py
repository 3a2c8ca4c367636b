"""The files in configs/coins and configs/examples are valid."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from miner import catalog
from miner.progpow.variant import Variant
from miner.settings.loading import load
from miner.stratum.dialects import DIALECTS
from tests.cli.running import TOY, run

CONFIGS = Path(__file__).parents[1] / "configs"
COINS = sorted((CONFIGS / "coins").glob("*.toml"))
EXAMPLES = sorted((CONFIGS / "examples").glob("*.toml"))


def with_wallet(example: Path, folder: Path) -> Path:
    """Return a copy of an example with a name in place of the placeholder."""
    copy = folder / example.name
    text = example.read_text(encoding="utf-8")
    copy.write_text(text.replace("YOUR_WALLET", "practice"), encoding="utf-8")
    return copy


@pytest.mark.parametrize("path", COINS, ids=lambda p: p.stem)
def test_a_coin_file_is_named_after_its_coin(path: Path) -> None:
    file = tomllib.loads(path.read_text(encoding="utf-8"))
    coin = catalog.find_coin(file["symbol"])
    assert coin.symbol == coin.symbol.upper()
    assert path.stem in (coin.name.lower(), coin.symbol.lower())
    assert coin.variant in catalog.variants()
    assert coin.protocol in DIALECTS


def test_symbols_are_unique() -> None:
    assert len(catalog.coins()) == len(COINS) >= 10


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_loads_with_a_wallet(path: Path, tmp_path: Path) -> None:
    settings = load(with_wallet(path, tmp_path)).settings
    if settings.coin:
        assert settings.coin in catalog.coins()
    elif settings.variant and not settings.variant.endswith(".toml"):
        assert isinstance(catalog.find_variant(settings.variant), Variant)
    for pool in settings.pools:
        assert ".example:" in pool.url or "127.0.0.1:" in pool.url, "no real pool by accident"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_passes_the_check(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mycoin.toml").write_text(TOY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)  # the place where one of them has a variant file beside it
    path = with_wallet(path, tmp_path)
    ran = run("config", "check", path)
    assert (ran.code, ran.err) == (0, "")
    assert f"{path}: ok: " in ran.out


def test_the_farm_example_has_every_section(tmp_path: Path) -> None:
    text = (CONFIGS / "examples" / "farm-rig.toml").read_text(encoding="utf-8")
    given = set(tomllib.loads(text))
    assert given >= {"rig", "pools", "devices", "api", "log", "ledger"}
    settings = load(with_wallet(CONFIGS / "examples" / "farm-rig.toml", tmp_path)).settings
    assert len(settings.devices.tune) == len(settings.pools) == 2


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_begins_with_a_comment(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_there_are_examples() -> None:
    assert {"ravencoin-pool", "two-pools-failover", "cpu-demo"} <= {p.stem for p in EXAMPLES}
