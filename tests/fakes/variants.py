"""Variants written out, for tests that must not depend on the files in configs/."""

from __future__ import annotations

from dataclasses import replace

from miner.progpow.variant import MATH_OPERATIONS, Clamp, Growth, Span, Variant

_LETTERS = tuple(b"rAVENCOINKAWPOW")

KAWPOW = Variant(
    name="kawpow",
    period=3,
    registers=32,
    cache_reads=11,
    math_operations=18,
    dag_loops=64,
    math_table=MATH_OPERATIONS,
    absorbs="digest",
    initial_padding=_LETTERS,
    final_padding=_LETTERS[:9],
    spans=(Span(0, 7500),),
    light=Growth(16 * 2**20, 128 * 2**10),
    dataset=Growth(2**30, 8 * 2**20),
    parents=512,
)

FIROPOW = replace(
    KAWPOW, name="firopow", period=1, spans=(Span(0, 1300),), clamp=Clamp(above=926, to=650)
)
"""Only its heights and epochs are FiroPow's."""
