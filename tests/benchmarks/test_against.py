"""benchmarks/against.py: whose kernels are measured, and how they are compared."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import against

STUB = """
from types import SimpleNamespace

class FixedSizes(tuple):
    def __new__(cls, *sizes):
        return tuple.__new__(cls, sizes)

def find_variant(name):
    variant = SimpleNamespace(name=name, period_at=lambda height: height // 3)
    variant.epoch_at = lambda height: "epoch"
    variant.with_sizes = lambda sizes: variant
    return variant

def shape_named(name):
    return name

def search_source(variant, period, epoch, dialect, shape):
    text = f"older text of {variant.name} {period}"
    made = SimpleNamespace(title="t", text=text, entry="search", dialect=dialect, options=("-x",))
    if shape == "gpu-hbm":
        made.subgroup_multiple, made.dynamic_bytes = 16, 98304
    return made
"""


@pytest.fixture
def _older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout in which every module of the miner is the stub."""
    for name in ("catalog", "codegen/kernel_source", "codegen/launch_shape", "progpow/variant"):
        path = tmp_path / "miner" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STUB)
        (path.parent / "__init__.py").touch()

    @contextmanager
    def worktree(revision: str) -> Iterator[Path]:
        assert revision == "v1"
        yield tmp_path

    monkeypatch.setattr(against, "worktree", worktree)


@pytest.mark.usefixtures("_older")
def test_the_text_is_that_of_the_other_checkout() -> None:
    request = ["kawpow", 0, [509, 1021, 0], "opencl", "gpu", [3, 30]]
    first, second = against.sources_of("v1", request)
    assert (first.text, second.text) == ("older text of kawpow 1", "older text of kawpow 10")
    assert (first.entry, first.dialect, first.options) == ("search", "opencl", ("-x",))
    assert first.title == "t of v1"
    assert (first.subgroup_multiple, first.dynamic_bytes) == (1, 0), "its revision has neither"


@pytest.mark.usefixtures("_older")
def test_a_kernel_of_the_other_checkout_gets_its_shared_memory_at_launch() -> None:
    (source,) = against.sources_of("v1", ["kawpow", 0, None, "cuda", "gpu-hbm", [3]])
    assert (source.subgroup_multiple, source.dynamic_bytes) == (16, 98304)


def test_a_kernel_without_a_stop_word_takes_the_present_arguments_and_counts_groups() -> None:
    other = "INLINE void report(GLOBAL u32 *results)\n{\n}\n"
    older = other + "KERNEL search(u64 target,\n    GLOBAL u32 *results)\n{\n    work();\n}\n"
    present = against.with_stop_word(older)
    assert present == other + (
        "KERNEL search(u64 target,\n"
        "    GLOBAL u32 *results, GLOBAL const volatile u32 *stop, u32 launch)\n{\n"
        "    if (THREAD == 0u)\n        ATOMIC_INCREMENT(results + 1);\n    work();\n}\n"
    )
    assert against.with_stop_word(present) == present


def kernel(height: int, rate: float, turns: list[float]) -> Any:
    def rates(seconds: float, fewest: int) -> list[float]:
        turns.append(rate)
        return [rate, rate]

    return SimpleNamespace(job=SimpleNamespace(height=height), rates=rates)


def test_both_are_measured_in_every_round_in_changing_order() -> None:
    turns: list[float] = []
    pairs = [
        (kernel(1, 220, turns), kernel(1, 200, turns)),
        (kernel(2, 90, turns), kernel(2, 100, turns)),
    ]
    ratios = against.in_turns(pairs, rounds=8, seconds=1)
    assert ratios["1"].median == pytest.approx(1.1)
    assert ratios["2"].median == pytest.approx(0.9)
    assert 0.9 < ratios["all"].median < 1.1
    assert len(turns) == 8 * 4
    assert {tuple(turns[n : n + 2]) for n in range(0, 32, 4)} == {(220, 200), (200, 220)}


def test_an_unknown_revision_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(asked: object) -> int:
        raise subprocess.CalledProcessError(128, ["git"], stderr="hint\nfatal: invalid reference")

    monkeypatch.setattr(against, "measure", refused)
    assert against.main(["nosuch"]) == 3
    assert capsys.readouterr().err == ("'nosuch' generates no kernels: fatal: invalid reference\n")
