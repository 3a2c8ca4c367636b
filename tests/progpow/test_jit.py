"""Numba's disk cache; each case runs in a new interpreter."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import miner
from tests.harness.child import captured

PACKAGE = Path(miner.__file__).parent

FOLDER = "from miner.progpow.jit import cache_folder; print(cache_folder())"

COMPILE = """
from miner.progpow.epoch import Epoch
from miner.progpow.light import light_cache
print(light_cache(Epoch(0, 0, 17, 8191, 256))[0, 0])
"""


def run(
    code: str, cache: Path, root: Path = PACKAGE.parent, stderr_lines: int = 0, **more: str
) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {"PROGPOW_MINER_CACHE": str(cache), "PYTHONPATH": str(root), **more}
    done = captured(
        [sys.executable, "-W", "error", "-c", code],
        env=environment, cwd=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == stderr_lines
    return done.stdout.strip()


def copy_of_the_sources(folder: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE / "progpow", folder / "miner" / "progpow", ignore=ignore)
    for name in ("__init__.py", "cached_files.py", "errors.py", "resources.py"):
        shutil.copy(PACKAGE / name, folder / "miner" / name)
    return folder


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_an_import_neither_creates_nor_deletes_files(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / "numba" / f"src-{number}").mkdir(parents=True)
    before = files_in(tmp_path)
    run("import miner.progpow.hashing, miner.verify", tmp_path)
    assert files_in(tmp_path) == before


def test_compiled_code_is_kept_in_one_folder_and_used_again(tmp_path: Path) -> None:
    value = run(COMPILE, tmp_path)
    folder = Path(run(FOLDER, tmp_path))
    assert folder.parent == tmp_path / "numba"
    kept = files_in(folder)
    assert any(name.endswith(".nbc") for name in kept)
    numbers = {name: (folder / name).stat().st_ino for name in kept}
    assert run(COMPILE, tmp_path) == value
    assert {name: (folder / name).stat().st_ino for name in files_in(folder)} == numbers


def test_damaged_files_are_compiled_again_with_one_line(tmp_path: Path) -> None:
    value = run(COMPILE, tmp_path)
    files = list(Path(run(FOLDER, tmp_path)).iterdir())
    for number, file in enumerate(files):
        file.write_bytes((b"", b"\0", file.read_bytes()[:-1])[number % 3])
    assert run(COMPILE, tmp_path, stderr_lines=1) == value
    assert run(COMPILE, tmp_path) == value


def test_a_changed_callee_is_compiled_again(tmp_path: Path) -> None:
    """A callee in another file: numba alone would use the old machine code."""
    root = copy_of_the_sources(tmp_path / "copy")
    cache = tmp_path / "cache"
    before = run(COMPILE, cache, root)
    folder = run(FOLDER, cache, root)
    keccak = root / "miner" / "progpow" / "keccak.py"
    text = keccak.read_text()
    assert text.count("_permute(s, 24, 64)") == 1
    keccak.write_text(text.replace("_permute(s, 24, 64)", "_permute(s, 23, 64)"))
    assert run(FOLDER, cache, root) != folder
    assert run(COMPILE, cache, root) != before
    keccak.write_text(text)
    assert run(FOLDER, cache, root) == folder
    assert run(COMPILE, cache, root) == before


def test_folders_of_old_sources_are_deleted(tmp_path: Path) -> None:
    base = tmp_path / "numba"
    for i in range(6):
        (base / f"src-{i}").mkdir(parents=True)
        os.utime(base / f"src-{i}", (i, i))
    (base / "mine").mkdir()
    folder = run(FOLDER, tmp_path)
    kept = {p.name for p in base.iterdir()}
    assert kept == {"src-3", "src-4", "src-5", "mine", Path(folder).name}


def test_code_is_compiled_in_memory_where_nothing_can_be_written(tmp_path: Path) -> None:
    """Not even root can create a folder inside a regular file."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert run(FOLDER, blocked / "cache") == "None"
    assert run(COMPILE, blocked / "cache") == run(COMPILE, tmp_path / "cache")


def test_nothing_is_deleted_in_a_users_own_cache_folder(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for number in range(6):
        (own / f"src-{number}").mkdir(parents=True)
    folder = Path(run(FOLDER, tmp_path, NUMBA_CACHE_DIR=str(own)))
    assert folder.parent == own
    assert files_in(own) == {folder.name, *(f"src-{number}" for number in range(6))}


def test_rendering_a_kernel_needs_no_numba(tmp_path: Path) -> None:
    code = (
        "import sys; import miner.codegen.kernel_source, miner.catalog; "
        "heavy = {'numba', 'llvmlite', 'numpy', 'pyopencl', 'pydantic', 'aiohttp'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run(code, tmp_path) == "[]"
