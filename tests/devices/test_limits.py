"""benchmarks/limits.py: its kernels compile for every card, and its arithmetic is right."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from miner.catalog import variants
from miner.devices.cuda.cuda_compilers import nvrtc
from miner.errors import BackendUnavailable
from tests.devices.test_nvrtc import WANTED

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import limits

CLOCK, UNITS = 1980e6, 132
"""Hz and multiprocessors of an H200, of which the model says 186 MH/s for KawPow."""


class Driver:
    """The part of PyCUDA that is used; a launch lasts as long as its kernel's cycles."""

    device_attribute = SimpleNamespace(
        MULTIPROCESSOR_COUNT="units", MAX_SHARED_MEMORY_PER_BLOCK_OPTIN="shared",
        MAX_THREADS_PER_MULTIPROCESSOR="threads",
    )  # fmt: skip
    function_attribute = SimpleNamespace(MAX_DYNAMIC_SHARED_SIZE_BYTES="shared")
    Error = RuntimeError

    def __init__(self, shared: int) -> None:
        self.shared, self.spent, self.cycles, self.open = shared, 0.0, 0.0, 0
        self.allocated: list[int] = []
        self.threads = 2048

    def Device(self, ordinal: int) -> Any:  # noqa: N802
        numbers = {"units": UNITS, "shared": self.shared, "threads": self.threads}
        return SimpleNamespace(
            get_attribute=numbers.__getitem__,
            compute_capability=lambda: (9, 0),
            make_context=self._context,
        )

    def _context(self) -> Any:
        self.open += 1
        return SimpleNamespace(pop=lambda: None, detach=self._detach)

    def _detach(self) -> None:
        self.open -= 1

    def Event(self) -> Any:  # noqa: N802
        return SimpleNamespace(
            record=lambda: None, synchronize=lambda: None, time_since=lambda _: self.spent * 1e3
        )

    def mem_get_info(self) -> tuple[int, int]:
        return 1 << 30, 1 << 31

    def mem_alloc(self, size: int) -> Any:
        self.allocated.append(size)
        return SimpleNamespace(free=lambda: self.allocated.remove(size))

    def memcpy_dtoh(self, to: np.ndarray[Any, Any], _: Any) -> None:
        to[:] = int(self.cycles)

    def module_from_buffer(self, name: bytes) -> Any:
        return SimpleNamespace(get_function=lambda entry: Function(self, name.decode(), entry))


class Function:
    def __init__(self, driver: Driver, name: str, entry: str) -> None:
        self.driver, self.name, self.entry, self.shared = driver, name, entry, 49152

    def set_attribute(self, what: str, value: int) -> None:
        assert what == "shared"
        assert value <= self.driver.shared
        self.shared = value

    def __call__(
        self, *arguments: Any, grid: tuple[int, int], block: tuple[int, int, int], shared: int = 0
    ) -> None:
        assert shared <= self.shared
        driver = self.driver
        if self.entry == "cache":  # 3.51 cycles for each of a group's 32 warps' reads
            driver.cycles = limits.STEPS * 4 * 32 * 3.51
            driver.spent = driver.cycles / CLOCK
        elif self.entry == "arithmetic":
            driver.cycles = limits.STEPS * 8 * 32 * 0.5
        elif self.entry == "rows":  # 4.3 TB/s
            driver.spent = grid[0] * block[0] / 16 * 256 * limits.STEPS / 4.3e12


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    fake = Driver(shared=128 << 10)
    info = SimpleNamespace(name="cuda:0", model="H200", driver="fake", units=UNITS)
    monkeypatch.setattr(limits, "driver", lambda: fake)
    monkeypatch.setattr(limits, "find_devices", lambda _: ([], []))
    monkeypatch.setattr(limits, "device_called", lambda *_: SimpleNamespace(info=info))
    monkeypatch.setattr(
        limits, "Builds", lambda _: SimpleNamespace(build=lambda source: source.title.encode())
    )
    return fake


def test_the_report_has_the_measured_limits(
    driver: Driver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "limits.json"
    assert limits.main(["cuda:0", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == report
    assert report["MHz"] == 1980
    assert report["cycles of a cache read"] == {"1": 3.51, "2": 3.51, "4": 3.51, "8": 3.51}
    assert set(report["cycles of an operation"].values()) == {0.5}
    assert {row["GB/s"] for row in report["rows"]} == {4300.0}
    assert [row["warps"] for row in report["rows"]] == list(limits.WARPS)
    assert driver.open == 0
    assert sorted(driver.allocated) == [4, 8 * UNITS], "the rows were freed"


def test_the_report_has_the_most_hashes_that_the_limits_allow(
    driver: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    limits.main(["cuda:0"])
    most = json.loads(capsys.readouterr().out)["MH/s at most"]
    assert set(most) == set(variants())
    assert most["kawpow"]["memory"] == pytest.approx(4300e3 / 16384, abs=0.1)
    assert most["kawpow"]["1 copies"] == pytest.approx(186, abs=2)
    assert most["meowpow"]["1 copies"] > most["kawpow"]["1 copies"] > most["progpowz"]["1 copies"]


def test_each_figure_is_printed_when_it_is_measured(
    driver: Driver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: limits.Card, name: str) -> float:
        raise BackendUnavailable("the card is lost")

    monkeypatch.setattr(limits.Card, "_arithmetic", stopped)
    assert limits.main(["cuda:0", "--figures"]) == 3
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    figures = {record["figure"]: record["value"] for record in records}
    assert figures.pop("rows read at random") == 4300.0
    assert figures.pop("clock") == pytest.approx(1980)
    assert list(figures) == [f"cycles of a cache read, copies: {n}" for n in limits.COPIES]


def test_a_card_with_little_shared_memory_is_measured_with_fewer_copies(
    driver: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    driver.shared = 99 << 10
    limits.main(["cuda:0"])
    assert set(json.loads(capsys.readouterr().out)["cycles of a cache read"]) == {"1", "2", "4"}


def test_a_card_with_few_threads_is_measured_with_fewer_warps(
    driver: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    driver.threads = 1024
    limits.main(["cuda:0"])
    assert [r["warps"] for r in json.loads(capsys.readouterr().out)["rows"]] == [8, 16, 24, 32]


def test_a_failed_allocation_leaves_no_context(
    driver: Driver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(size: int) -> None:
        raise RuntimeError("cuMemAlloc failed: out of memory")

    monkeypatch.setattr(driver, "mem_alloc", refused)
    monkeypatch.setattr(limits, "error_name", lambda error: "CUDA_ERROR_OUT_OF_MEMORY")
    assert limits.main(["cuda:0"]) == 3
    assert driver.open == 0
    assert "cuda:0: opening: out of memory" in capsys.readouterr().err


def test_an_unknown_device_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert limits.main(["cuda:99"]) == 3
    assert "cuda:99" in capsys.readouterr().err


@pytest.mark.parametrize("architecture", [WANTED[0], "sm_75", WANTED[-1]])
@pytest.mark.parametrize("name", limits.sources())
def test_every_kernel_compiles_without_spills(name: str, architecture: str) -> None:
    try:
        compiler = nvrtc()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    if architecture not in compiler.architectures:
        pytest.skip(f"{compiler.name} does not know {architecture}")
    cubin = compiler.compile(limits.sources()[name], architecture)
    assert cubin.spilled == 0
    assert cubin.warnings == ()
    assert cubin.registers * 32 * max(limits.WARPS) <= 65536, "so many threads must fit at once"
