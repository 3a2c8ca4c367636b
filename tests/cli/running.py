"""Runs the command line, in this process or in a new one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from miner.cli import main
from tests.harness.child import captured

CHECKOUT = Path(__file__).parents[2]
HEADER = "ffeeddccbbaa9988776655443322110000112233445566778899aabbccddeeff"

TOY = """
name = "toy"
[program]
period = 3
registers = 32
cache_reads = 11
math_operations = 18
dag_loops = 64
[keccak]
absorbs = "digest"
initial = "rAVENCOINKAWPOW"
final = "rAVENCOIN"
[epoch]
length = 100
[light]
initial = 16777216
growth = 131072
[dataset]
initial = 1073741824
growth = 8388608
parents = 512
[sizes]
light_items = 509
dataset_items = 8191
[[known_answers]]
light_items = 509
dataset_items = 8191
height = 0
header_hash = "dcd38978b943d2b80199de1576d3fb057676ba41c8bb2fc350adf8528ebc01c0"
nonce = "7a6735b6f4b09210"
mix_hash = "7b5e8acfa07ed2b9086c48aea1721735f1fe48aa676fc89e4093ccf958c11331"
final_hash = "cd39f10c867425c8defd7618b91c3c0c67dc1946134b19a6a5a82f44daf86cc9"
"""
"""KawPow with a dataset of one MiB."""


class Ran(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


def run(*arguments: str | Path, stdin: bytes = b"") -> Ran:
    """Run `progpow-miner` with `arguments` in this process."""
    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        patch("sys.argv", ["progpow-miner", *map(str, arguments)]),
        patch("miner.cli._drivers_loaded", lambda: False),  # by other tests of this process
        patch("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")),
    ):
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code
    assert isinstance(code, int), code
    return Ran(code, out.getvalue(), err.getvalue())


def python(*arguments: str, cwd: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    """Run Python, with the checkout's `miner` importable from any folder."""
    return captured(
        [sys.executable, *arguments],
        cwd=cwd, timeout=300,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip


def toy_file(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the toy variant to a file, with each of `changes` (old, new) replaced."""
    text = TOY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "toy.toml"
    path.write_text(text, encoding="utf-8")
    return path


def settings_file(folder: Path, text: str) -> Path:
    """Write settings to a file."""
    path = folder / "rig.toml"
    path.write_text(text, encoding="utf-8")
    return path
