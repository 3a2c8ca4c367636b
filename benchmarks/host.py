"""Benchmark of the host's hashing (light cache, light verification) against C++.

One thread, KawPow, epoch 0. The implementations take turns and must agree in every bit. Times are
CPU times of the thread: other processes on the same cores disturb them less than wall time.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from time import thread_time
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

import numba  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from miner.catalog import variants  # noqa: E402
from miner.progpow.epoch import Epoch  # noqa: E402
from miner.progpow.hashing import Hasher, Light  # noqa: E402
from miner.progpow.keccak import seed_hash  # noqa: E402
from miner.progpow.light import dataset_entry, light_cache  # noqa: E402

LIGHT_CACHE_BOUND = 40.0
"""Milliseconds per MiB."""

VERIFICATION_BOUND = 6.0
"""Milliseconds for one hash from the light cache."""

OPTIONS = ("-std=c++17", "-O3", "-march=native", "-fno-tree-slp-vectorize", "-shared", "-fPIC")
"""host.cpp explains why the compiler must not vectorise straight-line code."""

HEADER = hashlib.sha256(b"benchmark").digest()

Words = NDArray[np.uint32]


def compilers() -> list[tuple[str, list[str]]]:
    """Return (name, command) of the installed C++ compilers; ziglang comes from PyPI."""
    found = [(name, [path]) for name in ("g++", "clang++") if (path := shutil.which(name))]
    if find_spec("ziglang"):
        found.append(("ziglang", [sys.executable, "-m", "ziglang", "c++"]))
    return found


class Native:
    """host.cpp, compiled for the CPU of this machine."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        library = folder / f"{name}.so"
        source = str(Path(__file__).with_suffix(".cpp"))
        subprocess.run([*command, *OPTIONS, "-o", library, source], check=True, capture_output=True)
        self._library = ctypes.CDLL(str(library))

    def light_cache(self, epoch: Epoch) -> Words:
        """Return the same array as `miner.progpow.light.light_cache`."""
        out = aligned(epoch.light_items)
        seed = np.frombuffer(seed_hash(epoch.seed_epoch), np.uint64).copy()
        self._library.light_cache(pointer(out), ctypes.c_uint32(epoch.light_items), pointer(seed))
        return out

    def entries(self, epoch: Epoch, light: Words, indices: Words, out: Words) -> None:
        """Fill out, shape (n, 4, 16), with the dataset entries at `indices`."""
        self._library.entries(
            pointer(light),
            ctypes.c_uint32(len(light)),
            ctypes.c_uint32(epoch.parents),
            pointer(indices),
            ctypes.c_size_t(len(indices)),
            pointer(out),
        )


def pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    """Return the address of the array's data."""
    return ctypes.c_void_p(array.ctypes.data)


def aligned(*shape: int) -> Words:
    """Return an array of rows of 16 words, aligned to 64 bytes."""
    size = int(np.prod(shape)) * 16
    room = np.empty(size + 16, np.uint32)
    skip = -room.ctypes.data % 64 // 4
    return room[skip : skip + size].reshape(*shape, 16)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def entries(light, parents, indices, out):  # type: ignore[no-untyped-def]
    """Fill out, shape (n, 4, 16), with the dataset entries at `indices`."""
    for i in range(len(indices)):
        dataset_entry(light, parents, indices[i], out[i])


def alternate(sides: dict[str, Callable[[int], object]], rounds: int) -> dict[str, list[float]]:
    """Call each implementation once per round; return the milliseconds of each call.

    Each call gets its number, so that an implementation can use other inputs than the one before
    it: their data would be in the CPU's caches.
    """
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for position, (name, call) in enumerate(sides.items()):
            begun = thread_time()
            call(turn * len(sides) + position)
            spent[name].append((thread_time() - begun) * 1e3)
    return spent


def figures(spent: dict[str, list[float]], base: str) -> dict[str, dict[str, float]]:
    """Return the median and the least time of each implementation, and its ratio to `base`: the
    median of the ratios per round, since other load then affects both."""
    return {
        name: {
            "median_ms": statistics.median(times),
            "least_ms": min(times),
            f"{base}_takes_times": statistics.median(
                b / t for b, t in zip(spent[base], times, strict=True)
            ),
        }
        for name, times in spent.items()
    }


def measure_light_cache(epoch: Epoch, natives: Sequence[Native], rounds: int) -> dict[str, Any]:
    """Time whole light caches; all implementations must return the same one."""
    sides: dict[str, Callable[[int], object]] = {"numba": lambda _: light_cache(epoch)}
    wanted = light_cache(epoch)
    for native in natives:
        if not np.array_equal(native.light_cache(epoch), wanted):
            raise SystemExit(f"the light cache of {native.name} is wrong")
        sides[native.name] = lambda _, native=native: native.light_cache(epoch)
    return figures(alternate(sides, rounds), "numba")


def measure_verification(light: Light, natives: Sequence[Native], rounds: int) -> dict[str, Any]:
    """Time whole verifications, and their dataset lookups alone, on the same nonces."""
    variant = variants()["kawpow"]
    epoch = light.epoch
    hasher = Hasher(variant, 0, light)
    indices = [
        np.ascontiguousarray(hasher.trace(HEADER, nonce)[1], np.uint32)
        for nonce in range(rounds * (len(natives) + 2))
    ]
    cache = aligned(epoch.light_items)
    cache[:] = light.cache
    mine, theirs = aligned(variant.dag_loops, 4), aligned(variant.dag_loops, 4)
    entries(light.cache, epoch.parents, indices[0], mine)
    sides: dict[str, Callable[[int], object]] = {
        "numba": lambda call: entries(light.cache, epoch.parents, indices[call], mine)
    }
    for native in natives:
        native.entries(epoch, cache, indices[0], theirs)
        if not np.array_equal(mine, theirs):
            raise SystemExit(f"the dataset entries of {native.name} are wrong")
        sides[native.name] = lambda call, native=native: native.entries(
            epoch, cache, indices[call], theirs
        )
    sides["whole"] = lambda call: hasher.hash(HEADER, call)
    return figures(alternate(sides, rounds), "numba")


def cpu_model() -> str:
    """Return the model name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def source_hash(paths: Sequence[Path]) -> str:
    """Return a digest of the measured files, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(str(path.relative_to(CHECKOUT)).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write figures, rounded to four significant digits."""

    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.4g}")
        if isinstance(value, dict):
            return {key: rounded(inner) for key, inner in value.items()}
        return value

    path.write_text(json.dumps(rounded(document), indent=2) + "\n", encoding="utf-8")


def _table(title: str, rows: dict[str, dict[str, float]], unit: float = 1.0) -> None:
    print(title)
    print(f"  {'':16}{'median':>9}{'least':>9}{'numba takes':>14}")
    for name, row in rows.items():
        print(
            f"  {name:16}{row['median_ms'] / unit:9.2f}{row['least_ms'] / unit:9.2f}"
            f"{row['numba_takes_times']:12.2f} x"
        )


def _against(what: str, value: float, bound: float, unit: str) -> str:
    word = "within" if value <= bound else "above"
    print(f"  {what}: {value:.2f} {unit}, {word} the bound of {bound:g} {unit}")
    return word


def main() -> None:
    """Measure and print; write the figures to the file that --json names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--caches", type=int, default=7, help="rounds for the light cache")
    parser.add_argument("--hashes", type=int, default=200, help="rounds for the verification")
    asked = parser.parse_args()
    epoch = variants()["kawpow"].epoch(0)
    mebibytes = epoch.light_bytes / 2**20
    with tempfile.TemporaryDirectory() as folder:
        natives = []
        for name, command in compilers():
            try:
                natives.append(Native(name, command, Path(folder)))
            except (subprocess.CalledProcessError, OSError) as error:
                print(f"{name} skipped: {error}")
        if not natives:
            print("no C++ compiler found; measuring numba only")
        print(f"{cpu_model()}, one thread, KawPow epoch 0\n")
        caches = measure_light_cache(epoch, natives, asked.caches)
        _table(f"light cache of {mebibytes:.0f} MiB, ms per MiB", caches, mebibytes)
        cache_cost = caches["numba"]["median_ms"] / mebibytes
        cache_word = _against("numba", cache_cost, LIGHT_CACHE_BOUND, "ms/MiB")
        light = Light.of(epoch, light_cache(epoch))
        hashes = measure_verification(light, natives, asked.hashes)
    whole = hashes.pop("whole")
    print()
    _table("dataset lookups of a light verification, ms (64 entries)", hashes)
    print(f"  whole verification: median {whole['median_ms']:.2f} ms,", end=" ")
    print(f"least {whole['least_ms']:.2f} ms")
    hash_word = _against("numba", whole["median_ms"], VERIFICATION_BOUND, "ms")
    if asked.json:
        measured = [*(CHECKOUT / "miner" / "progpow").glob("*.py"), Path(__file__)]
        measured.append(Path(__file__).with_suffix(".cpp"))
        document = {
            "light_cache": {"mebibytes": mebibytes, **caches},
            "light_cache_ms_per_mebibyte": cache_cost,
            "light_cache_bound": {"ms_per_mebibyte": LIGHT_CACHE_BOUND, "verdict": cache_word},
            "verification_dataset_part": hashes,
            "verification": {k: v for k, v in whole.items() if k.endswith("_ms")},
            "verification_bound": {"ms": VERIFICATION_BOUND, "verdict": hash_word},
            "rounds": {"light_cache": asked.caches, "verification": asked.hashes},
            "cpu": cpu_model(),
            "python": platform.python_version(),
            "numba": version("numba"),
            "numpy": version("numpy"),
            "sources_sha256": source_hash([path.resolve() for path in measured]),
        }
        write_json(asked.json, document)


if __name__ == "__main__":
    main()
