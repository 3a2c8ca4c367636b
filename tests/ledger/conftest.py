from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.living import Life


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def begin(path: Path) -> Iterator[Callable[..., Life]]:
    """Begins runs of the miner on one file, and closes them."""
    lives: list[Life] = []

    def begin(**options: Any) -> Life:
        lives.append(Life(path, **options))
        return lives[-1]

    yield begin
    for life in lives:
        life.ledger.close()


@pytest.fixture
def life(begin: Callable[..., Life]) -> Life:
    return begin()
