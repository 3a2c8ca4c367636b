from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.ledger_rig import LedgerRig


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def start(path: Path) -> Iterator[Callable[..., LedgerRig]]:
    """Starts runs of the miner on one file, and closes them at the end."""
    rigs: list[LedgerRig] = []

    def start_run(**options: Any) -> LedgerRig:
        rigs.append(LedgerRig(path, **options))
        return rigs[-1]

    yield start_run
    for rig in rigs:
        rig.ledger.close()


@pytest.fixture
def rig(start: Callable[..., LedgerRig]) -> LedgerRig:
    return start()
