"""A mining process whose settings file changes under it: what can change does, and no share is
lost."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import socketserver
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.test_mining import MINER, Program, pool_arguments, port_of

TOKEN = "a-token-of-the-tests"
DIFFICULTY = "0.00000012"
"""About 500 hashes a share; the reference does some 1000 a second."""

Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    own = os.environ.get("PROGPOW_MINER_CACHE")
    programs: list[Program] = []

    def start(*arguments: str, command: Sequence[str] = MINER) -> Program:
        cache = Path(own) if own else tmp_path / "cache"
        programs.append(Program(*arguments, cache=cache, command=command))
        return programs[-1]

    yield start
    for program in programs:
        program.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        number: int = found.getsockname()[1]
        return number


def a_pool(start: Start, toy: str) -> tuple[Program, int]:
    # No block ends the height, so that no share can be late.
    pool = start(*pool_arguments(toy, difficulty=DIFFICULTY, block_difficulty="1000000"))
    return pool, port_of(pool)


@dataclass
class Rig:
    """A settings file and the process that mines by it."""

    toy: str
    folder: Path
    api: int

    @property
    def file(self) -> Path:
        return self.folder / "miner.toml"

    @property
    def log(self) -> Path:
        return self.folder / "miner.log"

    def write(
        self, *pools: int, level: str = "info", answer: float = 30, rig: str = "first"
    ) -> None:
        lines = [
            f'variant = "{self.toy}"\nrig = "{rig}"',
            *(f'[[pools]]\nurl = "stratum+tcp://127.0.0.1:{port}"\nuser = "w"' for port in pools),
            '[devices]\nbackend = "ref"',
            f'[api]\nlisten = "127.0.0.1:{self.api}"\ntoken = "{TOKEN}"',
            f'[log]\nlevel = "{level}"\nfile = "{self.log}"\nconsole = "plain"',
            f'[ledger]\nfile = "{self.folder / "ledger.sqlite"}"',
            f"[limits]\nanswer = {answer}",
        ]
        self.file.write_text("\n".join(lines) + "\n")


@pytest.fixture
def rig(toy: str, tmp_path: Path) -> Rig:
    return Rig(toy, tmp_path, free_port())


def by_signal(miner: Program, rig: Rig, last: str) -> list[str]:
    """Ask for a reload and return what was said, up to the sentence with `last`."""
    before = len(miner.lines)
    miner.process.send_signal(signal.SIGHUP)
    miner.until(f"settings .*{last}")
    return [line for line in miner.lines[before:] if " settings " in line]


def post(rig: Rig, token: str | None) -> tuple[int, dict[str, object]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(
        f"http://127.0.0.1:{rig.api}/reload", b"", headers, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def by_post(miner: Program, rig: Rig, last: str) -> list[str]:
    """Ask the API for a reload, with the token at last, and return what it answers."""
    for token in (None, "another"):
        status, told = post(rig, token)
        assert status == 401, told
        assert TOKEN not in str(told)
    status, told = post(rig, TOKEN)
    if status == 409:
        return [f"nothing changed: {told['error']}"]
    assert status == 200, told
    done = told["done"]
    assert isinstance(done, list)
    assert any(last in sentence for sentence in done), done
    return done


@pytest.mark.parametrize("reload", [by_signal, by_post])
def test_a_reload_keeps_the_connection_unless_its_pool_changes(
    start: Start, rig: Rig, toy: str, reload: Callable[[Program, Rig, str], list[str]]
) -> None:
    (first, one), (second, two) = a_pool(start, toy), a_pool(start, toy)
    rig.write(one)
    miner = start("mine", "-c", str(rig.file))
    miner.until("share .*accepted")

    # A second pool, another level, another limit: the connection is kept.
    rig.write(one, two, level="debug", answer=20, rig="second")
    said = "\n".join(reload(miner, rig, "rig changes at the next start"))
    assert "log.level is now debug" in said
    assert "the pools' time limits have changed, from the next connection on" in said
    assert re.search(
        rf"the pools are now stratum\+tcp://127\.0\.0\.1:{one}, stratum\+tcp://127\.0\.0\.1:{two}; "
        "the connection is kept", said,
    ), said  # fmt: skip
    miner.until("share .*accepted")

    # An unusable file: one sentence, and mining continues.
    rig.file.write_text("pools = 3\n")
    (sentence,) = reload(miner, rig, "nothing changed")
    assert "nothing changed: " in sentence
    shown = str(rig.file) if reload is by_signal else "(path)"  # the API names no paths
    assert f"{shown}: line 1: " in sentence
    miner.until("share .*accepted")

    # The first pool is gone from the list: what was found for it is answered, then we go.
    rig.write(two, level="debug", answer=20, rig="second")
    reload(miner, rig, "reconnecting")
    second.until("share .* accepted", times=2)

    assert miner.end(signal.SIGINT) == 0, miner.text
    assert first.end(signal.SIGTERM) == 0
    assert second.end(signal.SIGTERM) == 0
    assert "Traceback" not in miner.text
    assert TOKEN not in miner.text
    found = re.search(r"summary +(\d+) shares accepted, not accepted: (.*)", miner.text)
    assert found is not None, miner.text
    assert found[2] == "none", miner.text
    taken = [pool.text.count(" accepted ") for pool in (first, second)]
    assert min(taken) > 0
    assert sum(taken) == int(found[1])
    for pool in (first, second):
        assert len(re.findall("^joined ", pool.text, re.MULTILINE)) == 1, pool.text
    # No connection was lost; the one that was given up was left.
    (left,) = [line for line in miner.lines if re.search(r"pool +(connection to|left) ", line)]
    assert re.search(f"pool +left .*:{one}: the settings name other pools$", left)


def test_a_higher_level_applies_at_once_and_a_log_that_was_moved_away_is_created_again(
    start: Start, rig: Rig, toy: str
) -> None:
    pool, port = a_pool(start, toy)
    rig.write(port)
    miner = start("mine", "-c", str(rig.file))
    miner.until("share .*accepted")
    moved = rig.log.rename(rig.folder / "old.log")
    rig.write(port, level="error")
    miner.process.send_signal(signal.SIGHUP)
    # The pool's lines begin with those of before the signal, of which there may be some.
    pool.until("share .*accepted", times=8)
    rig.write(port)
    miner.process.send_signal(signal.SIGHUP)
    miner.until("log.level is now info")
    miner.until("share .*accepted")
    assert miner.end(signal.SIGINT) == 0, miner.text
    assert pool.end(signal.SIGTERM) == 0
    numbers = [int(n) for n in re.findall(r"share +accepted (\d+)", miner.text)]
    assert max(b - a for a, b in pairwise(numbers)) > 2, "none was unsaid"
    assert "accepted 1, " in moved.read_text()
    assert f"accepted {numbers[-1]}, " in rig.log.read_text()


class _Echo(socketserver.StreamRequestHandler):
    """A pool that refuses every login, and repeats it."""

    def handle(self) -> None:
        for line in self.rfile:
            request = json.loads(line)
            answer = {"id": request["id"], "result": [None, "00"], "error": None}
            if request["method"] != "mining.subscribe":
                answer["result"] = None
                answer["error"] = [24, f"no such account: {request['params']}", None]
            self.wfile.write(json.dumps(answer).encode() + b"\n")


def test_a_password_and_a_wallet_from_a_reload_are_hidden(start: Start, rig: Rig, toy: str) -> None:
    password, wallet = "correct-horse-battery", "RXi5TW6tSrKWqzDgCHKMCTKyPTPXqYbRYS"
    _, port = a_pool(start, toy)
    rig.write(port)
    miner = start("mine", "-c", str(rig.file), "--give-up", "3")
    miner.until("share .*accepted")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as echo:
        serving = threading.Thread(target=echo.serve_forever)
        serving.start()
        try:
            rig.write(echo.server_address[1])
            login = f'user = "{wallet}"\npassword = "{password}"\nprotocol = "kawpow"'
            rig.file.write_text(rig.file.read_text().replace('user = "w"', login))
            miner.process.send_signal(signal.SIGHUP)
            assert miner.end() == 4, miner.text
        finally:
            echo.shutdown()
            serving.join()
    assert "no such account" in miner.text
    for text in (miner.text, rig.log.read_text()):
        assert password not in text
        assert wallet not in text
