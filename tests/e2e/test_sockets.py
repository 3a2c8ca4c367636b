"""Every socket that a mining process opens: those to the configured pools and the API's, no
other."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_mining import Program, pool_arguments, port_of

TABLES = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6",
          "packet", "netlink", "unix")  # fmt: skip
LISTENING = "0A"

HOOK = """
import json, os, sys

_OUT = open(os.environ["SOCKETS_AUDIT"], "a", buffering=1)

def _plain(value):
    return [_plain(one) for one in value] if isinstance(value, tuple) else str(value)

def _hook(event, arguments):
    if event.startswith("socket."):
        audited = [_plain(one) for one in arguments if type(one) in (str, bytes, int, tuple)]
        _OUT.write(json.dumps([event, *audited]) + "\\n")

sys.addaudithook(_hook)
"""
"""Has Python itself tell each use of a socket, however short it lives."""


@dataclass(frozen=True)
class Seen:
    """A socket of a process; addresses are host:port, empty where the kind has none."""

    kind: str
    local: str = ""
    remote: str = ""
    listens: bool = False


@dataclass
class Watch:
    """All sockets that a process was ever seen with."""

    pid: int
    seen: set[Seen] = field(default_factory=set)
    looks: int = 0

    def look(self) -> None:
        """Look once; what comes and goes between two looks is seen by `connect` alone."""
        own = set(_inodes(self.pid))
        known = dict(_sockets(self.pid))
        for inode in own:
            # One that none of the tables lists is not bound or connected yet.
            if (found := known.get(inode)) is not None:
                self.seen.add(found)
        self.looks += 1


def _inodes(pid: int) -> Iterator[str]:
    for name in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(name)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            yield target[len("socket:[") : -1]


def _sockets(pid: int) -> Iterator[tuple[str, Seen]]:
    for kind in TABLES:
        table = Path(f"/proc/{pid}/net/{kind}")
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            parts = line.split()
            if kind in ("packet", "netlink"):
                yield parts[-1 if kind == "packet" else 9], Seen(kind)
            elif kind == "unix":
                yield parts[6], Seen(kind, parts[7] if len(parts) > 7 else "")
            else:
                local, remote = (_address(parts[n]) for n in (1, 2))
                yield parts[9], Seen(kind, local, remote, parts[3] == LISTENING)


def _address(text: str) -> str:
    address, _, port = text.partition(":")
    words = [address[n : n + 8] for n in range(0, len(address), 8)]
    packed = b"".join(struct.pack("=I", int(word, 16)) for word in words)
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, packed)}:{int(port, 16)}"


@dataclass
class AuditedSockets:
    """Socket events of an audit hook in the miner."""

    connected: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    resolved: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)


def audited_in(path: Path) -> AuditedSockets:
    audited = AuditedSockets()
    for line in path.read_text().splitlines():
        event, *arguments = json.loads(line)
        match event:
            case "socket.__new__":
                pass
            case "socket.connect":
                audited.connected.add(_joined(arguments[-1]))
            case "socket.bind":
                audited.bound.add(_joined(arguments[-1]))
            case "socket.getaddrinfo":
                audited.resolved.add(str(arguments[0]))
            case _:
                audited.others.add(line)
    return audited


def _joined(address: Any) -> str:
    return ":".join(address[:2]) if isinstance(address, list) else str(address)


@pytest.mark.skipif(sys.platform != "linux", reason="the sockets are listed by Linux's /proc")
def test_only_the_pools_and_the_api_have_sockets(
    toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = os.environ.get("PROGPOW_MINER_CACHE")
    cache = Path(own) if own else tmp_path / "cache"
    pool = Program(*pool_arguments(toy, block_time="2"), cache=cache)
    pool_port = port_of(pool)
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SOCKETS_AUDIT", str(tmp_path / "audited"))
    settings = tmp_path / "miner.toml"
    settings.write_text(
        f'variant = "{toy}"\nrig = "rig"\nreport_hashrate = true\n'
        f'[[pools]]\nurl = "stratum+tcp://127.0.0.1:{pool_port}"\nuser = "w"\n'
        '[[pools]]\nurl = "stratum+tcp://127.0.0.1:9"\nuser = "w"\n'
        '[api]\nlisten = "127.0.0.1:0"\npanels = true\nethminer = "127.0.0.1:0"\n'
        'sgminer = "127.0.0.1:0"\n[devices]\nbackend = "cpu"\n'
        f'[log]\nconsole = "json"\nfile = "{tmp_path / "miner.log"}"\n'
        f'[ledger]\nfile = "{tmp_path / "ledger.sqlite"}"\n'
    )
    miner = Program("mine", "-c", str(settings), cache=cache)
    try:
        watch = Watch(miner.process.pid)
        assert miner.process.stdout is not None
        ports: dict[str, str] = {}
        shares = 0
        # Look at each line, from the first one on, for several heights.
        for line in miner.process.stdout:
            miner.lines.append(line)
            watch.look()
            entry = json.loads(line)
            if entry["topic"] == "api":
                ports[entry["text"].split()[0]] = entry["text"].rstrip("/").rpartition(":")[2]
            if entry["text"].startswith("accepted"):
                shares += 1
                http = next(port for text, port in ports.items() if text.startswith("http"))
                for path in ("/", "/api/v1/status", "/metrics", "/summary"):
                    with urllib.request.urlopen(f"http://127.0.0.1:{http}{path}") as answer:
                        assert answer.read()
                        watch.look()
            if shares >= 10:
                break
        assert miner.end(signal.SIGINT) == 0, miner.text
    finally:
        miner.close()
        pool.close()

    assert len(ports) == 3, miner.text
    listening = {f"127.0.0.1:{port}" for port in ports.values()}
    pools = {f"127.0.0.1:{pool_port}", "127.0.0.1:9"}
    seen = {one for one in watch.seen if one.kind != "unix"}
    assert {one.kind for one in seen} == {"tcp"}
    assert {one.local for one in seen if one.listens} == listening
    strange = {
        one
        for one in seen
        if not one.listens and one.remote not in pools and one.local not in listening
    }
    assert strange == set()
    assert any(one.remote in pools for one in seen)
    # Those of asyncio with itself have no address.
    assert {one.local for one in watch.seen if one.kind == "unix"} <= {""}

    audited = audited_in(tmp_path / "audited")
    assert audited.connected == {f"127.0.0.1:{pool_port}"}
    assert audited.bound == {"127.0.0.1:0"}
    assert audited.resolved <= {"127.0.0.1"}, "a name was looked up"
    assert audited.others == set()


def test_the_watch_sees_bound_and_listening_sockets(tmp_path: Path) -> None:
    watch = Watch(os.getpid())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        other.listen()
        watch.look()
        datagram, stream = (f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other))
    assert Seen("udp", datagram, "0.0.0.0:0") in watch.seen
    assert Seen("tcp", stream, "0.0.0.0:0", listens=True) in watch.seen
