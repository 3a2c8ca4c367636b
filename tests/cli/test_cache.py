"""The command `cache`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import HEADER, run, toy_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(path))
    return path


def test_an_empty_cache(folder: Path) -> None:
    for arguments in (("cache",), ("cache", "--clear")):
        ran = run(*arguments)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith(f"{folder}\n")
    assert not folder.exists()


def test_show_and_clear_the_cache(folder: Path, tmp_path: Path) -> None:
    (folder / "build-logs").mkdir(parents=True)
    (folder / "build-logs" / "one.log").write_bytes(bytes(3 << 19))
    (folder / "mine.txt").touch()
    (folder / "shapes").write_bytes(bytes(2048))
    toy = toy_file(tmp_path)
    assert not run("hash", "-a", toy, "--height", "1", "--header", HEADER, "--nonce", "1").code
    shown = run("cache").out.splitlines()
    assert shown[0] == str(folder)
    rows = {line.split()[0]: line.split()[1:] for line in shown[1:-1]}
    assert rows["build-logs"] == ["1", "files", "1.5", "MiB"]
    assert rows["shapes"] == ["1", "files", "2", "KiB"]
    assert rows["light"][:2] == ["1", "files"]
    assert rows["proved"][:2] == ["1", "files"]
    assert shown[-1] == f"{len(rows)} parts; --clear deletes the cache"
    assert run("cache").out.splitlines() == shown
    ran = run("cache", "--clear")
    assert (ran.code, ran.err, ran.out.splitlines()[-1]) == (0, "", "deleted")
    assert [file.name for file in folder.iterdir()] == ["mine.txt"], "the user's own file"
    assert not run("hash", "-a", toy, "--height", "1", "--header", HEADER, "--nonce", "1").code


def test_links_are_deleted_and_not_followed(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    folder.mkdir()
    (folder / "light").symlink_to(elsewhere)
    (folder / "numba").symlink_to("nowhere")
    os.mkfifo(folder / "cubins")
    assert run("cache", "--clear").code == 0
    assert list(folder.iterdir()) == []
    assert (elsewhere / "kept").exists()


def test_a_miner_may_delete_files_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = folder / "light" / "gone"
    gone.parent.mkdir(parents=True)
    gone.touch()
    looks = 0
    stat = os.stat

    def beside_a_miner(path: Any, **options: Any) -> os.stat_result:
        nonlocal looks
        if Path(path) == gone:
            looks += 1
            if looks == 2:
                gone.unlink()
        return stat(path, **options)

    monkeypatch.setattr("os.stat", beside_a_miner)
    ran = run("cache")
    assert (ran.code, ran.err) == (0, "")


def test_a_file_that_cannot_be_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "light").mkdir(parents=True)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", refuse)
    ran = run("cache", "--clear")
    assert ran.code == 2
    assert ran.err == f"progpow-miner: {folder / 'light'}: cannot be deleted: Permission denied\n"


@pytest.mark.parametrize("arguments", [[], ["--clear"]])
def test_a_file_in_place_of_the_folder_is_a_mistake(folder: Path, arguments: list[str]) -> None:
    folder.write_bytes(b"x")
    ran = run("cache", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"progpow-miner: {folder} is not a folder; set PROGPOW_MINER_CACHE")
    assert folder.read_bytes() == b"x"


@pytest.mark.parametrize("state", ["state", "cache", "cache/state"])
def test_found_blocks_are_not_deleted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """They lie in the state directory, or where earlier versions kept them."""
    monkeypatch.setenv("PROGPOW_MINER_STATE", str(tmp_path / state))
    blocks = [folder / "blocks" / "one.json", tmp_path / state / "blocks" / "two.json"]
    for block in blocks:
        block.parent.mkdir(parents=True, exist_ok=True)
        block.touch()
    (folder / "light").mkdir()
    assert run("cache", "--clear").code == 0
    assert all(block.exists() for block in blocks)
    assert not (folder / "light").exists()
