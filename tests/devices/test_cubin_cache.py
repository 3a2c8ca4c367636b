"""The cache of compiled CUDA programs: its limit, and damaged files."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from miner.devices.cuda.cuda_builds import CubinCache


def sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.iterdir()]


def test_an_entry_is_returned_and_can_be_replaced(tmp_path: Path) -> None:
    cache = CubinCache(tmp_path / "cubins")
    assert cache.get("one") is None
    cache.put("one", b"code of one")
    cache.put("two", b"code of two")
    cache.put("one", b"newer code")
    assert cache.get("one") == b"newer code"
    assert cache.get("two") == b"code of two"
    assert len(sizes(tmp_path / "cubins")) == 2, "no temporary file remains"


def test_the_default_folder_is_in_the_miners_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    CubinCache().put("one", b"code")
    assert CubinCache().get("one") == b"code"
    assert len(list((tmp_path / "cubins").glob("*.cubin"))) == 1


def test_temporary_files_of_a_killed_process_are_deleted(tmp_path: Path) -> None:
    abandoned, written = tmp_path / ".old.tmp", tmp_path / ".new.tmp"
    for path in (abandoned, written):
        path.write_bytes(b"half")
    with written.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        CubinCache(tmp_path).put("one", b"code")
    assert not abandoned.exists()
    assert written.exists(), "another process is writing it"


@pytest.mark.parametrize("damage", [0, 5, 31, 32, 40, 1031])
def test_a_damaged_entry_is_absent_and_deleted(tmp_path: Path, damage: int) -> None:
    cache = CubinCache(tmp_path)
    cache.put("one", bytes(range(250)) * 4)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[damage] ^= 1
    path.write_bytes(content)
    assert cache.get("one") is None
    assert not path.exists()


@pytest.mark.parametrize("length", [0, 10, 32, 100])
def test_a_truncated_entry_is_absent(tmp_path: Path, length: int) -> None:
    cache = CubinCache(tmp_path)
    cache.put("one", b"x" * 1000)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:length])
    assert cache.get("one") is None


def test_an_entry_of_another_key_is_absent(tmp_path: Path) -> None:
    cache = CubinCache(tmp_path)
    cache.put("one", b"code")
    (path,) = tmp_path.iterdir()
    cache.put("two", b"other")
    (other,) = set(tmp_path.iterdir()) - {path}
    other.write_bytes(path.read_bytes())
    assert cache.get("two") is None
    assert cache.get("one") == b"code"


def test_the_least_recently_used_entry_is_deleted_first(tmp_path: Path) -> None:
    cache = CubinCache(tmp_path, limit=3500)
    for moment, key in enumerate(("one", "two", "three")):
        before = set(tmp_path.iterdir())
        cache.put(key, b"x" * 1000)
        (path,) = set(tmp_path.iterdir()) - before
        os.utime(path, (1000 + moment, 1000 + moment))
    assert cache.get("one") is not None  # used now
    cache.put("four", b"x" * 1000)
    assert sum(sizes(tmp_path)) <= 3500
    assert [key for key in ("one", "two", "three", "four") if cache.get(key)] == [
        "one", "three", "four",
    ]  # fmt: skip


def test_an_entry_larger_than_the_limit_is_deleted(tmp_path: Path) -> None:
    cache = CubinCache(tmp_path, limit=100)
    cache.put("one", b"x" * 1000)
    assert sizes(tmp_path) == []


def test_without_a_writable_folder_nothing_is_cached(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = CubinCache(tmp_path / "file" / "cubins")
    cache.put("one", b"code")
    assert cache.get("one") is None


def test_threads_that_write_one_entry_never_damage_it(tmp_path: Path) -> None:
    cache = CubinCache(tmp_path)
    seen: list[bytes | None] = []

    def body(code: bytes) -> None:
        for _ in range(50):
            cache.put("one", code)
            seen.append(cache.get("one"))

    codes = [bytes([n]) * 5000 for n in range(4)]
    threads = [threading.Thread(target=body, args=(code,)) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) <= set(codes), "always one whole entry"
    assert len(sizes(tmp_path)) == 1
