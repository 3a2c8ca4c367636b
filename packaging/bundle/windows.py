"""A Python for Windows with the miner and its packages."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from bundle.runtime import BuildError, clean

LAUNCHER = b'@"%~dp0python\\python.exe" -m miner %*\r\n'
"""progpow-miner.cmd, which passes its arguments and the exit code on."""


def unpack_embeddable(archive: Path, tree: Path) -> str:
    """Unpack an embeddable Python into the folder `python` of `tree`, let it find packages in
    `python/Lib/site-packages`, and return its version, such as "3.12"; raises `BuildError`."""
    python = tree / "python"
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(python)
    except zipfile.BadZipFile as error:
        raise BuildError(f"{archive}: cannot be unpacked: {error}") from error
    paths = [p for p in python.glob("python3*._pth") if re.fullmatch(r"python3\d+", p.stem)]
    if len(paths) != 1 or not (python / "python.exe").is_file():
        raise BuildError(f"{archive}: is not an embeddable Python: python.exe or ._pth is missing")
    text = paths[0].read_text(encoding="utf-8")
    paths[0].write_text("Lib\\site-packages\n" + text, encoding="utf-8", newline="\r\n")
    return f"3.{paths[0].stem.removeprefix('python3')}"


def install_for_windows(
    version: str, site: Path, requirements: Sequence[str], wheelhouse: Path | None = None
) -> None:
    """Install `requirements`, which are complete, into `site`, from wheels for Python `version` on
    64-bit Windows and from `wheelhouse`; raises `BuildError`."""
    own = ["--find-links", str(wheelhouse)] if wheelhouse else []
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--no-compile", "--no-deps", "--only-binary", ":all:", "--platform", "win_amd64",
        "--implementation", "cp", "--python-version", version, "--target", str(site),
        *own, *requirements,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"pip could not install the packages for Windows:\n{done.stderr}")
    clean(site)
