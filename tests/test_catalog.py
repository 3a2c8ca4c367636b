from __future__ import annotations

import re
from pathlib import Path

import pytest

from miner.catalog import coins, find_coin, find_variant, variants
from miner.errors import BadVariant, ConfigError, UsageError
from miner.resources import data_directory
from miner.variant_file import load_variant
from miner.verify import prove_variant

FOLDER = data_directory("configs") / "variants"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
KAWPOW = (FOLDER / "kawpow.toml").read_text()


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def edited(tmp_path: Path, old: str, new: str) -> Path:
    assert old in KAWPOW
    return written(tmp_path, KAWPOW.replace(old, new, 1))


def test_a_variant_has_the_name_of_its_file() -> None:
    assert list(variants()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_known_answers_of_each_shipped_variant_are_right(name: str) -> None:
    variant = variants()[name]
    assert len(variant.known_answers) >= 3
    assert variant.title
    assert variant.sources
    prove_variant(variant)


def test_names_and_aliases_are_unique_and_found() -> None:
    names = [n for v in variants().values() for n in {v.name, *v.aliases}]
    assert len(set(names)) == len(names)
    for variant in variants().values():
        for name in (variant.name, *variant.aliases):
            assert name == name.lower()
            assert find_variant(name) is variant
            assert find_variant(name.upper()) is variant


def test_no_module_names_a_variant() -> None:
    own = re.compile(r"[\"']((?:" + "|".join(map(re.escape, NAMES)) + r"))[\"']")
    package = Path(load_variant.__code__.co_filename).parent
    for folder in ("progpow", "codegen"):
        for path in (package / folder).glob("*.py"):
            assert not own.search(path.read_text()), path


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError) as error:
        find_variant("kawpov")
    text = str(error.value)
    assert text.startswith("variant 'kawpov' is not known")
    assert all(name in text for name in NAMES)
    assert "path of a variant file" in text


def test_a_users_own_file_is_found_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = edited(tmp_path, 'name = "kawpow"', 'name = "mine"')
    assert find_variant(str(path)).name == "mine"
    monkeypatch.chdir(tmp_path)
    assert find_variant("mine.toml").name == "mine"
    assert find_variant("./mine.toml").name == "mine"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_variant("~/mine.toml").name == "mine"
    assert find_variant("mine.toml").known_answers == variants()["kawpow"].known_answers


def test_a_file_may_fix_its_sizes(tmp_path: Path) -> None:
    sizes = "[sizes]\nlight_items = 509\ndataset_items = 8191\nseed_epoch = 2\n"
    epoch = load_variant(written(tmp_path, KAWPOW + sizes)).epoch_at(7500 * 9)
    assert (epoch.light_items, epoch.dataset_items, epoch.seed_epoch) == (509, 8191, 2)


def test_padding_is_letters_or_words(tmp_path: Path) -> None:
    words = str(list(b"rAVENCOINKAWPOW"))
    path = edited(tmp_path, 'initial = "rAVENCOINKAWPOW"', f"initial = {words}")
    assert load_variant(path) == variants()["kawpow"]


BROKEN = [
    ("period = 3\n", "", "program.period: is missing"),
    ("period = 3\n", 'period = "3"\n', "program.period: '3' is not of type int"),
    ("period = 3\n", "period = true\n", "program.period: True is not of type int"),
    ("period = 3\n", "period = 3.0\n", "program.period: 3.0 is not of type int"),
    ("period = 3\n", "period = 0\n", "variant 'kawpow': program.period: 0 is outside 1 to "),
    (
        "period = 3\n",
        "period = 3\nperoid = 4\n",
        "program.peroid: unknown key (did you mean period?)",
    ),
    ('name = "kawpow"\n', "", "name: is missing"),
    (
        'name = "kawpow"\n',
        'name = "kawpow"\nnam = 1\n',
        "nam: unknown key (did you mean name?)",
    ),
    (
        'absorbs = "digest"',
        'absorbs = "mix"',
        "keccak.absorbs: 'mix' is not one of digest, header, nonce",
    ),
    ('absorbs = "digest"', 'absorbs = "header"', "variant 'kawpow': keccak.final: needs 7 words"),
    ('final = "rAVENCOIN"', "final = 7", "keccak.final: must be ASCII text or a list of integers"),
    ('final = "rAVENCOIN"', 'final = "rÄVENCOIN"', "keccak.final: must be ASCII text or a list"),
    ('final = "rAVENCOIN"', "final = [1, true]", "keccak.final: must be ASCII text or a list"),
    ("length = 7500", "", "epoch.length: give either length or spans"),
    ("length = 7500", "length = 0", "variant 'kawpow': epoch.spans: length must be at least 1"),
    ("length = 7500", "spans = [3]", "epoch.spans: entry 1 is not a table"),
    ("length = 7500", "spans = [{length = 5}]", "epoch.spans[1].from_height: is missing"),
    (
        "length = 7500",
        "spans = [{from_height = 0, length = 5, first = 1}]",
        "epoch.spans[1].first: unknown key (known: first_epoch, from_height, length)",
    ),
    ("length = 7500", "length = 7500\nclamp = {above = 3}", "epoch.clamp.to: is missing"),
    (
        "length = 7500",
        "length = 7500\nclamp = {above = 3, to = 2, at = 1}",
        "epoch.clamp.at: unknown key (known: above, to)",
    ),
    ("length = 7500", "length = 7500\nscale = {factor = 4}", "epoch.scale.from_epoch: is missing"),
    (
        "length = 7500",
        "length = 7500\nscale = {from_epoch = 1, factor = 4, by = 2}",
        "epoch.scale.by: unknown key (known: factor, from_epoch)",
    ),
    ("length = 7500", "length = 7500\nlenght = 1", "epoch.lenght: unknown key"),
    ("growth = 131072", 'growth = "fast"', "light.growth: 'fast' is not of type int"),
    ("growth = 131072", "growth = 131072\ngrow = 1", "light.grow: unknown key"),
    ("parents = 512", "parents = 500", "variant 'kawpow': dataset.parents: 500 is not a multiple"),
    ("parents = 512", "parents = 512\nparent = 1", "dataset.parent: unknown key"),
    ('aliases = ["kawpow-rvn"', 'aliases = [3, "kawpow-rvn"', "aliases: every entry must be a "),
    ("light_items = 509", "", "known_answers[1].light_items: is missing"),
    ('nonce = "7a', 'nonce = "xx7a', "known_answers[1].nonce: needs 1 to 16 hex digits"),
    ('nonce = "7a', 'nonce = "1237a', "known_answers[1].nonce: needs 1 to 16 hex digits"),
    ('header_hash = "dcd', 'header_hash = "dc', "known_answers[1].header_hash: needs 64 hex dig"),
    ('mix_hash = "7b', 'mix_hash = "zz', "known_answers[1].mix_hash: needs 64 hex digits"),
    ("height = 0\n", "height = 0\nhight = 1\n", "known_answers[1].hight: unknown key"),
    ("[epoch]", "[epochs]", "epoch: is missing"),
]


@pytest.mark.parametrize(("old", "new", "problem"), BROKEN, ids=[b[2][:60] for b in BROKEN])
def test_an_error_names_file_and_key(old: str, new: str, problem: str, tmp_path: Path) -> None:
    path = edited(tmp_path, old, new)
    with pytest.raises(BadVariant) as error:
        load_variant(path)
    assert str(error.value).startswith(f"{path}: {problem}")
    assert "\n" not in str(error.value)


def test_an_error_in_sizes_names_file_and_key(tmp_path: Path) -> None:
    for sizes, problem in (
        ("light_items = 509", "sizes.dataset_items: is missing"),
        ("light_items = 509\ndataset_items = 8191\nx = 1", "sizes.x: unknown key"),
        ("light_items = 5\ndataset_items = 8191", "variant 'kawpow': sizes.light_items: is outs"),
    ):
        path = written(tmp_path, f"{KAWPOW}\n[sizes]\n{sizes}\n")
        with pytest.raises(BadVariant, match="^" + re.escape(f"{path}: {problem}")):
            load_variant(path)


def test_a_file_without_known_answers_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, KAWPOW.split("[[known_answers]]")[0])
    with pytest.raises(BadVariant, match=r"known_answers: needs at least one known answer$"):
        load_variant(path)


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    path = written(tmp_path, "name = ")
    with pytest.raises(ConfigError, match="^" + re.escape(f"{path}: is not valid TOML: ")):
        find_variant(str(path))
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="^" + re.escape(f"{path}: is not UTF-8 text")):
        find_variant(str(path))
    path.write_text(f"name = {'[' * 10_000}", encoding="utf-8")
    with pytest.raises(ConfigError, match="nested too deeply"):
        load_variant(path)


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(ConfigError, match="^" + re.escape(f"{path}: cannot be read: ")):
        find_variant(str(path))


def test_coins_have_known_variants_and_are_found() -> None:
    assert coins()
    for coin in coins().values():
        assert find_variant(coin.variant).name in NAMES
        assert find_coin(coin.symbol) is coin
        assert find_coin(coin.name.upper()) is coin
        assert coin.difficulty_one in (None, "ff", "ffff")
    assert (find_coin("ZANO").difficulty_one, find_coin("ZANO").node) == (None, None)
    assert (find_coin("FIRO").difficulty_one, find_coin("FIRO").node) == ("ffff", "firo")
    with pytest.raises(UsageError, match=r"^coin 'btc' is not known; known are "):
        find_coin("btc")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('node = "rpc"', "node: 'rpc' is not one of pprpc, firo, veil, submitblock, getwork, sero"),
        ('node = ""', "node: '' is not one of pprpc, "),
        ("node = 1", "node: 1 is not of type str"),
        ('difficulty_one = "f"', "difficulty_one: 'f' is not one of ff, ffff"),
        ('nodes = "firo"', "nodes: unknown key (did you mean node?)"),
    ],
)
def test_an_error_in_a_coin_names_file_and_key(
    line: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "coins" / "x.toml"
    path.parent.mkdir()
    path.write_text(f'symbol = "X"\nname = "X"\nvariant = "kawpow"\nprotocol = "kawpow"\n{line}\n')
    monkeypatch.setattr("miner.catalog.data_directory", lambda _name: tmp_path)
    with pytest.raises(BadVariant, match="^" + re.escape(f"{path}: {problem}")):
        coins.__wrapped__()


def test_a_coin_stands_for_its_variant() -> None:
    for coin in coins().values():
        for name in (coin.symbol, coin.name.lower()):
            assert find_variant(name).name == coin.variant
