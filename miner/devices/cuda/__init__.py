"""CUDA: NVIDIA's cards, through PyCUDA and NVRTC."""

from miner.devices.backend import Backend

CUDA = Backend(
    name="cuda",
    title="CUDA",
    module="miner.devices.cuda.cuda_device",
    dialect="cuda",
    has_driver=True,
    install=(
        "PyPI has no built package of it; docs/cuda.md describes how to build it with a C++ "
        "compiler, here or on another machine"
    ),
)
