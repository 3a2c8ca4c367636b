"""Compilers, their targets, and when they are called."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource, dataset_source
from miner.codegen.launch_shape import shape_named
from miner.devices.cuda import cuda_builds, cuda_compilers
from miner.devices.cuda.cuda_builds import Builds, CubinCache, Target, target_of
from miner.devices.cuda.cuda_compilers import (
    MISSING,
    Cubin,
    CudaCompiler,
    Nvcc,
    cuda_compiler,
    nvcc,
)
from miner.errors import BackendUnavailable, BuildFailed

KAWPOW = variants()["kawpow"]
SOURCE = dataset_source(KAWPOW.epoch_at(0), "cuda", shape_named("gpu"))


@dataclass
class NamedCompiler(CudaCompiler):
    """A compiler whose output is its own name and the target."""

    name: str = "NVRTC 12.9"
    version: tuple[int, int] = (12, 9)
    architectures: tuple[str, ...] = ("sm_50", "sm_61", "sm_86", "sm_90", "sm_100", "sm_121")
    asked: list[str] = field(default_factory=list)

    def _cubin(self, source: KernelSource, architecture: str, more: tuple[str, ...]) -> Cubin:
        self.asked.append(architecture)
        return Cubin(f"{self.name} {architecture}".encode(), 64, 0)

    def ptx(self, source: KernelSource, architecture: str) -> bytes:
        self.asked.append(f"ptx {architecture}")
        return f"{self.name} ptx {architecture}".encode()


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> NamedCompiler:
    one = NamedCompiler()
    monkeypatch.setattr(cuda_compilers, "nvrtc", lambda: one)
    monkeypatch.setattr(cuda_builds, "cuda_version", lambda: (12, 4))
    monkeypatch.setattr(cuda_builds, "driver_text", lambda: "driver 550.54.14 (CUDA 12.4)")
    return one


@pytest.mark.parametrize(
    ("capability", "target"),
    [
        ((5, 0), Target("sm_50")),
        ((6, 1), Target("sm_61")),
        ((8, 6), Target("sm_86")),
        ((10, 0), Target("sm_100")),
        ((12, 1), Target("sm_121")),
        ((13, 0), Target("sm_121", is_ptx=True)),
        ((9, 9), Target("sm_90", is_ptx=True)),
        ((5, 2), Target("sm_50", is_ptx=True)),
    ],
)
def test_a_card_gets_its_own_code_or_ptx_of_an_older_architecture(
    capability: tuple[int, int], target: Target
) -> None:
    assert target_of(capability, NamedCompiler()) == target


def test_a_card_too_old_for_the_compiler_is_explained() -> None:
    newer = NamedCompiler("NVRTC 13.0", (13, 0), ("sm_75", "sm_120"))
    with pytest.raises(
        BackendUnavailable, match=r"^NVRTC 13\.0 compiles .* sm_61: pip install nvidia"
    ):
        target_of((6, 1), newer)


def test_a_cached_program_is_not_compiled_again(named: NamedCompiler, tmp_path: Path) -> None:
    for _ in range(2):
        builds = Builds((8, 6), CubinCache(tmp_path))
        assert builds.build(SOURCE) == b"NVRTC 12.9 sm_86"
    assert named.asked == ["sm_86"]


def test_the_cache_key_has_architecture_text_options_and_compiler(
    named: NamedCompiler, tmp_path: Path
) -> None:
    cache = CubinCache(tmp_path)
    Builds((8, 6), cache).build(SOURCE)
    Builds((6, 1), cache).build(SOURCE)
    Builds((8, 6), cache).build(replace(SOURCE, text=SOURCE.text + "\n"))
    Builds((8, 6), cache).build(replace(SOURCE, options=("--std=c++20",)))
    named.name = "NVRTC 12.8"
    assert Builds((8, 6), cache).build(SOURCE) == b"NVRTC 12.8 sm_86"
    assert named.asked == ["sm_86", "sm_61", "sm_86", "sm_86", "sm_86"]
    assert len(list(tmp_path.iterdir())) == 5


def test_ptx_for_a_newer_card_is_noted_once(
    named: NamedCompiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    builds = Builds((13, 0))
    assert builds.build(SOURCE) == b"NVRTC 12.9 ptx sm_121"
    builds.build(replace(SOURCE, text="another"))
    assert named.asked == ["ptx sm_121", "ptx sm_121"]
    (log,) = (tmp_path / "build-logs").iterdir()
    assert "The card (sm_130) is newer than NVRTC 12.9, whose newest architecture is sm_121" in (
        log.read_text()
    )


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ((13, 0), "NVRTC 13.0: install driver 580 or newer, or nvidia-cuda-nvrtc-cu12"),
        ((14, 1), "NVRTC 14.1: install a driver for CUDA 14, or nvidia-cuda-nvrtc-cu12"),
    ],
)
def test_a_compiler_newer_than_the_driver_is_refused(
    named: NamedCompiler, version: tuple[int, int], text: str, tmp_path: Path
) -> None:
    named.version, named.name = version, f"NVRTC {version[0]}.{version[1]}"
    with pytest.raises(BackendUnavailable) as caught:
        Builds((8, 6), CubinCache(tmp_path)).build(SOURCE)
    assert str(caught.value) == f"driver 550.54.14 (CUDA 12.4) is older than {text}"


NVCC = """#!/bin/sh
case "$*" in
  --version) echo "Cuda compilation tools, release 12.4, V12.4.131" ;;
  --list-gpu-code) printf 'sm_50\\nsm_86\\nsm_90\\nsm_90a\\n' ;;
  *"--ptx "*) echo "$*" > "$NVCC_CALLS"; printf '.visible .entry dataset(' > "$(out "$@")" ;;
  *)
    echo "$*" >> "$NVCC_CALLS"
    for word; do case "$word" in --output-file=*) out=${word#*=} ;; esac; last=$word; done
    if grep -q 'not C' "$last"; then echo "error: this is not C" >&2; exit 2; fi
    echo "ptxas info : Used 80 registers" >&2
    case "$*" in
      *ROOMIER*) code=roomy bytes=0 ;;
      *) code=tight bytes=8 ;;
    esac
    echo "$bytes bytes spill stores, $bytes bytes spill loads" >&2
    printf $code > "$out" ;;
esac
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shell script with the output of nvcc."""
    text = NVCC.replace(
        '$(out "$@")', '$(for w; do echo "${w#--output-file=}"; done | tail -2 | head -1)'
    )
    path = tmp_path / "toolkit" / "bin" / "nvcc"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o755)
    monkeypatch.setenv("NVCC_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("CUDA_HOME", str(path.parents[1]))
    nvcc.cache_clear()
    return path


def test_without_nvrtc_nvcc_is_used(
    command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise BackendUnavailable(MISSING)

    monkeypatch.setattr(cuda_compilers, "nvrtc", missing)
    found = cuda_compiler()
    assert isinstance(found, Nvcc)
    assert (found.name, found.version) == ("nvcc 12.4", (12, 4))
    assert found.architectures == ("sm_50", "sm_86", "sm_90")
    nvcc.cache_clear()


def test_nvcc_compiles_again_with_more_registers_when_they_spill(
    command: Path, tmp_path: Path
) -> None:
    cubin = Nvcc(str(command)).compile(SOURCE, "sm_86")
    assert cubin == Cubin(b"roomy", 80, 0)
    first, second = (tmp_path / "calls").read_text().splitlines()
    assert "--cubin --gpu-architecture=sm_86 --ptxas-options=-v --std=c++17" in first
    assert "--define-macro=ROOMIER" in second


def test_nvcc_compiles_to_ptx(command: Path, tmp_path: Path) -> None:
    assert Nvcc(str(command)).ptx(SOURCE, "sm_90") == b".visible .entry dataset(\0"
    assert "--ptx --gpu-architecture=compute_90" in (tmp_path / "calls").read_text()


def test_a_failed_build_by_nvcc_names_the_log(
    command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    with pytest.raises(BuildFailed, match=r"does not compile \(nvcc: exit code 2\)") as caught:
        Nvcc(str(command)).compile(replace(SOURCE, text="this is not C"), "sm_86")
    (log,) = (tmp_path / "build-logs").iterdir()
    assert str(caught.value).endswith(str(log))
    assert "error: this is not C" in log.read_text()


def test_a_build_by_nvcc_without_a_folder_for_temporary_files_fails(
    command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = Nvcc(str(command))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(BuildFailed, match=r"nvcc: No such file or directory\)"):
        compiler.compile(SOURCE, "sm_86")


def test_a_command_that_is_not_nvcc_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin/nvcc"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho hello\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", os.defpath)
    nvcc.cache_clear()
    with pytest.raises(BackendUnavailable, match="does not report its version"):
        nvcc()
    nvcc.cache_clear()


def test_without_any_compiler_nvrtc_is_suggested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing() -> None:
        raise BackendUnavailable(MISSING)

    monkeypatch.setattr(cuda_compilers, "nvrtc", missing)
    monkeypatch.setattr(cuda_compilers.shutil, "which", lambda *_, **__: None)
    nvcc.cache_clear()
    with pytest.raises(BackendUnavailable, match=r"^NVRTC, .*pip install nvidia-cuda-nvrtc-cu12$"):
        cuda_compiler()


def test_the_installed_nvcc_compiles() -> None:
    nvcc.cache_clear()
    try:
        found = nvcc()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    one = next(name for name in found.architectures if int(name[3:]) >= 75)
    cubin = found.compile(SOURCE, one)
    assert cubin.code[:4] == b"\x7fELF"
    assert 0 < cubin.registers <= 255
    assert cubin.spilled == 0
    assert b".entry dataset(" in found.ptx(SOURCE, one)
