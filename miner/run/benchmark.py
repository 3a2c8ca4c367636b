"""Benchmark and self-test of a device on real epochs."""

from __future__ import annotations

import hashlib
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from miner import __version__
from miner.clock import SystemClock
from miner.codegen.kernel_source import KernelSource, search_source
from miner.codegen.launch_shape import shape_named
from miner.devices.device import Device, Kernel, fill
from miner.devices.known_answers import EVERY_NONCE
from miner.devices.selection import ListedDevice
from miner.engine.proof import KernelProof, prove_dataset, prove_kernel
from miner.engine.search import TARGET_SECONDS
from miner.errors import MinerError, OutOfMemory
from miner.formatting import format_bytes
from miner.progpow.variant import Variant
from miner.verify import Verifier
from miner.work import Job, NonceRange, NonceSpace


@dataclass(frozen=True, slots=True)
class _ProvedKernel:
    """A kernel and a dataset on a device, both compared with the CPU."""

    kernel: Kernel
    job: Job
    source: KernelSource
    dataset_seconds: float
    build_seconds: float


def measure(
    listed: ListedDevice,
    variant: Variant,
    height: int,
    seconds: float,
    shape: str | None,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Return the object that `bench --json` prints: hashrates in H/s, times in seconds, and what
    they were measured on. `progress` receives a sentence at each step."""
    verifier = Verifier()
    epoch = variant.epoch_at(height)
    progress(f"light cache of epoch {epoch.number}: {format_bytes(epoch.light_bytes)}")
    verifier.light(epoch)
    device = listed.open()
    try:
        if shape:
            device.take_shape(shape_named(shape))
        progress(f"dataset of epoch {epoch.number}: {format_bytes(epoch.dataset_bytes)}")
        proved = _prove(device, variant, height, verifier)
        progress(f"searching for {seconds:g} s")
        rates = _rates(device, proved, seconds)
    finally:
        device.close()
    ordered = sorted(rates)
    info = listed.info
    return {
        "variant": variant.name,
        "height": height,
        "epoch": epoch.number,
        "period": variant.period_at(height),
        "hashrate": {
            "median": statistics.median(rates),
            "p10": ordered[len(ordered) // 10],
            "p90": ordered[len(ordered) * 9 // 10],
            "launches": len(rates),
        },
        "build_seconds": proved.build_seconds,
        "dataset_seconds": proved.dataset_seconds,
        "dataset_bytes": epoch.dataset_bytes,
        "shape": proved.source.title.rpartition(" ")[2],
        "source_sha256": proved.source.sha256,
        "device": {"name": info.name, "model": info.model, "driver": info.driver},
        "host": {"machine": platform.machine(), "system": platform.platform()},
        "version": __version__,
    }


def selftest_real(
    device: Device, variant: Variant, heights: Sequence[int] = ()
) -> Iterator[tuple[str, bool | None]]:
    """Yield (sentence, passed) for the epochs of `heights`, by default the first two epochs;
    `passed` is None if an epoch does not fit into memory."""
    verifier = Verifier()
    for height in heights or (0, variant.spans[0].length):
        name = f"height {height}"
        try:
            epoch = variant.epoch_at(height)
            name += f", epoch {epoch.number}, {format_bytes(epoch.dataset_bytes)}"
            _prove(device, variant, height, verifier)
        except OutOfMemory as error:
            yield f"skipped {name}: {error}", None
        except MinerError as error:
            yield f"FAILED {name}: {error}", False
        else:
            yield f"right at {name}", True


def _prove(device: Device, variant: Variant, height: int, verifier: Verifier) -> _ProvedKernel:
    """Build the dataset and the kernel of `height`; raises `DeviceError` if either is wrong."""
    clock = SystemClock()
    epoch = variant.epoch_at(height)
    light = verifier.light(epoch)
    started = clock.now()
    for _ in fill(device, epoch, light.cache):
        pass
    dataset_seconds = clock.now() - started
    prove_dataset(device, epoch, light.cache, verifier, Random(0))
    source = search_source(variant, variant.period_at(height), epoch, device.dialect, device.shape)
    started = clock.now()
    kernel = device.load(device.build(source))
    build_seconds = clock.now() - started
    header = hashlib.sha256(f"{variant.name} {height}".encode()).digest()
    job = Job(0, "bench", variant, header, height, epoch, EVERY_NONCE >> 48, NonceSpace())
    prove_kernel(device, kernel, KernelProof(job, device.round_up(1), verifier, Random(0)))
    return _ProvedKernel(kernel, job, source, dataset_seconds, build_seconds)


def _rates(device: Device, proved: _ProvedKernel, seconds: float) -> list[float]:
    """Search for `seconds` with two launches in flight; return the hashrate of each launch."""
    clock = SystemClock()
    kernel, job = proved.kernel, proved.job
    count = device.round_up(1024)
    while True:  # double the size until a launch takes about TARGET_SECONDS
        started = clock.now()
        device.launch(kernel, job, NonceRange(0, count)).wait()
        if clock.now() - started > TARGET_SECONDS / 2 or count >= 1 << 28:
            break
        count = device.round_up(count * 2)
    rates: list[float] = []
    first = count
    pending = device.launch(kernel, job, NonceRange(first, count))
    started = last = clock.now()
    while clock.now() - started < seconds or len(rates) < 5:
        first += count
        following = device.launch(kernel, job, NonceRange(first, count))
        pending.wait()
        now = clock.now()
        rates.append(count / (now - last))
        last, pending = now, following
    pending.wait()
    return rates
