"""Logs of failed builds: where they lie, what they hold, how many there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from miner.codegen.kernel_source import KernelSource
from miner.devices import build_log
from miner.devices.build_log import KEPT, write_build_log

SOURCE = KernelSource(
    "kawpow search period 1", "void f() {}\n", "f", "opencl", ("-cl-std=CL1.2", "-w")
)


def test_a_log_holds_title_options_log_and_source(
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


def test_the_oldest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    written = []
    for i in range(KEPT + 3):
        path = write_build_log(KernelSource(str(i), str(i), "f", "opencl", ()), "log")
        os.utime(path, (1000 + i, 1000 + i))
        written.append(path)
    last = write_build_log(SOURCE, "log")
    assert sorted(last.parent.iterdir()) == sorted([*written[-KEPT + 1 :], last])


def test_without_a_cache_it_goes_to_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (temporary / "of-somebody-else.log").touch()
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(blocked))
    monkeypatch.setattr(build_log.tempfile, "tempdir", str(temporary))
    path = write_build_log(SOURCE, "log")
    assert path.parent == temporary
    assert "log" in path.read_text(encoding="utf-8")
    assert (temporary / "of-somebody-else.log").exists()
    monkeypatch.setattr(build_log.tempfile, "tempdir", str(blocked))
    assert "no folder is writable" in str(write_build_log(SOURCE, "log"))
