"""The CUDA backend on the real PyCUDA with a fake driver.

Each test runs in a process of its own, since a process loads only one driver.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.harness import fake_driver
from tests.harness.fake_driver import CHECKOUT, cards

LONGEST = 900
"""Seconds after which a process has failed."""


@dataclass
class Processes:
    """Runs processes with a fake driver."""

    folder: Path
    driver: Path

    def start(
        self, *arguments: str, stdout: IO[str] | int = subprocess.PIPE, **environment: str
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=CHECKOUT,
            env=fake_driver.environment(self.driver, self.folder, **environment),
            text=True, stdout=stdout, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def output_of(self, code: str, **environment: str) -> str:
        """Run `code`, which must succeed; return its output, in which warnings are errors."""
        return output_at_end(self.start("-W", "error", "-c", code, **environment)).strip()

    def pytest(
        self, *arguments: str, stdout: IO[str] | int = subprocess.PIPE, **environment: str
    ) -> subprocess.Popen[str]:
        return self.start(
            "-m", "pytest", "-q", "-x", "-p", "tests.harness.fake_driver_plugin",
            "-p", "no:cacheprovider", *arguments, stdout=stdout, **environment,
        )  # fmt: skip


def output_at_end(process: subprocess.Popen[str]) -> str:
    try:
        output, _ = process.communicate(timeout=LONGEST)
    finally:
        process.kill()
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Processes:
    place = fake_driver.pycuda()
    if isinstance(place, str):
        pytest.skip(place)
    folder = tmp_path_factory.mktemp("fake")
    return Processes(folder, fake_driver.built(folder / "driver"))


@pytest.fixture(scope="module", autouse=True)
def contract(processes: Processes) -> Iterator[subprocess.Popen[str]]:
    """Start the longest test first, so that it runs beside the others."""
    with (processes.folder / "contract.txt").open("w") as out:
        process = processes.pytest(
            "tests/contract/test_contract.py", "-k", "cuda", "-rs", stdout=out,
            FAKE_CUDA_DEVICES=cards("h200"),
        )  # fmt: skip
        yield process
        process.kill()
        process.wait()


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Return KawPow with fixed, small sizes, so that a dataset takes no time."""
    text = (CHECKOUT / "configs/variants/kawpow.toml").read_text()
    head, mark, answers = text.partition("[[known_answers]]")
    head = re.sub(r'name = "kawpow"', 'name = "toy"', head)
    head = re.sub(r"aliases = .*", "aliases = []", head)
    sizes = "[sizes]\nlight_items = 509\ndataset_items = 1021\nseed_epoch = 0\n\n"
    path = tmp_path / "toy.toml"
    path.write_text(head + sizes + mark + answers)
    return path


LIST = """
from miner.devices.cuda import CUDA
from miner.errors import BackendUnavailable
try:
    for info in CUDA.devices():
        print(info.name, info.pci, info.uuid, info.model, info.driver, info.unusable, sep="|")
except BackendUnavailable as error:
    print(error)
"""
OLD = "its compute capability 3.0 is below 5.0, the oldest that CUDA 12 supports"
THREE = cards("3080", "older", "1080")


def listed(processes: Processes, **environment: str) -> list[list[str]]:
    output = processes.output_of(LIST, **({"FAKE_CUDA_DEVICES": THREE} | environment))
    return [line.split("|") for line in output.splitlines()]


def test_cards_are_listed_in_the_order_of_their_addresses(processes: Processes) -> None:
    found = listed(processes)
    assert [row[:2] for row in found] == [
        ["cuda:0", "0000:03:00.0"], ["cuda:1", "0000:06:00.0"], ["cuda:2", "0000:0a:00.0"],
    ]  # fmt: skip
    assert [row[3] for row in found] == [
        "NVIDIA Fake 1080", "NVIDIA Fake 680", "NVIDIA Fake 3080",
    ]  # fmt: skip
    assert found[2][2] == "GPU-00112233-4455-6677-8899-aabbccddeeff"
    assert {row[4] for row in found} == {"CUDA 12.4"}
    assert [row[5] for row in found[::2]] == ["None", "None"]
    assert found[1][5] == OLD


def test_an_order_set_by_the_user_is_kept(processes: Processes) -> None:
    found = listed(processes, CUDA_DEVICE_ORDER="FASTEST_FIRST")
    assert found[0][3] == "NVIDIA Fake 3080"


@pytest.mark.parametrize(("visible", "models"), [("2,0", ["3080", "1080"]), ("GPU-0011", ["3080"])])
def test_cards_hidden_by_the_driver_are_not_listed(
    processes: Processes, visible: str, models: list[str]
) -> None:
    found = listed(processes, CUDA_VISIBLE_DEVICES=visible)
    assert [row[3].removeprefix("NVIDIA Fake ") for row in found] == models
    assert [row[0] for row in found] == [f"cuda:{n}" for n in range(len(models))]


@pytest.mark.parametrize(
    ("visible", "models"),
    [
        ("all", ["1080", "3080"]),
        ("void", ["1080", "3080"]),
        ("2", ["1080", "3080"]),
        ("GPU-00112233-4455-6677-8899-aabbccddeeff", ["3080"]),
        ("GPU-20112233,GPU-40112233", ["1080"]),
        ("GPU-99", []),
    ],
)
def test_a_card_that_a_container_was_not_given_is_unusable(
    processes: Processes, visible: str, models: list[str]
) -> None:
    found = listed(processes, NVIDIA_VISIBLE_DEVICES=visible)
    usable = [row[3].removeprefix("NVIDIA Fake ") for row in found if row[5] == "None"]
    assert usable == models
    others = {row[5] for row in found if row[5] != "None"} - {OLD}
    assert others <= {"NVIDIA_VISIBLE_DEVICES does not list this card"}


def test_a_part_of_a_divided_card_is_visible_by_either_uuid(processes: Processes) -> None:
    for visible in ("GPU-00112233", "MIG-00112233"):
        (part,) = listed(
            processes, FAKE_CUDA_DEVICES=cards("3080"), FAKE_CUDA_PARTS="1",
            NVIDIA_VISIBLE_DEVICES=visible,
        )  # fmt: skip
        assert part[2] == "MIG-00112233-4455-6677-8899-aabbccddee00"
        assert part[5] == "None"


def test_a_failing_card_does_not_hide_the_others(processes: Processes) -> None:
    code = 'import ctypes; ctypes.CDLL("libcuda.so.1").fake_cuda_fail(b"cuDeviceGet", 999, 2, 1)\n'
    output = processes.output_of(code + LIST, FAKE_CUDA_DEVICES=cards("1080", "3080", "3080 too"))
    rows = [line.split("|") for line in output.splitlines()]
    assert [row[0] for row in rows] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [row[5] for row in rows] == [
        "None", "the driver does not describe it: CUDA_ERROR_UNKNOWN", "None",
    ]  # fmt: skip


def test_when_all_cards_are_hidden_the_variable_is_named(processes: Processes) -> None:
    cards_there = "from miner.devices.cuda import cuda_driver as d; d.CARDS = d.Path('/')"
    output = processes.output_of(f"{cards_there}\n{LIST}", CUDA_VISIBLE_DEVICES="7")
    assert output == "no CUDA device found: CUDA_VISIBLE_DEVICES='7' hides all cards"
    none_there = "from miner.devices.cuda import cuda_driver as d; d.CARDS = d.Path('/none')"
    output = processes.output_of(f"{none_there}\n{LIST}", CUDA_VISIBLE_DEVICES="7")
    assert output.startswith("no CUDA device found; check whether nvidia-smi lists one, and ")
    assert output.endswith("check CUDA_VISIBLE_DEVICES='7': it may hide all cards")


def test_a_machine_without_a_card_is_reported(processes: Processes) -> None:
    output = processes.output_of(LIST, FAKE_CUDA_DEVICES="")
    assert "CUDA_ERROR_NO_DEVICE: no CUDA device found; check whether nvidia-smi" in output


def test_a_card_in_compute_mode_prohibited_is_unusable(processes: Processes) -> None:
    found = listed(processes, FAKE_CUDA_MODE="2")
    assert found[0][5].startswith("its compute mode is Prohibited: nvidia-smi")


def test_a_driver_that_does_not_start_is_explained(processes: Processes) -> None:
    code = 'import ctypes; ctypes.CDLL("libcuda.so.1").fake_cuda_fail(b"cuInit", {}, 0, 1)'
    output = processes.output_of(code.format(803) + LIST)
    assert output.startswith(
        "the NVIDIA driver does not start: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: "
    )
    assert "reboot" in output
    output = processes.output_of(code.format(999) + LIST)
    assert "CUDA_ERROR_UNKNOWN: the kernel module does not answer; " in output


def test_a_driver_older_than_pycuda_is_explained(processes: Processes, tmp_path: Path) -> None:
    old = Processes(processes.folder, fake_driver.built(tmp_path, old=True))
    output = old.output_of(LIST, FAKE_CUDA_VERSION="11040")
    assert re.match(
        r"driver (\S+ \(CUDA 11\.4\)|CUDA 11\.4) is older than what PyCUDA was built for "
        r"\(it has no cu\w+\): update the driver, or install PyCUDA from a wheelhouse",
        output,
    )


def test_a_driver_older_than_the_compiler_is_explained(processes: Processes) -> None:
    output = processes.output_of(
        "import tests.harness.fake_driver_plugin\n"
        "from miner.devices.selection import find_devices, tried\n"
        "from miner.devices.trials import Trials\n"
        "from miner.catalog import variants\n"
        "found, _ = find_devices('cuda')\n"
        "print(tried(found, variants()['kawpow'], Trials())[0].info.unusable)\n",
        FAKE_CUDA_VERSION="11040",
    )
    assert re.match(
        r"driver .*CUDA 11\.4.* is older than NVRTC 12\.9: install driver 525 or ", output
    )


def test_a_missing_pycuda_is_reported(processes: Processes) -> None:
    if fake_driver.is_installed():
        pytest.skip("PyCUDA is installed beside the miner")
    output = processes.output_of(LIST, PYTHONPATH=str(CHECKOUT))
    assert output.startswith(
        "PyCUDA is not installed: PyPI has no built package of it; docs/cuda.md "
    )


def test_a_broken_pycuda_is_reported(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "pycuda").mkdir()
    (tmp_path / "pycuda/__init__.py").write_text("")
    (tmp_path / "pycuda/driver.py").write_text("import no_such_module\n")
    output = processes.output_of(LIST, PYTHONPATH=f"{CHECKOUT}:{tmp_path}")
    assert output == (
        "PyCUDA cannot be loaded (No module named 'no_such_module'): install it again, for this "
        "Python"
    )


def test_a_thread_may_end_without_closing_its_device(processes: Processes) -> None:
    output = processes.output_of(
        "import threading\n"
        "from miner.devices.selection import find_devices\n"
        "(found,), _ = find_devices('cuda')\n"
        "kept = []\n"
        "thread = threading.Thread(target=lambda: kept.append(found.open()))\n"
        "thread.start(); thread.join()\n"
        "kept[0].close(); kept.clear()\n"
        "print('alive')\n"
    )
    assert output == "alive"


def test_memory_modules_and_failures_of_one_card(processes: Processes) -> None:
    output = output_at_end(
        processes.pytest(
            "tests/devices/on_fake_driver/one_card.py",
            FAKE_CUDA_DEVICES=cards("3080", "3080 too", "1080", "newer", "h200"),
        )
    )
    assert re.search(r"^\d+ passed in ", output, re.MULTILINE), output


DEMO = """
import sys
import tests.harness.fake_driver_plugin as rig
from miner.cli import cli
rig.fail("kernel", 700, after=20)
try:
    cli.main(["demo", "--variant", sys.argv[1], "--devices", "cuda:0,cuda:1", "--shares", "100",
              "--difficulty", "1e-7", "--block-time", "1"], standalone_mode=False)
finally:
    print("ALIVE", rig.alive()["contexts"], "MADE", len(rig.COMPILER.made))
"""


def test_a_rig_keeps_mining_when_a_card_fails(processes: Processes, toy: Path) -> None:
    process = processes.start(
        "-c", DEMO, str(toy), FAKE_CUDA_DEVICES=cards("3080", "1080"), PYTHONUNBUFFERED="1"
    )
    output = output_at_end(process)
    assert "ILLEGAL_ADDRESS; it is opened again" in output, output
    lost = re.search(r"(cuda:\d) +WARNING fault: ", output)
    assert lost, output
    # Its dataset was there, and is there again; what the other one found counted meanwhile.
    assert len(re.findall(rf"{lost[1]} .* built and verified", output)) == 2, output
    assert re.search(r"summary +\d+ shares accepted", output), output
    assert "ALIVE 0 " in output, output


def test_the_device_contract(processes: Processes, contract: subprocess.Popen[str]) -> None:
    try:
        contract.wait(LONGEST)
    finally:
        contract.kill()
    output = (processes.folder / "contract.txt").read_text()
    assert contract.returncode == 0, output
    found = re.search(r"^(\d+) passed, (\d+) skipped", output, re.MULTILINE)
    assert found, output
    assert int(found[1]) >= 35, output
    cpu_only = output.count("is for CPUs") + output.count("compiles no OpenCL")
    assert int(found[2]) == cpu_only == 7, output
