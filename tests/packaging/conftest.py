"""Archives that are built once for all tests."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from collections import deque
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import IO, Any

import pytest

from tests.harness.child import captured
from tests.packaging.standin import empty_root, may_mount, pack_python

CHECKOUT = Path(__file__).parents[2]
TIMESTAMP = 1700000000
"""Time of every file in an archive, as UNIX time."""

PROGRAMS = [
    "bash",
    "cat",
    "dirname",
    "env",
    "flock",
    "mkdir",
    "mktemp",
    "mv",
    "readlink",
    "rm",
    "sh",
    "stat",
    "tee",
]


@pytest.fixture(scope="session")
def python_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_python(tmp_path_factory.mktemp("python") / "python.tar.gz")


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, so that they do not change between two builds."""
    copy = tmp_path_factory.mktemp("sources") / "checkout"
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("miner", "kernels", "configs", "packaging"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=unwanted)
    for name in (
        "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Dockerfile", ".dockerignore",
    ):  # fmt: skip
        shutil.copy(CHECKOUT / name, copy)
    return copy


def build(sources: Path, what: str, out: Path, python: Path, **environment: str) -> str:
    """Run build.py; return its output."""
    digest = sha256(python.read_bytes()).hexdigest()
    done = captured(
        [sys.executable, sources / "packaging/build.py", what, "--out", out,
         "--python-archive", python, "--sha256", digest, "--level", "1"],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(TIMESTAMP), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, sources: Path, python_archive: Path) -> Path:
    """The folder with all releases."""
    out = tmp_path_factory.mktemp("dist")
    build(sources, "all", out, python_archive)
    return out


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """A root with a shell and without Python, in which the HiveOS archive is unpacked."""
    if not may_mount():
        pytest.skip("an empty root takes the right to mount")
    root = tmp_path_factory.mktemp("rig")
    empty_root(root, PROGRAMS)
    (archive,) = (built / "hiveos").iterdir()
    with tarfile.open(archive) as packed:
        packed.extractall(root / "hive/miners/custom", filter="tar")
    return root


@pytest.fixture(scope="session")
def pool_url() -> Iterator[str]:
    """The address of a test pool whose shares the reference device finds at once."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "miner", "pool", "--listen", "127.0.0.1:0",
         "--variant", "kawpow", "--height", "1000", "--difficulty", "1e-9"],
        cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    url = process.stdout.readline().split()[-1]
    # A full pipe would stop the pool.
    reading = Thread(target=deque, args=(process.stdout, 0))
    reading.start()
    yield url
    process.kill()
    process.wait()
    reading.join()
    process.stdout.close()


ON_THE_REFERENCE_DEVICE = '[devices]\nuse = ["ref"]\nbackend = "ref"'
"""Settings with which every machine can mine."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def lines_until(stream: IO[str], word: str) -> str:
    """Return the lines of `stream` up to one with `word`, or to its end."""
    read = ""
    while word not in read and (line := stream.readline()):
        read += line
    return read


class Answers:
    """An HTTP server with JSON answers by path, else 404."""

    def __init__(self) -> None:
        self.by_path: dict[str, bytes] = {}
        answers = self.by_path

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = answers.get(self.path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]

    def give(self, path: str, value: Any) -> None:
        self.by_path[path] = json.dumps(value).encode()


@pytest.fixture
def miner() -> Iterator[Answers]:
    """A server in place of the miner."""
    answers = Answers()
    thread = Thread(target=answers.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield answers
    answers.server.shutdown()
    answers.server.server_close()
    thread.join()
