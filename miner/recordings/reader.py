"""A recording as it is read back: connections, each with what happened on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from miner.errors import ConfigError
from miner.recordings.recorder import FORMAT
from miner.stratum.dialects import DIALECTS

T = TypeVar("T")

LONGEST = 1e8
"""Seconds, three years."""


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes that the pool sent; `seconds` since the recording began, `line` of the file."""

    seconds: float
    line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """Bytes that we sent, the password hidden."""

    seconds: float
    line: int
    data: bytes


@dataclass(frozen=True, slots=True)
class RecordedShare:
    """A solution that was handed in."""

    seconds: float
    line: int
    job: str
    header: bytes
    nonce: int
    mix_hash: bytes
    final_hash: bytes
    device: str
    within: bool
    """While the client took what it had just received: the share had waited for that."""


@dataclass(frozen=True, slots=True)
class RecordedHashrate:
    """Hashes a second, reported next."""

    seconds: float
    line: int
    rate: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The end, by "pool", "fault" (of the transport) or "us"."""

    seconds: float
    line: int
    by: str
    reason: str


Record = Received | Sent | RecordedShare | RecordedHashrate | Closed


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
    rig: bytes
    records: list[Record] = field(default_factory=list)


class _Bad(Exception):
    """What is wrong with a line."""


class _Line:
    """The members of one line."""

    def __init__(self, text: str, number: int) -> None:
        try:
            members = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _Bad("it is no JSON") from error
        if not isinstance(members, dict):
            raise _Bad("it is no JSON object")
        self._members: dict[str, Any] = members
        self.number = number
        self.kind = self.get("kind", str)
        self.connection = self.get("connection", int)
        seconds = self.get("t", float)
        if not isfinite(seconds) or not 0 <= seconds <= LONGEST:
            raise _Bad("t is no number of seconds since the start")
        self.seconds = seconds

    def get(self, key: str, kind: type[T]) -> T:
        value = self._members.get(key)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) < 2**63 else None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise _Bad(f"{key} is missing or no {_NAMES[kind]}")
        return value

    def maybe(self, key: str, read: Callable[[str], T]) -> T | None:
        return None if self._members.get(key) is None else read(key)

    def text(self, key: str) -> str:
        return self.get(key, str)

    def data(self, key: str) -> bytes:
        try:
            return self.get(key, str).encode("latin-1")
        except UnicodeEncodeError as error:
            raise _Bad(f"{key} holds characters that are no bytes") from error

    def hash32(self, key: str) -> bytes:
        try:
            value = bytes.fromhex(self.get(key, str))
        except ValueError as error:
            raise _Bad(f"{key} is no hex") from error
        if len(value) != 32:
            raise _Bad(f"{key} is not 32 bytes")
        return value

    def number256(self, key: str) -> int:
        return int.from_bytes(self.hash32(key), "big")

    def nonce(self, key: str) -> int:
        text = self.get(key, str)
        if len(text) != 16 or not set(text) <= set("0123456789abcdef"):
            raise _Bad(f"{key} is not 16 hex digits")
        return int(text, 16)


_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def load_recording(path: Path) -> list[RecordedSession]:
    """Return the connections of the recording at `path`, in the order of their opening.

    A last line without an end is left out: the miner was stopped while it wrote. Raises
    `ConfigError`, with file and line, for what cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"recording {path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"recording {path}: is no text") from error
    *lines, _ = text.split("\n")
    dialogues: dict[int, RecordedSession] = {}
    for number, line in enumerate(lines, 1):
        try:
            _take(_Line(line, number), dialogues)
        except _Bad as problem:
            raise ConfigError(
                f"recording {path}, line {number}: {problem}; this is no recording of this "
                "program, or it was changed"
            ) from problem
    if not dialogues:
        raise ConfigError(f"recording {path}: holds no connection")
    return list(dialogues.values())


def _take(line: _Line, dialogues: dict[int, RecordedSession]) -> None:
    if line.kind == "open":
        if line.connection in dialogues:
            raise _Bad(f"connection {line.connection} is opened twice")
        dialogues[line.connection] = _opened(line)
        return
    dialogue = dialogues.get(line.connection)
    if dialogue is None:
        raise _Bad(f"connection {line.connection} was not opened before")
    earlier = dialogue.records[-1].seconds if dialogue.records else dialogue.seconds
    if line.seconds < earlier:
        raise _Bad("t goes back")
    if dialogue.records and isinstance(dialogue.records[-1], Closed):
        if line.kind == "found":
            return  # it waits for the next session, where it is noted again
        raise _Bad(f"connection {line.connection} was closed before")
    dialogue.records.append(_record(line))


def _opened(line: _Line) -> RecordedSession:
    if line.get("format", int) != FORMAT:
        raise _Bad(f"format {line.get('format', int)} is not {FORMAT}, the only one known")
    protocol = line.text("protocol")
    if protocol not in DIALECTS:
        raise _Bad(f"protocol {protocol[:40]!r} is not known; known are {', '.join(DIALECTS)}")
    return RecordedSession(
        seconds=line.seconds,
        url=line.text("url"),
        protocol=protocol,
        variant=line.text("variant"),
        user=line.text("user"),
        agent=line.text("agent"),
        session=line.connection,
        host=line.text("host"),
        port=line.get("port", int),
        diff1=line.maybe("diff1", line.number256),
        resume=line.maybe("resume", line.text),
        rig=line.hash32("rig"),
    )


def _record(line: _Line) -> Record:
    at, number = line.seconds, line.number
    match line.kind:
        case "received":
            data = line.data("text")
            if not data:
                raise _Bad("text is empty")
            return Received(at, number, data)
        case "sent":
            return Sent(at, number, line.data("text"))
        case "hashrate":
            return RecordedHashrate(at, number, line.get("rate", int))
        case "found":
            return RecordedShare(
                at, number, line.text("job"), line.hash32("header"), line.nonce("nonce"),
                line.hash32("mix_hash"), line.hash32("final_hash"), line.text("device"),
                line.get("within", bool),
            )  # fmt: skip
        case "closed":
            return Closed(at, number, line.text("by"), line.text("reason"))
    raise _Bad(f"{line.kind[:40]!r} is no kind of record")
