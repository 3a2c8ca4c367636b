"""The file in which a run writes what its API listens on, for the command `health`."""

from __future__ import annotations

import os
import socket
from io import StringIO
from pathlib import Path
from typing import Any

from miner.api.api_server import ApiOptions
from miner.engine.threads import WorkPool
from miner.run.run_config import LiveConfig, RunConfig
from miner.run.views import Views
from miner.safe_text import Redactor
from tests.fakes.rig import Rig
from tests.fakes.variants import KAWPOW


async def written(path: Path, api: ApiOptions | None, rig: Rig) -> str:
    """Return the text of the file while the views are open."""
    config = RunConfig(KAWPOW, (), LiveConfig(()), api=api, address_file=path)
    control: Any = None
    with WorkPool("disk", 1) as disk:
        views = Views(config, rig.telemetry, rig.journal, rig.clock, StringIO(), disk, Redactor())
        async with views.ports(control):
            return path.read_text(encoding="utf-8") if path.is_file() else ""


async def test_the_port_that_was_free_is_written(tmp_path: Path) -> None:
    rig = Rig()
    text = await written(tmp_path / "address", ApiOptions(port=0), rig)
    assert text.startswith("127.0.0.1:")
    assert int(text.rpartition(":")[2]) > 0


async def test_off_is_written_without_an_api(tmp_path: Path) -> None:
    path = tmp_path / "address"
    path.write_text("of an earlier run", encoding="utf-8")
    assert await written(path, None, Rig()) == "off\n"


async def test_off_is_written_if_the_default_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = ApiOptions(port=other.getsockname()[1])
        assert await written(tmp_path / "address", taken, Rig()) == "off\n"


async def test_a_file_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    rig = Rig()
    path = tmp_path / "missing" / "address"
    assert await written(path, None, rig) == ""
    (entry,) = rig.journal.entries
    assert entry.text == f"address_file {path} cannot be written: No such file or directory"


async def test_a_fifo_without_a_reader_is_reported_and_never_waited_for(tmp_path: Path) -> None:
    rig, path = Rig(), tmp_path / "address"
    os.mkfifo(path)
    assert await written(path, None, rig) == ""
    (entry,) = rig.journal.entries
    assert "cannot be written: No such device or address" in entry.text
