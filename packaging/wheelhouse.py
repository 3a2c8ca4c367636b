"""Builds a wheelhouse, from which a rig with an NVIDIA driver but without a compiler installs.

    python packaging/wheelhouse.py --out wheelhouse

PyCUDA is built from PyPI's source with g++, against the headers of CUDA 12.4 from NVIDIA's
packages, so that it also works with drivers of that time. All other wheels are from PyPI, in the
versions of packaging/constraints.txt. The build needs neither a CUDA toolkit nor a driver. The
wheels are for the running Python version; PyCUDA's needs a C library at least as new as this
machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence, Set
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
CONSTRAINTS = HERE / "constraints.txt"

PYCUDA = "2026.1"
TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"

HEADERS = ("nvidia-cuda-runtime-cu12==12.4.127", "nvidia-cuda-profiler-api-cu12==12.4.127")
"""With newer headers PyCUDA calls functions that older drivers do not have."""

DEFAULTS = """\
CUDA_ROOT = {root!r}
CUDA_INC_DIR = [{root!r} + "/include"]
CUDA_ENABLE_CURAND = False
CUDADRV_LIB_DIR = [{root!r} + "/stub"]
CUDART_LIB_DIR = [{root!r} + "/stub"]
CXXFLAGS = ["-g0"]
"""
"""Configuration of PyCUDA's build: no cuRAND, and no debug information, which would be nine tenths
of the wheel and name local folders."""


class WheelhouseError(Exception):
    """A tool is missing or a build failed; the message names it."""


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return an exit code."""
    parser = argparse.ArgumentParser(
        prog="wheelhouse.py", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--out", type=Path, default=CHECKOUT / "dist/wheelhouse", help="output folder"
    )
    parser.add_argument("--only-pycuda", action="store_true", help="build only PyCUDA's wheel")
    parser.add_argument(
        "--without", nargs="+", default=[], metavar="NAME",
        help="packages that the rig has already, such as numba or numpy",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    out: Path = given.out.resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not list(out.glob(f"pycuda-{PYCUDA}-{TAG}-*.whl")):
            build_pycuda(out)
        if not given.only_pycuda:
            collect(out, {normalized(name) for name in given.without})
    except WheelhouseError as error:
        print(f"wheelhouse.py: {error}", file=sys.stderr)
        return 1
    for wheel in sorted(out.glob("*.whl")):
        print(wheel)
    if not given.only_pycuda:
        what = f"--no-deps {out.name}/*.whl" if given.without else (
            f"--find-links {out.name} 'progpow-miner[cuda,opencl]'"
        )  # fmt: skip
        print(f"\nOn the rig:\n  pip install --no-index {what}")
    return 0


def build_pycuda(out: Path) -> None:
    """Build PyCUDA's wheel in `out`; this takes about 90 s on two cores."""
    for tool, package in (("gcc", "gcc"), ("g++", "g++")):
        if shutil.which(tool) is None:
            raise WheelhouseError(f"{tool} is missing: install it (Debian and Ubuntu: {package})")
    with tempfile.TemporaryDirectory(prefix="pycuda-") as folder:
        work = Path(folder).resolve()
        for name in ("home", "stub", "include"):
            (work / name).mkdir()
        pip("install", "--no-deps", "--target", str(work / "headers"), *HEADERS)
        for include in (work / "headers/nvidia").glob("*/include"):
            shutil.copytree(include, work / "include", dirs_exist_ok=True)
        stub(work / "stub")
        defaults = DEFAULTS.format(root=str(work))
        (work / "home/.aksetup-defaults.py").write_text(defaults, encoding="utf-8")
        # A separate home and no cache, so that no wheel built against other headers is used.
        pip(
            "wheel", "--no-deps", "--no-binary", "pycuda", "--no-cache-dir", "--wheel-dir",
            str(work / "made"), f"pycuda=={PYCUDA}",
            home=work / "home",
        )  # fmt: skip
        for wheel in (work / "made").glob("pycuda-*.whl"):
            shutil.copy(wheel, out)


def stub(folder: Path) -> None:
    """Build a stub of the library that PyCUDA is linked with, which is part of the driver."""
    empty = folder / "empty.c"
    empty.write_text("", encoding="utf-8")
    run(["gcc", "-shared", str(empty), "-o", str(folder / "libcuda.so"),
         "-Wl,-soname,libcuda.so.1"])  # fmt: skip


def collect(out: Path, without: Set[str] = frozenset()) -> None:
    """Add the miner's wheel and its dependencies, including NVRTC, to `out`, but not the packages
    `without`."""
    for old in out.glob("progpow_miner-*.whl"):
        old.unlink()
    pip("wheel", "--no-deps", "--wheel-dir", str(out), str(CHECKOUT))
    (miner,) = out.glob("progpow_miner-*.whl")
    source = ("--find-links", str(out), "--prefer-binary", "--only-binary", ":all:")
    wanted = ("--constraint", str(CONSTRAINTS), f"{miner}[cuda,opencl]", f"pycuda=={PYCUDA}")
    if not without:
        pip("download", "--dest", str(out), *source, *wanted)
        return
    with tempfile.TemporaryDirectory(prefix="wheelhouse-") as folder:
        report = Path(folder) / "report.json"
        pip("install", "--dry-run", "--ignore-installed", "--report", str(report), *source, *wanted)
        found = [one["metadata"] for one in json.loads(report.read_text("utf-8"))["install"]]
    kept = [f"{one['name']}=={one['version']}" for one in found
            if normalized(one["name"]) not in {*without, "progpow-miner"}]  # fmt: skip
    pip("download", "--dest", str(out), "--no-deps", *source, *kept)
    if "progpow-miner" in without:
        miner.unlink()


def normalized(name: str) -> str:
    """Return the name of a package as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pip(*arguments: str, home: Path | None = None) -> None:
    """Run this Python's pip."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    if home is not None:
        environment.setdefault("XDG_CONFIG_HOME", str(Path.home() / ".config"))  # pip's settings
        environment["HOME"] = str(home)
    run([sys.executable, "-m", "pip", *arguments, "--quiet"], environment)


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Run `command`; raises `WheelhouseError` with the end of its output."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stdout + done.stderr)[-3000:]
        raise WheelhouseError(f"{' '.join(command[:6])} … failed:\n{output}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
