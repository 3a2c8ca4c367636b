"""The self-test of a device: a variant's known answers, on datasets of a few hundred KiB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from miner.codegen.kernel_source import KernelSource, search_source
from miner.devices.backend import Backend
from miner.devices.device import Device, Hit, Image, Kernel, fill, filler_source
from miner.errors import DeviceError, MinerError, WrongResult
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Hasher, Light
from miner.progpow.light import dataset_nodes, light_cache
from miner.progpow.variant import KnownAnswer, Variant
from miner.work import DeviceInfo, Job, NonceRange, NonceSpace

EVERY_NONCE = 2**256 - 1
"""A target that every nonce meets."""


@dataclass(frozen=True, slots=True)
class SelftestResult:
    """The number of right answers of a device before the first problem."""

    device: str
    variant: str
    checked: int
    problem: str | None = None
    """The first problem, as a sentence; None when every answer is right."""


def selftest(
    device: Device, variant: Variant, answers: int | None = None, ready: Epoch | None = None
) -> SelftestResult:
    """Check the first `answers` known answers (None: all) of `variant` on an open device. `ready`
    is the epoch of the selected dataset if that was checked already."""
    checked = 0
    light: Light | None = None
    try:
        for answer in variant.known_answers[:answers]:
            toy = variant.with_sizes(answer.sizes)
            epoch = toy.epoch_at(answer.height)
            if light is None or light.epoch != epoch:
                light = Light.of(epoch, light_cache(epoch))
            if epoch != ready:
                _check_dataset(device, light)
                ready = epoch
            _check_answer(device, toy, light, answer)
            checked += 1
    except MinerError as error:
        return SelftestResult(device.info.name, variant.name, checked, str(error))
    return SelftestResult(device.info.name, variant.name, checked)


def problem_of(backend: Backend, info: DeviceInfo, variant: Variant) -> str | None:
    """Open the device `info` and compare a dataset and the first known answer of `variant`; return
    the problem as a sentence, or None."""
    try:
        device = backend.open(info)
        try:
            return selftest(device, variant, answers=1).problem
        finally:
            device.close()
    except DeviceError as error:
        return str(error)


@contextmanager
def _built(device: Device, source: KernelSource) -> Iterator[Image]:
    """Build `source`; discard the image when it gives a wrong result."""
    image = device.build(source)
    try:
        yield image
    except WrongResult:
        device.discard(image)
        raise


def _check_dataset(device: Device, light: Light) -> None:
    epoch = light.epoch
    with _built(device, filler_source(device, epoch)) as filler:
        for _ in fill(device, epoch, light.cache, filler):
            pass
        for first, count in ((0, 256), (epoch.nodes - 64, 64)):
            got = device.read_nodes(first, count)
            if not np.array_equal(got, dataset_nodes(epoch, light.cache, first, count)):
                raise WrongResult(f"dataset nodes {first} to {first + count - 1} are wrong")


def _check_answer(device: Device, toy: Variant, light: Light, answer: KnownAnswer) -> None:
    period = toy.period_at(answer.height)
    source = search_source(toy, period, light.epoch, device.dialect, device.shape)
    with _built(device, source) as image:
        kernel = device.load(image)
        _check_search(device, kernel, toy, light, answer)
        device.unload(kernel)


def _check_search(
    device: Device, kernel: Kernel, toy: Variant, light: Light, answer: KnownAnswer
) -> None:
    """Search the smallest range with the answer's nonce. The answer must be right, and so must be
    the first and the last nonce by the reference."""
    count = device.round_up(1)
    first = min(answer.nonce, 2**64 - count)
    job = Job(
        0, "known answer", toy, answer.header_hash, answer.height, light.epoch, EVERY_NONCE,
        NonceSpace(),
    )  # fmt: skip
    result = device.launch(kernel, job, NonceRange(first, count)).wait()
    where = f"height {answer.height}, nonce {answer.nonce:016x}"
    if result.total != count:
        raise WrongResult(f"{where}: the device found {result.total} of {count} nonces")
    by_nonce = {hit.nonce: hit for hit in result.hits}
    if answer.nonce not in by_nonce:
        raise WrongResult(f"{where}: the device did not find the nonce")
    _check_hit(by_nonce[answer.nonce], answer, where)
    hasher = Hasher(toy, toy.period_at(answer.height), light)
    for nonce in (first, first + count - 1):
        digest = hasher.hash(answer.header_hash, nonce)
        wanted = tuple(np.frombuffer(digest.final_hash[:8], "<u4").tolist())
        if by_nonce[nonce].final_words != wanted:
            raise WrongResult(f"height {answer.height}, nonce {nonce:016x}: wrong final hash")


def _check_hit(hit: Hit, answer: KnownAnswer, where: str) -> None:
    wanted = np.frombuffer(answer.final_hash[:8] + answer.mix_hash[:4], "<u4").tolist()
    if [*hit.final_words, hit.mix_word] != wanted:
        raise WrongResult(
            f"{where}: final hash starts with words {hit.final_words[0]:08x} "
            f"{hit.final_words[1]:08x}, not {wanted[0]:08x} {wanted[1]:08x}"
        )
