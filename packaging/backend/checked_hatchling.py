"""The build backend: hatchling, after a check of Python's version.

With constraints, pip reports that a Python is too old as versions in conflict.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "progpow-miner needs Python 3.11 or newer, this is Python {}.{}.{}. README.md shows how to "
        "install a newer one beside it.".format(*sys.version_info[:3])
    )

from hatchling.build import *  # noqa: F403
