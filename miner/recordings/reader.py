"""Reads recordings of pool sessions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from miner.errors import ConfigError
from miner.recordings.recorder import FORMAT, LIMIT_BYTES
from miner.resources import read_text
from miner.stratum.dialects import DIALECTS

T = TypeVar("T")

LONGEST_SECONDS = 1e8
"""Longest duration of a recording: three years."""


@dataclass(frozen=True, slots=True)
class Record:
    """An event, `seconds` after the recording began; `line` is its line in the file."""

    seconds: float
    line: int


@dataclass(frozen=True, slots=True)
class ReceivedBytes(Record):
    """Bytes from the pool."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SentBytes(Record):
    """Bytes that we sent, with the password masked."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RecordedShare(Record):
    """A submitted solution."""

    job: str
    header: bytes
    nonce: int
    mix_hash: bytes
    final_hash: bytes
    device: str
    within: bool
    """Whether it was submitted while received bytes were handled, because it waited for them."""


@dataclass(frozen=True, slots=True)
class RecordedHashrate(Record):
    """Hashes per second, sent in the next report."""

    rate: int


@dataclass(frozen=True, slots=True)
class RecordedEnd(Record):
    """The end of the connection, by "pool", "fault" (a transport error) or "us"."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """One recorded connection."""

    seconds: float
    url: str
    protocol: str
    variant: str
    user: str
    agent: str
    session: int
    host: str
    port: int
    diff1: int | None
    resume: str | None
    left_out: frozenset[str]
    rig: bytes
    records: list[Record] = field(default_factory=list)


class _BadLine(Exception):
    """A malformed line; the message is the problem."""


class _Line:
    """One line; its getters raise `_BadLine` for missing or malformed members."""

    def __init__(self, text: str, number: int) -> None:
        try:
            members = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _BadLine("it is not JSON") from error
        if not isinstance(members, dict):
            raise _BadLine("it is not a JSON object")
        self._members: dict[str, Any] = members
        self.number = number
        self.kind = self.get("kind", str)
        self.connection = self.get("connection", int)
        seconds = self.get("t", float)
        if not isfinite(seconds) or not 0 <= seconds <= LONGEST_SECONDS:
            raise _BadLine("t is not a number of seconds since the start")
        self.seconds = seconds

    def get(self, key: str, kind: type[T]) -> T:
        value = self._members.get(key)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < 2**63 else None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise _BadLine(f"{key} is missing or not {_NAMES[kind]}")
        return value

    def maybe(self, key: str, read: Callable[[str], T]) -> T | None:
        return None if self._members.get(key) is None else read(key)

    def text(self, key: str) -> str:
        return self.get(key, str)

    def data(self, key: str) -> bytes:
        try:
            return self.get(key, str).encode("latin-1")
        except UnicodeEncodeError as error:
            raise _BadLine(f"{key} has characters beyond one byte") from error

    def hash32(self, key: str) -> bytes:
        try:
            value = bytes.fromhex(self.get(key, str))
        except ValueError as error:
            raise _BadLine(f"{key} is not hex") from error
        if len(value) != 32:
            raise _BadLine(f"{key} is not 32 bytes")
        return value

    def number256(self, key: str) -> int:
        return int.from_bytes(self.hash32(key), "big")

    def nonce(self, key: str) -> int:
        text = self.get(key, str)
        if len(text) != 16 or not set(text) <= set("0123456789abcdef"):
            raise _BadLine(f"{key} is not 16 hex digits")
        return int(text, 16)


_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def load_recording(path: Path) -> list[RecordedSession]:
    """Return the sessions of the recording at `path`, in the order of their opening.

    An incomplete last line is ignored: the miner was stopped while writing it. Raises
    `ConfigError` with file and line if the recording is unusable.
    """
    *lines, _ = read_text(path, f"recording {path}", LIMIT_BYTES).split("\n")
    sessions: dict[int, RecordedSession] = {}
    for number, line in enumerate(lines, 1):
        try:
            _add(_Line(line, number), sessions)
        except _BadLine as problem:
            raise ConfigError(
                f"recording {path}, line {number}: {problem}; the file is not a recording of this "
                "program, or it was changed"
            ) from problem
    if not sessions:
        raise ConfigError(f"recording {path}: has no connections")
    return list(sessions.values())


def _add(line: _Line, sessions: dict[int, RecordedSession]) -> None:
    if line.kind == "open":
        if line.connection in sessions:
            raise _BadLine(f"connection {line.connection} is opened twice")
        sessions[line.connection] = _opened(line)
        return
    session = sessions.get(line.connection)
    if session is None:
        raise _BadLine(f"connection {line.connection} has no open record")
    earlier = session.records[-1].seconds if session.records else session.seconds
    if line.seconds < earlier:
        raise _BadLine("t decreases")
    if session.records and isinstance(session.records[-1], RecordedEnd):
        if line.kind == "found":
            return  # recorded again when the next session gets it
        raise _BadLine(f"connection {line.connection} was closed before")
    session.records.append(_record(line))


def _opened(line: _Line) -> RecordedSession:
    if line.get("format", int) != FORMAT:
        raise _BadLine(f"format {line.get('format', int)} is not {FORMAT}, the only supported one")
    protocol = line.text("protocol")
    if protocol not in DIALECTS:
        raise _BadLine(f"unknown protocol {protocol[:40]!r} (known: {', '.join(DIALECTS)})")
    return RecordedSession(
        seconds=line.seconds, url=line.text("url"), protocol=protocol, variant=line.text("variant"),
        user=line.text("user"), agent=line.text("agent"), session=line.connection,
        host=line.text("host"), port=line.get("port", int),
        diff1=line.maybe("diff1", line.number256), resume=line.maybe("resume", line.text),
        left_out=frozenset((line.maybe("left_out", line.text) or "").split()),
        rig=line.hash32("rig"),
    )  # fmt: skip


def _record(line: _Line) -> Record:
    at, number = line.seconds, line.number
    match line.kind:
        case "received":
            data = line.data("text")
            if not data:
                raise _BadLine("text is empty")
            return ReceivedBytes(at, number, data)
        case "sent":
            return SentBytes(at, number, line.data("text"))
        case "hashrate":
            return RecordedHashrate(at, number, line.get("rate", int))
        case "found":
            return RecordedShare(
                at, number, line.text("job"), line.hash32("header"), line.nonce("nonce"),
                line.hash32("mix_hash"), line.hash32("final_hash"), line.text("device"),
                line.get("within", bool),
            )  # fmt: skip
        case "closed":
            return RecordedEnd(at, number, line.text("by"), line.text("reason"))
    raise _BadLine(f"unknown kind of record {line.kind[:40]!r}")
