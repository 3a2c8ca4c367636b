"""mmpOS: its arguments as settings, the miner's answer as its agent reads it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from endpoint import answer
from sheet import DEFAULT_LISTEN, Sheet, SheetError, listening, pools_of, write_settings

NAME = "progpow-miner"

FLAGS = ("--coin", "--algo", "--pool", "--user", "--password", "--api-port")


def configure(arguments: Sequence[str], config: Path, is_coin: Callable[[str], bool]) -> list[str]:
    """Write the settings for what mmp-launch.sh is given; return the arguments that are the
    miner's own. `is_coin` tells a coin's name from a variant's. Raises `SheetError`."""
    known, rest = _parted(arguments)
    named = (known["--coin"] or known["--algo"]).strip()
    coin = f"coin = {json.dumps(named)}" if named and is_coin(named) else ""
    port = known["--api-port"].strip()
    sheet = Sheet(
        algorithm=named,
        pools=pools_of(known["--pool"], known["--user"], known["--password"]),
        listen=f"127.0.0.1:{port}" if port not in ("", "0") else DEFAULT_LISTEN,
        own=coin,
    )
    write_settings(config, sheet)
    return rest


def _parted(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the value of each of mmpOS's flags, and what is left. A value is taken as it is,
    whatever it begins with; of several, the last one counts, but pools are added."""
    known = dict.fromkeys(FLAGS, "")
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in known:
            rest.append(word)
            continue
        if not equals:
            following = next(words, None)
            if following is None:
                raise SheetError(f"{flag}: its value is missing")
            value = following
        known[flag] = f"{known[flag]} {value}" if flag == "--pool" else value
    return known, rest


def statistics(config: Path, version: str) -> dict[str, Any]:
    """Return the object that mmp-stats.sh prints; one without devices where the miner is down."""
    found = answer(listening(config), "/mmpos")
    nothing = {"busid": [], "hash": [], "units": "hs", "air": [0, 0, 0]}
    return found or {**nothing, "miner_name": NAME, "miner_version": version}
