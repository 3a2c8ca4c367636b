"""The architecture page against the code: the files that it names, the way of a share."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs/architecture.md").read_text(encoding="utf-8")

MOST_FILES = 25
"""Files on the way of a share."""


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def steps() -> list[tuple[str, str]]:
    """Return (file, name) of each step on the way of a share."""
    rows = section("The way of a share")
    return re.findall(r"^\| `([\w/.]+)` \| `([\w.]+)` \|", rows, re.MULTILINE)


def definition(tree: ast.AST, name: str) -> ast.AST | None:
    """Return the class, function or method `name` that `tree` defines."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    found: ast.AST | None = tree
    for part in name.split("."):
        nodes = ast.iter_child_nodes(found) if found else ()
        found = next((n for n in nodes if isinstance(n, kinds) and n.name == part), None)
    return found


def python_steps() -> Iterator[tuple[str, str, ast.AST | None]]:
    for file, name in steps():
        if file.endswith(".py"):
            tree = ast.parse((CHECKOUT / file).read_text(encoding="utf-8"))
            yield file, name, definition(tree, name)


def test_each_step_of_a_share_is_defined_where_the_page_says() -> None:
    assert len(steps()) > 20
    assert not [(file, name) for file, name, found in python_steps() if found is None]
    for file, name in steps():
        if file.endswith(".js"):
            text = (CHECKOUT / file).read_text(encoding="utf-8")
            assert re.search(rf"export (async )?(class|function) {name}\b", text), (file, name)


def test_no_step_of_a_share_is_anonymous() -> None:
    for file, name, found in python_steps():
        assert found is not None
        lambdas = [node.lineno for node in ast.walk(found) if isinstance(node, ast.Lambda)]
        assert not lambdas, f"{file}: {name} passes through a lambda in lines {lambdas}"


def test_the_way_of_a_share_takes_few_files() -> None:
    assert len({file for file, _ in steps()}) <= MOST_FILES


def test_every_file_of_the_page_exists() -> None:
    named = set(re.findall(r"`((?:miner|configs)/[\w/.]+)`", PAGE))
    assert len(named) > 20
    assert not [file for file in named if not (CHECKOUT / file).exists()]
