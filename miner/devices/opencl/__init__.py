"""OpenCL: GPUs of all vendors, and CPUs, through PyOpenCL."""

from miner.devices.backend import Backend

OPENCL = Backend(
    name="opencl",
    title="OpenCL",
    module="miner.devices.opencl.opencl_device",
    dialect="opencl",
    has_driver=True,
    install="pip install 'progpow-miner[opencl]', or [cpu] for mining on the CPU",
)
