"""The way of a share in docs/architecture.md against a run: each function of the list is called.

The device is the reference, which needs no driver, in place of OpenCL's."""

from __future__ import annotations

import ast
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.test_architecture import CHECKOUT, python_steps
from tests.e2e.test_mining import Program, miner_arguments, pool_arguments, port_of

HOOK = """
import os
import sys
import threading

_OUT = open(os.environ["CALLED_FUNCTIONS"], "a", buffering=1)
_SEEN = set()


def _note(frame, event, argument):
    code = frame.f_code
    if event == "call" and code not in _SEEN:
        _SEEN.add(code)
        _OUT.write(f"{code.co_filename} {code.co_qualname}\\n")


threading.setprofile(_note)
sys.setprofile(_note)
"""


@pytest.fixture
def programs(toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Program]]:
    """The test pool, and a miner whose called functions are written to a file."""
    pool = Program(*pool_arguments(toy), cache=tmp_path)
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("CALLED_FUNCTIONS", str(tmp_path / "called"))
    arguments = miner_arguments(toy, port_of(pool))
    miner = Program(*arguments, "--backend", "ref", "--api", "127.0.0.1:0", cache=tmp_path)
    yield [pool, miner]
    for program in (miner, pool):
        program.close()


def test_a_share_takes_the_way_that_the_page_lists(programs: list[Program], tmp_path: Path) -> None:
    pool, miner = programs
    url = miner.until(r"api +(http\S+)")[1]
    miner.until("share .*accepted")
    with urllib.request.urlopen(f"{url}api/v1/stream") as stream:
        while not stream.readline().startswith(b"data: "):
            pass
    assert miner.end(signal.SIGINT) == 0, miner.text
    assert pool.end(signal.SIGTERM) == 0

    called = set((tmp_path / "called").read_text().splitlines())
    listed = [
        f"{CHECKOUT / file} {name}"
        for file, name, found in python_steps()
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) and "/devices/" not in file
    ]
    assert len(listed) > 20
    assert not [step for step in listed if step not in called]
