"""The wheelhouse for rigs without a compiler."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

CHECKOUT = Path(__file__).parents[2]
HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "wheelhouse", CHECKOUT / "packaging/wheelhouse.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("there", "built"),
    [
        ("pycuda-{PYCUDA}-" + f"{HERE}-{HERE}-linux_x86_64.whl", False),
        ("pycuda-{PYCUDA}-cp39-cp39-linux_x86_64.whl", True),
        (f"pycuda-2020.1-{HERE}-{HERE}-linux_x86_64.whl", True),
    ],
)
def test_pycuda_is_built_unless_a_wheel_for_this_python_exists(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    there: str,
    built: bool,
) -> None:
    (tmp_path / there.format(PYCUDA=script.PYCUDA)).touch()
    folders: list[Path] = []
    monkeypatch.setattr(script, "build_pycuda", folders.append)
    assert script.main(["--only-pycuda", "--out", str(tmp_path)]) == 0
    assert folders == ([tmp_path] if built else [])
    assert "pycuda-" in capsys.readouterr().out


def test_packages_that_the_rig_has_are_left_out(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    downloaded: list[str] = []

    def pip(verb: str, *arguments: str) -> None:
        if verb == "wheel":
            (tmp_path / "progpow_miner-1.0-py3-none-any.whl").touch()
        elif verb == "install":
            names = ("progpow-miner", "NumPy", "aiohttp_socks", "yarl")
            found = [{"metadata": {"name": name, "version": "1.0"}} for name in names]
            report = Path(arguments[arguments.index("--report") + 1])
            report.write_text(json.dumps({"install": found}))
        else:
            downloaded.extend(word for word in arguments if "==" in word)

    monkeypatch.setattr(script, "pip", pip)
    monkeypatch.setattr(script, "build_pycuda", lambda out: None)
    without = ["numpy", "aiohttp-socks", "progpow_miner"]
    assert script.main(["--out", str(tmp_path), "--without", *without]) == 0
    assert downloaded == ["yarl==1.0"]
    assert not list(tmp_path.iterdir())


def test_the_page_describes_the_same_build_with_pip(script: ModuleType) -> None:
    """With the same headers, version and options."""
    page = (CHECKOUT / "docs/cuda.md").read_text(encoding="utf-8")
    section = page.partition("### With a C++ compiler")[2].partition("\n### ")[0]
    assert re.findall(r"nvidia-[\w-]+==[\d.]+", section) == list(script.HEADERS)
    assert f"pycuda=={script.PYCUDA} " in section
    switched = re.findall(r"'--conf:([^']+)'", section)
    assert switched == ["CUDA_ENABLE_CURAND=False;CUDADRV_LIBNAME=[]"]
    assert "CUDA_ENABLE_CURAND = False" in script.DEFAULTS


def test_pycuda_reads_its_settings_from_any_folder(script: ModuleType) -> None:
    read: dict[str, object] = {}
    exec(script.DEFAULTS.format(root="/a b/{c}'\""), read)
    assert read["CUDA_INC_DIR"] == ["/a b/{c}'\"/include"]
    assert read["CUDADRV_LIB_DIR"] == ["/a b/{c}'\"/stub"]
    # Debug information names local folders, and would be nine tenths of the wheel.
    assert read["CXXFLAGS"] == ["-g0"]
