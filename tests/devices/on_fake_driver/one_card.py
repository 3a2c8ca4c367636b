"""A card on the fake driver: memory, modules, failures. Run by test_cuda_on_fake_driver.py."""

from __future__ import annotations

import gc
import hashlib
import importlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource, search_source
from miner.codegen.launch_shape import shape_named
from miner.devices.cuda.cuda_compilers import Cubin
from miner.devices.device import Device, Image, filler_source
from miner.devices.device import fill as device_fill
from miner.devices.known_answers import EVERY_NONCE, selftest
from miner.devices.selection import find_devices
from miner.engine.programs import Programs
from miner.engine.threads import WorkPool
from miner.errors import BuildFailed, DeviceError, OutOfMemory
from miner.progpow.hashing import Hasher, Light
from miner.progpow.light import dataset_nodes, light_cache
from miner.progpow.variant import FixedSizes
from miner.work import Job, NonceRange, NonceSpace
from tests.fakes.variants import KAWPOW
from tests.harness.fake_driver_plugin import COMPILER, alive, count, fail

FOUND = {f.info.model: f for f in find_devices("cuda")[0]}
QUICK = replace(KAWPOW, parents=32)
"""Datasets in a sixteenth of the time."""

TOY = QUICK.with_sizes(FixedSizes(509, 1021, 0))
LARGE = QUICK.with_sizes(FixedSizes(509, 20011, 0))
"""2.4 MiB, in more than one slice."""

HUGE = QUICK.with_sizes(FixedSizes(509, 400009, 0))
"""49 MiB: too large for the card of 32 MiB, not for the others."""

LIGHT = light_cache(TOY.epoch_at(0))
NOTHING = dict.fromkeys(alive(), 0)
REFERENCE = Light.of(TOY.epoch_at(0), LIGHT)


@pytest.fixture(autouse=True)
def _all_given_back() -> Iterator[None]:
    yield
    gc.collect()
    assert alive() == NOTHING
    assert count("unloaded in flight") == 0


@pytest.fixture
def device() -> Iterator[Device]:
    one = FOUND["NVIDIA Fake 3080"].open()
    yield one
    one.close()


def fill(device: Device, variant: Any = TOY) -> list[float]:
    return list(device_fill(device, variant.epoch_at(0), LIGHT))


def job(height: int = 0) -> Job:
    digest = hashlib.sha256(b"header").digest()
    epoch = TOY.epoch_at(0)
    return Job(1, "1", TOY, digest, height, epoch, EVERY_NONCE, NonceSpace())


def image(device: Device, height: int = 0) -> Image:
    epoch = TOY.epoch_at(0)
    period = TOY.period_at(height)
    return device.build(search_source(TOY, period, epoch, device.dialect, device.shape))


def search(device: Device, kernel: Any, height: int = 0) -> None:
    """Search one group, and compare two of its nonces with the reference."""
    span = NonceRange(5, device.round_up(1))
    found = device.launch(kernel, job(height), span).wait()
    assert found.total == found.tried == span.count
    hits = {hit.nonce: hit for hit in found.hits}
    hasher = Hasher(TOY, TOY.period_at(height), REFERENCE)
    for nonce in (5, 5 + span.count - 1):
        digest = hasher.hash(job(height).header_hash, nonce)
        assert hits[nonce].final_words == tuple(np.frombuffer(digest.final_hash[:8], "<u4"))


def assert_works(device: Device) -> None:
    fill(device)
    kernel = device.load(image(device))
    search(device, kernel)
    device.unload(kernel)


def test_two_hundred_periods_leak_nothing(device: Device) -> None:
    fill(device)
    images = [image(device, height) for height in (0, 3, 6, 9)]
    search(device, device.load(images[0]))
    before, loads = alive(), count("cuModuleLoadDataEx")
    assert before["modules"] == 1
    for period in range(200):
        kernel = device.load(images[period % 4])
        search(device, kernel, 3 * (period % 4))
        device.unload(kernel)
        assert alive() == before
    assert count("cuModuleLoadDataEx") == loads + 200


def test_datasets_one_after_the_other_leak_nothing(device: Device) -> None:
    assert_works(device)
    before = alive()
    for _ in range(5):
        fill(device)
        assert alive() == before
    slices = device_fill(device, LARGE.epoch_at(0), LIGHT)
    next(slices)
    assert alive()["bytes"] > before["bytes"]
    slices.close()  # abandoned, as for a job of another epoch
    assert_works(device)
    assert alive() == before


def test_a_dataset_is_generated_in_slices(device: Device) -> None:
    done = fill(device, LARGE)
    assert len(done) > 2
    assert done == sorted(done)
    nodes = LARGE.epoch_at(0).nodes
    assert np.array_equal(
        device.read_nodes(nodes - 40, 40),
        dataset_nodes(LARGE.epoch_at(0), LIGHT, nodes - 40, 40),
    )


def test_an_unloaded_kernel_is_not_launched(device: Device) -> None:
    fill(device)
    old = device.load(image(device))
    device.load(image(device, 3))
    device.unload(old)
    with pytest.raises(DeviceError, match="this kernel was unloaded"):
        device.launch(old, job(), NonceRange(0, device.round_up(1)))


def test_kernels_are_loaded_and_unloaded_beside_a_launch(device: Device) -> None:
    fill(device)
    kernel, other = device.load(image(device)), device.load(image(device, 3))
    pending = device.launch(kernel, job(), NonceRange(0, device.round_up(1)))
    device.load(image(device, 6))
    device.unload(other)
    assert pending.wait().total == device.round_up(1)


def test_datasets_side_by_side_take_memory_until_each_is_dropped(device: Device) -> None:
    fill(device)
    one, spare = alive(), device.spare_memory()
    epoch = LARGE.epoch_at(0)
    filler = device.build(filler_source(device, epoch))
    assert list(device.generate(epoch, LIGHT, filler))[-1] == 1.0
    assert spare - device.spare_memory() >= epoch.entries * 256
    device.drop(epoch)
    assert (alive(), device.spare_memory()) == (one, spare)
    slices = device.generate(epoch, LIGHT, filler)
    next(slices)
    slices.close()
    device.drop(epoch)
    assert alive() == one
    device.select(TOY.epoch_at(0))
    search(device, device.load(image(device)))


def test_a_closed_device_returns_no_result() -> None:
    device = FOUND["NVIDIA Fake 3080"].open()
    fill(device)
    pending = device.launch(device.load(image(device)), job(), NonceRange(0, 256))
    device.close()
    with pytest.raises(DeviceError, match="searching: the device is closed"):
        pending.wait()
    with pytest.raises(DeviceError, match="the device is closed"):
        fill(device)
    device.close()


def test_equal_cards_share_one_build() -> None:
    names = ("NVIDIA Fake 3080", "NVIDIA Fake 3080 too", "NVIDIA Fake 1080")
    one, two, other = (FOUND[name].open() for name in names)
    # The fake cards have a model each, by which these tests find them.
    two.info = replace(two.info, model=one.info.model)
    with WorkPool("build", 2) as pool:
        programs = Programs(search_source, pool)
        images = []
        for device in (one, two, other):
            fill(device)
            images.append(programs.search_image(device, job(33)).result(60))
            search(device, device.load(images[-1]), 33)
    assert images[0] is images[1]
    assert images[0].program != images[2].program
    with pytest.raises(DeviceError, match=r"^cuda:2 at 0000:0a:00\.0: loading .*NO_BINARY_FOR_GPU"):
        one.load(images[2])
    search(one, one.load(images[0]), 33)
    for device in (one, two, other):
        device.close()


def test_a_restart_compiles_nothing_again() -> None:
    made = []
    for _ in range(2):
        device = FOUND["NVIDIA Fake 3080"].open()
        assert_works(device)
        search(device, device.load(image(device, 36)), 36)
        device.close()
        made.append(len(COMPILER.made))
    assert made[0] == made[1]


@pytest.mark.parametrize("entry", ["dataset", "search"])
def test_a_wrong_program_is_deleted_from_the_cache(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    compile_ = COMPILER.compile

    def miscompiled(source: KernelSource, architecture: str) -> Cubin:
        prime = "0x01000193u"
        assert prime in source.text
        broken = source.text.replace(prime, "0x01000195u") if source.entry == entry else source.text
        return compile_(replace(source, text=broken), architecture)

    monkeypatch.setattr(COMPILER, "compile", miscompiled)
    device = FOUND["NVIDIA Fake 3080"].open()
    wrong = selftest(device, variants()["kawpow"], answers=1).problem
    assert wrong is not None
    assert ("dataset nodes" in wrong) == (entry == "dataset")
    device.close()
    monkeypatch.undo()
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    device = FOUND["NVIDIA Fake 3080"].open()
    assert selftest(device, variants()["kawpow"], answers=1).problem is None
    device.close()


def test_a_card_newer_than_the_compiler_gets_ptx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    device = FOUND["NVIDIA Fake 9090"].open()
    before = count("compiled by the driver")
    assert_works(device)
    device.close()
    assert {target for _, target in COMPILER.made[-2:]} == {"compute_120"}
    assert count("compiled by the driver") == before + 2
    (note,) = (tmp_path / "build-logs").glob("*.log")
    assert (
        "sm_131) is newer than NVRTC 12.9, whose newest architecture is sm_120" in note.read_text()
    )


def test_a_dataset_that_does_not_fit_is_refused_with_both_sizes() -> None:
    device = FOUND["NVIDIA Fake 1080"].open()
    assert_works(device)
    epoch = HUGE.epoch_at(0)
    with pytest.raises(OutOfMemory) as caught:
        fill(device, HUGE)
    said = str(caught.value)
    assert said.startswith("cuda:0 at 0000:03:00.0: the dataset of epoch 0 needs ")
    assert f"{epoch.entries * 256:,} bytes" in said
    assert f"of {32 << 20:,} bytes are free" in said
    assert_works(device)
    device.close()


def test_a_dataset_is_split_when_no_large_buffer_is_free(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    bytes_needed = TOY.epoch_at(0).entries * 256
    monkeypatch.setenv("FAKE_CUDA_LARGEST", str(bytes_needed // 2))
    assert_works(device)
    assert device.shape.buffers == 4
    monkeypatch.setenv("FAKE_CUDA_LARGEST", str(bytes_needed // 8))
    with pytest.raises(OutOfMemory, match=r"are free, but cannot .* 4 buffers: CUDA_ERROR_OUT_OF"):
        fill(device)
    monkeypatch.delenv("FAKE_CUDA_LARGEST")
    assert_works(device)
    assert device.shape.buffers == 1


def test_a_failed_allocation_of_the_light_cache_is_reported(device: Device) -> None:
    assert_works(device)
    fail("cuMemAlloc", 2, after=1, times=2)  # the light cache; PyCUDA tries twice
    with pytest.raises(OutOfMemory, match=r"taking memory .*\(CUDA_ERROR_OUT_OF_MEMORY\)"):
        fill(device)
    assert_works(device)


def test_a_program_for_a_newer_driver_is_explained(device: Device) -> None:
    fill(device)
    ready = image(device)
    fail("cuModuleLoadDataEx", 222)
    with pytest.raises(DeviceError, match=r"UNSUPPORTED_PTX_VERSION: driver .*CUDA 12\.4.* older"):
        device.load(ready)
    search(device, device.load(ready))


def filling(device: Device) -> None:
    fill(device, LARGE)


def loading(device: Device) -> None:
    device.load(image(device))


def searching(device: Device) -> None:
    search(device, device.load(image(device)))


def reading(device: Device) -> None:
    device.read_nodes(0, 64)


FAILURES = [
    (filling, "kernel", 700, 1, "CUDA_ERROR_ILLEGAL_ADDRESS; it is opened again"),
    (filling, "cuMemAlloc", 719, 1, "CUDA_ERROR_LAUNCH_FAILED"),
    (filling, "cuMemFree", 999, 0, "CUDA_ERROR_UNKNOWN; look for an Xid"),
    (filling, "cuModuleLoadDataEx", 999, 0, "CUDA_ERROR_UNKNOWN"),
    (filling, "cuCtxPushCurrent", 46, 2, "CUDA_ERROR_DEVICE_UNAVAILABLE"),
    (filling, "cuCtxPopCurrent", 999, 1, "CUDA_ERROR_UNKNOWN"),
    (loading, "cuModuleGetFunction", 999, 0, "CUDA_ERROR_UNKNOWN"),
    (loading, "cuModuleGetFunction", 500, 0, "CUDA_ERROR_NOT_FOUND"),
    (reading, "cuStreamSynchronize", 714, 0, "cuStreamSynchronize failed: unrecognized error code"),
    (searching, "kernel", 719, 0, "searching: CUDA_ERROR_LAUNCH_FAILED"),
    (searching, "kernel", 702, 0, "CUDA_ERROR_LAUNCH_TIMEOUT; .*launch_seconds"),
    (searching, "cuEventSynchronize", 214, 0, "CUDA_ERROR_ECC_UNCORRECTABLE; .*nvidia-smi"),
    (searching, "cuMemcpyDtoHAsync", 999, 0, "launching: CUDA_ERROR_UNKNOWN"),
    (reading, "cuMemcpyDtoHAsync", 700, 0, "reading the dataset: CUDA_ERROR_ILLEGAL_ADDRESS"),
]


@pytest.mark.parametrize(
    ("does", "function", "code", "after", "said"),
    FAILURES,
    ids=[f"{does.__name__}-{function}-{code}" for does, function, code, _, _ in FAILURES],
)
def test_a_failed_card_is_named_and_can_be_reopened(
    does: Callable[[Device], None], function: str, code: int, after: int, said: str
) -> None:
    device = FOUND["NVIDIA Fake 3080"].open()
    assert_works(device)
    fail(function, code, after)
    with pytest.raises(DeviceError, match=rf"^cuda:2 at 0000:0a:00\.0: .*({said})") as caught:
        does(device)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
    gc.collect()
    device.close()
    device.close()
    assert alive() == NOTHING
    again = FOUND["NVIDIA Fake 3080"].open()
    assert_works(again)
    again.close()


def test_a_card_recovers_from_a_program_that_traps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the check of the first run on a card."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
    checks = importlib.import_module("card_checks")
    assert checks.main(["recover", "cuda:2", "--rehearse"]) == 0


def test_a_failed_context_is_not_used_again(device: Device) -> None:
    assert_works(device)
    fail("kernel", 700)
    with pytest.raises(DeviceError, match="ILLEGAL_ADDRESS"):
        searching(device)
    calls = count("cuCtxPushCurrent")
    for does in (filling, loading, reading):
        with pytest.raises(DeviceError, match=r"it failed before \(CUDA_ERROR_ILLEGAL_ADDRESS\)"):
            does(device)
    assert count("cuCtxPushCurrent") == calls


@pytest.mark.parametrize("function", ["cuCtxCreate", "cuStreamCreate", "cuMemHostAlloc"])
def test_a_card_that_does_not_open_is_reported(function: str) -> None:
    fail(function, 999)
    with pytest.raises(DeviceError, match=r"^cuda:2 at .*: opening: CUDA_ERROR_UNKNOWN"):
        FOUND["NVIDIA Fake 3080"].open()


def test_a_card_used_exclusively_by_another_program_is_explained() -> None:
    fail("cuCtxCreate", 46)
    with pytest.raises(DeviceError, match="DEVICE_UNAVAILABLE; another program uses the card"):
        FOUND["NVIDIA Fake 3080"].open()


def test_a_shape_with_more_shared_memory_than_the_card_has_is_refused(device: Device) -> None:
    said = (
        r"^cuda:2: a group of the shape 'gpu-hbm-small' takes 131,584 bytes of shared \(local\) "
        r"memory, the device has 101,376; set another shape$"
    )
    with pytest.raises(BuildFailed, match=said):
        device.take_shape(shape_named("gpu-hbm-small"))
    assert device.shape.name == "gpu"
    assert_works(device)


def test_a_launch_gives_the_shared_memory_that_a_kernel_takes() -> None:
    device = FOUND["NVIDIA Fake H200"].open()
    device.take_shape(shape_named("gpu-hbm"))
    assert_works(device)
    assert count("cuFuncSetAttribute") > 0
    device.close()


@pytest.mark.parametrize(("shape", "waits"), [("gpu", False), ("gpu@1", True)])
def test_a_launch_waits_for_the_one_before_on_one_stream(
    device: Device, shape: str, waits: bool
) -> None:
    device.take_shape(shape_named(shape))
    fill(device)
    kernel, group = device.load(image(device)), device.round_up(1)
    for _ in range(2):
        first, second = (
            device.launch(kernel, job(), NonceRange(5 + n * group, group)) for n in range(2)
        )
        before = count("kernel")
        hits = [hit.nonce for hit in second.wait().hits]
        assert sorted(hits) == list(range(5 + group, 5 + 2 * group))
        assert count("kernel") - before == 1 + waits
        hits = [hit.nonce for hit in first.wait().hits]
        assert sorted(hits) == list(range(5, 5 + group))
        assert count("kernel") - before == 2


def test_a_shape_for_cpus_is_refused(device: Device) -> None:
    with pytest.raises(BuildFailed, match="'cpu' is for CPUs"):
        device.take_shape(shape_named("cpu"))
    assert_works(device)


def test_cards_work_in_separate_threads() -> None:
    failed: list[BaseException] = []

    def body(name: str) -> None:
        try:
            device = FOUND[name].open()
            assert_works(device)
            device.close()
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    names = ("NVIDIA Fake 3080", "NVIDIA Fake 3080 too", "NVIDIA Fake 1080")
    threads = [threading.Thread(target=body, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
