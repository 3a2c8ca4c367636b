"""mmpOS: its arguments as settings, the miner's answer as its agent reads it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from endpoint import answer
from sheet import DEFAULT_LISTEN, Sheet, listening, pools_of, write_settings

NAME = "progpow-miner"


def configure(arguments: Sequence[str], config: Path, is_coin: Callable[[str], bool]) -> list[str]:
    """Write the settings for what mmp-launch.sh is given; return the arguments that are the
    miner's own. `is_coin` tells a coin's name from a variant's. Raises `SheetError`."""
    parser = argparse.ArgumentParser(prog="mmp-launch.sh", allow_abbrev=False, add_help=False)
    for flag in ("--coin", "--algo", "--user", "--password", "--api-port"):
        parser.add_argument(flag, default="")
    parser.add_argument("--pool", action="append", default=[])
    known, rest = parser.parse_known_args(list(arguments))
    named = (known.coin or known.algo).strip()
    coin = f"coin = {json.dumps(named)}" if named and is_coin(named) else ""
    port = known.api_port.strip()
    sheet = Sheet(
        algorithm=named,
        pools=pools_of(" ".join(known.pool), known.user, known.password),
        listen=f"127.0.0.1:{port}" if port not in ("", "0") else DEFAULT_LISTEN,
        own=coin,
    )
    write_settings(config, sheet)
    return rest


def statistics(config: Path, version: str) -> dict[str, Any]:
    """Return the object that mmp-stats.sh prints; one without devices where the miner is down."""
    found = answer(listening(config), "/mmpos")
    nothing = {"busid": [], "hash": [], "units": "hs", "air": [0, 0, 0]}
    return found or {**nothing, "miner_name": NAME, "miner_version": version}
