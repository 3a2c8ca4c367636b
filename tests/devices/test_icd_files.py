"""The files that list OpenCL drivers: Intel's runtime for CPUs is added to the system's drivers."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from miner.devices.opencl import icd_files
from miner.devices.opencl.icd_files import intel_cpu_runtime, make_vendors_findable

LIBRARY = Path("/somewhere/lib/libintelocl.so")


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with Intel's package and a system's drivers."""
    monkeypatch.setenv("OCL_ICD_VENDORS", "set, so that it is restored")
    monkeypatch.delenv("OCL_ICD_VENDORS")
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(icd_files, "intel_cpu_runtime", lambda: LIBRARY)


@pytest.fixture
def system(tmp_path: Path) -> Path:
    folder = tmp_path / "vendors"
    folder.mkdir()
    (folder / "nvidia.icd").write_text("libnvidia-opencl.so.1\n")
    (folder / "amdocl64.icd").write_text("libamdocl64.so\n")
    (folder / "notes.txt").write_text("no driver\n")
    return folder


def listed() -> dict[str, str]:
    folder = Path(os.environ["OCL_ICD_VENDORS"])
    return {p.name: p.read_text(encoding="utf-8") for p in folder.iterdir()}


def test_intels_runtime_is_added_to_the_systems_drivers(system: Path) -> None:
    make_vendors_findable(system)
    assert listed() == {
        "nvidia.icd": "libnvidia-opencl.so.1\n",
        "amdocl64.icd": "libamdocl64.so\n",
        "intel-cpu.icd": f"{LIBRARY}\n",
    }


def test_without_other_drivers_intels_runtime_is_listed(tmp_path: Path) -> None:
    make_vendors_findable(tmp_path / "none")
    assert listed() == {"intel-cpu.icd": f"{LIBRARY}\n"}


def test_an_entry_that_cannot_be_read_does_not_hide_the_others(system: Path) -> None:
    (system / "removed.icd").symlink_to(system / "nowhere")
    os.mkfifo(system / "pipe.icd")
    make_vendors_findable(system)
    assert sorted(listed()) == ["amdocl64.icd", "intel-cpu.icd", "nvidia.icd"]


def test_a_variable_set_by_the_user_is_kept(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for own in ("/my/vendors", ""):
        monkeypatch.setenv("OCL_ICD_VENDORS", own)
        make_vendors_findable(system)
        assert os.environ["OCL_ICD_VENDORS"] == own


def test_without_intels_package_nothing_changes(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(icd_files, "intel_cpu_runtime", lambda: None)
    make_vendors_findable(system)
    assert "OCL_ICD_VENDORS" not in os.environ
    assert not (tmp_path / "cache").exists()


def test_the_list_follows_the_systems_drivers(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_vendors_findable(system)
    (system / "nvidia.icd").write_text("libnvidia-opencl.so.2\n")
    (system / "amdocl64.icd").unlink()
    monkeypatch.delenv("OCL_ICD_VENDORS")
    make_vendors_findable(system)
    assert listed() == {"nvidia.icd": "libnvidia-opencl.so.2\n", "intel-cpu.icd": f"{LIBRARY}\n"}


def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_folder(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(icd_files.tempfile, "tempdir", str(temporary))
    make_vendors_findable(system)
    assert Path(os.environ["OCL_ICD_VENDORS"]).parent == temporary
    assert set(listed()) == {"nvidia.icd", "amdocl64.icd", "intel-cpu.icd"}


def test_damaged_entries_are_replaced(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_vendors_findable(system)
    good, folder = listed(), Path(os.environ["OCL_ICD_VENDORS"])
    (folder / "nvidia.icd").write_bytes(b"")
    (folder / "amdocl64.icd").unlink()
    os.mkfifo(folder / "amdocl64.icd")
    (folder / "intel-cpu.icd").unlink()
    (folder / "intel-cpu.icd").symlink_to("nowhere")
    monkeypatch.delenv("OCL_ICD_VENDORS")
    make_vendors_findable(system)
    assert listed() == good


def test_a_full_disk_leaves_the_drivers_of_the_system(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", fail)
    make_vendors_findable(system)
    assert "OCL_ICD_VENDORS" not in os.environ


def test_the_runtime_is_found_when_its_library_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    found = intel_cpu_runtime()
    assert found is None or found.is_file()

    def missing(name: str) -> None:
        raise icd_files.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(icd_files.metadata, "distribution", missing)
    assert intel_cpu_runtime() is None
