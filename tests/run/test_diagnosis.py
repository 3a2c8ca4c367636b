"""The checks of `doctor`, each on a machine where it finds something."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from miner.clock import SystemClock
from miner.devices import registry
from miner.devices.selection import ListedDevice
from miner.net.address import HostPort
from miner.run.diagnosis import Diagnosis, device_findings, package_findings
from miner.run.machine_checks import (
    Finding,
    Machine,
    clock_finding,
    folder_finding,
    port_finding,
)
from miner.work import DeviceInfo
from tests.cli.running import run, settings_file

pytestmark = pytest.mark.usefixtures("only_ref")

WALLET = "RXBurnXXXXXXXXXXXXXXXXXXXXXXWUo9FV"
GIB = 1 << 20
"""In the KiB of /proc/meminfo."""


def machine(root: Path, **files: str) -> Machine:
    """Return a machine with these files; "__" in a name stands for a slash."""
    for name, text in ({"proc__meminfo": f"MemAvailable: {8 * GIB} kB\n"} | files).items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return Machine(root)


def of_area(found: Machine, area: str, root: Path) -> list[Finding]:
    every = found.findings(SystemClock(), {"cache": root}, 0.0)
    return [finding for finding in every if finding.area == area]


@pytest.mark.parametrize(
    ("files", "state", "text"),
    [
        ({}, "ok", "8.00 GiB of host memory available"),
        ({"proc__meminfo": f"MemAvailable: {GIB // 2} kB\n"}, "problem", "512.0 MiB of host"),
        ({"proc__meminfo": "x"}, "note", "the available memory is not known"),
        ({"sys__fs__cgroup__memory.max": "max\n"}, "ok", "8.00 GiB of host memory available"),
        ({"sys__fs__cgroup__memory.max": "536870912\n"}, "problem", "512.0 MiB of host memory"),
        (
            {"sys__fs__cgroup__memory__memory.limit_in_bytes": "2147483648\n"},
            "ok", "2.00 GiB of host memory",
        ),
        (
            {"sys__fs__cgroup__memory__memory.limit_in_bytes": "9223372036854771712\n"},
            "ok", "8.00 GiB of host memory available",
        ),
        (
            {"sys__kernel__mm__transparent_hugepage__enabled": "always madvise [never]\n"},
            "note", "transparent huge pages are off",
        ),
    ],
)  # fmt: skip
def test_memory(files: dict[str, str], state: str, text: str, tmp_path: Path) -> None:
    found = of_area(machine(tmp_path, **files), "memory", tmp_path)[-1]
    assert found.state == state
    assert text in found.text
    assert bool(found.advice) == (state != "ok" and "known" not in text)


@pytest.mark.parametrize(
    ("quota", "state", "text"),
    [
        ("max 100000", "ok", "processors"),
        ("50000 100000", "note", "of which the container may use 0.5"),
        ("100000 100000", "ok", "processor"),
        ("99999900000 100000", "ok", "processors"),
    ],
)
def test_processors(quota: str, state: str, text: str, tmp_path: Path) -> None:
    files = {"sys__fs__cgroup__cpu.max": f"{quota}\n"}
    (found,) = of_area(machine(tmp_path, **files), "processor", tmp_path)
    assert found.state == state
    assert text in found.text


def test_device_files_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = machine(tmp_path, dev__dri__renderD128="", dev__kfd="")
    (found,) = of_area(rig, "permissions", tmp_path)
    assert (found.state, found.text) == ("ok", "device files renderD128, kfd can be opened")
    monkeypatch.setattr(os, "access", lambda path, _: "kfd" not in str(path))
    (found,) = of_area(rig, "permissions", tmp_path)
    assert found.state == "problem"
    assert f"{tmp_path}/dev/kfd cannot be opened" in found.text
    assert "usermod -aG" in found.advice
    assert of_area(machine(tmp_path / "other"), "permissions", tmp_path) == []


@pytest.mark.parametrize(
    ("vendor", "driver", "state", "text", "advice"),
    [
        ("0x10de", "nvidia", "ok", "NVIDIA GPU at 0000:01:00.0, kernel driver nvidia", ""),
        (
            "0x10de",
            "nouveau",
            "note",
            "kernel driver nouveau",
            "it needs nvidia: see docs/howto/nv",
        ),
        ("0x1002", None, "note", "AMD GPU at 0000:01:00.0, kernel driver none", "it needs amdgpu"),
        ("0x1002", "vfio-pci", "note", "vfio-pci", "it is reserved for a virtual machine"),
        ("0x8086", "xe", "ok", "Intel GPU at 0000:01:00.0, kernel driver xe", ""),
        ("0x1a03", "ast", "note", "no GPU on the PCI bus", "check slot, riser and power"),
    ],
)
def test_cards_on_the_pci_bus(
    vendor: str, driver: str | None, state: str, text: str, advice: str, tmp_path: Path
) -> None:
    bus = "sys__bus__pci__devices"
    files = {f"{bus}__0000:01:00.0__class": "0x030000\n", f"{bus}__0000:01:00.0__vendor": vendor}
    files |= {f"{bus}__0000:00:1f.0__class": "0x060100", f"{bus}__0000:00:1f.0__vendor": "0x8086"}
    rig = machine(tmp_path, **files)
    if driver is not None:
        (tmp_path / "drivers" / driver).mkdir(parents=True)
        card = tmp_path / bus.replace("__", "/") / "0000:01:00.0"
        (card / "driver").symlink_to(tmp_path / "drivers" / driver)
    (found,) = of_area(rig, "cards", tmp_path)
    assert found.state == state
    assert text in found.text
    assert found.advice.startswith(advice)


def test_a_container_is_recognized(tmp_path: Path) -> None:
    (plain,) = of_area(machine(tmp_path), "system", tmp_path)
    (inside,) = of_area(machine(tmp_path, **{".dockerenv": ""}), "system", tmp_path)
    assert inside.text == f"{plain.text}, in a container"


def test_folders(tmp_path: Path) -> None:
    assert folder_finding("cache", tmp_path / "a" / "b").state == "ok"
    assert not (tmp_path / "a").exists()
    file = tmp_path / "file"
    file.touch()
    found = folder_finding("state", file)
    assert found.state == "problem"
    assert "cannot be written" in found.text
    assert "PROGPOW_MINER_STATE" in found.advice


def test_the_clock() -> None:
    assert clock_finding(2e9, 1.9e9).text == "the clock shows 2033-05-18 03:33 UTC"
    assert clock_finding(2e9, 1.9e9).state == "ok"
    assert clock_finding(0.0, 1.9e9).state == "problem"


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = HostPort("127.0.0.1", server.getsockname()[1])
        found = port_finding("listen", address)
        assert found.state == "problem"
        assert f"api.listen {address} cannot be listened on: another program" in found.text
    assert port_finding("listen", address).state == "ok"
    assert port_finding("listen", HostPort("192.0.2.1", 1)).state == "problem"


def listed(
    name: str, kind: str, unusable: str | None = None, same: str | None = None
) -> ListedDevice:
    backend = registry.backend_named("ref")
    (info,) = backend.devices()
    info = replace(info, name=name, kind=kind, model="Card", unusable=unusable)  # type: ignore[arg-type]
    assert isinstance(info, DeviceInfo)
    return ListedDevice(info, backend, 0, same)


@pytest.mark.parametrize(
    ("devices", "wanted", "problems"),
    [
        ([listed("cuda:0", "gpu"), listed("opencl:0.0", "gpu", same="cuda:0")], None, []),
        ([listed("cuda:0", "gpu", "it is broken")], None, ["it is broken", "no usable GPU"]),
        ([listed("ref", "cpu")], None, ["no usable GPU was found; only the CPU can mine"]),
        ([listed("ref", "cpu")], ["ref"], []),
        ([listed("ref", "cpu")], ["cuda:7"], ["no usable device is called 'cuda:7'"]),
        ([], None, ["no usable GPU was found"]),
    ],
)
def test_devices(
    devices: list[ListedDevice], wanted: list[str] | None, problems: list[str]
) -> None:
    found = [f for f in device_findings(devices, ["cuda: gone"], wanted) if f.state == "problem"]
    assert len(found) == len(problems)
    assert all(part in one.text for part, one in zip(problems, found, strict=True))
    notes = [
        f.text for f in device_findings(devices, ["cuda: gone"], wanted) if f.area == "drivers"
    ]
    assert notes == ["cuda: gone"]


def test_packages() -> None:
    assert {finding.state for finding in package_findings()} <= {"ok", "note"}


SETTINGS = f"""
coin = "RVN"
[[pools]]
url = "127.0.0.1:{{port}}"
user = "{WALLET}.rig1"
password = "hunter2"
[devices]
use = ["ref"]
[api]
listen = "127.0.0.1:0"
token = "a-token-of-many-letters"
"""


def test_a_sound_rig(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        path = settings_file(tmp_path, SETTINGS.format(port=port))
        ran = run("doctor", path, "--pools")
    assert (ran.code, ran.err) == (0, ""), ran.out
    assert f"ok       pools        stratum+tcp://127.0.0.1:{port} accepts connections" in ran.out
    assert f"{path} is valid" in ran.out


def test_a_report_has_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = settings_file(tmp_path, SETTINGS.format(port=9))
    report = tmp_path / "report.txt"
    ran = run("doctor", "-c", path, "--pools", "--report", report, "--json")
    assert ran.code == 1
    assert ran.err == "progpow-miner: 1 problem was found\n"
    written = json.loads(ran.out)
    assert not written["ok"]
    (problem,) = [one for one in written["findings"] if one["state"] == "problem"]
    assert problem["area"] == "pools"
    text = report.read_text(encoding="utf-8")
    for secret in ("hunter2", "a-token-of-many-letters", WALLET):
        assert secret not in text + ran.out
    assert str(tmp_path) not in text
    assert "RXBur…o9FV.rig1" in text
    assert "~/rig.toml is valid" in text


@pytest.mark.parametrize("home", ["/", "", None])
def test_a_report_of_a_user_without_a_home_folder_is_readable(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home(_: str) -> str:
        return "~"

    if home is None:
        monkeypatch.setattr("os.path.expanduser", no_home)
    else:
        monkeypatch.setenv("HOME", home)
    path = settings_file(tmp_path, SETTINGS.format(port=9))
    diagnosis = Diagnosis(path, {}, machine=machine(tmp_path))
    diagnosis.run(lambda _: None)
    assert f"{path} is valid" in diagnosis.report_text()


def test_a_folder_whose_name_begins_like_the_home_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    folder = tmp_path / "me-too"
    folder.mkdir()
    diagnosis = Diagnosis(
        settings_file(folder, SETTINGS.format(port=9)), {}, machine=machine(tmp_path)
    )
    diagnosis.run(lambda _: None)
    assert f"{folder}/rig.toml is valid" in diagnosis.report_text()


@pytest.mark.parametrize(
    ("environ", "state"),
    [
        ({"UV_THREAD_POOL_SIZE": "4"}, "note"),
        ({"PROGPOW_MINER_POOL_PASSWORD": "x"}, "note"),
        ({"PROGPOW_MINER_POOL_ULR": "h:1"}, "problem"),
        ({"PROGPOW_MINER_COIN": "RVN", "PROGPOW_MINER_POOL_URL": f"{WALLET}@h.example:1"}, "ok"),
    ],
)
def test_only_variables_of_this_miner_are_settings(
    environ: dict[str, str], state: str, tmp_path: Path
) -> None:
    diagnosis = Diagnosis(None, environ, machine=machine(tmp_path))
    diagnosis.run(lambda _: None)
    assert next(one for one in diagnosis.findings if one.area == "settings").state == state


def test_mistakes_in_the_settings_are_problems(tmp_path: Path) -> None:
    path = settings_file(tmp_path, 'coin = "RNV"\n[[pools]]\nurl = "h:1"\nuser = "w"\n')
    diagnosis = Diagnosis(path, {}, machine=machine(tmp_path))
    diagnosis.run(lambda _: None)
    assert diagnosis.loaded is None
    texts = [f.text for f in diagnosis.findings if f.area == "settings"]
    assert any("coin 'RNV' is not known" in text for text in texts)
    assert diagnosis.as_object()["ok"] is False


def test_doctor_needs_one_file_at_most(tmp_path: Path) -> None:
    ran = run("doctor", "a.toml", "-c", "b.toml")
    assert ran.code == 2
    ran = run("doctor", "--report", tmp_path / "none" / "report.txt")
    assert ran.code == 2
    assert "cannot be written" in ran.err
