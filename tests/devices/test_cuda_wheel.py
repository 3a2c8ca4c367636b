"""The wheel of PyCUDA that packaging/wheelhouse.py builds works with old drivers."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.harness import build, fake_driver
from tests.harness.child import captured

CONSTRAINTS = fake_driver.CHECKOUT / "packaging/constraints.txt"


def test_every_function_that_it_imports_is_in_the_driver_of_cuda_12_4() -> None:
    place = fake_driver.pycuda()
    if isinstance(place, str):
        pytest.skip(place)
    if shutil.which("nm") is None:
        pytest.skip("needs nm, of binutils, which is not installed")
    (extension,) = (place / "pycuda").glob("_driver.*.so")
    listing = captured(
        ["nm", "--dynamic", "--undefined-only", str(extension)],
        check=True,
    ).stdout  # fmt: skip
    named = set(re.findall(r" U (cu[A-Z]\w+)$", listing, re.MULTILINE))
    assert len(named) > 100
    harness = Path(fake_driver.__file__).parent
    known = set(re.findall(r"MISSING\((\w+)\)", (harness / "fake_cuda_missing.h").read_text()))
    known |= set(
        re.findall(r"^EXPORT \w+ (cu\w+)\(", (harness / "fake_cuda.cpp").read_text(), re.M)
    )
    assert sorted(named - known) == [], "not in the driver of CUDA 12.4"
    assert "cuCtxCreate_v2" in named, "with CUDA 13's headers it is cuCtxCreate_v4"
    assert not [name for name in named if name.startswith("curand")]


def test_older_builds_are_deleted_with_what_lies_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "cache", lambda: tmp_path)
    for name in ("pycuda-old", "pycuda-old.wheels", "pycuda-new", "pycuda-new.wheels", "other-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        if "new" not in name or "." in name:  # a use sets the time of the folder itself
            os.utime(tmp_path / name, (0, 0))
    (tmp_path / "pycuda-old.lock").touch()
    build.delete_unused("pycuda-*")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"pycuda-new", "pycuda-new.wheels", "other-old"}


def test_its_version_is_that_of_the_constraints() -> None:
    script = (fake_driver.CHECKOUT / "packaging/wheelhouse.py").read_text(encoding="utf-8")
    built = re.findall(r'^PYCUDA = "([^"]+)"$', script, re.MULTILINE)
    pinned = re.findall(r"^pycuda==(\S+)$", CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(built) == 1
    assert pinned in ([], built)
