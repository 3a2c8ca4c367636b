"""NVIDIA's driver, loaded through PyCUDA, and the meaning of its errors."""

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

from miner.devices.cuda import CUDA
from miner.errors import BackendUnavailable, DeviceError, OutOfMemory

LIBRARY = "libcuda.so.1"
RELEASE = Path("/proc/driver/nvidia/version")

CARDS = Path("/proc/driver/nvidia/gpus")
"""Has a folder for each card of the kernel module."""

NO_PACKAGE = f"PyCUDA is not installed: {CUDA.install}"
NO_DRIVER = (
    f"no NVIDIA driver: {LIBRARY} not found; install NVIDIA's driver, 525 or newer (in a "
    "container: start it with the GPUs, as in --gpus all)"
)

_RELEASES = {11: "450", 12: "525", 13: "580"}
"""First release of the driver that loads programs of a major version of CUDA."""


def driver() -> ModuleType:
    """Return `pycuda.driver`, initialised; raises `BackendUnavailable` with what is missing."""
    # By default CUDA lists the fastest card first, unlike nvidia-smi.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    _load_library()
    if find_spec("pycuda") is None:
        raise BackendUnavailable(NO_PACKAGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = import_module("pycuda.driver")
    except ImportError as error:
        raise BackendUnavailable(_import_problem(str(error))) from error
    try:
        module.init()
    except module.Error as error:
        raise BackendUnavailable(_init_problem(error_name(error))) from error
    return module


def _load_library() -> ctypes.CDLL:
    """Load the driver's library first: not every build of PyCUDA links with it."""
    try:
        return ctypes.CDLL(LIBRARY, ctypes.RTLD_GLOBAL)
    except OSError as error:
        if "cannot open shared object" in str(error):
            raise BackendUnavailable(NO_DRIVER) from error
        raise BackendUnavailable(f"the NVIDIA driver cannot be loaded: {error}") from error


def _import_problem(text: str) -> str:
    """Explain why `import pycuda.driver` failed with `text`."""
    missing = re.search(r"undefined symbol: (cu\w+)", text)
    newer = re.search(r"version `((?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found", text)
    if newer is not None:
        return (
            f"PyCUDA was built on a newer system than this one (it needs {newer[1]}): build it "
            "here, or on a machine as old (docs/cuda.md)"
        )
    if missing is None:
        first = text.splitlines()[0] if text else "no reason given"
        return f"PyCUDA cannot be loaded ({first}): install it again, for this Python"
    return (
        f"{driver_text()} is older than what PyCUDA was built for (it has no {missing[1]}): update "
        "the driver, or install PyCUDA from a wheelhouse, which is built for older drivers "
        "(docs/cuda.md)"
    )


_AT_START = {
    "CUDA_ERROR_NO_DEVICE": "no CUDA device found; check whether nvidia-smi lists one",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": (
        "the driver's library and its kernel module have different versions; reboot"
    ),
    "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE": (
        "CUDA's compatibility library does not support this card; remove it from the library path"
    ),
    "CUDA_ERROR_UNKNOWN": (
        "the kernel module does not answer; check whether nvidia-smi works, load nvidia_uvm, or "
        "reboot"
    ),
}
"""Explanations of a failed start, by the name of the driver's error."""


def _init_problem(name: str) -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if name == "CUDA_ERROR_NO_DEVICE" and hidden is not None:
        if CARDS.is_dir() and any(CARDS.iterdir()):
            return f"no CUDA device found: CUDA_VISIBLE_DEVICES={hidden!r} hides all cards"
        return (
            f"{_AT_START[name]}, and check CUDA_VISIBLE_DEVICES={hidden!r}: it may hide all cards"
        )
    reason = _AT_START.get(name, "check whether nvidia-smi works; update the driver, or reboot")
    return f"the NVIDIA driver does not start: {name}: {reason}"


def cuda_version() -> tuple[int, int]:
    """Return the newest version of CUDA that the driver supports, (0, 0) when it is unknown."""
    number = ctypes.c_int()
    if _load_library().cuDriverGetVersion(ctypes.byref(number)):
        return 0, 0
    return number.value // 1000, number.value % 1000 // 10


def driver_text() -> str:
    """Return the version of the driver, as in "driver 550.54.14 (CUDA 12.4)"."""
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


# Errors

_OVERCLOCK = "it is opened again; if it recurs, lower the card's memory clock"
_FELL_OFF = (
    "look for an Xid in the kernel's log; a card that fell off the bus needs a reboot, and often "
    "a check of riser and power"
)
_ADVICE = {
    "CUDA_ERROR_ILLEGAL_ADDRESS": _OVERCLOCK,
    "CUDA_ERROR_ILLEGAL_INSTRUCTION": _OVERCLOCK,
    "CUDA_ERROR_MISALIGNED_ADDRESS": _OVERCLOCK,
    "CUDA_ERROR_INVALID_PC": _OVERCLOCK,
    "CUDA_ERROR_INVALID_ADDRESS_SPACE": _OVERCLOCK,
    "CUDA_ERROR_HARDWARE_STACK_ERROR": _OVERCLOCK,
    "CUDA_ERROR_LAUNCH_FAILED": _OVERCLOCK,
    "CUDA_ERROR_LAUNCH_TIMEOUT": (
        "the driver stops long launches on a card with a screen; set a shorter launch_seconds"
    ),
    "CUDA_ERROR_ECC_UNCORRECTABLE": (
        "the card's memory returned a wrong value; nvidia-smi -q -d ECC shows how many"
    ),
    "CUDA_ERROR_UNKNOWN": _FELL_OFF,
    "CUDA_ERROR_NO_DEVICE": _FELL_OFF,
    "CUDA_ERROR_INVALID_DEVICE": _FELL_OFF,
    "CUDA_ERROR_OPERATING_SYSTEM": (
        "the system refused a call of the driver; see the kernel's log, and the limits of a "
        "container"
    ),
    "CUDA_ERROR_JIT_COMPILER_NOT_FOUND": (
        "the card is newer than NVRTC, so the driver must compile, and its compiler "
        "(libnvidia-ptxjitcompiler) is not installed; install it, or a newer NVRTC"
    ),
    "CUDA_ERROR_DEVICE_UNAVAILABLE": (
        "another program uses the card exclusively; nvidia-smi shows which"
    ),
}
"""Advice about a failure, by the name of the driver's error."""

TOO_OLD = (
    "CUDA_ERROR_NO_BINARY_FOR_GPU",
    "CUDA_ERROR_INVALID_IMAGE",
    "CUDA_ERROR_INVALID_PTX",
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
)
"""Errors of a driver that is older than the compiler of a program."""

_HARMLESS = ("CUDA_ERROR_OUT_OF_MEMORY", "CUDA_ERROR_NOT_FOUND", *TOO_OLD)


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return the driver's error names by their descriptions: PyCUDA reports the latter."""
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
    """Return the driver's name of the error that PyCUDA raised, or else the first line of its
    message."""
    lines = str(error).splitlines() or [type(error).__name__]
    description = lines[0].partition(" failed: ")[2]
    names = _names()
    return names.get(description) or names.get(description.partition(" - ")[0]) or lines[0]


def is_harmless(name: str) -> bool:
    """Return whether the context is still usable after the error `name`."""
    return name in _HARMLESS


def device_error(name: str, where: str, what: str) -> DeviceError:
    """Return the error `name` of `what` at the device `where`, as one sentence with advice."""
    if name == "CUDA_ERROR_OUT_OF_MEMORY":
        return OutOfMemory(f"{where}: {what}: out of memory ({name})")
    if name in TOO_OLD:
        return DeviceError(
            f"{where}: {what}: {name}: {driver_text()} is older than the compiler; update the "
            "driver"
        )
    advice = _ADVICE.get(name)
    return DeviceError(f"{where}: {what}: {name}" + (f"; {advice}" if advice else ""))
