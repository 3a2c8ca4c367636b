"""A copy of the product to which a test adds something, and the command line of that copy."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.harness.child import captured

CHECKOUT = Path(__file__).parents[2]

PARTS = ("miner", "kernels", "configs")

SECONDS = 300
"""Bound on one command, generous enough for a busy machine."""


class ProductCopy:
    """The directories of the product under `root`; `run` starts the copy's command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for part in PARTS:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CHECKOUT / part, root / part, ignore=ignored)

    def write(self, path: str, text: str) -> None:
        """Add the file `path`, relative to `root`; the file must not exist yet."""
        with (self.root / path).open("x", encoding="utf-8") as file:
            file.write(text)

    def add_row(self, path: str, before: str, row: str) -> None:
        """Insert `row` before the only occurrence of `before` in the file `path`."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{path} has {before!r} {text.count(before)} times"
        (self.root / path).write_text(text.replace(before, row + before), encoding="utf-8")

    def environment(self) -> Mapping[str, str]:
        """Return the environment in which Python finds this copy before the checkout."""
        return {**os.environ, "PYTHONPATH": str(self.root)}

    def python(self, *arguments: str) -> Sequence[str]:
        """Return the command line of Python with `arguments`."""
        return [sys.executable, *arguments]

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run `progpow-miner ARGUMENTS`, expect exit `code`; return the output."""
        done = captured(
            self.python("-m", "miner", *arguments),
            cwd=self.root,
            env=self.environment(),
            timeout=SECONDS,
        )
        assert done.returncode == code, f"exit {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture
def product(tmp_path: Path) -> ProductCopy:
    return ProductCopy(tmp_path / "product")
