"""The command `kernel` prints the exact source that is compiled."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource, dataset_source, search_source
from miner.codegen.launch_shape import SHAPES, shape_named
from miner.devices.cuda import cuda_compilers
from miner.devices.cuda.cuda_compilers import Cubin, CudaCompiler
from miner.errors import BackendUnavailable
from tests.cli.running import CHECKOUT, python, run, toy_file

KAWPOW = ("kernel", "-a", "kawpow", "--height", "1000")


def described(*arguments: str | Path) -> dict[str, Any]:
    ran = run(*arguments, "--json")
    assert (ran.code, ran.err) == (0, "")
    answer: dict[str, Any] = json.loads(ran.out)
    return answer


@pytest.mark.parametrize("dialect", ["opencl", "cuda"])
def test_both_kernels_are_those_that_the_miner_compiles(dialect: str) -> None:
    variant = variants()["kawpow"]
    epoch, shape = variant.epoch_at(1000), shape_named("gpu")
    search = run(*KAWPOW, "--dialect", dialect)
    assert (search.code, search.err) == (0, "")
    assert search.out == search_source(variant, 333, epoch, dialect, shape).text
    assert search.out == run(*KAWPOW, "--dialect", dialect, "--kernel", "search").out
    dataset = run(*KAWPOW, "--dialect", dialect, "--kernel", "dataset")
    assert dataset.out == dataset_source(epoch, dialect, shape).text
    assert dataset.out != search.out


def test_the_default_is_opencl_in_the_shape_gpu() -> None:
    assert run(*KAWPOW).out == run(*KAWPOW, "--dialect", "opencl", "--shape", "gpu").out


@pytest.mark.parametrize("name", variants())
def test_every_variant_has_its_own_source(name: str) -> None:
    texts = {
        run("kernel", "-a", name, "--height", "2000000", "--dialect", dialect).out
        for dialect in ("opencl", "cuda")
    }
    assert len(texts) == 2
    assert "" not in texts


@pytest.mark.parametrize("shape", [*SHAPES, "gpu/2", "gpu/4", "cpu/2"])
def test_the_shape_option(shape: str) -> None:
    answer = described(*KAWPOW, "--shape", shape)
    assert answer["shape"] == shape
    assert answer["source"] == run(*KAWPOW, "--shape", shape).out
    assert (answer["source"] == run(*KAWPOW).out) is (shape == "gpu")


def test_json_adds_hash_options_and_counts() -> None:
    answer = described(*KAWPOW)
    variant = variants()["kawpow"]
    source = search_source(variant, 333, variant.epoch_at(1000), "opencl", shape_named("gpu"))
    assert answer["sha256"] == source.sha256
    assert re.fullmatch("[0-9a-f]{64}", answer["sha256"])
    assert answer["options"] == list(source.options) == ["-cl-std=CL1.2"]
    counts = answer.pop("operations")
    assert counts["cache_reads"] == variant.cache_reads
    assert sum(counts["math"].values()) == variant.math_operations
    assert counts["dataset_bytes_per_hash"] == 64 * 256
    assert {key: answer[key] for key in ("variant", "height", "period", "epoch", "dialect")} == {
        "variant": "kawpow", "height": 1000, "period": 333, "epoch": 0, "dialect": "opencl",
    }  # fmt: skip
    assert (answer["kernel"], answer["shape"]) == ("search", "gpu")
    dataset = described(*KAWPOW, "--kernel", "dataset")
    assert dataset["kernel"] == "dataset"
    assert dataset["sha256"] != answer["sha256"]
    assert "operations" not in dataset


def test_the_hash_depends_on_period_epoch_and_dialect() -> None:
    def sha256(height: int, *more: str) -> str:
        text: str = described("kernel", "-a", "kawpow", "--height", str(height), *more)["sha256"]
        return text

    assert sha256(999) == sha256(1000) == sha256(1001)
    heights = {sha256(h) for h in (1000, 1002, 7500)} | {sha256(1000, "--dialect", "cuda")}
    assert len(heights) == 4
    dataset = ("--kernel", "dataset")
    assert sha256(1000, *dataset) == sha256(1002, *dataset) != sha256(7500, *dataset)


def test_the_device_option() -> None:
    answer = described(*KAWPOW, "--device", "ref")
    assert (answer["dialect"], answer["shape"]) == ("opencl", "cpu-1")
    assert answer["source"] == run(*KAWPOW, "--shape", "cpu-1").out
    ran = run(*KAWPOW, "--device", "ref", "--shape", "gpu")
    assert ran.code == 2
    assert "give --shape or --device, not both" in ran.err


def test_the_source_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    arguments = ("-m", "miner", *KAWPOW, "--dialect", "cuda")
    here, there = python(*arguments), python(*arguments, cwd=tmp_path)
    assert here.returncode == there.returncode == 0
    assert here.stdout == there.stdout != ""
    assert str(CHECKOUT) not in here.stdout
    names = re.findall(r'^#line \d+ "(.*)"$', here.stdout, re.MULTILINE)
    assert names
    assert not any(name.startswith("/") for name in names)


def test_a_variant_file(tmp_path: Path) -> None:
    path = toy_file(tmp_path)
    answer = described("kernel", "-a", path, "--height", "5")
    assert answer["variant"] == "toy"
    assert "4095" in answer["source"]


def test_compile_prints_the_resources() -> None:
    pytest.importorskip("nvidia.cuda_nvrtc", reason="needs the package nvidia-cuda-nvrtc-cu12")
    ran = run(
        "kernel", "-a", "kawpow", "--height", "1000", "--dialect", "cuda", "--compile", "sm_86"
    )
    assert ran.code == 0, ran.err
    assert re.search(r"^registers +64$", ran.out, re.MULTILINE)
    assert re.search(r"^spilled +0$", ran.out, re.MULTILINE)


class Toolkit(CudaCompiler):
    """Stands for the nvcc of an installed toolkit."""

    name = "nvcc 12.4"
    version = (12, 4)
    architectures = ("sm_75", "sm_86")

    def ptx(self, source: KernelSource, architecture: str) -> bytes:
        raise AssertionError("mining on sm_86 loads machine code")

    def _cubin(self, source: KernelSource, architecture: str, more: tuple[str, ...]) -> Cubin:
        return Cubin(b"code", 80, 0)


@pytest.fixture
def only_nvcc(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise BackendUnavailable("NVRTC is not installed")

    monkeypatch.setattr(cuda_compilers, "nvrtc", missing)
    monkeypatch.setattr(cuda_compilers, "nvcc", Toolkit)


COMPILE = (*KAWPOW, "--dialect", "cuda", "--compile")


@pytest.mark.usefixtures("only_nvcc")
def test_compile_uses_nvcc_without_nvrtc_as_mining_does() -> None:
    ran = run(*COMPILE, "sm_86")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == "compiler      nvcc 12.4"
    assert described(*COMPILE, "sm_86")["compiled"]["compiler"] == "nvcc 12.4"


@pytest.mark.usefixtures("only_nvcc")
def test_nvcc_too_names_the_architectures_that_it_supports() -> None:
    ran = run(*COMPILE, "sm_999")
    assert ran.code == 2
    assert "nvcc 12.4 does not support 'sm_999'; it supports sm_75, sm_86" in ran.err


def test_compile_needs_cuda_source() -> None:
    ran = run("kernel", "-a", "kawpow", "--height", "1000", "--compile", "sm_86")
    assert ran.code == 2
    assert "give --dialect cuda too" in ran.err
