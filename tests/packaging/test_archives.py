"""The archives for farm systems: reproducible and complete, without local traces."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
import tarfile
import zipfile
from hashlib import sha256
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.harness.child import captured
from tests.packaging.conftest import CHECKOUT, TIMESTAMP, build

TARS = ("hiveos", "mmpos")


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_the_checksums_cover_all_files(built: Path) -> None:
    lines = (built / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = dict(reversed(line.split("  ")) for line in lines)
    there = {p.relative_to(built).as_posix() for p in built.rglob("*") if p.is_file()}
    assert set(listed) == there - {"SHA256SUMS"}
    assert len(listed) == 4
    for name, digest in listed.items():
        assert sha256((built / name).read_bytes()).hexdigest() == digest


def test_archive_names(built: Path) -> None:
    name = only_file(built / "hiveos").name
    assert re.fullmatch(r"progpow-miner-[^-]+\.tar\.gz", name), (
        "HiveOS reads the version after the last dash"
    )
    assert only_file(built / "raveos").suffix == ".zip"


@pytest.mark.parametrize("farm", TARS)
def test_a_tar_has_one_folder_and_no_local_traces(built: Path, farm: str) -> None:
    with tarfile.open(only_file(built / farm)) as packed:
        members = packed.getmembers()
    files = [m.name for m in members if m.isfile()]
    assert files == sorted(files)
    assert {m.name.split("/")[0] for m in members} == {"progpow-miner"}
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {
        (0, 0, "root", "root", TIMESTAMP)
    }
    assert all(m.isfile() or m.isdir() for m in members), "no links, no devices"
    assert {oct(m.mode) for m in members} == {"0o644", "0o755"}
    assert all(m.mode == 0o755 for m in members if m.name.endswith(".sh") or m.isdir())
    assert not [name for name in files if name.endswith((".pyc", "direct_url.json"))]


def test_the_zip_has_no_local_traces(built: Path) -> None:
    with zipfile.ZipFile(only_file(built / "raveos")) as packed:
        members = packed.infolist()
    modes = {m.filename: m.external_attr >> 16 for m in members}
    assert modes["progpow-miner"] == modes["python/bin/progpow-miner"] == 0o100755
    assert modes["RAVINOS/manifest.json"] == 0o100644
    assert {m.date_time for m in members} == {(2023, 11, 14, 22, 13, 20)}
    assert [m.filename for m in members] == sorted(modes)


def test_builds_are_reproducible(
    built: Path, sources: Path, python_archive: Path, tmp_path: Path
) -> None:
    """For one archive; the others have the same content."""
    elsewhere = shutil.copytree(sources, tmp_path / "sources", copy_function=shutil.copyfile)
    temporary = tmp_path / "another place"
    temporary.mkdir()
    before = os.umask(0o077)
    try:
        build(
            elsewhere, "hiveos", tmp_path / "out", python_archive,
            TMPDIR=str(temporary), PYTHONHASHSEED="7",
        )  # fmt: skip
    finally:
        os.umask(before)
    first = (built / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    second = (tmp_path / "out/SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert len(second) == 2
    assert set(second) < set(first)


def write_wheel(folder: Path) -> None:
    """Write a wheel with a command, as a user's machine builds it."""
    info = "tried-1.0.dist-info"
    files = {
        "tried.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tried\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: false\n"
        f"Tag: py3-none-linux_{platform.machine()}\n",
        f"{info}/entry_points.txt": "[console_scripts]\ntried = tried:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"tried-1.0-py3-none-linux_{platform.machine()}.whl", "w") as w:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            w.writestr(name, text)


def test_a_wheel_of_the_wheelhouse_is_packed_without_local_traces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(CHECKOUT / "packaging")
    from bundle.runtime import install

    house, site = tmp_path / "house", tmp_path / "site"
    house.mkdir()
    write_wheel(house)
    constraints = tmp_path / "constraints.txt"
    constraints.touch()
    install(Path(sys.executable), site, ["tried"], constraints, "2.28", house)
    found = sorted(p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file())
    info = "tried-1.0.dist-info"
    assert found == [f"{info}/{n}" for n in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")] + [
        "tried.py"
    ]
    text = (site / info / "RECORD").read_text(encoding="utf-8")
    assert sorted(line.split(",")[0] for line in text.splitlines()) == found


def test_every_package_has_its_notice(built: Path, tmp_path: Path) -> None:
    with tarfile.open(only_file(built / "hiveos")) as packed:
        members = [
            m for m in packed.getmembers() if "-info/" in m.name or m.name.endswith("NOTICE")
        ]
        packed.extractall(tmp_path, members, filter="data")
    text = (tmp_path / "progpow-miner/NOTICE").read_text(encoding="utf-8")
    (site,) = tmp_path.glob("progpow-miner/python/lib/python3.*/site-packages")
    found = {d.name: d.version for d in distributions(path=[str(site)])}
    assert {"numpy", "numba", "llvmlite", "aiohttp", "pyopencl", "progpow-miner"} <= set(found)
    constraints = (CHECKOUT / "packaging/constraints.txt").read_text(encoding="utf-8")
    for name, version in found.items():
        if name == "progpow-miner":
            continue
        heading = f"{'=' * 78}\n{name} {version}\n"
        assert heading in text
        rest = text.partition(heading)[2].split("=" * 78)[0]
        assert "Licence: " in rest
        pinned = re.search(rf"(?im)^{re.sub('[-_.]', '[-_.]', name)}==(\S+)$", constraints)
        assert pinned, f"{name}: is not held still by the constraints"
        assert pinned[1] == version
    assert "PYTHON SOFTWARE FOUNDATION LICENSE" in text


def test_manifests_name_the_version_and_the_variants(built: Path) -> None:
    from miner import __version__
    from miner.catalog import variants

    with zipfile.ZipFile(only_file(built / "raveos")) as packed:
        manifest = json.loads(packed.read("RAVINOS/manifest.json"))
    assert manifest["package"] == only_file(built / "raveos").stem == f"progpow-miner-{__version__}"
    assert manifest["version"] == __version__
    assert sorted(manifest["algo"]) == sorted(variants())
    with tarfile.open(only_file(built / "hiveos")) as packed:
        file = packed.extractfile("progpow-miner/h-manifest.conf")
        assert file is not None
        assert f"CUSTOM_VERSION={__version__}\n" in file.read().decode()
    with tarfile.open(only_file(built / "mmpos")) as packed:
        file = packed.extractfile("progpow-miner/mmp-external.conf")
        assert file is not None
        assert file.read().decode() == (
            f"EXTERNAL_NAME=progpow-miner\nEXTERNAL_VERSION={__version__}\n"
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["hiveos"], "an archive contains a Python"),
        (
            ["hiveos", "--python-archive", "nowhere.tar.gz", "--sha256", "00"],
            "nowhere.tar.gz: not found",
        ),
        (["mmpos", "--python-archive", __file__, "--sha256", "00"], "its SHA-256 is"),
        (["raveos", "--python-archive", "http://a.example/x", "--sha256", "00"], "only https"),
        (
            ["hiveos", "--python-archive", "https://127.0.0.1:1/x", "--sha256", "00"],
            "the download failed",
        ),
    ],
)
def test_usage_mistakes(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = captured(
        [sys.executable, CHECKOUT / "packaging/build.py", *arguments, "--out", tmp_path / "out"],
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("build.py: ")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_shellcheck() -> None:
    scripts = [
        *CHECKOUT.glob("packaging/*/*.sh"),
        CHECKOUT / "packaging/farm/progpow-miner",
    ]
    assert len(scripts) == 6
    done = captured([Path(sys.executable).parent / "shellcheck", *scripts])
    assert done.returncode == 0, done.stdout
