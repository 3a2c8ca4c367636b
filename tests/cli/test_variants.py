"""The command `variants`, and how variants are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from miner.catalog import find_coin, find_variant, variants
from miner.errors import BadVariant, UsageError
from tests.cli.running import run, toy_file


def test_the_list_as_json() -> None:
    ran = run("variants", "--json")
    assert (ran.code, ran.err) == (0, "")
    rows = json.loads(ran.out)
    assert [row["name"] for row in rows] == list(variants())
    kawpow = next(row for row in rows if row["name"] == "kawpow")
    assert kawpow["period"] == 3
    assert kawpow["epoch_lengths"] == [7500]
    assert (kawpow["scheme"], kawpow["absorbs"], kawpow["byte_order"]) == (
        "shuffled", "digest", "little",
    )  # fmt: skip
    in_place = next(row for row in rows if row["scheme"] == "in-place")
    assert (in_place["entry_lane"], in_place["rotation"]) == ("drawn", "operand")
    assert all(row["aliases"] and row["sources"] and row["title"] for row in rows)


def test_the_list_as_text() -> None:
    out = run("variants").out
    for variant in variants().values():
        assert f"\n{variant.name} " in "\n" + out
        assert f"also: {', '.join(variant.aliases)}\n" in out


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("progpow_zano", "progpowz"),
        ("progpow-z", "progpowz"),
        ("ProgPowZ", "progpowz"),
        ("progpow_veil", "progpow-veil"),
        ("progpow_sero", "progpow-sero"),
        ("progpow_epic", "progpow-0.9.2"),
        ("progpow", "progpow-0.9.3"),
        ("progpow-094", "progpow-0.9.4"),
        ("progpow_quai", "progpow-quai"),
        ("progpow_telestai", "telestai"),
        ("meraki", "telestai"),
        ("evrprogpow", "evrprogpow"),
        ("KAWPOW", "kawpow"),
        ("firo", "firopow"),
        ("meowpow", "meowpow"),
        ("phihash", "phihash"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert find_variant(alias).name == name


def test_names_are_unique() -> None:
    names = [n for v in variants().values() for n in (v.name, *v.aliases)]
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)


def test_an_unknown_name_suggests_the_nearest_one() -> None:
    with pytest.raises(UsageError, match=r"'kawpw' is not known \(did you mean kawpow\?\); known"):
        find_variant("kawpw")
    assert find_coin("rvn").variant == "kawpow"
    with pytest.raises(UsageError, match="coin 'nope' is not known; known are "):
        find_coin("nope")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("period = 3", "perod = 3", "program.period: is missing"),
        ("period = 3", "period = 0", "program.period: 0 is outside"),
        ("period = 3", 'period = "3"', "program.period: '3' is not of type int"),
        ("period = 3", "period = 3\nspeed = 9", "program.speed: unknown key"),
        ('final = "rAVENCOIN"', 'final = "rAVEN"', "keccak.final: needs 9 words"),
        ('absorbs = "digest"', 'absorbs = "all"', "'all' is not one of digest, header, nonce"),
        ("parents = 512", "parents = 500", "dataset.parents: 500 is not a multiple"),
        ("length = 100", "", "epoch.length: give either length or spans"),
        ("dataset_items = 8191\n[[", "dataset_items = 5\n[[", "sizes.dataset_items: is outside"),
        ("[[known_answers]]", "[[answers]]", "known_answers: needs at least one"),
        ('"7a6735b6f4b09210"', '"nonce"', "known_answers[1].nonce: needs 1 to 16 hex digits"),
        ("period = 3", "period = ", "is not valid TOML"),
    ],
)
def test_an_invalid_variant_file(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = toy_file(tmp_path, (old, new))
    with pytest.raises(UsageError) as caught:
        find_variant(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    ran = run("kernel", "-a", path, "--height", "1")
    assert (ran.code, ran.err) == (2, f"progpow-miner: {caught.value}\n")


def test_known_answers_of_a_file_are_checked_before_use(tmp_path: Path) -> None:
    path = toy_file(tmp_path, ('"cd39f10c', '"dd39f10c'))
    assert find_variant(str(path)).name == "toy"
    ran = run("kernel", "-a", path, "--height", "1")
    assert ran.code == BadVariant.exit_code
    assert ran.err.startswith("progpow-miner: variant 'toy': known_answers[1].final_hash: computed")
