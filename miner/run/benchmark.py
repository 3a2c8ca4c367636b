"""A device measured, or held against the reference, on a real epoch."""

from __future__ import annotations

import hashlib
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from miner import __version__
from miner.clock import SystemClock
from miner.codegen.kernel_source import search_source
from miner.codegen.launch_shape import shape_named
from miner.devices.device import Device, fill
from miner.devices.known_answers import EVERY_NONCE
from miner.devices.selection import ListedDevice
from miner.engine.proof import prove_dataset, prove_kernel
from miner.errors import MinerError, OutOfMemory
from miner.formatting import format_bytes
from miner.progpow.epoch import Epoch
from miner.progpow.variant import Variant
from miner.verify import Verifier
from miner.work import Job, NonceRange, NonceSpace

LAUNCH_SECONDS = 0.1


def measure(
    found: ListedDevice,
    variant: Variant,
    height: int,
    seconds: float,
    shape: str | None,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Return what `bench --json` prints: hashrates in H/s, times in seconds, and what they were
    measured on. Kernel and dataset are proved before anything is timed."""
    clock = SystemClock()
    verifier = Verifier()
    epoch, period = variant.epoch_at(height), variant.period_at(height)
    progress(f"light cache of epoch {epoch.number}: {format_bytes(epoch.light_bytes)}")
    light = verifier.light(epoch)
    device = found.open()
    try:
        if shape:
            device.take_shape(shape_named(shape))
        progress(f"dataset of epoch {epoch.number}: {format_bytes(epoch.dataset_bytes)}")
        begun = clock.now()
        for _ in fill(device, epoch, light.cache):
            pass
        dataset_seconds = clock.now() - begun
        prove_dataset(device, epoch, light.cache, verifier, Random(0))
        source = search_source(variant, period, epoch, device.dialect, device.shape)
        begun = clock.now()
        image = device.build(source)
        kernel = device.load(image)
        build_seconds = clock.now() - begun
        job = _job(variant, height, epoch)
        prove_kernel(device, kernel, job, verifier, Random(0))
        progress(f"searching for {seconds:g} s")
        rates = _rates(device, kernel, job, seconds)
    finally:
        device.close()
    ordered = sorted(rates)
    info = found.info
    return {
        "variant": variant.name,
        "height": height,
        "epoch": epoch.number,
        "period": period,
        "hashrate": {
            "median": statistics.median(rates),
            "p10": ordered[len(ordered) // 10],
            "p90": ordered[len(ordered) * 9 // 10],
            "launches": len(rates),
        },
        "build_seconds": build_seconds,
        "dataset_seconds": dataset_seconds,
        "dataset_bytes": epoch.dataset_bytes,
        "shape": source.title.rpartition(" ")[2],
        "source_sha256": source.sha256,
        "device": {"name": info.name, "model": info.model, "driver": info.driver},
        "host": {"machine": platform.machine(), "system": platform.platform()},
        "version": __version__,
    }


def _rates(device: Device, kernel: Any, job: Job, seconds: float) -> list[float]:
    """Launch, two in flight, until `seconds` have passed; hashes a second of each launch."""
    clock = SystemClock()
    count = device.round_up(1024)
    while True:  # the size whose launch takes about LAUNCH_SECONDS
        begun = clock.now()
        device.launch(kernel, job, NonceRange(0, count)).wait()
        if clock.now() - begun > LAUNCH_SECONDS / 2 or count >= 1 << 28:
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


def selftest_real(
    device: Device, variant: Variant, heights: Sequence[int] = ()
) -> Iterator[tuple[str, bool | None]]:
    """Yield (sentence, right) for the epochs of `heights`, of none for the first two epochs;
    None: skipped, and why."""
    verifier = Verifier()
    for height in heights or (0, variant.spans[0].length):
        name = f"height {height}"
        try:
            epoch = variant.epoch_at(height)
            name += f", epoch {epoch.number}, {format_bytes(epoch.dataset_bytes)}"
            light = verifier.light(epoch)
            for _ in fill(device, epoch, light.cache):
                pass
            prove_dataset(device, epoch, light.cache, verifier, Random(0))
            period = variant.period_at(height)
            source = search_source(variant, period, epoch, device.dialect, device.shape)
            kernel = device.load(device.build(source))
            prove_kernel(device, kernel, _job(variant, height, epoch), verifier, Random(0))
        except OutOfMemory as error:
            yield f"skipped {name}: {error}", None
        except MinerError as error:
            yield f"FAILED {name}: {error}", False
        else:
            yield f"right at {name}", True


def _job(variant: Variant, height: int, epoch: Epoch) -> Job:
    header = hashlib.sha256(f"{variant.name} {height}".encode()).digest()
    return Job(0, "bench", variant, header, height, epoch, EVERY_NONCE >> 48, NonceSpace())
