"""The table of backends."""

from __future__ import annotations

from miner.devices.backend import Backend
from miner.devices.cuda import CUDA
from miner.devices.opencl import OPENCL
from miner.devices.reference import REFERENCE
from miner.errors import BackendUnavailable

BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        CUDA,
        OPENCL,
        REFERENCE,
    )
}
"""The backends by name, in order of preference: a card that two of them reach is used through the
first."""


def backend_named(name: str) -> Backend:
    """Return the backend `name`; raises `BackendUnavailable` for an unknown one."""
    if name not in BACKENDS:
        raise BackendUnavailable(f"unknown backend {name!r}; known: {', '.join(BACKENDS)}")
    return BACKENDS[name]


def title_of(name: str) -> str:
    """Return the title of the backend `name`; an unknown one is a "CPU"."""
    return BACKENDS[name].title if name in BACKENDS else "CPU"
