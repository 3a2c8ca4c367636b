from __future__ import annotations

import pytest

from tests.progpow.published import VECTORS, LightCaches, key_of, named


@pytest.fixture(scope="session")
def caches() -> LightCaches:
    shared = (named(row["variants"][0]).epoch(row["epoch"]) for row in VECTORS["epochs"])
    return LightCaches(frozenset(map(key_of, shared)))
