"""The wheel works when installed outside the checkout."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.harness.child import captured

CHECKOUT = Path(__file__).parents[2]
KERNEL = ("kernel", "--variant", "kawpow", "--height", "1000", "--dialect", "opencl")


def python(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run Python with `arguments`; return its output."""
    done = captured(
        [sys.executable, *arguments], cwd=cwd, env={**os.environ, **(env or {})}, timeout=300
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the sdist."""
    out = tmp_path_factory.mktemp("dist")
    python("-m", "build", "--no-isolation", "--outdir", str(out), str(CHECKOUT), cwd=out)
    assert len(list(out.glob("*.tar.gz"))) == 1
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that contains only the installed wheel."""
    target = tmp_path_factory.mktemp("installed")
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps")
    python(*pip, "--no-index", "--target", str(target), str(wheel), cwd=target)
    return target


@pytest.mark.parametrize("folder", ["kernels", "configs"])
def test_the_wheel_holds_every_data_file(wheel: Path, folder: str) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [p for p in (CHECKOUT / folder).rglob("*") if p.is_file()]
    assert files
    for path in files:
        assert f"miner/_data/{path.relative_to(CHECKOUT).as_posix()}" in names


def test_the_wheel_holds_the_package_and_its_licence_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"miner"}


def test_the_wheel_tells_type_checkers_that_it_is_typed(wheel: Path) -> None:
    assert "miner/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_the_command_is_installed(installed: Path) -> None:
    script = installed / "bin" / "progpow-miner"
    assert "from miner.cli import main" in script.read_text(encoding="utf-8")


def test_an_installed_miner_prints_the_same_kernel(installed: Path, tmp_path: Path) -> None:
    there = {"PYTHONPATH": str(installed)}
    where = python("-c", "import miner; print(miner.__file__)", cwd=tmp_path, env=there)
    assert Path(where.strip()).is_relative_to(installed)
    here = {"PYTHONPATH": str(CHECKOUT)}
    expected = python("-m", "miner", *KERNEL, cwd=CHECKOUT, env=here)
    assert "__kernel" in expected
    assert python("-m", "miner", *KERNEL, cwd=tmp_path, env=there) == expected


def test_a_python_that_is_too_old_is_named_before_versions_are_resolved() -> None:
    backend = CHECKOUT / "packaging/backend/checked_hatchling.py"
    code = f"import runpy, sys; sys.version_info = (3, 10, 12); runpy.run_path({str(backend)!r})"
    done = captured([sys.executable, "-c", code], timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "progpow-miner needs Python 3.11 or newer, this is Python 3.10.12."
    )
