"""A release: reproducible, complete, and built without a network from local wheels."""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.harness.child import captured
from tests.packaging.conftest import CHECKOUT, TIMESTAMP

sys.path.insert(0, str(CHECKOUT / "packaging"))
from bundle.components import WINDOWS, needed, pinned, release_notes
from bundle.runtime import BuildError
from bundle.windows import unpack_embeddable

sys.path.remove(str(CHECKOUT / "packaging"))

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = CHECKOUT / "packaging/constraints.txt"
ON_WINDOWS = {**WINDOWS, "python_version": "3.12"}


def write_wheel(folder: Path, name: str, version: str) -> None:
    """Write a wheel that contains one empty module."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {module}:main\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as packed:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            packed.writestr(path, text)


def write_embeddable(target: Path) -> Path:
    """Write a ZIP with the files of an embeddable Python that matter."""
    with zipfile.ZipFile(target, "w") as packed:
        packed.writestr("python.exe", b"MZ")
        packed.writestr("python312._pth", "python312.zip\n.\n\n#import site\n")
        packed.writestr("LICENSE.txt", "the licence of Python")
    return target


@pytest.fixture(scope="module")
def released(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of two builds of one release."""
    folder = tmp_path_factory.mktemp("release")
    house = folder / "house"
    house.mkdir()
    versions = pinned(CONSTRAINTS, ON_WINDOWS)
    roots = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["opencl"]]
    for name in needed(roots, versions, ON_WINDOWS):
        write_wheel(house, name, versions[name])
    python = write_embeddable(folder / "python-embed.zip")
    outs = folder / "first", folder / "second"
    for out in outs:
        done = captured(
            [sys.executable, sources / "packaging/build.py", "release", "--out", out,
             "--level", "1", "--wheelhouse", house, "--windows-python", python,
             "--windows-sha256", sha256(python.read_bytes()).hexdigest()],
            env={**os.environ, "SOURCE_DATE_EPOCH": str(TIMESTAMP), "PIP_NO_INDEX": "1"},
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "left out: the archives for farm systems" in done.stderr
        assert "Windows" not in done.stderr
    return outs


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def test_a_release_is_listed_in_its_checksums(released: tuple[Path, Path]) -> None:
    out, _ = released
    lines = (out / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = dict(reversed(line.split("  ")) for line in lines)
    assert set(listed) == {p.name for p in out.iterdir()} - {"SHA256SUMS"}
    suffixes = ("none-any.whl", "0.tar.gz", "images.tar.gz", "cdx.json", "notes.md", "windows.zip")
    assert len(listed) == len(suffixes)
    for suffix in suffixes:
        assert len([name for name in listed if name.endswith(suffix)]) == 1, suffix
    for name, digest in listed.items():
        assert sha256((out / name).read_bytes()).hexdigest() == digest


def test_two_builds_of_a_release_have_the_same_bytes(released: tuple[Path, Path]) -> None:
    first, second = released
    assert (first / "SHA256SUMS").read_bytes() == (second / "SHA256SUMS").read_bytes()


def test_the_build_context_holds_what_the_dockerfile_copies(released: tuple[Path, Path]) -> None:
    with tarfile.open(only(released[0], "*-images.tar.gz")) as packed:
        names = set(packed.getnames())
    assert {"Dockerfile", ".dockerignore"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    text = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--).*$", text, re.MULTILINE)]
    bound = re.findall(r"--mount=type=bind,source=([^,\s]+)", text)
    assert copied
    assert {path for paths in [*copied, bound] for path in paths} <= names


def test_the_sdist_can_be_built_again(released: tuple[Path, Path]) -> None:
    with tarfile.open(only(released[0], "progpow_miner-*.tar.gz")) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    backend = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["build-system"]
    (folder,) = backend["backend-path"]
    assert f"{folder}/{backend['build-backend']}.py" in names
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names


def test_the_bill_of_materials_names_every_package(released: tuple[Path, Path]) -> None:
    bill = json.loads(only(released[0], "*.cdx.json").read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    versions = pinned(CONSTRAINTS, {})
    found: dict[str, Any] = {c["name"]: c for c in bill["components"]}
    for name, component in found.items():
        assert component["version"] == versions[name]
        assert component["purl"] == component["bom-ref"] == f"pkg:pypi/{name}@{versions[name]}"
    for requirement in PROJECT["dependencies"]:
        name = re.split(r"[><=\[]", requirement)[0]
        assert found[name]["scope"] == "required"
    assert {"llvmlite", "multidict", "yarl"} <= set(found), "what they need themselves"
    assert found["pyopencl"]["scope"] == "optional"
    assert not {"pytest", "mypy", "hatchling"} & set(found)
    refs = {c["bom-ref"] for c in bill["components"]}
    own = bill["metadata"]["component"]["bom-ref"]
    assert {row["ref"] for row in bill["dependencies"]} == refs | {own}
    assert {ref for row in bill["dependencies"] for ref in row["dependsOn"]} == refs


def test_the_bill_of_materials_has_the_form_of_its_schema(released: tuple[Path, Path]) -> None:
    """The parts that are written follow the JSON schema of CycloneDX 1.6."""
    bill = json.loads(only(released[0], "*.cdx.json").read_text(encoding="utf-8"))
    parts = {"bomFormat", "specVersion", "version", "metadata", "components", "dependencies"}
    assert bill.keys() == parts
    assert type(bill["version"]) is int
    assert bill["version"] >= 1
    assert bill["metadata"].keys() == {"timestamp", "component"}
    assert datetime.fromisoformat(bill["metadata"]["timestamp"]).tzinfo is not None
    everything = [bill["metadata"]["component"], *bill["components"]]
    keys = {"type", "bom-ref", "name", "version", "scope", "purl", "licenses"}
    for component in everything:
        assert {"type", "name"} <= component.keys() <= keys
        assert component["type"] in ("application", "library")
        assert component.get("scope", "required") in ("required", "optional", "excluded")
        assert all(row.keys() == {"license"} for row in component.get("licenses", []))
    assert len({component["bom-ref"] for component in everything}) == len(everything)
    for row in bill["dependencies"]:
        assert row.keys() == {"ref", "dependsOn"}
        assert len(set(row["dependsOn"])) == len(row["dependsOn"])


def test_the_zip_for_windows_runs_the_miner_with_its_own_python(
    released: tuple[Path, Path],
) -> None:
    with zipfile.ZipFile(only(released[0], "*-windows.zip")) as packed:
        names = set(packed.namelist())
        paths = packed.read("python/python312._pth").decode().splitlines()
        launcher = packed.read("progpow-miner.cmd").decode()
        notice = packed.read("NOTICE").decode()
    site = "python/Lib/site-packages"
    assert {
        "LICENSE",
        "python/python.exe",
        f"{site}/miner/__main__.py",
        f"{site}/numpy.py",
    } <= names
    assert not [n for n in names if n.startswith(f"{site}/bin/")], "scripts name another Python"
    assert paths[:2] == ["Lib\\site-packages", "python312.zip"]
    assert launcher == '@"%~dp0python\\python.exe" -m miner %*\r\n'
    assert "the licence of Python" in notice
    assert "\nnumba " in notice


def test_an_archive_without_embeddable_python_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as packed:
        packed.writestr("python.exe", "")
    for archive in (other, CHECKOUT / "README.md"):
        with pytest.raises(BuildError, match=r"embeddable Python|cannot be unpacked"):
            unpack_embeddable(archive, tmp_path)


def distribution(folder: Path, name: str, *requires: str) -> None:
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    lines = [f"Requires-Dist: {r}" for r in requires]
    text = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", "Version: 1", *lines])
    (info / "METADATA").write_text(text + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("root", "environment", "found"),
    [
        ("top", {"sys_platform": "linux"}, {"top": ["both"], "both": []}),
        ("top", WINDOWS, {"top": ["both", "shell"], "both": [], "shell": ["both"]}),
        ("top[more]", {"sys_platform": "linux"}, {"top": ["both", "more"], "both": [], "more": []}),
    ],
)
def test_what_is_needed_follows_markers_and_extras(
    root: str, environment: Mapping[str, str], found: dict[str, list[str]],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    distribution(tmp_path, "top", "Both", "shell; sys_platform == 'win32'", "more; extra == 'more'")
    distribution(tmp_path, "shell", "both>=1")
    monkeypatch.syspath_prepend(tmp_path)
    versions = dict.fromkeys(("top", "both", "shell", "more"), "1")
    assert needed([root], versions, environment) == dict(sorted(found.items()))
    with pytest.raises(BuildError, match=r"both: packaging/constraints\.txt has no version of it"):
        needed([root], {"top": "1", "shell": "1", "more": "1"}, environment)


@pytest.mark.parametrize(
    ("version", "text"), [("1.2.0", "- new"), ("1.1.0", "- old"), ("1.3.0", "- coming")]
)
def test_the_notes_are_the_section_of_the_version_or_else_the_unreleased_one(
    version: str, text: str
) -> None:
    log = (
        "# Changelog\n\n## [Unreleased]\n\n- coming\n\n## [1.2.0] - 2027-01-01\n\n- new\n\n"
        "## [1.1.0]\n\n- old"
    )
    assert release_notes(log, version) == f"# progpow-miner {version}\n\n{text}\n"


def test_a_release_without_notes_is_refused() -> None:
    with pytest.raises(BuildError, match=r"CHANGELOG\.md: has no text for 1\.2\.0"):
        release_notes("# Changelog\n\n## [Unreleased]\n\n## [1.1.0]\n\n- old\n", "1.2.0")
