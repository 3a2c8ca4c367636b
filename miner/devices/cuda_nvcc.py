"""The CUDA toolkit's compiler as a command, where NVRTC is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from miner.codegen.source import Source
from miner.devices.buildlog import write_build_log
from miner.devices.nvrtc import ROOMIER, Cubin
from miner.errors import BackendUnavailable, BuildFailed

BUILD_SECONDS = 120.0


class Nvcc:
    """A command that compiles; any thread may call it, several at a time."""

    def __init__(self, command: str) -> None:
        self._command = command
        said = self._run("--version").stdout
        version = re.search(r"release (\d+)\.(\d+)", said)
        if version is None:
            raise BackendUnavailable(f"{command} does not say its version")
        self.version = (int(version[1]), int(version[2]))
        self.name = f"nvcc {version[1]}.{version[2]}"
        found = re.findall(r"sm_(\d+)\b", self._run("--list-gpu-code").stdout)
        self.architectures = tuple(f"sm_{n}" for n in sorted({int(n) for n in found}))
        """What it makes machine code for, older ones first."""

    def compile(self, source: Source, architecture: str) -> Cubin:
        """Return `source` as machine code, as `Nvrtc.compile` does; raises `BuildFailed`."""
        cubin = self._cubin(source, architecture, ())
        if cubin.spilled:
            roomier = self._cubin(source, architecture, ROOMIER)
            cubin = min(cubin, roomier, key=lambda made: made.spilled)
        return cubin

    def ptx(self, source: Source, architecture: str) -> bytes:
        """Return `source` as text for the driver's own compiler; raises `BuildFailed`."""
        virtual = architecture.replace("sm_", "compute_")
        # The driver reads up to a zero byte.
        return self._made(source, ("--ptx", f"--gpu-architecture={virtual}"))[0] + b"\0"

    def _cubin(self, source: Source, architecture: str, more: tuple[str, ...]) -> Cubin:
        options = ("--cubin", f"--gpu-architecture={architecture}", *more, "--ptxas-options=-v")
        code, log = self._made(source, options)
        registers = re.search(r"Used (\d+) registers", log)
        spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", log)
        return Cubin(code, int(registers[1]) if registers else 0, sum(map(int, spills)))

    def _made(self, source: Source, options: tuple[str, ...]) -> tuple[bytes, str]:
        with tempfile.TemporaryDirectory(prefix="progpow-miner-") as folder:
            text, out = Path(folder) / "kernel.cu", Path(folder) / "kernel.out"
            text.write_text(source.text, encoding="utf-8")
            given = [*options, *source.options, f"--output-file={out}", str(text)]
            try:
                done = self._run(*given)
            except subprocess.TimeoutExpired as error:
                path = write_build_log(source, f"nvcc was stopped after {BUILD_SECONDS:.0f} s")
                raise BuildFailed(
                    f"{source.title} does not compile (nvcc: not within {BUILD_SECONDS:.0f} s); "
                    f"log and source: {path}"
                ) from error
            log = done.stdout + done.stderr
            if done.returncode or not out.exists():
                path = write_build_log(source, log)
                raise BuildFailed(
                    f"{source.title} does not compile (nvcc: exit code {done.returncode}); "
                    f"log and source: {path}"
                )
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


@lru_cache(maxsize=1)
def nvcc() -> Nvcc:
    """Return the command of `CUDA_HOME`, else of the path; raises `BackendUnavailable`."""
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
