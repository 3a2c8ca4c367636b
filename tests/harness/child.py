"""Child processes whose output a test reads."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from os import PathLike
from typing import Any


def captured(
    command: Sequence[str | PathLike[str]], *, check: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `command`; return its exit code and what it wrote, as text."""
    return subprocess.run(command, capture_output=True, text=True, check=check, **options)
