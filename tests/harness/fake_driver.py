"""Builds the fake CUDA driver and PyCUDA, for processes of their own."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from miner.resources import cache_directory
from tests.harness.build import CHECKOUT, cache, compiler, delete_unused, programs
from tests.harness.child import captured

HERE = Path(__file__).parent
CARDS = {
    "3080": "NVIDIA Fake 3080,8.6,64,0000:0A:00.0,00112233445566778899aabbccddeeff",
    "3080 too": "NVIDIA Fake 3080 too,8.6,64,0000:0b:00.0,10112233445566778899aabbccddeeff",
    "1080": "NVIDIA Fake 1080,6.1,32,0000:03:00.0,20112233445566778899aabbccddeeff",
    "h200": "NVIDIA Fake H200,9.0,64,0000:0c:00.0,50112233445566778899aabbccddeeff",
    "newer": "NVIDIA Fake 9090,13.1,64,0000:05:00.0,30112233445566778899aabbccddeeff",
    "older": "NVIDIA Fake 680,3.0,64,0000:06:00.0,40112233445566778899aabbccddeeff",
}
"""In the form of FAKE_CUDA_DEVICES; memory in MiB."""


def cards(*names: str) -> str:
    return ";".join(CARDS[name] for name in names)


def built(folder: Path, *, old: bool = False) -> Path:
    """Put libcuda.so.1 into `folder`, compiled once; return the folder."""
    command = compiler()
    assert command
    options = (
        "-O1", "-std=c++17", "-shared", "-fPIC", "-Wall", "-fvisibility=hidden",
        *(["-DOLD_DRIVER"] if old else []), "-Wl,-soname,libcuda.so.1",
    )  # fmt: skip
    digest = hashlib.sha256(repr((command, options)).encode())
    for name in ("fake_cuda.cpp", "fake_cuda_missing.h"):
        digest.update((HERE / name).read_bytes())
    library = programs() / f"libcuda-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        temporary = library.with_suffix(f".{os.getpid()}")
        subprocess.run(
            [*command, *options, str(HERE / "fake_cuda.cpp"), "-o", str(temporary), "-ldl"],
            check=True,
        )
        temporary.replace(library)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(library, folder / "libcuda.so.1")
    return folder


@lru_cache(maxsize=1)
def pycuda() -> Path | str:
    """Return the folder to import PyCUDA from, or why there is none.

    If it is not installed, the wheel is built once, as for rigs without a compiler.
    """
    if compiler() is None:
        return "none of g++, clang++ and the package ziglang is installed"
    spec = find_spec("pycuda")
    if spec is not None and spec.origin:
        return Path(spec.origin).parents[1]
    if shutil.which("g++") is None:
        return "neither PyCUDA nor g++, to build it with, is installed"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "neither PyCUDA nor Python.h, to build it with, is installed"
    try:
        return unpacked_wheel()
    except subprocess.CalledProcessError as error:
        return f"PyCUDA is not installed and cannot be built here: {error.stderr[-300:]!r}"


def unpacked_wheel() -> Path:
    """Return the folder with PyCUDA's unpacked wheel, built once for each Python and script."""
    script = CHECKOUT / "packaging/wheelhouse.py"
    digest = hashlib.sha256(script.read_bytes()).hexdigest()[:16]
    folder = cache() / f"pycuda-{sysconfig.get_config_var('SOABI')}-{digest}"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "pycuda").is_dir():
            out = folder.with_suffix(".wheels")
            captured(
                [
                    sys.executable, str(script), "--only-pycuda", "--out", str(out),
                ],
                check=True,
            )  # fmt: skip
            (wheel,) = out.glob("pycuda-*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder.with_suffix(".part"))
            folder.with_suffix(".part").rename(folder)
        os.utime(folder)
    delete_unused("pycuda-*")
    return folder


def environment(driver: Path, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a process with the fake cards."""
    place = pycuda()
    assert isinstance(place, Path), place
    dropped = ("CUDA_", "NVIDIA_", "FAKE_CUDA_", "PYTEST_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return {
        **kept,
        "LD_LIBRARY_PATH": f"{driver}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":"),
        "PYTHONPATH": f"{CHECKOUT}:{place}:{CHECKOUT}/tests/harness/child_site",
        "PYTHONFAULTHANDLER": "1",
        "PROGPOW_MINER_CACHE": str(folder / "cache"),
        "PROGPOW_TESTS_CACHE": str(cache()),
        # Compiled for the host: the same in all processes of all tests.
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR") or str(cache_directory() / "numba"),
        "FAKE_CUDA_DEVICES": CARDS["3080"],
        **more,
    }


def is_installed() -> bool:
    """Return whether PyCUDA is installed, not only built in the cache."""
    return find_spec("pycuda") is not None
