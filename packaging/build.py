"""Builds what is published: the wheel, an archive for each farm system, a whole release.

    python packaging/build.py wheel --out dist
    python packaging/build.py all --out dist --python-archive URL|FILE --sha256 HEX
    python packaging/build.py release --out dist

The same commit and the same Python archive give the same bytes: every file has the time of
SOURCE_DATE_EPOCH or of the last commit. Writes `SHA256SUMS` too.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from bundle.archive import Entry, entries, write_sums, write_tar, write_zip  # noqa: E402
from bundle.components import WINDOWS, bill, needed, pinned, release_notes  # noqa: E402
from bundle.notices import notices  # noqa: E402
from bundle.runtime import (  # noqa: E402
    BuildError,
    fetch,
    install,
    site_packages,
    unpack_python,
)
from bundle.windows import LAUNCHER, install_for_windows, unpack_embeddable  # noqa: E402

CHECKOUT = HERE.parent
NAME = "progpow-miner"
FARMS = ("hiveos", "mmpos", "raveos")
GLIBC = "2.28"
"""The oldest supported version; PyOpenCL has no wheels for older ones."""


def main(arguments: list[str]) -> int:
    """Run the command line; return an exit code."""
    given = _parser().parse_args(arguments)
    try:
        built = build(given)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 2
    sums = write_sums(given.out, built)
    print(sums.read_text(encoding="utf-8"), end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="build.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("wheel", *FARMS, "all", "release"))
    parser.add_argument(
        "--out", type=Path, default=CHECKOUT / "dist", help="output folder (default: dist)"
    )
    parser.add_argument(
        "--python-archive", metavar="URL|FILE", help="archive of a relocatable Python"
    )
    parser.add_argument("--sha256", metavar="HEX", help="checksum of that archive")
    parser.add_argument(
        "--windows-python", metavar="URL|FILE", help="archive of an embeddable Python for Windows"
    )
    parser.add_argument("--windows-sha256", metavar="HEX", help="checksum of that archive")
    parser.add_argument(
        "--glibc", default=GLIBC, help=f"glibc of the oldest machine (default: {GLIBC})"
    )
    parser.add_argument("--extra", default="opencl", help="extras of the miner (default: opencl)")
    parser.add_argument("--wheelhouse", type=Path, help="folder with additional wheels")
    parser.add_argument("--level", type=int, default=9, help="compression level (default: 9)")
    return parser


def build(given: argparse.Namespace) -> list[Path]:
    """Build the requested files and return them; raises `BuildError`."""
    has_python = bool(given.python_archive and given.sha256)
    if given.what not in ("wheel", "release") and not has_python:
        raise BuildError(
            "an archive contains a Python: name one with --python-archive and --sha256"
        )
    timestamp = build_time()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.wheelhouse:
        given.wheelhouse = given.wheelhouse.resolve()
    made = package("wheel", given.out, timestamp)
    built = [made]
    if given.what == "release":
        built += release(given, made, timestamp)
    farms = FARMS if given.what in ("all", "release") else (given.what,)
    if given.what != "wheel" and has_python:
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / "tree"
            tree.mkdir()
            python = fetch(given.python_archive, given.sha256, Path(folder))
            executable = unpack_python(python, tree)
            site = site_packages(tree / "python")
            wanted = [f"{made}[{given.extra}]" if given.extra else str(made)]
            constraints = HERE / "constraints.txt"
            install(executable, site, wanted, constraints, given.glibc, given.wheelhouse)
            found = [*entries(tree), *_common(site, tree / "python")]
            for farm in farms:
                built.append(_archive(farm, found, given.out, timestamp, given.level))
    return built


def build_time() -> int:
    """Return the time of all files in UNIX seconds: SOURCE_DATE_EPOCH, else the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        if not given.isdecimal():
            raise BuildError(f"SOURCE_DATE_EPOCH: {given!r} is not a number of seconds")
        return int(given)
    command = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError("the time of the last commit is unknown: set SOURCE_DATE_EPOCH")
    return int(done.stdout)


def version() -> str:
    """Return the miner's version."""
    text = (CHECKOUT / "miner/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if not found or "-" in found[1]:  # HiveOS reads the version after the last dash
        raise BuildError("miner/__init__.py: its version is missing or contains a dash")
    return found[1]


def package(kind: str, out: Path, timestamp: int) -> Path:
    """Build the "wheel" or the "sdist" in `out`; return its path."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", folder,
             str(CHECKOUT)],
            cwd=folder,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(timestamp)},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise BuildError(
                f"the {kind} was not built (install build and hatchling in the versions of "
                f"packaging/constraints.txt):\n{done.stdout}{done.stderr}"
            )
        (made,) = Path(folder).iterdir()
        target = out / made.name
        target.write_bytes(made.read_bytes())
    return target


def release(given: argparse.Namespace, made: Path, timestamp: int) -> list[Path]:
    """Build what a release has besides the wheel `made` and the farm archives."""
    out, name = given.out, f"{NAME}-{version()}"
    built = [package("sdist", out, timestamp), out / f"{name}-images.tar.gz"]
    write_tar(built[-1], "", _image_context(), timestamp, given.level)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    roots = {"": project["dependencies"], **project["optional-dependencies"]}
    del roots["dev"]
    changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = pinned(HERE / "constraints.txt", {})
    for suffix, text in (
        (".cdx.json", bill(NAME, version(), roots, versions, timestamp)),
        ("-notes.md", release_notes(changelog, version())),
    ):
        built.append(out / f"{name}{suffix}")
        built[-1].write_text(text, encoding="utf-8")
    if given.windows_python and given.windows_sha256:
        built.append(windows(given, made, [*roots[""], *roots["opencl"]], timestamp))
    for what, missing in (
        ("the ZIP for Windows", not (given.windows_python and given.windows_sha256)),
        ("the archives for farm systems", not (given.python_archive and given.sha256)),
    ):
        if missing:
            print(f"build.py: left out: {what}, for which no Python is named", file=sys.stderr)
    return built


def windows(given: argparse.Namespace, made: Path, roots: list[str], timestamp: int) -> Path:
    """Build the ZIP for Windows from the wheel `made`, whose requirements are `roots`."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        python = fetch(given.windows_python, given.windows_sha256, Path(folder))
        number = unpack_embeddable(python, tree)
        environment = {**WINDOWS, "python_version": number}
        versions = pinned(HERE / "constraints.txt", environment)
        wanted = [f"{n}=={versions[n]}" for n in needed(roots, versions, environment)]
        site = tree / "python/Lib/site-packages"
        install_for_windows(number, site, [str(made), *wanted], given.wheelhouse)
        found = [
            *entries(tree),
            Entry(f"{NAME}.cmd", LAUNCHER),
            Entry("LICENSE", CHECKOUT / "LICENSE"),
            Entry("NOTICE", notices(site, tree / "python", NAME).encode()),
        ]
        target: Path = given.out / f"{NAME}-{version()}-windows.zip"
        write_zip(target, found, timestamp, given.level)
    return target


def _image_context() -> Iterator[Entry]:
    """Yield the files that the Dockerfile is built from, as .dockerignore selects them."""
    yield Entry("Dockerfile", CHECKOUT / "Dockerfile")
    yield Entry(".dockerignore", CHECKOUT / ".dockerignore")
    for line in (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.startswith("!"):
            path = CHECKOUT / line[1:]
            for entry in entries(path) if path.is_dir() else [Entry("", path)]:
                if "__pycache__" not in entry.name:
                    name = f"{line[1:]}/{entry.name}".rstrip("/")
                    yield Entry(name, entry.source, entry.executable)


def _common(site: Path, python: Path) -> Iterator[Entry]:
    """Yield the files of every archive besides Python and its packages."""
    yield Entry(NAME, HERE / "farm" / NAME, executable=True)
    for path in (HERE / "farm").glob("*.py"):
        yield Entry(f"farm/{path.name}", path)
    yield Entry("LICENSE", CHECKOUT / "LICENSE")
    yield Entry("NOTICE", notices(site, python, NAME).encode())


def _archive(farm: str, common: list[Entry], out: Path, timestamp: int, level: int) -> Path:
    found = [*common, *(_with_version(entry) for entry in entries(HERE / farm))]
    name = f"{NAME}-{version()}"
    if farm == "raveos":
        target = out / farm / f"{name}.zip"
        write_zip(target, found, timestamp, level)
    else:
        target = out / farm / f"{name}.tar.gz"
        write_tar(target, NAME, found, timestamp, level)
    return target


def _with_version(entry: Entry) -> Entry:
    names = []
    for path in (CHECKOUT / "configs/variants").glob("*.toml"):
        names.append(tomllib.loads(path.read_text(encoding="utf-8"))["name"])
    text = entry.content.decode("utf-8")
    text = text.replace("@VERSION@", version()).replace("@VARIANTS@", '", "'.join(sorted(names)))
    return Entry(entry.name, text.encode(), entry.executable or entry.name.endswith(".sh"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
