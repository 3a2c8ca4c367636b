from __future__ import annotations

import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from miner import verify
from miner.catalog import variants
from miner.errors import BadValue, BadVariant, OutOfMemory
from miner.progpow.epoch import Epoch
from miner.progpow.light import light_cache
from miner.resources import available_memory
from miner.verify import (
    Interrupted,
    Verifier,
    load_light_cache,
    prove_file,
    store_light_cache,
)

KAWPOW = variants()["kawpow"]
ANSWER = KAWPOW.known_answers[0]
TOY = KAWPOW.with_sizes(ANSWER.sizes)
EPOCH = TOY.epoch_at(0)

Report = tuple[Epoch, float, float, bool]


class Watcher:
    """Records progress reports; requests a stop after `stop_after` checks."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.reports: list[Report] = []
        self.stop_after = stop_after
        self.asked = 0

    def should_stop(self) -> bool:
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after

    def on_progress(self, epoch: Epoch, done: float, seconds: float, from_disk: bool) -> None:
        self.reports.append((epoch, done, seconds, from_disk))

    @property
    def ready(self) -> list[bool]:
        """For each finished light cache: was it loaded from disk?"""
        return [from_disk for _, done, _, from_disk in self.reports if done == 1.0]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(folder))
    return folder


def numbered(items: int) -> Epoch:
    return Epoch(0, 0, items, 8191, 256)


def test_a_known_answer() -> None:
    verifier = Verifier()
    digest = verifier.hash(TOY, ANSWER.height, EPOCH, ANSWER.header_hash, ANSWER.nonce)
    assert digest.mix_hash == ANSWER.mix_hash
    assert digest.final_hash == ANSWER.final_hash


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_header_that_is_not_32_bytes_is_reported_before_anything_is_built(
    length: int, cache: Path
) -> None:
    verifier = Verifier()
    with pytest.raises(BadValue, match=rf"^header_hash: needs 32 bytes, has {length}$"):
        verifier.hash(TOY, 0, EPOCH, bytes(length), 0)
    assert not (cache / "light").exists()


def test_a_height_below_0_is_an_error() -> None:
    with pytest.raises(BadValue, match=r"^height: -1 is outside"):
        Verifier().hash(TOY, -1, EPOCH, bytes(32), 0)


def test_many_threads_build_a_light_cache_once() -> None:
    watcher = Watcher()
    verifier = Verifier()
    together = threading.Barrier(8)

    def ask(_: int) -> int:
        together.wait()
        return id(verifier.light(EPOCH, watcher))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert watcher.ready == [False]


def test_many_threads_hash_alike() -> None:
    verifier = Verifier()

    def ask(nonce: int) -> bytes:
        return verifier.hash(TOY, 0, EPOCH, ANSWER.header_hash, nonce).final_hash

    nonces = list(range(40))
    alone = [ask(nonce) for nonce in nonces]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, nonces)) == alone


def test_a_light_cache_is_loaded_from_disk(cache: Path) -> None:
    watcher = Watcher()
    first = Verifier().light(EPOCH, watcher)
    second = Verifier().light(EPOCH, watcher)
    assert watcher.ready == [False, True]
    np.testing.assert_array_equal(first.cache, second.cache)
    np.testing.assert_array_equal(first.l1, second.l1)
    assert [p.name for p in (cache / "light").glob("*.light")] == ["0-509.light"]


def test_variants_that_share_a_light_cache_share_the_file() -> None:
    watcher = Watcher()
    verifier = Verifier()
    verifier.light(EPOCH, watcher)
    verifier.light(Epoch(7, 0, 509, 16381, 256), watcher)
    assert watcher.ready == [False, True]


def test_without_disk_nothing_is_written(cache: Path) -> None:
    Verifier(disk=False).light(EPOCH)
    assert not cache.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:1000],
        lambda data: b"",
        lambda data: b"no light cache at all",
        lambda data: data[:128] + bytes(len(data) - 128),
    ],
    ids=["one bit", "cut", "empty", "other file", "zeros"],
)
def test_a_damaged_light_cache_is_rebuilt(damage, cache: Path) -> None:  # type: ignore[no-untyped-def]
    watcher = Watcher()
    good = Verifier().light(EPOCH, watcher)
    path = cache / "light" / "0-509.light"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again = Verifier().light(EPOCH, watcher)
    assert watcher.ready == [False, False]
    np.testing.assert_array_equal(good.cache, again.cache)
    assert path.read_bytes() == whole
    assert Verifier().light(EPOCH, watcher)
    assert watcher.ready == [False, False, True]


def test_a_file_of_another_shape_is_damage() -> None:
    store_light_cache(EPOCH, np.zeros((17, 16), np.uint32))
    assert load_light_cache(EPOCH) is None
    store_light_cache(EPOCH, np.zeros((509, 16), np.uint32))
    assert load_light_cache(EPOCH) is not None, "only the checksum can tell"


def test_a_light_cache_is_kept_in_memory_if_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(blocked / "cache"))
    watcher = Watcher()
    verifier = Verifier()
    assert verifier.light(EPOCH, watcher) is verifier.light(EPOCH, watcher)
    assert watcher.ready == [False]
    digest = verifier.hash(TOY, 0, EPOCH, ANSWER.header_hash, ANSWER.nonce)
    assert digest.final_hash == ANSWER.final_hash


def test_the_disk_keeps_the_most_recently_used(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [503, 509, 521, 523, 541]
    monkeypatch.setattr(verify, "DISK_BYTES", sum(64 * n + 76 for n in sizes) - 64 * 505)
    for age, items in enumerate(sizes[:-1]):
        epoch = numbered(items)
        store_light_cache(epoch, light_cache(epoch))
        path = cache / "light" / f"0-{items}.light"
        os.utime(path, (1000 + age, 1000 + age))
    assert load_light_cache(numbered(503)) is not None, "used, hence no longer the oldest"
    store_light_cache(numbered(541), light_cache(numbered(541)))
    kept = {int(p.stem.split("-")[1]) for p in (cache / "light").glob("*.light")}
    assert kept == {503, 521, 523, 541}


def test_a_light_cache_that_would_displace_all_others_is_not_stored(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "DISK_BYTES", 64 * 509)
    Verifier().light(EPOCH)
    assert not list(cache.glob("light/*"))


def test_light_caches_in_memory_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "MEMORY_BYTES", 64 * 600)
    verifier = Verifier(disk=False)
    freed = []
    for items in (503, 509, 521):
        epoch = numbered(items)
        verifier.hash(TOY, 0, epoch, bytes(32), 1)
        freed.append(weakref.ref(verifier.light(epoch).cache))
    gc.collect()
    assert [reference() is None for reference in freed] == [True, True, False]


def test_hashers_keep_no_light_cache_alive() -> None:
    now = [0.0]
    verifier = Verifier(disk=False, now=lambda: now[0])
    freed = []
    for items in (503, 509, 521):
        now[0] += 2000.0
        epoch = numbered(items)
        verifier.hash(TOY, 0, epoch, bytes(32), 1)
        freed.append(weakref.ref(verifier.light(epoch).cache))
    gc.collect()
    assert [reference() is None for reference in freed] == [True, False, False]


def test_a_light_cache_larger_than_the_available_memory_is_refused_before_it_is_built(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, watcher = Verifier(), Watcher()
    monkeypatch.setattr(verify, "available_memory", lambda: 64 * 509 - 1)
    with pytest.raises(OutOfMemory, match="needs 32,576 bytes of this machine's memory, 32,575"):
        verifier.light_cache(EPOCH, watcher)
    assert watcher.reports == []
    monkeypatch.setattr(verify, "available_memory", lambda: 64 * 509)
    verifier.light_cache(EPOCH, watcher)
    monkeypatch.setattr(verify, "available_memory", lambda: 0)
    assert verifier.light_cache(EPOCH, watcher).nbytes == 64 * 509, "it is already in memory"


def test_the_available_memory_is_read_in_bytes(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    assert available_memory(meminfo, tmp_path) is None
    meminfo.write_text("MemTotal:  9 kB\nMemAvailable:    5 kB\n")
    assert available_memory(meminfo, tmp_path) == 5 * 1024
    meminfo.write_text("MemAvailable: many\n")
    assert available_memory(meminfo, tmp_path) is None


@pytest.mark.parametrize(
    ("limit", "used", "free"), [("max", 900, 5 * 1024), ("3000", 900, 2200), ("800", 1900, 0)]
)
def test_the_limit_of_a_container_is_respected(
    limit: str, used: int, free: int, tmp_path: Path
) -> None:
    """Files that the system can drop at any time do not count as used."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemAvailable:    5 kB\n")
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    (tmp_path / "memory.stat").write_text("anon 800\ninactive_file 100\nactive_file 3\n")
    assert available_memory(meminfo, tmp_path, tmp_path) == free


@pytest.mark.parametrize(
    ("membership", "top"), [("0::/a.slice/b.service", "."), ("4:cpu,memory:/a.slice", "memory")]
)
def test_the_limit_of_a_service_is_respected(membership: str, top: str, tmp_path: Path) -> None:
    meminfo, own = tmp_path / "meminfo", tmp_path / "own"
    meminfo.write_text("MemAvailable:    5 kB\n")
    own.write_text(f"5:pids:/x\n{membership}\n")
    group = tmp_path / top / "a.slice"
    group.mkdir(parents=True)
    assert available_memory(meminfo, tmp_path, own) == 5 * 1024
    (group / "memory.max").write_text("3000\n")
    (group / "memory.current").write_text("900\n")
    assert available_memory(meminfo, tmp_path, own) == 2100


@pytest.mark.parametrize(("limit", "free"), [(3000, 2200), (9223372036854771712, 5 * 1024)])
def test_the_limit_of_a_container_under_version_1_is_respected(
    limit: int, free: int, tmp_path: Path
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemAvailable:    5 kB\n")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("900\n")
    (tmp_path / "memory" / "memory.stat").write_text("inactive_file 7\ntotal_inactive_file 100\n")
    assert available_memory(meminfo, tmp_path, tmp_path) == free


@pytest.mark.parametrize(
    ("seconds", "built"), [(1.0, [503, 509, 521]), (2000.0, [503, 509, 521, 509])]
)
def test_memory_keeps_two_light_caches_and_those_of_the_last_hour(
    seconds: float, built: list[int]
) -> None:
    watcher, now = Watcher(), [0.0]
    verifier = Verifier(disk=False, now=lambda: now[0])
    first, second, third = (numbered(n) for n in (503, 509, 521))
    for epoch in (first, second, first, third, first, second):
        now[0] += seconds
        verifier.light(epoch, watcher)
    assert [report[0].light_items for report in watcher.reports if report[1] == 1.0] == built


def test_an_interrupted_build_leaves_no_files(cache: Path) -> None:
    large = numbered(400_009)
    watcher = Watcher(stop_after=3)
    verifier = Verifier()
    with pytest.raises(Interrupted):
        verifier.light(large, watcher)
    assert watcher.ready == []
    assert len(watcher.reports) == 3
    assert not list(cache.glob("light/*"))
    assert verifier.light(EPOCH), "the next one is not blocked"


def test_waiting_for_another_threads_build_can_be_interrupted() -> None:
    large = numbered(400_009)
    building, let_go = threading.Event(), threading.Event()

    class Blocking(Watcher):
        def on_progress(self, *_: object) -> None:
            building.set()
            let_go.wait(30)

    verifier = Verifier()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(verifier.light, large, Blocking())
        assert building.wait(30)
        with pytest.raises(Interrupted):
            verifier.light(EPOCH, Watcher(stop_after=0))
        let_go.set()
        assert first.result(30).epoch == large


def test_the_progress_grows_and_ends_with_1_once() -> None:
    watcher = Watcher()
    Verifier().light(numbered(400_009), watcher)
    shares = [done for _, done, _, _ in watcher.reports]
    assert shares == sorted(shares)
    assert shares.count(1.0) == 1
    assert shares[-1] == 1.0
    assert len(shares) > 8


def test_variants_with_the_same_name_have_different_hashers() -> None:
    """A user's own variant may have the name of a shipped one."""
    verifier = Verifier()
    other = variants()["firopow"].with_sizes(ANSWER.sizes)
    renamed = type(other)(
        **{f: getattr(other, f) for f in other.__dataclass_fields__} | {"name": "kawpow"}
    )
    ours = verifier.hash(TOY, 0, EPOCH, bytes(32), 1)
    theirs = verifier.hash(renamed, 0, EPOCH, bytes(32), 1)
    assert ours != theirs
    assert verifier.hash(TOY, 0, EPOCH, bytes(32), 1) == ours


def test_a_file_is_proved_once_per_content(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proved = []
    monkeypatch.setattr(verify, "prove_variant", proved.append)
    path = tmp_path / "mine.toml"
    path.write_text("a = 1\n")
    prove_file(KAWPOW, path)
    prove_file(KAWPOW, path)
    assert len(proved) == 1
    path.write_text("a = 2\n")
    prove_file(KAWPOW, path)
    assert len(proved) == 2
    path.write_text("a = 1\n")
    prove_file(KAWPOW, path)
    assert len(proved) == 2, "remembered by content, not by date"
    assert len(list((cache / "proved").iterdir())) == 2


def test_a_file_that_fails_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("a = 1\n")
    wrong = verify.Variant(
        **{f: getattr(KAWPOW, f) for f in KAWPOW.__dataclass_fields__} | {"registers": 30}
    )
    for _ in range(2):
        with pytest.raises(BadVariant, match=r"^variant 'kawpow': known_answers\[1\]"):
            prove_file(wrong, path)
    assert not (cache / "proved").exists()


def test_a_file_is_proved_if_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("a = 1\n")
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(path / "cache"))
    prove_file(KAWPOW, path)
