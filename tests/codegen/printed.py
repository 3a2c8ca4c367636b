"""Splits a source at its `#line` directives."""

from __future__ import annotations

import re

INTRINSICS = re.compile(
    r"__\w+_sync\b|__umulhi|__funnelshift\w*|__clz|__popc|\batomic\w+|__syncthreads|threadIdx"
    r"|blockIdx|__shared__|__launch_bounds__|\basm\b|__global__|__device__|__local\b|get_local_id"
    r"|get_group_id|\w*sub_group_\w+|\bbarrier\(|__builtin_\w+|\bprefetch\(|__has_\w+|__\w+__\b"
)

MARK = re.compile(r'^#line (\d+) "([^"]*)"\n', re.MULTILINE)


def sections(text: str) -> list[tuple[str, str]]:
    """Return (file name, text) pairs in order."""
    assert text.startswith("#line 1 ")
    pieces = MARK.split(text)[1:]
    assert set(pieces[0::3]) == {"1"}
    return list(zip(pieces[1::3], pieces[2::3], strict=True))
