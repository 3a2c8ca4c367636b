"""Launch shapes that OpenCL devices start with, by platform and device.

The figures are those of clang 19 for KawPow (`tests/codegen/amd_figures.json`); no card has
confirmed them. Each kernel is compared with the CPU before it mines, whatever its shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class KnownDevices:
    """Devices of one kind behind one compiler; both patterns are in lower case."""

    platform: str
    """Pattern of the platform's name."""
    device: str
    """Pattern of the name that the driver gives to the device."""
    shape: str


AMD = "amd accelerated parallel processing"
"""The platform of ROCm and of AMD's drivers for Windows, which compile with clang. Rusticl and
Clover have other names, and compile the default shape."""

KNOWN_DEVICES = (
    # CDNA 2 and 3: 512 registers per lane, so 4 waves or more without a limit.
    KnownDevices(AMD, "gfx90a*", "gpu-amd"),
    KnownDevices(AMD, "gfx94*", "gpu-amd"),
    # GCN and CDNA 1: 256 registers per lane; 4 waves instead of 3.
    KnownDevices(AMD, "gfx8*", "gpu-gcn"),
    KnownDevices(AMD, "gfx90*", "gpu-gcn"),
    # RDNA: 16 waves instead of 12 to 14.
    KnownDevices(AMD, "gfx1[0-2]??*", "gpu-rdna"),
)
"""The first row that matches applies."""


def known_shape(platform: str, device: str) -> str | None:
    """Return the name of the launch shape for a device whose driver names it `device`; None for a
    device that the table does not list."""
    platform, device = platform.lower(), device.lower()
    for row in KNOWN_DEVICES:
        if fnmatchcase(platform, row.platform) and fnmatchcase(device, row.device):
            return row.shape
    return None
