"""Numba, with a disk cache that is never older than the sources.

Numba does not notice a change to a callee in another file and would run old code, so the cache
lies in a folder named after a hash of all sources of this package. The folder is made when a
function is first compiled; what cannot be written or read there is compiled in memory.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.extending import intrinsic

from miner.cached_files import CheckedFiles
from miner.resources import cache_directory

OLD_FOLDERS = 3
"""Folders of other sources that are kept, for other installations on the same machine."""

LIMIT_BYTES = 64 << 20
"""Limit of one folder; the compiled functions of one installation take less than 2 MiB."""


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Make and return the folder for compiled code; None: it cannot be made.

    The folder lies in our own cache directory, where old ones are deleted, or in the user's
    NUMBA_CACHE_DIR, where nothing is.
    """
    own = cache_directory() / "numba"
    users = os.environ.get("NUMBA_CACHE_DIR")
    folder = (Path(users) if users else own) / f"src-{_sources_hash()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    with suppress(OSError):  # it may be read-only
        os.utime(folder)
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


class _CheckedCache(NullCache):  # type: ignore[misc]
    """Stores the compiled versions of one function in `CheckedFiles`.

    Numba's own cache trusts its files: damaged ones raise any error, or run as machine code.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        key = self._key(sig, target_context.codegen())
        if (folder := cache_folder()) is None or (code := _files(folder).get(key)) is None:
            return None
        try:
            return CompileResult._rebuild(target_context, *pickle.loads(code))
        except Exception:  # noqa: BLE001 another build of this numba version may raise anything
            _files(folder).drop(key)
            return None

    def save_overload(self, sig: Any, cres: Any) -> None:
        if (folder := cache_folder()) is not None:
            key = self._key(sig, cres.library.codegen)
            _files(folder).put(key, dumps(cres._reduce()))

    def _key(self, sig: Any, codegen: Any) -> str:
        versions = numba.__version__, sys.implementation.cache_tag
        return repr((self._name, sig, codegen.magic_tuple(), versions))


def _files(folder: Path) -> CheckedFiles:
    return CheckedFiles(folder, ".nbc", LIMIT_BYTES)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` at its first call, to run without the GIL."""
    dispatcher = numba.njit(nogil=True)(function)
    dispatcher._cache = _CheckedCache(function)
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
