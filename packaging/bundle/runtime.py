"""A relocatable Python with the miner and its packages."""

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
"""The packaged Python, under the name by which farm systems find the process."""

UNUSED = (
    "include", "share", "lib/pkgconfig", "lib/tcl*", "lib/tk*", "lib/itcl*", "lib/thread*",
    "lib/*.a", "lib/python3*/test", "lib/python3*/idlelib", "lib/python3*/tkinter",
    "lib/python3*/turtledemo", "lib/python3*/ensurepip", "lib/python3*/lib2to3",
    "lib/python3*/config-*", "lib/python3*/site-packages/*",
)  # fmt: skip
"""Files of the Python that are left out."""


class BuildError(Exception):
    """The reason why the build failed, in one sentence."""


def fetch(source: str, digest: str, into: Path) -> Path:
    """Return the path of the archive `source`, a file or an https URL that is downloaded to `into`.

    Raises `BuildError` if its SHA-256 is not `digest`.
    """
    if "://" in source:
        if not source.startswith("https://"):
            raise BuildError(f"{source}: only https URLs are allowed")
        path = into / source.rpartition("/")[2]
        try:
            with urllib.request.urlopen(source, timeout=60) as answer, path.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except OSError as error:
            raise BuildError(f"{source}: the download failed: {error}") from error
    else:
        path = Path(source)
    if not path.is_file():
        raise BuildError(f"{path}: not found")
    found = sha256(path)
    if found != digest.lower():
        raise BuildError(f"{source}: its SHA-256 is {found}, not {digest.lower()} as given")
    return path


def unpack_python(archive: Path, tree: Path) -> Path:
    """Unpack the folder `python` of `archive` into `tree`; return the Python executable."""
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(tree, filter="data")
    except tarfile.TarError as error:
        raise BuildError(f"{archive}: cannot be unpacked: {error}") from error
    python = tree / "python"
    names = [p for p in python.glob("bin/python3.*") if re.fullmatch(r"python3\.\d+", p.name)]
    if len(names) != 1:
        raise BuildError(f"{archive}: is not a relocatable Python: python/bin/python3.N is missing")
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
    """Return the site-packages folder of the Python in the folder `python`."""
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
    """Install `requirements` into `site` for `executable`, from wheels for `glibc` ("2.28") or
    older and from `wheelhouse`; raises `BuildError`."""
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
    clean(site)


def clean(site: Path) -> None:
    """Remove from `site` what pip leaves of the build machine, such as scripts for its Python."""
    if (site / "bin").is_dir():
        shutil.rmtree(site / "bin")
    for info in site.glob("*.dist-info"):
        _remove_local_traces(info)


def platforms(glibc: str) -> Iterator[str]:
    """Yield the platform tags of wheels that work with `glibc`, newest first."""
    major, _, minor = glibc.partition(".")
    if major != "2" or not minor.isdecimal() or int(minor) < 17:
        raise BuildError(f"{glibc}: is not a glibc version of 2.17 or newer")
    machine = platform.machine()
    for number in range(int(minor), 16, -1):
        yield f"manylinux_2_{number}_{machine}"
    yield f"manylinux2014_{machine}"
    if machine == "x86_64":
        yield from (f"manylinux_2_{number}_{machine}" for number in range(16, 4, -1))
        yield from (f"manylinux2010_{machine}", f"manylinux1_{machine}")
    yield f"linux_{machine}"  # wheels built locally


def _remove_local_traces(info: Path) -> None:
    """Remove what differs between build machines: the location of a wheel, and scripts that name
    the Python that installed them."""
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
