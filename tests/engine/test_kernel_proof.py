from __future__ import annotations

from random import Random

import pytest

from miner.devices.device import Hit, LaunchResult
from miner.engine.proof import KernelProof, prove_kernel
from miner.errors import WrongResult
from tests.fakes.device import (
    PROVER,
    DeviceScript,
    FakeImage,
    FakeProver,
    filled_device,
    job_at,
    search_source,
)


def prove(script: DeviceScript, *, wrong: bool = False, built_for: int = 30):
    job = job_at(30)
    device = filled_device(job.epoch, script)
    source = search_source(job.variant, built_for // 3, job.epoch, "opencl", device.shape)
    compared: list[int] = []

    class SpyingProver(FakeProver):
        def digest(self, job, nonce):
            compared.append(nonce)
            return super().digest(job, nonce)

    proof = KernelProof(job, device.round_up(1), SpyingProver(), Random(1))
    prove_kernel(device, device.load(FakeImage(source, wrong)), proof)
    return compared


@pytest.mark.parametrize(
    "script", [DeviceScript(), DeviceScript(granule=256), DeviceScript(granule=1)]
)
def test_a_kernel_is_compared_on_both_sides_of_a_carry(script):
    nonces = prove(script)
    assert len(nonces) == (2 if script.granule == 1 else 4)
    if script.granule == 8:
        assert nonces[0] >> 32 == (nonces[1] >> 32) - 1


def test_a_wrong_hash_is_reported_with_its_nonce():
    with pytest.raises(WrongResult, match=r"fake:0.*period 10 is wrong for nonce [0-9a-f]{16}"):
        prove(DeviceScript(), wrong=True)


def test_the_kernel_of_another_period_is_an_error():
    with pytest.raises(WrongResult):
        prove(DeviceScript(), built_for=33)


def test_a_kernel_that_misses_a_nonce_is_an_error():
    with pytest.raises(WrongResult, match="found 7 hashes among 8"):
        prove(DeviceScript(counts_short=True))


@pytest.mark.parametrize("shift", [-1, 1])
def test_right_hashes_of_nonces_beside_the_range_are_an_error(shift):
    job = job_at(30)
    proof = KernelProof(job, 8, PROVER, Random(1))
    for span in proof.spans:
        hits = tuple(hit_of(job, span.first + shift + offset) for offset in range(8))
        with pytest.raises(WrongResult, match="reported nonces outside"):
            proof.check("fake:0", span, LaunchResult(8, hits, 8))


def hit_of(job, nonce):
    digest = PROVER.digest(job, nonce)
    first, second = (int.from_bytes(digest.final_hash[n : n + 4], "little") for n in (0, 4))
    return Hit(nonce, (first, second), int.from_bytes(digest.mix_hash[:4], "little"))
