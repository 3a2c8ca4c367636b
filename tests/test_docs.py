"""The documents say what is true: links lead somewhere, commands exist, examples work."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from functools import lru_cache
from pathlib import Path

import pytest

from miner import catalog, errors
from miner.catalog import load_variant
from miner.progpow.variant import Variant
from miner.verify import prove_variant

CHECKOUT = Path(__file__).parents[1]
PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])
NAMES = [str(page.relative_to(CHECKOUT)) for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shell_lines(page: Path) -> list[str]:
    inline = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    joined = [block.replace("\\\n", " ") for block in blocks(page, "sh")]
    lines = [line for block in joined for line in block.splitlines()]
    return [line for line in lines + inline if line]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_into_the_checkout_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"https?://", link):
            target = page.parent / link.partition("#")[0]
            assert target.exists(), link


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_make_target_exists(page: Path) -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for line in shell_lines(page):
        if found := re.match(r"make ([a-z]+)", line):
            assert found[1] in targets, line


@lru_cache
def help_of(command: str) -> str:
    """What the command says of itself; empty where there is none."""
    done = subprocess.run(
        [sys.executable, "-m", "miner", command, "--help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout if done.returncode == 0 else ""


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_exists_with_every_flag(page: Path) -> None:
    for line in shell_lines(page):
        words = shlex.split(line, comments=True)
        if len(words) < 2 or not words[0].endswith("progpow-miner"):
            continue
        text = help_of(words[1])
        assert text, line
        for word in words[2:]:
            if word.startswith("-"):
                assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text), line


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_path_in_backquotes_exists(page: Path) -> None:
    for name in re.findall(
        r"`((?:miner|kernels|configs|tests|docs|packaging)/[^`\s]*)`",
        page.read_text(encoding="utf-8"),
    ):
        assert (CHECKOUT / name).exists(), name


def exit_codes_of_the_tree() -> set[int]:
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    return {c.exit_code for c in classes if issubclass(c, errors.MinerError)}


@pytest.mark.parametrize("name", ["README.md", "docs/exit-codes.md"])
def test_the_exit_codes_are_those_of_the_exceptions(name: str) -> None:
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    said = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert said == exit_codes_of_the_tree() | {0, 130}


def test_the_layers_of_the_architecture_page_are_those_of_the_contract() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    wanted = [name for layer in layers for name in layer.replace("|", " ").split()]
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("| layer |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(wanted)


@pytest.fixture
def mycoin(tmp_path: Path) -> Variant:
    """The variant that docs/adding-a-variant.md writes down."""
    (text,) = blocks(CHECKOUT / "docs" / "adding-a-variant.md", "toml")
    path = tmp_path / "mycoin.toml"
    path.write_text(text, encoding="utf-8")
    return load_variant(path)


def test_the_written_down_variant_loads(mycoin: Variant) -> None:
    assert (mycoin.name, mycoin.period, mycoin.spans[0].length) == ("mycoin", 10, 12345)
    assert mycoin.epoch_at(12345).number == 1


def test_its_known_answers_hold(mycoin: Variant) -> None:
    assert len(mycoin.known_answers) == 2
    prove_variant(mycoin)


def test_the_commented_lines_of_the_page_are_valid_too(tmp_path: Path) -> None:
    (text,) = blocks(CHECKOUT / "docs" / "adding-a-variant.md", "toml")
    spans = re.sub(
        r"^length = .*\n# (spans .*)\n# (clamp .*)\n# (scale .*)",
        r"\1\n\2\n\3",
        text,
        flags=re.MULTILINE,
    )
    assert spans != text
    path = tmp_path / "mycoin.toml"
    path.write_text(spans, encoding="utf-8")
    variant = load_variant(path)
    assert (variant.clamp is None, variant.scale is None, len(variant.spans)) == (False, False, 2)


def test_the_written_down_coin_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = blocks(CHECKOUT / "docs" / "howto" / "new-coin.md", "toml")
    shipped = {file.name for file in (CHECKOUT / "configs" / "coins").iterdir()}
    assert "newcoin.toml" not in shipped
    variants = catalog.variants()
    (tmp_path / "coins").mkdir()
    (tmp_path / "coins" / "newcoin.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(catalog, "data_directory", lambda name: tmp_path)
    coin = catalog.coins.__wrapped__()["NEW"]
    assert (coin.name, coin.protocol) == ("Newcoin", "kawpow")
    assert coin.variant in variants


def test_the_index_names_every_page() -> None:
    folder = CHECKOUT / "docs"
    links = re.findall(r"\]\(([^)\s#]+)", (folder / "README.md").read_text(encoding="utf-8"))
    pages = {str(page.relative_to(folder)) for page in folder.glob("**/*.md")}
    unnamed = pages - set(links) - {"README.md"}
    assert {name for name in unnamed if not name.startswith("decisions/")} == set()


def test_numbers_of_the_readme_are_those_of_the_makefile() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^SHARES +\?= 5$", makefile, re.MULTILINE)
    assert "until five shares" in (CHECKOUT / "README.md").read_text(encoding="utf-8")
