"""mmpOS: its arguments to settings, the miner's answer to the form that its agent reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
from endpoint import answer
from sheet import DEFAULT_LISTEN, Sheet, SheetError, listen_of, pools_of, write_settings

NAME = "progpow-miner"

FLAGS = ("--coin", "--algo", "--pool", "--user", "--password", "--api-port")


def configure(arguments: Sequence[str], config: Path) -> list[str]:
    """Write the settings for the arguments of mmp-launch.sh; return those that are the miner's.

    Raises `SheetError`.
    """
    known, rest = _split(arguments)
    algorithm = (known["--coin"] or known["--algo"]).strip()
    port = known["--api-port"].strip()
    sheet = Sheet(
        algorithm=algorithm,
        pools=pools_of(known["--pool"], known["--user"], known["--password"]),
        listen=f"127.0.0.1:{port}" if port not in ("", "0") else DEFAULT_LISTEN,
        extra=tomli_w.dumps({"coin": algorithm}) if _is_coin(algorithm) else "",
    )
    write_settings(config, sheet)
    return rest


def _is_coin(name: str) -> bool:
    """Whether `name` is a coin's symbol, not a variant's name."""
    from miner.catalog import find_coin
    from miner.errors import MinerError

    try:
        find_coin(name)
    except MinerError:
        return False
    return True


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the value of each flag of mmpOS, and the other arguments. A value may begin with a
    dash. The last value of a flag counts, but the pools add up."""
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
    """Return the object that mmp-stats.sh prints, without devices if the miner is down."""
    found = answer(listen_of(config), "/mmpos")
    down = {"busid": [], "hash": [], "units": "hs", "air": [0, 0, 0]}
    return found or {**down, "miner_name": NAME, "miner_version": version}
