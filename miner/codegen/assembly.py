"""Kernel texts joined into one program, each marked with the file that it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from miner.resources import data_directory


@lru_cache(maxsize=32)
def kernel_text(name: str) -> str:
    """Return the file `name` under kernels/."""
    return (data_directory("kernels") / name).read_text(encoding="ascii")


def constants(values: Mapping[str, object]) -> str:
    """Return one `#define` a line; integers become unsigned literals."""
    lines = []
    for name, value in values.items():
        text = f"{value}u" if type(value) is int and value > 1 else str(value)
        lines.append(f"#define {name} {text}\n")
    return "".join(lines)


def assemble(parts: Iterable[tuple[str, str]]) -> str:
    """Return (file name, text) pairs as one text whose compiler log names the files."""
    return "".join(f'#line 1 "{name}"\n{text}' for name, text in parts)


def with_files(*names: str) -> list[tuple[str, str]]:
    """Return the files under kernels/ as pairs for `assemble`."""
    return [(f"kernels/{name}", kernel_text(name)) for name in names]
