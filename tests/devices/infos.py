"""Descriptions of devices that this machine does not have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from miner.devices.reference import REFERENCE
from miner.work import DeviceInfo


def info_of(name: str, kind: str = "gpu", **other: Any) -> DeviceInfo:
    backend = name.partition(":")[0]
    facts = {"backend": backend, "kind": kind, "model": f"Model of {name}"} | other
    return replace(REFERENCE.devices()[0], name=name, **facts)


CARD = info_of(
    "opencl:1.0", model="NVIDIA GeForce RTX 3070 [LHR]", pci="0000:0A:00.0", uuid="GPU-00aa-ff",
    vendor="nvidia",
)  # fmt: skip
