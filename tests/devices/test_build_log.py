"""Logs of failed builds: their folder, their content, and how many are kept."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from miner.codegen.kernel_source import KernelSource
from miner.devices import build_log
from miner.devices.build_log import KEPT, write_build_log

SOURCE = KernelSource(
    "kawpow search period 1", "void f() {}\n", "f", "opencl", ("-cl-std=CL1.2", "-w")
)


def test_a_log_has_title_options_log_and_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    path = write_build_log(SOURCE, "line 1: error: so\u00df")
    assert path.parent == tmp_path / "build-logs"
    assert path.name == f"{SOURCE.sha256[:16]}.log"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("kawpow search period 1\noptions: -cl-std=CL1.2 -w\n")
    assert "line 1: error: so\u00df" in text
    assert text.endswith(SOURCE.text)
    assert write_build_log(SOURCE, "another") == path
    assert "another" in path.read_text(encoding="utf-8")


def test_the_oldest_logs_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    written = []
    for i in range(KEPT + 3):
        path = write_build_log(KernelSource(str(i), str(i), "f", "opencl", ()), "log")
        os.utime(path, (1000 + i, 1000 + i))
        written.append(path)
    last = write_build_log(SOURCE, "log")
    assert sorted(last.parent.iterdir()) == sorted([*written[-KEPT + 1 :], last])


def test_without_a_cache_the_temporary_folder_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (temporary / "of-another-program.log").touch()
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(blocked))
    monkeypatch.setattr(build_log.tempfile, "tempdir", str(temporary))
    path = write_build_log(SOURCE, "log")
    assert path.parent.parent == temporary
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert write_build_log(SOURCE, "log") == path
    assert "log" in path.read_text(encoding="utf-8")
    assert (temporary / "of-another-program.log").exists()
    monkeypatch.setattr(build_log.tempfile, "tempdir", str(blocked))
    assert "no folder is writable" in str(write_build_log(SOURCE, "log"))


def test_a_link_in_place_of_a_log_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path / "cache"))
    target = tmp_path / "precious"
    target.write_text("kept")
    path = write_build_log(SOURCE, "log")
    path.unlink()
    path.symlink_to(target)
    assert write_build_log(SOURCE, "log") == path
    assert not path.is_symlink()
    assert target.read_text() == "kept"
