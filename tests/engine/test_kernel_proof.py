from __future__ import annotations

from random import Random

import pytest

from miner.engine.proof import prove_kernel
from miner.errors import WrongResult
from tests.fakes.device import FakeImage, FakeProver, Orders, fake_device, job_at, search_source


def prove(orders: Orders, *, wrong: bool = False, built_for: int = 30):
    device = fake_device(orders)
    job = job_at(30)
    source = search_source(job.variant, built_for // 3, job.epoch, "opencl", device.shape)
    compared: list[int] = []

    class SpyingProver(FakeProver):
        def digest(self, job, nonce):
            compared.append(nonce)
            return super().digest(job, nonce)

    prove_kernel(device, FakeImage(source, wrong), job, SpyingProver(), Random(1))
    return compared


@pytest.mark.parametrize("orders", [Orders(), Orders(granule=256), Orders(granule=1)])
def test_a_right_kernel_is_compared_on_both_sides_of_a_carry(orders):
    nonces = prove(orders)
    assert len(nonces) == (2 if orders.granule == 1 else 4)
    if orders.granule == 8:
        assert nonces[0] >> 32 == (nonces[1] >> 32) - 1


def test_a_wrong_hash_is_told_with_numbers():
    with pytest.raises(WrongResult, match=r"fake:0.*period 10 is wrong for nonce [0-9a-f]{16}"):
        prove(Orders(), wrong=True)


def test_the_kernel_of_another_period_is_refused():
    with pytest.raises(WrongResult):
        prove(Orders(), built_for=33)


def test_a_kernel_that_misses_a_nonce_is_refused():
    with pytest.raises(WrongResult, match="found 7 hashes among 8"):
        prove(Orders(counts_short=True))
