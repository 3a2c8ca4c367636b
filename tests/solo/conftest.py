from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of found blocks, in a state directory for this test."""
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PROGPOW_MINER_STATE", str(tmp_path))
    return tmp_path / "blocks"
