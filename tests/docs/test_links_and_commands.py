"""Links, commands, paths and examples in the pages are valid."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import pytest

from miner import catalog, errors
from miner.progpow.variant import Variant
from miner.variant_file import load_variant
from miner.verify import prove_variant
from tests.cli.running import CHECKOUT
from tests.docs.test_pages import blocks
from tests.harness.child import captured

PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])
NAMES = [str(page.relative_to(CHECKOUT)) for page in PAGES]


def shell_lines(page: Path) -> list[str]:
    inline = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    joined = [block.replace("\\\n", " ") for block in blocks(page, "sh")]
    lines = [line for block in joined for line in block.splitlines()]
    return [line for line in lines + inline if line]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_files(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"https?://", link):
            target = page.parent / link.partition("#")[0]
            assert target.exists(), link


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_make_targets(page: Path) -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for line in shell_lines(page):
        if found := re.match(r"make ([a-z]+)", line):
            assert found[1] in targets, line


@lru_cache
def help_of(command: str) -> str:
    """Return the help of a command, "" if it does not exist."""
    done = captured([sys.executable, "-m", "miner", command, "--help"], cwd=CHECKOUT, timeout=300)
    return done.stdout if done.returncode == 0 else ""


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_and_flags(page: Path) -> None:
    for line in shell_lines(page):
        words = shlex.split(line, comments=True)
        if len(words) < 2 or not words[0].endswith("progpow-miner"):
            continue
        is_mine = words[1].startswith("-") or words[1].endswith(".toml")
        text = help_of("mine" if is_mine and words[1] not in ("-h", "--help") else words[1])
        assert text, line
        for word in words[2:]:
            if word.startswith("-"):
                assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text), line


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_paths_in_backquotes(page: Path) -> None:
    for name in re.findall(
        r"`((?:miner|kernels|configs|tests|docs|packaging)/[^`\s]*)`",
        page.read_text(encoding="utf-8"),
    ):
        assert (CHECKOUT / name.partition("::")[0]).exists(), name


def exit_codes_of_errors() -> set[int]:
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    return {c.exit_code for c in classes if issubclass(c, errors.MinerError)}


def test_exit_codes_match_the_exceptions() -> None:
    text = (CHECKOUT / "docs/exit-codes.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert listed == exit_codes_of_errors() | {0, 130}


def test_contributing_names_every_room_of_the_import_contract() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = {name for layer in layers for name in layer.split(" | ")}
    page = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    where = page.partition("## Where things are")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)(?:/|\.py)`", where)) >= rooms


@pytest.fixture
def mycoin(tmp_path: Path) -> Variant:
    """The example variant of docs/adding-a-variant.md."""
    (text,) = blocks(CHECKOUT / "docs" / "adding-a-variant.md", "toml")
    path = tmp_path / "mycoin.toml"
    path.write_text(text, encoding="utf-8")
    return load_variant(path)


def test_the_example_variant_loads(mycoin: Variant) -> None:
    assert (mycoin.name, mycoin.period, mycoin.spans[0].length) == ("mycoin", 10, 12345)
    assert mycoin.epoch_at(12345).number == 1


def test_the_known_answers_of_the_example_variant(mycoin: Variant) -> None:
    assert len(mycoin.known_answers) == 2
    prove_variant(mycoin)


def test_the_commented_lines_of_the_example_variant(tmp_path: Path) -> None:
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


def test_the_example_coin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(blocks(CHECKOUT / "docs" / "howto" / "new-coin.md", "toml"))
    shipped = {file.name for file in (CHECKOUT / "configs" / "coins").iterdir()}
    assert "newcoin.toml" not in shipped
    variants = catalog.variants()
    (tmp_path / "coins").mkdir()
    (tmp_path / "coins" / "newcoin.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(catalog, "data_directory", lambda name: tmp_path)
    coin = catalog.coins.__wrapped__()["NEW"]
    assert (coin.name, coin.protocol) == ("Newcoin", "kawpow")
    assert coin.variant in variants


def test_the_index_lists_every_page() -> None:
    folder = CHECKOUT / "docs"
    links = re.findall(r"\]\(([^)\s#]+)", (folder / "README.md").read_text(encoding="utf-8"))
    pages = {str(page.relative_to(folder)) for page in folder.glob("**/*.md")}
    unnamed = pages - set(links) - {"README.md"}
    assert {name for name in unnamed if not name.startswith("decisions/")} == set()


def test_the_readme_gives_the_share_count_of_make_mine() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^SHARES +\?= 5$", makefile, re.MULTILINE)
    assert re.search(r"until five\s+shares", (CHECKOUT / "README.md").read_text(encoding="utf-8"))


def test_the_readme_lists_every_coin_with_its_algorithm() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    table = text.partition("| coin | symbol |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+) \| (\w+) \| `([\w.-]+)` \| (yes|no) \|$", table, re.MULTILINE)
    coins = [
        (coin.name, coin.symbol, coin.variant, "yes" if coin.node else "no")
        for coin in catalog.coins().values()
    ]
    assert rows == sorted(coins, key=lambda row: row[0].lower())


def test_the_readme_gives_the_sizes_of_datasets() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert "At the end of November 2026" in text
    then = datetime(2026, 11, 30, tzinfo=UTC).timestamp()
    given = re.findall(r"([0-9.]+) GiB for (\w+)", text)
    sizes = []
    for coin in catalog.coins().values():
        if (chain := coin.chain) is not None:
            height = chain.height + int((then - chain.time) / chain.block_seconds)
            epoch = catalog.variants()[coin.variant].epoch_at(height)
            sizes.append((f"{epoch.dataset_bytes / 2**30:.1f}", coin.name))
    assert sorted(given) == sorted(sizes)


def test_the_readme_counts_the_variants() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    count = len(catalog.variants())
    assert f"lists all {count} algorithms" in text
    assert f"| algorithms of the family | {count} |" in text
