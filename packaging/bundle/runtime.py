"""A folder with a relocatable Python in which the miner and its packages are installed."""

from __future__ import annotations

import csv
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from bundle.archive import sha256

EXECUTABLE = Path("python/bin/progpow-miner")
"""The packaged Python, under the name by which farm systems look for the process."""

UNUSED = (
    "include", "share", "lib/pkgconfig", "lib/tcl*", "lib/tk*", "lib/itcl*", "lib/thread*",
    "lib/*.a", "lib/python3*/test", "lib/python3*/idlelib", "lib/python3*/tkinter",
    "lib/python3*/turtledemo", "lib/python3*/ensurepip", "lib/python3*/lib2to3",
    "lib/python3*/config-*", "lib/python3*/site-packages/*",
)  # fmt: skip
"""Of a Python, what no rig needs."""


class BuildError(Exception):
    """One sentence about why nothing was built."""


def fetched(source: str, digest: str, into: Path) -> Path:
    """Return the archive named `source`, a file or an https URL, once its SHA-256 is `digest`."""
    if "://" in source:
        if not source.startswith("https://"):
            raise BuildError(f"{source}: only https is fetched from")
        path = into / source.rpartition("/")[2]
        try:
            with urllib.request.urlopen(source, timeout=60) as answer, path.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except OSError as error:
            raise BuildError(f"{source}: is not fetched: {error}") from error
    else:
        path = Path(source)
    if not path.is_file():
        raise BuildError(f"{path}: there is no such archive")
    found = sha256(path)
    if found != digest.lower():
        raise BuildError(f"{source}: has the SHA-256 {found}, not the given {digest.lower()}")
    return path


def unpack_python(archive: Path, tree: Path) -> Path:
    """Unpack a Python, the folder `python` of `archive`, into `tree`; return its executable."""
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(tree, filter="data")
    except tarfile.TarError as error:
        raise BuildError(f"{archive}: cannot be unpacked: {error}") from error
    python = tree / "python"
    names = [p for p in python.glob("bin/python3.*") if re.fullmatch(r"python3\.\d+", p.name)]
    if len(names) != 1:
        raise BuildError(f"{archive}: has no python/bin/python3.N, as a relocatable Python would")
    interpreter = names[0].resolve().read_bytes()
    shutil.rmtree(python / "bin")
    executable = tree / EXECUTABLE
    executable.parent.mkdir()
    executable.write_bytes(interpreter)
    executable.chmod(0o755)
    for pattern in UNUSED:
        for path in python.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in list(python.rglob("__pycache__")):
        shutil.rmtree(path)
    return executable


def site_packages(python: Path) -> Path:
    """Return the folder into which the packages of the Python in the folder `python` go."""
    (library,) = (p for p in python.glob("lib/python3.*") if p.is_dir())
    return library / "site-packages"


def install(
    executable: Path,
    site: Path,
    requirements: Sequence[str],
    constraints: Path,
    glibc: str,
    wheelhouse: Path | None = None,
) -> None:
    """Install `requirements` for `executable` into `site`, as wheels that a machine with the
    `glibc` ("2.28") can load, or that are in `wheelhouse`."""
    own = ["--find-links", str(wheelhouse)] if wheelhouse else []
    command = [
        sys.executable, "-m", "pip", "--python", str(executable), "install", "--quiet",
        "--disable-pip-version-check", "--no-compile", "--only-binary", ":all:",
        *(word for name in platforms(glibc) for word in ("--platform", name)),
        "--target", str(site), "--constraint", str(constraints), *own, *requirements,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise BuildError(f"pip could not install {', '.join(requirements)}:\n{done.stderr}")
    if (site / "bin").is_dir():
        shutil.rmtree(site / "bin")
    for info in site.glob("*.dist-info"):
        _forget_the_place(info)


def platforms(glibc: str) -> Iterator[str]:
    """Yield the wheels' platform tags that `glibc` can load, newest first."""
    major, _, minor = glibc.partition(".")
    if major != "2" or not minor.isdecimal() or int(minor) < 17:
        raise BuildError(f"{glibc}: is no glibc from 2.17 on")
    machine = platform.machine()
    for number in range(int(minor), 16, -1):
        yield f"manylinux_2_{number}_{machine}"
    yield f"manylinux2014_{machine}"
    if machine == "x86_64":
        yield from (f"manylinux_2_{number}_{machine}" for number in range(16, 4, -1))
        yield from (f"manylinux2010_{machine}", f"manylinux1_{machine}")
    yield f"linux_{machine}"  # of wheels that were built by their user


def _forget_the_place(info: Path) -> None:
    """Remove what differs from machine to machine: where a wheel was, and scripts that name the
    Python that installed them."""
    for name in ("direct_url.json", "INSTALLER", "REQUESTED"):
        (info / name).unlink(missing_ok=True)
    gone = {f"{info.name}/{name}" for name in ("direct_url.json", "INSTALLER", "REQUESTED")}
    record = info / "RECORD"
    rows = list(csv.reader(io.StringIO(record.read_text(encoding="utf-8"))))
    kept = sorted(row for row in rows if row[0] not in gone and "../" not in row[0])
    kept = [row for row in kept if not row[0].startswith("bin/")]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(kept)
    record.write_text(text.getvalue(), encoding="utf-8")
