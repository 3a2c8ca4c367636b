"""Trials of devices in child processes, with OpenCL drivers that fail in every way."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from miner.catalog import variants
from miner.devices import trial_results, trials
from miner.devices.device_names import matches
from miner.devices.opencl import OPENCL
from miner.devices.opencl.icd_files import IcdFile, intel_cpu_runtime
from miner.devices.selection import ListedDevice, find_devices, tried
from miner.devices.trials import Trials
from miner.errors import DriverDied
from miner.progpow.variant import Variant
from miner.resources import cache_directory
from tests.devices.infos import info_of
from tests.harness.build import compiler

KAWPOW = variants()["kawpow"]
AGAIN = "; it is tried again after a reboot, or by `progpow-miner devices --retry`"

Drivers = Callable[..., Path]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    command = compiler()
    if command is None:
        pytest.skip("none of g++, clang++ and the package ziglang is installed")
    path = tmp_path_factory.mktemp("icd") / "libfake.so"
    source = Path(__file__).parents[1] / "harness" / "fake_icd.cpp"
    subprocess.run(
        [*command, "-O1", "-std=c++17", "-shared", "-fPIC", "-Wall", "-pthread", str(source), "-o",
         str(path), "-ldl"],
        check=True,
    )  # fmt: skip
    return path


@pytest.fixture
def drivers(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drivers:
    """Return a function that installs only drivers with these faults; "intel" is the real one."""
    compiled, cache = cache_directory() / "numba", tmp_path / "cache"
    cache.mkdir()
    compiled.mkdir(parents=True, exist_ok=True)
    (cache / "numba").symlink_to(compiled)

    def install(*faults: str) -> Path:
        folder = tmp_path / "vendors"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for fault in faults:
            path = intel_cpu_runtime() if fault == "intel" else tmp_path / f"lib{fault}.so"
            if path is None:
                pytest.skip("Intel's OpenCL runtime for CPUs is not installed")
            if fault != "intel":
                shutil.copy(library, path)
            (folder / f"{fault}.icd").write_text(f"{path}\n")
        monkeypatch.setenv("OCL_ICD_VENDORS", str(folder))
        monkeypatch.delenv("OPENCL_VENDOR_PATH", raising=False)
        monkeypatch.setenv("PROGPOW_MINER_CACHE", str(cache))
        return folder

    return install


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            "exits-at-listing",
            'its driver ended the process (exit code 9); its last line: "fake driver: no card"',
        ),
        ("aborts-at-listing", "its driver crashed (SIGABRT)"),
    ],
)
def test_a_driver_that_dies_at_listing_does_not_hide_the_others(
    drivers: Drivers, fault: str, reason: str
) -> None:
    drivers("intel", fault, "prints")
    found, missing = find_devices("opencl")
    assert {d.info.vendor for d in found} == {"intel", "amd"}
    assert missing == [f"opencl: {fault}.icd is left out: {reason}{AGAIN}"]
    again, _ = find_devices("opencl")
    assert again == found, "this process and its children do not load the driver any more"


def test_a_driver_that_died_is_left_out_at_the_next_start_without_loading_it(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = drivers("aborts-at-listing", "prints")
    _, first = find_devices("opencl")
    monkeypatch.setenv("OCL_ICD_VENDORS", str(folder))
    monkeypatch.delenv("OPENCL_VENDOR_PATH")
    monkeypatch.setattr(Trials, "_problems_alone", None)
    found, missing = find_devices("opencl")
    assert (len(found), missing) == (1, first)


def test_when_every_driver_dies_no_device_is_left(drivers: Drivers) -> None:
    drivers("aborts-at-listing", "exits-at-listing")
    found, missing = find_devices("opencl")
    assert found == []
    assert len(missing) == 2


ANSWERED = "does not compile; log and source: "
FAULTS = {
    "aborts-in-build":
        'its driver crashed (SIGABRT); its last line: "fake driver: stack dump follows"' + AGAIN,
    "aborts-in-thread": "its driver crashed (SIGABRT); its last line: ",
    "aborts-in-build-beside-its-daemon":
        'its driver crashed (SIGABRT); its last line: "fake driver: stack dump follows"' + AGAIN,
    "floods-in-build": "its driver ended the process (exit code 6); its last line: "
        '"fake driver: half of a euro sign: \N{REPLACEMENT CHARACTER}"' + AGAIN,
    "exits-in-build": "its driver ended the process (exit code 8); its last line: ",
    "kills-its-group": "its driver crashed (SIGTERM); its last line: ",
    "changes-process": ANSWERED,
    "closes-files": ANSWERED,
    "prints": ANSWERED,  # output of a driver is not an answer
    "starts-a-daemon": ANSWERED,
    "exits-at-exit": ANSWERED,
}  # fmt: skip


def test_a_driver_that_fails_in_a_build_is_one_unusable_device(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are tried side by side; the name of a driver is a part of its device's model."""
    drivers(*FAULTS)
    monkeypatch.setattr(trials, "TRIAL_SECONDS", 45.0)  # less than a daemon keeps the pipes
    found, missing = find_devices("opencl")
    reasons = {one.info.model: str(one.info.unusable) for one in tried(found, KAWPOW, Trials())}
    assert missing == []
    assert len(reasons) == len(FAULTS)
    for fault, reason in FAULTS.items():
        assert reason in reasons[f"Radeon RX 580 (lib{fault}.so)"], fault


def test_a_driver_that_hangs_is_one_unusable_device(
    drivers: Drivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    drivers("hangs-in-build", "stops-in-build")
    found, _ = find_devices("opencl")
    monkeypatch.setattr(trials, "TRIAL_SECONDS", 1.0)
    for one in tried(found, KAWPOW, Trials()):
        assert one.info.unusable == f"its driver did not return within 1 s{AGAIN}"


class Child:
    """Takes the place of the child process that tries a device."""

    def __init__(self, answer: dict[str, object] | None) -> None:
        self.answer, self.asked = answer, 0

    async def ask(self, request: object, seconds: float, *_: object) -> dict[str, object]:
        self.asked += 1
        if self.answer is None:
            raise DriverDied("its driver crashed")
        return self.answer


CARD = ListedDevice(info_of("opencl:0.0"), OPENCL)


def child(monkeypatch: pytest.MonkeyPatch, folder: Path, answer: dict[str, object] | None) -> Child:
    one = Child(answer)
    monkeypatch.setattr(trials, "ask_child", one.ask)
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(folder))
    return one


def problem(card: ListedDevice = CARD, variant: Variant = KAWPOW) -> str | None:
    (one,) = tried([card], variant, Trials())
    return one.info.unusable


def test_a_death_is_remembered_until_the_next_boot_or_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = child(monkeypatch, tmp_path, None)
    assert [problem(), problem(), one.asked] == ["its driver crashed" + AGAIN] * 2 + [1]
    monkeypatch.setattr(trial_results, "boot_id", lambda: "another boot")
    assert (problem(), one.asked) == ("its driver crashed" + AGAIN, 2)
    Trials().forget()
    assert (problem(), one.asked) == ("its driver crashed" + AGAIN, 3)


def test_a_good_result_is_remembered_for_the_same_device_driver_and_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = child(monkeypatch, tmp_path, {"problem": None})
    assert [problem(), problem(), one.asked] == [None, None, 1]
    monkeypatch.setattr(trial_results, "boot_id", lambda: "another boot")
    assert (problem(), one.asked) == (None, 1)
    problem(replace(CARD, info=replace(CARD.info, driver="a newer one")))
    problem(variant=variants()["firopow"])
    assert one.asked == 3
    monkeypatch.setattr(trial_results, "_code_digest", lambda: "another version")
    assert (problem(), one.asked) == (None, 4)


def test_another_problem_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = child(monkeypatch, tmp_path, {"problem": "too little memory is free"})
    assert [problem(), problem(), one.asked] == ["too little memory is free"] * 2 + [2]


def test_without_a_folder_to_load_the_drivers_in_one_by_one_their_death_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = child(monkeypatch, tmp_path, None)
    monkeypatch.setattr(trials, "icd_files", lambda: [IcdFile("bad.icd", "libbad.so")])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    found, problems = find_devices("opencl")
    assert (found, problems, one.asked) == ([], ["opencl: its driver crashed"], 1)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff" * 80, b"[1]"])
def test_damaged_results_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    one = child(monkeypatch, tmp_path, {"problem": None})
    problem()
    (file,) = (tmp_path / "device-trials").glob("*.json")
    file.write_bytes(content)
    assert [problem(), problem(), one.asked] == [None, None, 2]


def test_a_cache_that_cannot_be_written_costs_only_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    one = child(monkeypatch, tmp_path / "file", {"problem": None})
    assert [problem(), problem(), one.asked] == [None, None, 2]


def test_a_platform_without_devices_is_reported_with_what_to_do(drivers: Drivers) -> None:
    folder = drivers("without-devices-rusticl", "clover")
    (folder / "gone.icd").write_text("/no/such/library.so\n")
    (found,), missing = find_devices("opencl")
    assert found.info.name == "opencl:0.0", "the platform without devices moves no name"
    assert missing[0] == (
        "opencl:1, rusticl: no device (it lists none); set RUSTICL_ENABLE to the driver of the "
        "card, as in RUSTICL_ENABLE=radeonsi (AMD) or RUSTICL_ENABLE=iris (Intel)"
    )
    assert missing[1].startswith("opencl: gone.icd names /no/such/library.so, which cannot be ")


def test_an_old_opencl_c_is_reported(drivers: Drivers) -> None:
    drivers("opencl-c-1.1")
    (found,), _ = find_devices("opencl")
    assert str(found.info.unusable).startswith("its driver compiles OpenCL C 1.1, which is older ")


def test_a_second_platform_shows_the_same_card_and_moves_no_name(drivers: Drivers) -> None:
    drivers("clover")
    (alone,), _ = find_devices("opencl")
    drivers("clover", "rusticl", "vendor")
    found, _ = find_devices("opencl")
    assert [(d.info.driver, d.same_as) for d in found] == [
        ("Fake OpenCL 1.0", None), ("rusticl 1.0", "opencl:0.0"), ("Clover 1.0", "opencl:0.0"),
    ]  # fmt: skip
    assert matches(alone.info, 0, "opencl:0.0")
