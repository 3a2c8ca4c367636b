"""The commands `selftest` and `devices`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from miner.devices import registry
from miner.devices.backend import Backend
from miner.devices.device import Device
from miner.devices.reference import REFERENCE
from miner.devices.reference.reference_device import ReferenceDevice
from miner.errors import BackendUnavailable, DeviceError, OutOfMemory
from miner.work import DeviceInfo
from tests.cli.running import run, toy_file


def only_ref(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BACKENDS", {"ref": registry.BACKENDS["ref"]})


def test_one_variant_on_one_device() -> None:
    ran = run("selftest", "--variant", "kawpow", "--device", "ref")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.split() == ["ref", "kawpow", "3", "known", "answers"]


def test_a_variant_file(tmp_path: Path) -> None:
    path = toy_file(tmp_path)
    ran = run("selftest", "--variant", path, "-d", "ref")
    assert ran.code == 0
    assert ran.out.split() == ["ref", "toy", "1", "known", "answers"]
    wrong = toy_file(tmp_path, ('"7b5e8acf', '"8b5e8acf'))
    ran = run("selftest", "--variant", wrong, "-d", "ref")
    assert ran.code == 2
    assert ran.err.startswith("progpow-miner: variant 'toy': known_answers[1].mix_hash: computed ")
    assert "8b5e8acf" in ran.err
    assert ran.out == ""


def test_real_epochs(tmp_path: Path) -> None:
    """The real sizes are those of the file; the toy's epoch 1 is as large as its epoch 0."""
    ran = run("selftest", "--variant", toy_file(tmp_path), "-d", "ref", "--real")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split(None, 2)[2] for line in ran.out.splitlines()] == [
        "1 known answers",
        "right at height 0, epoch 0, 1.0 MiB",
        "right at height 100, epoch 1, 1.0 MiB",
    ]


def test_the_real_epoch_of_a_height(tmp_path: Path) -> None:
    path = toy_file(tmp_path)
    ran = run("selftest", "-a", path, "-d", "ref", "--height", "4125000", "--height", "8000")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split(None, 2)[2] for line in ran.out.splitlines()[1:]] == [
        "right at height 4125000, epoch 41250, 1.0 MiB",
        "right at height 8000, epoch 80, 1.0 MiB",
    ]
    ran = run("selftest", "-a", path, "-d", "ref", "--height", "-1")
    assert ran.code == 2
    ran = run("selftest", "-a", "kawpow", "-d", "ref", "--height", "99999999999999")
    assert ran.code == 1
    assert "FAILED height 99999999999999: epoch: " in ran.out


def test_a_failing_real_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong dataset word fails the check; a dataset that does not fit in memory is skipped."""
    read = ReferenceDevice.read_nodes

    def flipped(self: ReferenceDevice, first: int, count: int) -> NDArray[np.uint32]:
        return read(self, first, count) ^ np.uint32(1)

    path = toy_file(tmp_path)
    monkeypatch.setattr("miner.devices.known_answers._check_dataset", lambda *_: None)
    monkeypatch.setattr("miner.devices.known_answers._check_answer", lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(ReferenceDevice, "read_nodes", flipped)
        ran = run("selftest", "-a", path, "-d", "ref", "--height", "0")
    assert ran.code == 1
    assert "FAILED height 0, epoch 0" in ran.out

    def full(self: ReferenceDevice, *_: object) -> object:
        raise OutOfMemory("it needs 5 bytes, 4 are free")

    monkeypatch.setattr(ReferenceDevice, "generate", full)
    ran = run("selftest", "-a", path, "-d", "ref", "--height", "0")
    assert ran.code == 0
    assert "skipped height 0, epoch 0, 1.0 MiB: it needs 5 bytes, 4 are free" in ran.out


class FailingBackend(Backend):
    """A backend with two devices: one cannot be opened, the other hashes another header."""

    def devices(self) -> Sequence[DeviceInfo]:
        info = REFERENCE.devices()[0]
        return [replace(info, name=f"ref:{n}", memory=3 << 29, pci=f"0000:0{n}:00.0") for n in "01"]

    def open(self, info: DeviceInfo) -> Device:
        if info.name == "ref:0":
            raise DeviceError("the driver is broken")
        return Swapped(info)


class Swapped(ReferenceDevice):
    def round_up(self, count: int) -> int:
        return count + 1 if count < 3 else count

    def launch(self, kernel, job, span):  # type: ignore[no-untyped-def]
        return super().launch(kernel, replace(job, header_hash=job.header_hash[::-1]), span)


def test_a_failed_check_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    only_ref(monkeypatch)
    monkeypatch.setattr(registry, "BACKENDS", {"ref": FailingBackend("ref", "CPU", "")})
    ran = run("selftest", "-a", "kawpow")
    assert ran.code == 1
    assert ran.err == "progpow-miner: 2 of 2 self-tests failed\n"
    first, second = ran.out.splitlines()
    assert first.split(None, 1) == ["ref:0", "cannot be opened: the driver is broken"]
    assert second.startswith(
        "ref:1        kawpow          FAILED: height 0, nonce 7a6735b6f4b09210"
    )


def test_no_device_exits_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing(Backend):
        def devices(self) -> Sequence[DeviceInfo]:
            raise BackendUnavailable("its driver is missing")

    monkeypatch.setattr(registry, "BACKENDS", {"opencl": Missing("opencl", "OpenCL", "")})
    ran = run("selftest", "-a", "kawpow")
    assert ran.code == 3
    assert "progpow-miner: no device to test was found\n" in ran.err
    assert "opencl: its driver is missing\n" in ran.err


def test_devices_lists_unusable_devices_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    only_ref(monkeypatch)
    monkeypatch.setattr(registry, "BACKENDS", {"ref": FailingBackend("ref", "CPU", "")})
    ran = run("devices")
    assert (ran.code, ran.err) == (0, "looking for devices …\n")
    assert "0 ref:0        cpu  CPU reference, one core\n" in ran.out
    assert ", 1.50 GiB, numba, PCI 0000:00:00.0\n" in ran.out
    assert "unusable: the driver is broken\n" in ran.out
    rows = json.loads(run("devices", "--json").out)
    assert [(row["name"], row["usable"]) for row in rows] == [("ref:0", False), ("ref:1", False)]
    assert rows[0]["unusable"] == "the driver is broken"
    assert rows[0]["memory"] == 3 << 29


def test_devices_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    only_ref(monkeypatch)
    rows = json.loads(run("devices", "--json").out)
    assert [(row["name"], row["usable"], row["unusable"]) for row in rows] == [("ref", True, None)]
    assert run("devices").out.splitlines()[-1].strip() == "usable"
