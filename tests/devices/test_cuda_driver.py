"""Messages about missing, old and failing drivers."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import pytest

from miner.devices import registry
from miner.devices.cuda import CUDA, cuda_driver
from miner.devices.cuda.cuda_driver import device_error, driver, driver_text, needed_release
from miner.devices.reference import REFERENCE
from miner.devices.selection import find_devices
from miner.errors import BackendUnavailable, DeviceError, OutOfMemory


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libno-such-driver.so.1")


def test_a_missing_driver_is_reported(no_driver: None) -> None:
    with pytest.raises(BackendUnavailable, match=r"^no NVIDIA driver: .* install NVIDIA's driver"):
        driver()


def test_without_a_driver_the_other_backends_are_used(
    no_driver: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        registry, "BACKENDS", {"cuda": replace(CUDA, has_driver=False), "ref": REFERENCE}
    )
    found, missing = find_devices()
    assert "ref" in {f.info.name for f in found}
    assert any(message.startswith("cuda: no NVIDIA driver: ") for message in missing)


def test_a_driver_that_cannot_be_loaded_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "libcuda.so.1"
    broken.write_text("no library")
    monkeypatch.setattr(cuda_driver, "LIBRARY", str(broken))
    with pytest.raises(
        BackendUnavailable, match=r"^the NVIDIA driver cannot be loaded: .*too short"
    ):
        driver()


def test_a_pycuda_built_on_a_newer_system_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    message = cuda_driver._import_problem(
        "/lib/libc.so.6: version `GLIBC_2.34' not found (required by _driver.so)"
    )
    assert message == (
        "PyCUDA was built on a newer system than this one (it needs GLIBC_2.34): build it here, or "
        "on a machine as old (docs/cuda.md)"
    )


class Library:
    """The function of the driver that returns its version."""

    @staticmethod
    def cuDriverGetVersion(number: object) -> int:  # noqa: N802
        pointer = ctypes.cast(number, ctypes.POINTER(ctypes.c_int))  # type: ignore[arg-type]
        pointer.contents.value = 12080
        return 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May  2\nGCC 12.2.0\n",
         "driver 470.256.02 (CUDA 12.8)"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  Release Build",
         "driver 570.86.10 (CUDA 12.8)"),
        ("nothing of the kind", "driver CUDA 12.8"),
    ],
)  # fmt: skip
def test_the_version_of_the_driver_as_text(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "version"
    release.write_text(text)
    monkeypatch.setattr(cuda_driver, "RELEASE", release)
    monkeypatch.setattr(cuda_driver, "_load_library", Library)
    assert driver_text() == message
    release.unlink()
    assert driver_text() == "driver CUDA 12.8"


def test_the_release_that_a_version_of_cuda_needs() -> None:
    assert needed_release(12) == "driver 525 or newer"
    assert needed_release(99) == "a driver for CUDA 99"


def test_an_error_is_one_sentence_with_advice() -> None:
    lost = device_error("CUDA_ERROR_UNKNOWN", "cuda:1 at 0000:0a:00.0", "searching")
    assert str(lost).startswith("cuda:1 at 0000:0a:00.0: searching: CUDA_ERROR_UNKNOWN; look for ")
    assert type(lost) is DeviceError
    odd = device_error("CUDA_ERROR_OF_TOMORROW", "cuda:1 at 0000:0a:00.0", "searching")
    assert str(odd) == "cuda:1 at 0000:0a:00.0: searching: CUDA_ERROR_OF_TOMORROW"
    assert isinstance(device_error("CUDA_ERROR_OUT_OF_MEMORY", "cuda:1", "opening"), OutOfMemory)
