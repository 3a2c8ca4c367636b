"""PyCUDA on a played driver: what that needs is built here, and used in a process of its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from tests.harness.build import compiler

CHECKOUT = Path(__file__).parents[2]
CARDS = {
    "3080": "NVIDIA Played 3080,8.6,64,0000:0A:00.0,00112233445566778899aabbccddeeff",
    "3080 too": "NVIDIA Played 3080 too,8.6,64,0000:0b:00.0,10112233445566778899aabbccddeeff",
    "1080": "NVIDIA Played 1080,6.1,32,0000:03:00.0,20112233445566778899aabbccddeeff",
    "newer": "NVIDIA Played 9090,13.1,64,0000:05:00.0,30112233445566778899aabbccddeeff",
    "older": "NVIDIA Played 680,3.0,64,0000:06:00.0,40112233445566778899aabbccddeeff",
}
"""As FAKE_CUDA_DEVICES wants them; memory is MiB."""


def cards(*names: str) -> str:
    return ";".join(CARDS[name] for name in names)


@lru_cache(maxsize=1)
def cache() -> Path:
    """A folder that outlives the run, for what takes minutes to build."""
    own = os.environ.get("PROGPOW_MINER_TEST_CACHE")
    folder = Path(own) if own else CHECKOUT / ".pytest_cache" / "progpow-miner"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def played_driver(folder: Path, *, old: bool = False) -> Path:
    """Build libcuda.so.1 into `folder`; return the folder."""
    command = compiler()
    assert command
    folder.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).parent
    subprocess.run(
        [
            *command, "-O1", "-std=c++17", "-shared", "-fPIC", "-Wall", "-fvisibility=hidden",
            *(["-DOLD_DRIVER"] if old else []), "-Wl,-soname,libcuda.so.1",
            str(here / "fake_cuda.cpp"), "-o", str(folder / "libcuda.so.1"), "-ldl",
        ],
        check=True,
    )  # fmt: skip
    return folder


@lru_cache(maxsize=1)
def pycuda() -> Path | str:
    """The folder that PyCUDA is imported from, or why there is none.

    Where it is not installed, the wheel is built once, as for rigs without a compiler.
    """
    if compiler() is None:
        return "needs g++, clang++ or the package ziglang, found none of them"
    spec = find_spec("pycuda")
    if spec is not None and spec.origin:
        return Path(spec.origin).parents[1]
    if shutil.which("g++") is None:
        return "PyCUDA is not installed, and there is no g++ to build it with"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "PyCUDA is not installed, and there is no Python.h to build it with"
    try:
        return unpacked_wheel()
    except subprocess.CalledProcessError as error:
        return f"PyCUDA is not installed, and cannot be built here: {error.stderr[-300:]!r}"


def unpacked_wheel() -> Path:
    """Return the folder with PyCUDA's wheel unpacked; built once for each Python, by one of the
    processes that want it."""
    folder = cache() / f"pycuda-{sysconfig.get_config_var('SOABI')}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "pycuda").is_dir():
            out = folder.with_suffix(".wheels")
            subprocess.run(
                [
                    sys.executable, str(CHECKOUT / "packaging/wheelhouse.py"), "--only-pycuda",
                    "--out", str(out),
                ],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            (wheel,) = out.glob("pycuda-*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder.with_suffix(".part"))
            folder.with_suffix(".part").rename(folder)
    return folder


def environment(driver: Path, folder: Path, **more: str) -> dict[str, str]:
    """The environment of a process that sees the played cards."""
    place = pycuda()
    assert isinstance(place, Path), place
    dropped = ("CUDA_", "NVIDIA_", "FAKE_CUDA_", "PYTEST_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return {
        **kept,
        "LD_LIBRARY_PATH": f"{driver}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":"),
        "PYTHONPATH": f"{CHECKOUT}:{place}",
        "PYTHONFAULTHANDLER": "1",
        "PROGPOW_MINER_CACHE": str(folder / "cache"),
        "PLAYED_KERNELS": str(folder / "kernels"),
        "FAKE_CUDA_DEVICES": CARDS["3080"],
        **more,
    }


def is_installed() -> bool:
    """Tell whether PyCUDA lies beside the miner, and not in the cache."""
    return find_spec("pycuda") is not None
