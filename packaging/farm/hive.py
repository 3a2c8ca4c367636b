"""HiveOS: its flight sheet as settings, the miner's answer as its two variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from endpoint import answer
from sheet import Sheet, listening, pools_of, write_settings

DOWN = ("0", "null")
"""What HiveOS is told of a miner that does not answer."""


def configure(environment: Mapping[str, str]) -> None:
    """Write the settings for what h-config.sh passes on; raises `SheetError`."""
    log = environment.get("CUSTOM_LOG_BASENAME", "")
    sheet = Sheet(
        algorithm=environment.get("CUSTOM_ALGO", "").strip(),
        pools=pools_of(
            environment.get("CUSTOM_URL", ""),
            environment.get("CUSTOM_TEMPLATE", ""),
            environment.get("CUSTOM_PASS", ""),
        ),
        rig=environment.get("WORKER_NAME", "").strip(),
        log_file=f"{log}.log" if log else "",
        own=environment.get("CUSTOM_USER_CONFIG", ""),
    )
    write_settings(Path(environment["CUSTOM_CONFIG_FILENAME"]), sheet)


def statistics(config: Path) -> tuple[str, str]:
    """Return `khs`, a number in kH/s, and `stats`, a JSON object, both as text."""
    found = answer(listening(config), "/hiveos") or {}
    khs, stats = found.get("khs"), found.get("stats")
    if isinstance(khs, bool) or not isinstance(khs, int | float) or not isinstance(stats, dict):
        return DOWN
    return json.dumps(khs), json.dumps(stats)
