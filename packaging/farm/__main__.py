"""The part of the farm systems' shell scripts that is written in Python.

hive-config                  CUSTOM_* of the environment to settings
hive-stats CONFIG            prints two lines: khs and stats
mmpos-launch CONFIG ARG...   arguments to settings; prints those that are the miner's, NUL-ended
mmpos-stats CONFIG VERSION   prints the object that mmpOS reads
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


def main(command: str, *arguments: str) -> int:
    """Run `command`; return an exit code of docs/exit-codes.md."""
    try:
        match command, arguments:
            case "hive-config", ():
                hive.configure(os.environ)
            case "hive-stats", (config,):
                print(*hive.statistics(Path(config)), sep="\n")
            case "mmpos-launch", (config, *rest):
                miners = mmpos.configure(rest, Path(config))
                sys.stdout.write("".join(f"{argument}\0" for argument in miners))
            case "mmpos-stats", (config, version):
                print(json.dumps(mmpos.statistics(Path(config), version)))
            case "raveos-config", (config,):
                raveos.configure(sys.stdin.read(), Path(config))
            case _:
                raise SheetError(f"{command}: unknown command, or its file is missing")
    except SheetError as error:
        print(f"progpow-miner: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"progpow-miner: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*(sys.argv[1:] or [""])))
