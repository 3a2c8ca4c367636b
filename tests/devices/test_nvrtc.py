"""The CUDA text of every variant, compiled by NVIDIA's own compiler, which needs no GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource, dataset_source, search_source
from miner.codegen.launch_shape import shape_named
from miner.devices.cuda.cuda_compilers import Nvrtc, nvrtc
from miner.errors import BackendUnavailable, BadValue, BuildFailed
from tests.codegen.toys import NAMES

WANTED = ("sm_61", "sm_70", "sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")

REGISTERS = dict.fromkeys(NAMES, 64) | {
    "meowpow": 59, "progpow-0.9.2": 80, "progpow-sero": 80, "progpowz": 78, "telestai": 80,
    "oggpow": 80,
}  # fmt: skip
"""Most registers of a search kernel's thread: the maximum over eight periods with NVRTC 12.9."""


@pytest.fixture(scope="module")
def compiler() -> Nvrtc:
    try:
        return nvrtc()
    except BackendUnavailable as error:
        pytest.skip(str(error))


def search(name: str, period: int = 7) -> KernelSource:
    variant = variants()[name]
    height = variant.period * period
    gpu = shape_named("gpu")
    return search_source(variant, variant.period_at(height), variant.epoch_at(height), "cuda", gpu)


def dataset(name: str) -> KernelSource:
    return dataset_source(variants()[name].epoch_at(0), "cuda", shape_named("gpu"))


@pytest.mark.parametrize("architecture", WANTED)
@pytest.mark.parametrize("name", NAMES)
def test_a_search_compiles_within_its_registers(
    compiler: Nvrtc, name: str, architecture: str
) -> None:
    if architecture not in compiler.architectures:
        pytest.skip(f"NVRTC {compiler.version} does not know {architecture}")
    cubin = compiler.compile(search(name), architecture)
    assert cubin.code[:4] == b"\x7fELF"
    assert cubin.registers <= REGISTERS[name]
    assert cubin.spilled == 0
    assert cubin.warnings == ()
    assert cubin.registers * 256 <= 65536, "a group of 256 threads must fit"


@pytest.mark.parametrize("architecture", WANTED)
def test_a_dataset_kernel_compiles_without_spills(compiler: Nvrtc, architecture: str) -> None:
    if architecture not in compiler.architectures:
        pytest.skip(f"NVRTC {compiler.version} does not know {architecture}")
    cubin = compiler.compile(dataset("kawpow"), architecture)
    assert cubin.spilled == 0
    assert cubin.warnings == ()
    assert cubin.registers * 256 <= 65536


@pytest.mark.parametrize("source", [search("kawpow"), dataset("kawpow")], ids=["search", "dataset"])
def test_ptx_names_its_kernel_and_its_architecture(compiler: Nvrtc, source: KernelSource) -> None:
    text = compiler.ptx(source, "sm_75")
    assert text.endswith(b"\0"), "the driver reads up to a zero byte"
    assert b".target sm_75" in text
    assert f".visible .entry {source.entry}(".encode() in text
    with pytest.raises(BadValue, match="sm_1"):
        compiler.ptx(source, "sm_1")


def test_an_unknown_architecture_is_refused_with_the_known_architectures(compiler: Nvrtc) -> None:
    with pytest.raises(BadValue, match=r"does not support 'sm_1'; it supports .*sm_86"):
        compiler.compile(dataset("kawpow"), "sm_1")


def test_a_failed_build_names_its_log(
    compiler: Nvrtc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    broken = replace(dataset("kawpow"), text="this is not C\n")
    with pytest.raises(BuildFailed, match="NVRTC_ERROR_COMPILATION") as caught:
        compiler.compile(broken, "sm_86")
    (log,) = (tmp_path / "build-logs").glob("*.log")
    assert str(log) in str(caught.value)
    assert "this is not C" in log.read_text()


def test_a_text_without_its_kernel_is_refused(
    compiler: Nvrtc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    with pytest.raises(BuildFailed, match="has no kernel 'search'"):
        compiler.compile(replace(search("kawpow"), text="__device__ int nothing;\n"), "sm_86")


def test_warnings_are_returned(compiler: Nvrtc) -> None:
    source = dataset("kawpow")
    text = source.text + "\n__device__ void unused() { int idle; }\n"
    cubin = compiler.compile(replace(source, text=text), "sm_86")
    assert any("idle" in warning for warning in cubin.warnings)


def test_nvrtc_12_is_tried_before_13(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """13 does not support the GTX 10 series."""
    tried: list[str] = []

    def load(path: str) -> None:
        tried.append(Path(path).name)
        raise OSError

    package = tmp_path / "cu13" / "lib"
    package.mkdir(parents=True)
    for name in ("libnvrtc.so.13", "libnvrtc-builtins.so.13.0"):
        (package / name).touch()
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    compilers = "miner.devices.cuda.cuda_compilers"
    monkeypatch.setattr(f"{compilers}.importlib.util.find_spec", lambda _: spec)
    monkeypatch.setattr(f"{compilers}.ctypes.CDLL", load)
    nvrtc.cache_clear()
    with pytest.raises(BackendUnavailable):
        nvrtc()
    nvrtc.cache_clear()
    assert tried == [
        "libnvrtc.so.12", "libnvrtc-builtins.so.13.0", "libnvrtc.so.13", "libnvrtc.so",
    ]  # fmt: skip


@pytest.mark.parametrize("shape", ["gpu/2", "gpu/4", "gpu-128"])
@pytest.mark.parametrize("name", ["kawpow", "progpow-0.9.2"])
def test_no_launch_shape_spills_registers(compiler: Nvrtc, name: str, shape: str) -> None:
    variant = variants()[name]
    source = search_source(variant, 7, variant.epoch_at(0), "cuda", shape_named(shape))
    cubin = compiler.compile(source, "sm_86")
    assert cubin.spilled == 0
    assert cubin.registers * 256 <= 65536, "a group of 256 threads must fit"


def test_a_missing_compiler_is_reported_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvrtc.cache_clear()
    monkeypatch.setattr("miner.devices.cuda.cuda_compilers._from_packages", lambda name: [])
    monkeypatch.setattr("miner.devices.cuda.cuda_compilers.LIBRARIES", ("libnothing.so",))
    with pytest.raises(BackendUnavailable, match="pip install nvidia-cuda-nvrtc-cu12"):
        nvrtc()
    nvrtc.cache_clear()
