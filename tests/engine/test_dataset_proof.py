from __future__ import annotations

from random import Random

import numpy as np
import pytest

from miner.engine.proof import prove_dataset
from miner.errors import WrongResult
from tests.fakes.device import PROVER, TOY, DeviceScript, filled_device

EPOCH = TOY.epoch(0)
LAST = EPOCH.nodes - 1


class Spread(Random):
    """Samples every hundredth node, so that each is repaired apart from the others."""

    def randint(self, a, b):
        self.last = getattr(self, "last", 0) + 100
        return min(self.last, b)


def prove(script: DeviceScript, random: Random | None = None):
    device = filled_device(EPOCH, script)
    light = PROVER.light_cache(EPOCH)
    repaired = prove_dataset(device, EPOCH, light, PROVER, random or Random(1))
    assert (
        np.array_equal(device.nodes[EPOCH], PROVER.dataset_nodes(EPOCH, light, 0, EPOCH.nodes))
        or not repaired
    )
    return repaired


def test_a_correct_dataset_is_not_repaired():
    assert prove(DeviceScript()) == 0


@pytest.mark.parametrize("wrong", [{0}, {LAST}, {0, 3, 9, LAST - 1, LAST}])
def test_wrong_nodes_are_repaired(wrong):
    assert prove(DeviceScript(corrupt=wrong)) == len(wrong)


def test_a_node_that_stays_wrong_is_an_error():
    with pytest.raises(WrongResult, match="node 0 cannot be repaired"):
        prove(DeviceScript(corrupt={0}, unrepairable=True))


def test_a_wrong_region_is_an_error():
    with pytest.raises(WrongResult, match="all 64 nodes"):
        prove(DeviceScript(corrupt=set(range(100))))


def test_many_wrong_samples_are_an_error():
    with pytest.raises(WrongResult, match=r"5 of 3\d samples"):
        prove(DeviceScript(corrupt=set(range(0, EPOCH.nodes, 2))))


def test_four_wrong_samples_are_repaired_and_five_are_an_error():
    assert prove(DeviceScript(corrupt={100, 300, 500, 700}), Spread()) == 4
    with pytest.raises(WrongResult, match=r"5 of \d+ samples differ, node 900"):
        prove(DeviceScript(corrupt={100, 300, 500, 700, 900}), Spread())
