"""The page on reliability against the tests: each fault names tests that exist."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs/reliability.md").read_text(encoding="utf-8")

NAME = r"`(tests/[\w/]+\.py)::(\w+)`"
"""File and function of a test."""

NAMED = re.findall(NAME, PAGE)

HEADER = "| fault | what the miner does | bound | test |"


@lru_cache
def functions(file: str) -> frozenset[str]:
    """Return the names of the functions that `file` defines; none if it does not exist."""
    path = CHECKOUT / file
    if not path.is_file():
        return frozenset()
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(node.name for node in body if isinstance(node, kinds))


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_named_test_is_defined_in_its_file(file: str) -> None:
    names = {name for named, name in NAMED if named == file}
    assert names - functions(file) == set()
    assert all(name.startswith("test_") for name in names)


def rows() -> list[list[str]]:
    """Return the cells of each fault."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    lines = [line for line in lines if line != HEADER and set(line) != set("|-")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_fault_has_a_reaction_and_a_test() -> None:
    assert len(rows()) > 100
    for cells in rows():
        assert len(cells) == 4, cells
        fault, reaction, _, tests = cells
        assert fault, cells
        assert reaction, cells
        assert re.fullmatch(rf"{NAME}(, {NAME})*", tests), cells


def test_no_fault_is_listed_twice() -> None:
    faults = [cells[0] for cells in rows()]
    assert sorted(set(faults)) == sorted(faults)
