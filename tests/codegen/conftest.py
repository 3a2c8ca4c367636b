"""The compiler that several tests of CUDA kernels use."""

from __future__ import annotations

import pytest

from miner.devices.cuda.cuda_compilers import Nvrtc, nvrtc
from miner.errors import BackendUnavailable


@pytest.fixture(scope="package")
def nvidia() -> Nvrtc:
    """NVRTC; the test is skipped where it is missing."""
    try:
        return nvrtc()
    except BackendUnavailable as error:
        pytest.skip(str(error))
