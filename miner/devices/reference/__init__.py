"""The CPU reference: slow, exact, on every machine."""

from miner.devices.backend import Backend

REFERENCE = Backend(
    name="ref",
    title="CPU",
    module="miner.devices.reference.reference_device",
    shape="cpu-1",
    cpu_shape="cpu-1",
)
