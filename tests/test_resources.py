"""Damaged files in the cache, and users without a home directory."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace as replace_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miner import cached_files, resources
from miner.cached_files import delete_abandoned, take_abandoned
from miner.devices.cuda.cuda_builds import CubinCache
from miner.engine import dataset_files
from miner.engine.dataset_files import DatasetFile
from miner.errors import ConfigError
from miner.progpow import jit
from miner.progpow.epoch import Epoch
from miner.resources import CACHE_PARTS, cache_directory, parse_toml, read_text, state_directory
from miner.verify import Verifier
from tests.fakes.device import filled_device

PACKAGE = Path(resources.__file__).parent
EPOCH = Epoch(0, 0, 509, 8191, 256)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path / "numba")
    cached_files._report_folder.cache_clear()
    return tmp_path


def addition(one: int, other: int) -> int:
    return one + other


def use_compiled_function() -> object:
    return jit.compiled(addition)(2, 3)


def use_light_cache() -> object:
    return Verifier().light(EPOCH).cache.tobytes()


def use_cubin() -> object:
    cache = CubinCache()
    code = cache.get("key")
    if code is None:
        cache.put("key", b"code" * 100)
    return code or b"code" * 100


def use_dataset() -> object:
    device, file = filled_device(EPOCH), DatasetFile(EPOCH)
    whole = device.read_nodes(0, EPOCH.nodes)
    device.write_nodes(0, np.zeros_like(whole))
    if [0.0, *file.load(device)][-1] != 1.0:
        device.write_nodes(0, whole)
        file.store(device, lambda: False)
    return device.read_nodes(0, EPOCH.nodes).tobytes()


USES = {
    "numba": use_compiled_function,
    "light": use_light_cache,
    "cubins": use_cubin,
    "datasets": use_dataset,
}
"""By the folder that each uses."""


def replace(path: Path, make: Callable[[Path], Any]) -> None:
    path.unlink()
    make(path)


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position * len(content) // 100] ^= 0x10
    path.write_bytes(content)


def make_unreadable(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can read every file")
    path.chmod(0)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "without its last byte": lambda path: os.truncate(path, path.stat().st_size - 1),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "random": lambda path: path.write_bytes(np.random.default_rng(1).bytes(5000)),
    "huge": lambda path: os.truncate(path, 1 << 40),
    **{f"bit flipped at {at} %": (lambda path, at=at: flip(path, at)) for at in (0, 2, 50, 99)},
    "FIFO": lambda path: replace(path, os.mkfifo),
    "directory": lambda path: replace(path, lambda p: (p / "below").mkdir(parents=True)),
    "dangling link": lambda path: replace(path, lambda p: p.symlink_to("nowhere")),
    "unreadable": make_unreadable,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(("folder", "use"), USES.items(), ids=USES)
def test_damaged_files_are_created_again_with_one_line(
    folder: str,
    use: Callable[[], object],
    damage: str,
    cache: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    good = use()
    files = sorted((cache / folder).iterdir())
    assert files
    before = [path.read_bytes() for path in files]
    for path in files:
        DAMAGES[damage](path)
    changed = [path.is_file() and path.stat().st_size < 1 << 30 for path in files]
    unchanged = all(changed) and [path.read_bytes() for path in files] == before
    capfd.readouterr()
    assert use() == good
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == (not unchanged)
    assert all("contains damaged files; they are created again" in line for line in lines)
    assert all(path.is_file() and not path.is_symlink() for path in files)
    assert use() == good
    assert capfd.readouterr().err == "", "the new files are good"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize(("folder", "use"), USES.items(), ids=USES)
def test_mining_continues_where_nothing_can_be_written(
    folder: str, use: Callable[[], object], error: int, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = use()
    files = [path for path in (cache / folder).iterdir() if path.is_file()]
    for path in files:
        path.write_bytes(b"damaged")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(error, os.strerror(error))

    for module, name in [
        (os, "utime"), (cached_files.tempfile, "mkstemp"), (Path, "unlink"), (Path, "mkdir"),
    ]:  # fmt: skip
        monkeypatch.setattr(module, name, fail)
    assert use() == good


@pytest.mark.parametrize(("folder", "use"), USES.items(), ids=USES)
def test_a_disk_that_fills_up_during_a_write_leaves_no_files(
    folder: str, use: Callable[[], object], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        first = use()
    assert not [path for path in (cache / folder).iterdir() if path.is_file()]
    assert use() == first


FOLDERS: dict[str, Callable[[Path], Any]] = {
    "file": lambda path: path.touch(),
    "FIFO": os.mkfifo,
    "dangling link": lambda path: path.symlink_to("nowhere/at/all"),
}


@pytest.mark.parametrize("instead", FOLDERS)
@pytest.mark.parametrize(("folder", "use"), USES.items(), ids=USES)
def test_mining_continues_without_a_folder_that_is_something_else(
    folder: str, use: Callable[[], object], instead: str, cache: Path
) -> None:
    FOLDERS[instead](cache / folder)
    assert use() == use()


def test_temporary_files_of_killed_processes_are_deleted_at_the_next_start(cache: Path) -> None:
    code = (
        "import os, sys, pathlib; from miner import cached_files; "
        "pathlib.Path.replace = lambda *_: os._exit(9); "
        "cached_files.replace_file(pathlib.Path(sys.argv[1]), [b'half'])"
    )
    folder = cache / "light"
    subprocess.run([sys.executable, "-c", code, folder / "0-509.light"], check=False)
    (folder / f".{os.getpid()}-0-509.light").write_bytes(b"of an earlier version")
    assert len(list(folder.iterdir())) == 2
    use_light_cache()
    assert sorted(path.name for path in folder.iterdir()) == ["0-509.light"]


def test_only_regular_files_are_deleted_as_abandoned(cache: Path) -> None:
    (cache / ".folder").mkdir()
    os.mkfifo(cache / ".fifo")
    delete_abandoned(cache)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("is_first", [True, False])
def test_of_two_processes_one_takes_an_abandoned_file(
    is_first: bool, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lock(file: object) -> None:
        if not is_first:  # the other process took it after we opened it
            path.unlink()

    monkeypatch.setattr(cached_files, "lock", lock)
    path = cache / "one.calls"
    path.write_bytes(b"a crash")
    assert list(take_abandoned(cache, "*.calls")) == [b"a crash"] * is_first
    assert not path.exists()


@pytest.mark.parametrize("folder", [cache_directory, state_directory])
def test_a_user_without_a_home_directory_is_an_error_in_one_sentence(
    folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 3_000_000_000)
    name = f"PROGPOW_MINER_{folder.__name__.partition('_')[0].upper()}"
    monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError) as caught:
        folder()
    assert str(caught.value) == (
        "this user has no home directory: set HOME to a writable folder, or "
        "PROGPOW_MINER_CACHE and PROGPOW_MINER_STATE to two"
    )
    monkeypatch.setenv(name, "/somewhere")
    assert folder() == Path("/somewhere")


def test_an_interrupted_or_oversized_dataset_leaves_no_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, file = filled_device(EPOCH), DatasetFile(EPOCH)
    file.store(device, lambda: True)
    assert list((cache / "datasets").iterdir()) == []
    monkeypatch.setattr(dataset_files, "LEFT_FREE", 1 << 62)
    file.store(device, lambda: False)
    assert list((cache / "datasets").iterdir()) == []


def test_older_datasets_make_room_for_a_newer_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_files, "DISK_BYTES", 2 * EPOCH.dataset_bytes + 1000)
    epochs = [replace_dataclass(EPOCH, number=n, seed_epoch=n) for n in range(3)]
    for age, epoch in enumerate(epochs):
        file = DatasetFile(epoch)
        file.store(filled_device(epoch), lambda: False)
        os.utime(file.path, (age, age))
    assert [DatasetFile(epoch).path.exists() for epoch in epochs] == [False, True, True]


def test_a_fifo_that_nothing_writes_to_is_empty_text(cache: Path) -> None:
    os.mkfifo(cache / "fifo")
    assert read_text(cache / "fifo", "it") == ""
    with subprocess.Popen(["sh", "-c", f"echo one > {cache / 'fifo'}"]):
        while not (text := read_text(cache / "fifo", "it")):
            pass
    assert text == read_text(cache / "fifo", "it") == "one\n"


def test_text_from_a_pipe_is_read_to_its_end() -> None:
    reader, writer = os.pipe()
    with subprocess.Popen(["sh", "-c", "sleep 0.1; echo late"], stdout=writer):
        os.close(writer)
        assert read_text(Path(f"/dev/fd/{reader}"), "it") == "late\n"
    assert read_text(Path(f"/dev/fd/{reader}"), "it") == "late\n", "it is read again"
    os.close(reader)


def test_a_file_without_end_is_not_read_to_it() -> None:
    with pytest.raises(ConfigError, match=r"^it: has more than 4 MiB; name the right file$"):
        read_text(Path("/dev/zero"), "it")


def test_folders_in_a_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for name, folder in (("CACHE", cache_directory), ("STATE", state_directory)):
        monkeypatch.setenv(f"PROGPOW_MINER_{name}", "~/here")
        assert folder() == Path("/home/someone/here")
        monkeypatch.setenv(f"PROGPOW_MINER_{name}", "~nobody-here/x")
        with pytest.raises(ConfigError, match="~nobody-here/x: unknown user; write the whole path"):
            folder()


def test_each_part_of_the_cache_is_known() -> None:
    named = set(re.findall(
        r'(?:cache_directory\(\) / |vendors_folder\()"([a-z-]+)"',
        "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")),
    ))  # fmt: skip
    assert named == set(CACHE_PARTS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"a = {'1' * 5000}", "a number has too many digits"),
        (f"a = {'[' * 100}{']' * 100}", "lists or tables are nested too deeply"),
        (f"a = {'[' * 9000}{']' * 9000}", "lists or tables are nested too deeply"),
        (f"{'a.' * 3000}a = 1", "lists or tables are nested too deeply"),
        (f"[{'a.' * 3000}a]", "lists or tables are nested too deeply"),
    ],
    ids=["digits", "lists", "more lists", "keys", "tables"],
)
def test_toml_that_nothing_can_read_is_one_sentence(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^it: {problem}$"):
        parse_toml(text, "it")


def test_a_small_file_takes_no_memory_for_the_largest_one(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_text("line\n")
    assert read_text(path, "recording", 1 << 60) == "line\n"
