"""HiveOS: a flight sheet to settings, the miner's answer to HiveOS's two variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from endpoint import answer
from sheet import Sheet, listen_of, pools_of, write_settings

DOWN = ("0", "null")
"""`khs` and `stats` of a miner that does not answer."""


def configure(environment: Mapping[str, str]) -> None:
    """Write the settings for the variables that h-config.sh passes; raises `SheetError`.

    The log is in a folder: HiveOS moves `CUSTOM_LOG_BASENAME`.log away at each start.
    """
    log = environment.get("CUSTOM_LOG_BASENAME", "")
    sheet = Sheet(
        algorithm=environment.get("CUSTOM_ALGO", "").strip(),
        pools=pools_of(
            environment.get("CUSTOM_URL", ""),
            environment.get("CUSTOM_TEMPLATE", ""),
            environment.get("CUSTOM_PASS", ""),
        ),
        rig=environment.get("WORKER_NAME", "").strip(),
        log_file=f"{log}/miner.log" if log else "",
        extra=environment.get("CUSTOM_USER_CONFIG", ""),
    )
    write_settings(Path(environment["CUSTOM_CONFIG_FILENAME"]), sheet)


def statistics(config: Path) -> tuple[str, str]:
    """Return `khs`, a number in kH/s, and `stats`, a JSON object, both as text."""
    found = answer(listen_of(config), "/hiveos") or {}
    khs, stats = found.get("khs"), found.get("stats")
    if isinstance(khs, bool) or not isinstance(khs, int | float) or not isinstance(stats, dict):
        return DOWN
    return json.dumps(khs), json.dumps(stats)
