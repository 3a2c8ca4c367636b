"""nvcc, the compiler of an installed CUDA toolkit, run as a command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from miner.codegen.kernel_source import KernelSource
from miner.devices.build_log import write_build_log
from miner.devices.cuda.cuda_compiler import Cubin, CudaCompiler, virtual
from miner.errors import BackendUnavailable, BuildFailed

BUILD_SECONDS = 120.0


class Nvcc(CudaCompiler):
    """The command `command`; raises `BackendUnavailable` when it does not report its version."""

    def __init__(self, command: str) -> None:
        self._command = command
        version = re.search(r"release (\d+)\.(\d+)", self._run("--version").stdout)
        if version is None:
            raise BackendUnavailable(f"{command} does not report its version")
        self.version = (int(version[1]), int(version[2]))
        self.name = f"nvcc {version[1]}.{version[2]}"
        found = re.findall(r"sm_(\d+)\b", self._run("--list-gpu-code").stdout)
        self.architectures = tuple(f"sm_{n}" for n in sorted({int(n) for n in found}))

    def ptx(self, source: KernelSource, architecture: str) -> bytes:
        """Return PTX, with the zero byte up to which the driver reads."""
        self.check(architecture)
        return self._built(source, ("--ptx", _for(virtual(architecture))))[0] + b"\0"

    def _cubin(self, source: KernelSource, architecture: str, more: tuple[str, ...]) -> Cubin:
        options = ("--cubin", _for(architecture), *more, "--ptxas-options=-v")
        return Cubin.reported(*self._built(source, options))

    def _built(self, source: KernelSource, options: tuple[str, ...]) -> tuple[bytes, str]:
        """Return (code, log)."""
        with tempfile.TemporaryDirectory(prefix="progpow-miner-") as folder:
            text, out = Path(folder) / "kernel.cu", Path(folder) / "kernel.out"
            text.write_text(source.text, encoding="utf-8")
            try:
                done = self._run(*options, *source.options, f"--output-file={out}", str(text))
            except subprocess.TimeoutExpired as error:
                reason = f"stopped after {BUILD_SECONDS:.0f} s"
                raise _failed(source, reason, f"nvcc: {reason}") from error
            log = done.stdout + done.stderr
            if done.returncode or not out.exists():
                raise _failed(source, f"exit code {done.returncode}", log)
            return out.read_bytes(), log

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._command, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=BUILD_SECONDS,
            check=False,
        )


def _for(architecture: str) -> str:
    return f"--gpu-architecture={architecture}"


def _failed(source: KernelSource, reason: str, log: str) -> BuildFailed:
    path = write_build_log(source, log)
    return BuildFailed(f"{source.title} does not compile (nvcc: {reason}); log and source: {path}")


@lru_cache(maxsize=1)
def nvcc() -> Nvcc:
    """Return the nvcc of `CUDA_HOME`, `CUDA_PATH`, `PATH` or /usr/local/cuda, the first one that
    exists; raises `BackendUnavailable`."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    places = [f"{home}/bin" for home in homes if home]
    places += [os.environ.get("PATH", os.defpath), "/usr/local/cuda/bin"]
    command = shutil.which("nvcc", path=os.pathsep.join(places))
    if command is None:
        raise BackendUnavailable("nvcc is not installed")
    try:
        return Nvcc(command)
    except (OSError, subprocess.SubprocessError) as error:
        raise BackendUnavailable(f"{command} does not run: {error}") from error
