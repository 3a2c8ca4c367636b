"""A child process that runs kernels on the only OpenCL runtime that its environment names.

A driver can end its process, and a process lists its platforms once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource, dataset_source, search_source
from miner.codegen.launch_shape import shape_named
from miner.devices.device import Device, fill
from miner.devices.known_answers import EVERY_NONCE, selftest
from miner.devices.selection import find_devices
from miner.errors import MinerError
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Hasher, Light
from miner.progpow.jit import cache_folder
from miner.progpow.light import dataset_nodes, light_cache
from miner.progpow.variant import FixedSizes
from miner.work import Job, NonceRange, NonceSpace
from tests.harness.child import captured

CHECKOUT = Path(__file__).parents[2]
RIGHT = "right"


@dataclass(frozen=True)
class Runtime:
    """An OpenCL runtime that may be installed, though not be listed under /etc/OpenCL."""

    library: str
    """For the dynamic loader."""
    package: str
    """Of Debian."""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def missing(self) -> str | None:
        """Return how to get it, or None when it is installed; a child process loads it."""
        load = f"import ctypes; ctypes.CDLL({self.library!r})"
        done = subprocess.run([sys.executable, "-c", load], capture_output=True, check=False)
        return f"needs {self.library} (Debian: {self.package})" if done.returncode else None

    def run(self, folder: Path, *arguments: str, **more: str) -> dict[str, str]:
        """Run this module's `main` in a child process with only this runtime; return what it
        found of each case."""
        (folder / "one.icd").write_text(f"{self.library}\n")
        own = {
            "OCL_ICD_VENDORS": str(folder), "PROGPOW_MINER_CACHE": str(folder / "cache"),
            "POCL_CACHE_DIR": str(folder / "pocl"), "MESA_SHADER_CACHE_DISABLE": "true",
        }  # fmt: skip
        if reference := cache_folder():  # the reference is not compiled again
            own["NUMBA_CACHE_DIR"] = str(reference.parent)
        done = captured(
            [sys.executable, "-m", "tests.harness.opencl_child", *arguments],
            env=os.environ | own | dict(self.environment) | more,
            cwd=CHECKOUT,
            timeout=7200,
        )
        assert not done.returncode, done.stderr[-2000:]
        found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return found


def main(task: str, *names: str) -> dict[str, str]:
    """Run `task` for each of `names` on the first device."""
    (found,), _ = find_devices("opencl")
    device = found.open()
    try:
        return {"answers": answers, "searches": searches, "launches": launches}[task](device, names)
    finally:
        device.close()


def answers(device: Device, names: Iterable[str]) -> dict[str, str]:
    """Compute the first known answer of each SHAPE:VARIANT. Cases with the same dataset kernel and
    epoch share one dataset."""
    return _answers(device, {name: _dataset_of(device, name) for name in names})


def searches(device: Device, names: Iterable[str]) -> dict[str, str]:
    """As `answers`, but cases of one epoch share the dataset that the first one has filled."""
    return _answers(device, {name: ("", _dataset_of(device, name)[1]) for name in names})


def _answers(device: Device, cases: Mapping[str, tuple[str, Epoch]]) -> dict[str, str]:
    found, filled = {}, None
    for name, dataset in sorted(cases.items(), key=lambda case: repr(case[1])):
        shape, variant = name.split(":")
        device.take_shape(shape_named(shape))
        ready = dataset[1] if filled == dataset else None
        found[name] = selftest(device, variants()[variant], 1, ready).problem or RIGHT
        filled = dataset
    return found


def _dataset_of(device: Device, name: str) -> tuple[str, Epoch]:
    """Return a digest of the dataset kernel of SHAPE:VARIANT, and the epoch of its answer."""
    shape, variant = name.split(":")
    answer = variants()[variant].known_answers[0]
    epoch = variants()[variant].with_sizes(answer.sizes).epoch_at(answer.height)
    return dataset_source(epoch, device.dialect, shape_named(shape)).sha256, epoch


def launches(device: Device, names: Iterable[str]) -> dict[str, str]:
    """Run both kernels in each shape: the dataset kernel, and one group of a search whose hashes
    read two entries each. "SHAPE:broken" leaves out the barriers of the exchange."""
    own = FixedSizes(61, 131, 0)
    variant = replace(variants()["meowpow"].with_sizes(own), dag_loops=2)
    epoch = replace(variant.epoch_at(0), parents=16)
    light = Light.of(epoch, light_cache(epoch))
    nodes = dataset_nodes(epoch, light.cache, 0, epoch.nodes)
    hasher = Hasher(variant, 0, light)
    job = Job(1, "1", variant, bytes(32), 0, epoch, EVERY_NONCE, NonceSpace())
    found = {}
    for name in names:
        shape, _, broken = name.partition(":")
        device.take_shape(shape_named(shape))
        for _ in fill(device, epoch, light.cache):
            pass
        assert np.array_equal(device.read_nodes(0, epoch.nodes), nodes)
        source = unoptimized(search_source(variant, 0, epoch, device.dialect, device.shape))
        if broken:
            text = source.text.replace("        BARRIER();  ", "        ;  ")
            assert text != source.text
            source = replace(source, text=text)
        span = NonceRange(0, device.round_up(1))
        hits = device.launch(device.load(device.build(source)), job, span).wait().hits
        same = len(hits) == span.count and all(
            hasher.hash(job.header_hash, hit.nonce).final_hash[:8]
            == np.array(hit.final_words, "<u4").tobytes()
            for hit in hits
        )
        found[name] = RIGHT if same else "wrong"
    return found


def unoptimized(source: KernelSource) -> KernelSource:
    """Return `source` for Oclgrind, which does not know all that an optimizer makes."""
    return replace(source, options=(*source.options, "-cl-opt-disable"))


if __name__ == "__main__":
    try:
        print(json.dumps(main(*sys.argv[1:])))
    except MinerError as error:
        raise SystemExit(str(error)) from error
