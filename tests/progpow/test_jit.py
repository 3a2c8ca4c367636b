"""Numba's disk cache, each case in an interpreter of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import miner

PACKAGE = Path(miner.__file__).parent

SHOW = "import miner.progpow.jit as j, numba; print(j.CACHED, numba.config.CACHE_DIR, sep='|')"
"""Importing it prepares the folder; nothing is compiled."""


def run(code: str, cache: Path, root: Path = PACKAGE.parent, **more: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {"PROGPOW_MINER_CACHE": str(cache), "PYTHONPATH": str(root), **more}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment, cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def copy_of_the_sources(folder: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE / "progpow", folder / "miner" / "progpow", ignore=ignore)
    for name in ("__init__.py", "errors.py", "resources.py"):
        shutil.copy(PACKAGE / name, folder / "miner" / name)
    return folder


def test_the_folder_is_under_the_cache_and_stays_the_same(tmp_path: Path) -> None:
    cached, folder = run(SHOW, tmp_path).split("|")
    assert cached == "True"
    assert Path(folder).parent == tmp_path / "numba"
    assert Path(folder).is_dir()
    assert run(SHOW, tmp_path) == f"True|{folder}"


def test_an_edited_callee_is_compiled_anew(tmp_path: Path) -> None:
    """A callee in another file: numba alone would go on with the old machine code."""
    root = copy_of_the_sources(tmp_path / "copy")
    cache = tmp_path / "cache"
    ask = (
        "import numpy as np; from miner.progpow.hashing import initial_state; "
        "s = np.empty(25, np.uint32); z = np.zeros(15, np.uint32); "
        "initial_state(z[:8].copy(), np.uint64(0), z, s); print(s[0])"
    )
    before = run(ask, cache, root)
    folder = run(SHOW, cache, root)
    assert run(ask, cache, root) == before
    keccak = root / "miner" / "progpow" / "keccak.py"
    text = keccak.read_text()
    assert text.count("for r in range(22):") == 1
    keccak.write_text(text.replace("for r in range(22):", "for r in range(21):"))
    assert run(SHOW, cache, root) != folder
    assert run(ask, cache, root) != before
    keccak.write_text(text)
    assert run(SHOW, cache, root) == folder
    assert run(ask, cache, root) == before


def test_every_file_with_compiled_code_counts(tmp_path: Path) -> None:
    root = copy_of_the_sources(tmp_path / "copy")
    cache = tmp_path / "cache"
    seen = {run(SHOW, cache, root)}
    for path in sorted((root / "miner" / "progpow").glob("*.py")):
        text = path.read_text()
        if "@compiled" in text or "@inlined" in text or path.name == "jit.py":
            path.write_text(text + "# edited\n")
            seen.add(run(SHOW, cache, root))
    assert len(seen) == 5


def test_folders_of_old_sources_go(tmp_path: Path) -> None:
    base = tmp_path / "numba"
    for i in range(6):
        (base / f"src-{i}").mkdir(parents=True)
        os.utime(base / f"src-{i}", (i, i))
    (base / "mine").mkdir()
    _, folder = run(SHOW, tmp_path).split("|")
    kept = {p.name for p in base.iterdir()}
    assert kept == {"src-3", "src-4", "src-5", "mine", Path(folder).name}


def test_nothing_writable_compiles_in_memory(tmp_path: Path) -> None:
    """A folder below a regular file cannot be made, not even by root."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    ask = (
        "import miner.progpow.jit as j; from miner.progpow.keccak import seed_hash; "
        "print(j.CACHED, seed_hash(1).hex()[:8])"
    )
    assert run(ask, blocked / "cache") == "False 290decd9"


def test_a_users_own_folder_is_taken_and_an_inherited_one_not_nested(tmp_path: Path) -> None:
    own = tmp_path / "own"
    _, folder = run(SHOW, tmp_path, NUMBA_CACHE_DIR=str(own)).split("|")
    assert Path(folder).parent == own
    assert run(SHOW, tmp_path, NUMBA_CACHE_DIR=folder) == f"True|{folder}"
    _, again = run(SHOW, tmp_path, NUMBA_CACHE_DIR=str(own / "src-0123456789abcdef")).split("|")
    assert again == folder


def test_rendering_a_kernel_needs_no_numba(tmp_path: Path) -> None:
    code = (
        "import sys; import miner.codegen.kernel_source, miner.catalog; "
        "heavy = {'numba', 'llvmlite', 'numpy', 'pyopencl', 'pydantic', 'aiohttp'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run(code, tmp_path) == "[]"
