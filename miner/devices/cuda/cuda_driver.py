"""NVIDIA's driver reached through PyCUDA, with a sentence for whatever is missing."""

from __future__ import annotations

import ctypes
import os
import re
import warnings
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from miner.errors import BackendUnavailable, DeviceError, OutOfMemory

LIBRARY = "libcuda.so.1"
RELEASE = Path("/proc/driver/nvidia/version")

CARDS = Path("/proc/driver/nvidia/gpus")
"""Has a folder for each card that the kernel's module drives."""

NO_PACKAGE = (
    "PyCUDA is not installed: it is not on PyPI ready-made; docs/cuda.md says how it is built "
    "with a C++ compiler, here or on another machine"
)
NO_DRIVER = (
    f"no NVIDIA driver: {LIBRARY} is not found; install NVIDIA's driver, 525 or newer (in a "
    "container: start it with the GPUs, as in --gpus all)"
)

_AT_START = {
    "CUDA_ERROR_NO_DEVICE": "no CUDA device is there; see whether nvidia-smi lists one",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": (
        "the driver's library and its kernel module are of different versions; reboot"
    ),
    "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE": (
        "CUDA's compatibility library does not support this card; take it out of the library path"
    ),
    "CUDA_ERROR_UNKNOWN": (
        "the kernel module does not answer; see whether nvidia-smi works, load nvidia_uvm, or "
        "reboot"
    ),
}
"""What a failed start means, by the driver's name for it."""

_OVERCLOCK = "it is opened again; should it come back, lower the card's memory clock"
_FELL_OFF = (
    "look for an Xid in the kernel's log; a card that fell off the bus needs a reboot, and often "
    "a look at riser and power"
)
_ADVICE = {
    "CUDA_ERROR_ILLEGAL_ADDRESS": _OVERCLOCK,
    "CUDA_ERROR_ILLEGAL_INSTRUCTION": _OVERCLOCK,
    "CUDA_ERROR_MISALIGNED_ADDRESS": _OVERCLOCK,
    "CUDA_ERROR_INVALID_PC": _OVERCLOCK,
    "CUDA_ERROR_HARDWARE_STACK_ERROR": _OVERCLOCK,
    "CUDA_ERROR_LAUNCH_FAILED": _OVERCLOCK,
    "CUDA_ERROR_LAUNCH_TIMEOUT": (
        "the driver stops what keeps a card with a screen busy; set a shorter launch_seconds"
    ),
    "CUDA_ERROR_ECC_UNCORRECTABLE": (
        "the card's memory gave a wrong value; nvidia-smi -q -d ECC shows how many"
    ),
    "CUDA_ERROR_UNKNOWN": _FELL_OFF,
    "CUDA_ERROR_NO_DEVICE": _FELL_OFF,
    "CUDA_ERROR_INVALID_DEVICE": _FELL_OFF,
    "CUDA_ERROR_INVALID_ADDRESS_SPACE": _OVERCLOCK,
    "CUDA_ERROR_OPERATING_SYSTEM": (
        "the driver was refused by the system; see the kernel's log, and the limits of a container"
    ),
    "CUDA_ERROR_JIT_COMPILER_NOT_FOUND": (
        "the card is newer than NVRTC, so the driver must compile, and its part for that "
        "(libnvidia-ptxjitcompiler) is not installed; install it, or a newer NVRTC"
    ),
    "CUDA_ERROR_DEVICE_UNAVAILABLE": (
        "another program holds the card for itself; nvidia-smi shows which"
    ),
}
"""What to do about a failure, by the driver's name for it."""

TOO_OLD = (
    "CUDA_ERROR_NO_BINARY_FOR_GPU",
    "CUDA_ERROR_INVALID_IMAGE",
    "CUDA_ERROR_INVALID_PTX",
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
)
"""What a driver says of a program that was made for a newer one."""

_HARMLESS = ("CUDA_ERROR_OUT_OF_MEMORY", "CUDA_ERROR_NOT_FOUND", *TOO_OLD)
"""After any other failure a context is not used again."""

_RELEASES = {11: "450", 12: "525", 13: "580"}
"""The first release of the driver that runs what a major version of CUDA makes."""


def driver() -> ModuleType:
    """Return `pycuda.driver`, initialised; raises `BackendUnavailable` with what is missing."""
    # Numbers as nvidia-smi has them, not the fastest card first.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    _load_library()
    if find_spec("pycuda") is None:
        raise BackendUnavailable(NO_PACKAGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = import_module("pycuda.driver")
    except ImportError as error:
        raise BackendUnavailable(_unloadable(str(error))) from error
    try:
        module.init()
    except module.Error as error:
        raise BackendUnavailable(_unstarted(error_name(error))) from error
    return module


def _load_library() -> ctypes.CDLL:
    """Load the driver's library for PyCUDA to find, which does not ask for it in every build."""
    try:
        return ctypes.CDLL(LIBRARY, ctypes.RTLD_GLOBAL)
    except OSError as error:
        if "cannot open shared object" in str(error):
            raise BackendUnavailable(NO_DRIVER) from error
        raise BackendUnavailable(f"the NVIDIA driver cannot be loaded: {error}") from error


def _unloadable(said: str) -> str:
    missing = re.search(r"undefined symbol: (cu\w+)", said)
    newer = re.search(r"version `((?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found", said)
    if newer is not None:
        return (
            f"PyCUDA was built on a newer system than this one (it needs {newer[1]}): build it "
            "here, or on a machine as old (docs/cuda.md)"
        )
    if missing is None:
        first = said.splitlines()[0] if said else "no reason given"
        return f"PyCUDA cannot be loaded ({first}): install it again, for this Python"
    return (
        f"{driver_text()} is older than what PyCUDA was built for (it has no {missing[1]}): update "
        "the driver, or install PyCUDA from a wheelhouse, which is built for older ones "
        "(docs/cuda.md)"
    )


def _unstarted(name: str) -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if name == "CUDA_ERROR_NO_DEVICE" and hidden is not None:
        if CARDS.is_dir() and any(CARDS.iterdir()):
            return f"no CUDA device is there: CUDA_VISIBLE_DEVICES={hidden!r} hides every one"
        return (
            f"{_AT_START[name]}, and whether CUDA_VISIBLE_DEVICES={hidden!r} is meant: it may "
            "hide every one"
        )
    said = _AT_START.get(name, "see whether nvidia-smi works; update the driver, or reboot")
    return f"the NVIDIA driver does not start: {name}: {said}"


def cuda_version() -> tuple[int, int]:
    """Return the version of CUDA up to which the driver goes, (0, 0) where it does not say."""
    number = ctypes.c_int()
    if _load_library().cuDriverGetVersion(ctypes.byref(number)):
        return 0, 0
    return number.value // 1000, number.value % 1000 // 10


def driver_text() -> str:
    """Return what the driver calls itself, as in "driver 550.54.14 (CUDA 12.4)"."""
    try:
        found = re.search(r"\b\d{3,}\.\d+(?:\.\d+)?\b", RELEASE.read_text(encoding="utf-8"))
    except OSError:
        found = None
    major, minor = cuda_version()
    return f"driver {found[0]} (CUDA {major}.{minor})" if found else f"driver CUDA {major}.{minor}"


def needed_release(major: int) -> str:
    """Return what to install for programs of CUDA `major`, as in "driver 525 or newer"."""
    release = _RELEASES.get(major)
    return f"driver {release} or newer" if release else f"a driver for CUDA {major}"


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """The driver's descriptions of its codes, which PyCUDA hands on, to their names."""
    library = _load_library()
    names: dict[str, str] = {}
    for code in range(1, 1000):
        text, name = ctypes.c_char_p(), ctypes.c_char_p()
        library.cuGetErrorString(code, ctypes.byref(text))
        library.cuGetErrorName(code, ctypes.byref(name))
        if text.value and name.value:
            names.setdefault(text.value.decode(errors="replace"), name.value.decode())
    return names


def error_name(error: Exception) -> str:
    """Return the driver's name of what PyCUDA raised, else the first line of what it says."""
    lines = str(error).splitlines() or [type(error).__name__]
    said = lines[0].partition(" failed: ")[2]
    names = _names()
    return names.get(said) or names.get(said.partition(" - ")[0]) or lines[0]


def is_harmless(name: str) -> bool:
    """Tell whether a context can be used on after the failure `name`."""
    return name in _HARMLESS


def device_error(name: str, where: str, what: str) -> DeviceError:
    """Return the failure `name` of `what` at the device `where`, as one sentence."""
    if name == "CUDA_ERROR_OUT_OF_MEMORY":
        return OutOfMemory(f"{where}: {what}: out of memory ({name})")
    if name in TOO_OLD:
        return DeviceError(
            f"{where}: {what}: {name}: {driver_text()} is older than the compiler; update the "
            "driver"
        )
    advice = _ADVICE.get(name)
    return DeviceError(f"{where}: {what}: {name}" + (f"; {advice}" if advice else ""))
