"""What the shell scripts of the farm systems have done for them, by the packaged Python.

hive-config                  CUSTOM_* of the environment to settings
hive-stats CONFIG            two lines: khs and stats
mmpos-launch CONFIG ARG...   arguments to settings; prints the miner's own, NUL after each
mmpos-stats CONFIG VERSION   the object that mmpOS reads
raveos-config CONFIG         a task as JSON on standard input to settings
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import hive
import mmpos
import raveos
from sheet import SheetError


def _is_coin(name: str) -> bool:
    from miner.catalog import find_coin
    from miner.errors import MinerError

    try:
        find_coin(name)
    except MinerError:
        return False
    return True


def main(command: str, *arguments: str) -> int:
    """Do `command`; return an exit code of docs/exit-codes.md."""
    try:
        match command, arguments:
            case "hive-config", ():
                hive.configure(os.environ)
            case "hive-stats", (config,):
                print(*hive.statistics(Path(config)), sep="\n")
            case "mmpos-launch", (config, *rest):
                own = mmpos.configure(rest, Path(config), _is_coin)
                sys.stdout.write("".join(f"{argument}\0" for argument in own))
            case "mmpos-stats", (config, version):
                print(json.dumps(mmpos.statistics(Path(config), version)))
            case "raveos-config", (config,):
                raveos.configure(sys.stdin.read(), Path(config))
            case _:
                raise SheetError(f"{command}: is no command of this script, or lacks its file")
    except (SheetError, OSError) as error:
        print(f"progpow-miner: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or [""])))
