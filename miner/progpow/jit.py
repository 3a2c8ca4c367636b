"""Numba, with a disk cache that is never older than the sources.

Numba does not notice a change to a callee in another file and would run old code, so the cache
lies in a folder named after a hash of all sources of this package. The folder is made when a
function is first compiled; where nothing can be written, functions are compiled in memory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.core.caching import NullCache
from numba.extending import intrinsic

from miner.resources import cache_directory

OLD_FOLDERS = 3
"""Folders of other sources that are kept, for other installations on the same machine."""


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Make and return the folder for compiled code; None: nothing can be written.

    The folder lies in our own cache directory, where old ones are deleted, or in the user's
    NUMBA_CACHE_DIR, where nothing is.
    """
    own = cache_directory() / "numba"
    users = os.environ.get("NUMBA_CACHE_DIR")
    folder = (Path(users) if users else own) / f"src-{_sources_hash()[:16]}"
    probe = folder / f".writable-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        os.utime(folder)
    except OSError:
        return None
    if not users:
        _delete_old_folders(own, folder)
    return folder


def _sources_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _delete_old_folders(base: Path, current: Path) -> None:
    with suppress(OSError):  # another process may be deleting them too
        others = [path for path in base.glob("src-*") if path != current]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for old in others[OLD_FOLDERS:]:
            shutil.rmtree(old, ignore_errors=True)


class _DeferredCache(NullCache):  # type: ignore[misc]
    """Replaces itself by numba's disk cache, which creates folders, at the first compilation."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        folder = cache_folder()
        if folder is None:
            return None
        numba.config.CACHE_DIR = str(folder)
        self._dispatcher.enable_caching()
        return self._dispatcher._cache.load_overload(sig, target_context)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` at its first call, to run without the GIL."""
    dispatcher = numba.njit(nogil=True)(function)
    dispatcher._cache = _DeferredCache(dispatcher)
    jitted: Callable[..., Any] = dispatcher
    return jitted


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` into its callers."""
    jitted: Callable[..., Any] = numba.njit(nogil=True, inline="always")(function)
    return jitted


# Instructions that numba does not offer.


@intrinsic
def clz(typing, word):  # type: ignore[no-untyped-def]
    """Return the leading zeros of a 32-bit word in an int64."""

    def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(zeros, ir.Constant(ir.IntType(64), 32))

    return types.int64(types.int64), emit


@intrinsic
def popcount(typing, word):  # type: ignore[no-untyped-def]
    """Return the number of bits set in an int64."""

    def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), emit


@intrinsic(prefer_literal=True)
def multiply_xor_row(typing, out, to, factor, other, source):  # type: ignore[no-untyped-def]
    """out[to : to + 16] = out[to : to + 16] * factor ^ other[source : source + 16].

    Numba does not vectorize the loop over the 16 words, which then takes twice as long.
    """
    row = ir.VectorType(ir.IntType(32), 16)

    def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        def row_at(array, index):  # type: ignore[no-untyped-def]
            struct = context.make_array(signature.args[array])(context, builder, arguments[array])
            return builder.bitcast(builder.gep(struct.data, [arguments[index]]), row.as_pointer())

        target, source_row = row_at(0, 1), row_at(3, 4)  # type: ignore[no-untyped-call]
        before, operand = builder.load(target), builder.load(source_row)
        before.align = operand.align = 4
        product = builder.mul(before, ir.Constant(row, [factor.literal_value] * 16))
        builder.store(builder.xor(product, operand), target).align = 4
        return context.get_dummy_value()

    return types.void(out, to, factor, other, source), emit
