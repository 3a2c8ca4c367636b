"""The CUDA text through NVIDIA's own compiler, where one is found.

All variants are compiled for one architecture and one variant for all; PROGPOW_FULL=1 does
every variant for every architecture.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pytest

from miner.catalog import variants
from miner.codegen.dataset import dataset_source
from miner.codegen.search import search_source
from miner.codegen.shape import shape_named
from miner.codegen.source import Source
from tests.codegen.toys import NAMES

NVCC = shutil.which("nvcc")
WANTED = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
FULL = os.environ.get("PROGPOW_FULL") == "1"

pytestmark = pytest.mark.skipif(
    NVCC is None or shutil.which("g++") is None,
    reason="needs nvcc and g++, its preprocessor, on PATH",
)


@lru_cache(maxsize=1)
def known() -> tuple[str, ...]:
    """The wanted architectures that this compiler knows."""
    if NVCC is None:
        return ()
    listed = subprocess.run([NVCC, "--list-gpu-code"], capture_output=True, text=True, check=True)
    return tuple(arch for arch in WANTED if arch in listed.stdout.split())


def sources(name: str) -> list[Source]:
    variant = variants()[name]
    height = variant.period * 7
    epoch, period = variant.epoch_at(height), variant.period_at(height)
    gpu = shape_named("gpu")
    return [
        search_source(variant, period, epoch, "cuda", gpu),
        dataset_source(epoch, "cuda", gpu),
    ]


def compile_to_cubin(source: Source, arch: str, folder: Path) -> str:
    """Return what ptxas says of it."""
    assert NVCC
    text = folder / f"{source.sha256[:16]}-{arch}.cu"
    cubin = text.with_suffix(".cubin")
    text.write_text(source.text, encoding="ascii", newline="")
    done = subprocess.run(
        [NVCC, "-cubin", f"-arch={arch}", "-Xptxas", "-v", *source.options, text, "-o", cubin],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{source.title} for {arch}: {done.stderr[-3000:]}"
    assert "warning" not in done.stderr.lower(), done.stderr
    assert cubin.read_bytes()[:4] == b"\x7fELF"
    return done.stderr


def jobs() -> list[tuple[str, str]]:
    archs = known()
    if FULL:
        return [(name, arch) for name in NAMES for arch in archs]
    return [(name, archs[0]) for name in NAMES if archs] + [("kawpow", a) for a in archs[1:]]


def test_cubins_without_spills(tmp_path: Path) -> None:
    assert known(), f"this nvcc knows none of {', '.join(WANTED)}"
    todo: dict[tuple[str, str], Source] = {}
    for name, arch in jobs():
        for source in sources(name):
            todo[source.sha256, arch] = source
    with ThreadPoolExecutor(2) as pool:
        said = list(
            pool.map(lambda job: compile_to_cubin(job[1], job[0][1], tmp_path), todo.items())
        )
    for ((_, arch), source), log in zip(todo.items(), said, strict=True):
        what = f"{source.title} for {arch}"
        assert f"entry function '{source.entry}'" in log, what
        spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", log)
        assert spills == ["0", "0"], f"{what}: {log}"
        registers = re.search(r"Used (\d+) registers", log)
        assert registers, what
        assert int(registers[1]) * 256 <= 65536, f"{what}: a group of 256 threads must fit"
