"""The strictest demands and the oddest messages of a dialect's known servers, for the test pool."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any

from miner.stratum import wire_format
from miner.stratum.outcomes import NO_ERROR

ANYTHING = r"[!-~ ]*"
NONCE = r"0x[0-9a-f]{16}"
HASH = r"0x[0-9a-f]{64}"
SUFFIX = r"(?:[0-9a-f]{2}){1,8}"
"""A nonce after its extranonce."""

WORKER_NAME = r"[0-9A-Za-z_-]{1,32}"
BASE58_ACCOUNT = r"[1-9A-HJ-NP-Za-km-z]{1,128}"
ETHEREUM_ADDRESS = r"0x[0-9a-fA-F]{40}"
ACCOUNT = rf"[0-9A-Za-z]{{1,128}}(?:\.{WORKER_NAME})?"

MEMBERS = {"jsonrpc": "2.0", "algo": "progpow", "extra": None}
"""Members that some servers add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extremes:
    """The strictest demands and the oddest answers of a dialect's known servers."""

    order: tuple[str, ...]
    """The requests that open a session: nothing else may come before or between them."""
    methods: frozenset[str]
    """Other methods that the strictest server knows; an unknown one ends the connection."""
    params: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Patterns of all positional parameters, by method."""
    line_bytes: int = 1023
    """Longest line; open-ethereum-pool bans for a longer one."""
    any_id: bool = False
    """False: an id must be a positive integer that was not used before; MintPond and
    go-quai-stratum crash on others."""
    accepted: tuple[Any, ...] = (True,)
    """Results of an accepted share."""
    error_forms: bool = True
    """Errors also come as a list, as an object in an object, or as a text."""


class RequestCheck:
    """Checks the requests of one connection as the strictest server does."""

    def __init__(self, extremes: Extremes) -> None:
        self._extremes = extremes
        self._opened = 0
        """Requests of `order` that have come."""
        self._last_id = 0

    def problem(self, message: Mapping[str, Any], size: int) -> str | None:
        """Return why a request of `size` bytes ends the connection, None if it does not."""
        known, method = self._extremes, str(message.get("method"))
        if size > known.line_bytes:
            return f"a line is longer than {known.line_bytes} bytes"
        if not known.any_id and not self._is_next_id(message.get("id")):
            return "an id is not a positive integer, or was used before"
        if self._opened < len(known.order):
            if method != known.order[self._opened]:
                return f"{method[:40]} came before {known.order[self._opened]}"
            self._opened += 1
        elif method not in known.methods | set(known.order):
            return f"unknown method {method[:40]}"
        if (patterns := known.params.get(method)) is not None:
            params = message.get("params")
            if not isinstance(params, list) or not _match(patterns, params):
                return f"malformed parameters of {method}"
        return None

    def _is_next_id(self, value: object) -> bool:
        number = wire_format.whole(value) if isinstance(value, int) else None
        if not number or number <= self._last_id:
            return False
        self._last_id = number
        return True


def _match(patterns: tuple[str, ...], params: list[Any]) -> bool:
    return len(patterns) == len(params) and all(
        isinstance(value, str) and re.fullmatch(pattern, value)
        for pattern, value in zip(patterns, params, strict=True)
    )


class OddForms:
    """Rewrites messages to one client into random forms with the same meaning."""

    def __init__(self, extremes: Extremes, random: Random) -> None:
        self._extremes, self._random = extremes, random

    def rewrite(self, data: bytes) -> bytes:
        """Return the lines of `data` in drawn forms, with a possible blank line before each."""
        return b"".join(self._line(json.loads(line)) for line in data.splitlines() if line)

    def _line(self, message: dict[str, Any]) -> bytes:
        if "params" in message:
            self._vary_call(message)
        elif "result" in message or "error" in message:
            self._vary_answer(message)
        for name in self._some(sorted(MEMBERS)):
            message.setdefault(name, MEMBERS[name])
        members = self._some(list(message), at_least=len(message))
        text = json.dumps({name: message[name] for name in members})
        start, end = self._random.choice(("", "\r\n", "\n")), self._random.choice(("\n", "\r\n"))
        return f"{start}{text}{end}".encode("ascii")

    def _vary_call(self, message: dict[str, Any]) -> None:
        if message.get("id", 0) is None and self._random.random() < 0.5:
            del message["id"]

    def _vary_answer(self, message: dict[str, Any]) -> None:
        if message.get("id") is not None and self._random.random() < 0.5:
            message["id"] = str(message["id"])
        if message.get("error") is not None:
            if self._extremes.error_forms:
                message["error"] = self._error(*_parts(message["error"]))
            return
        if message.get("result") in self._extremes.accepted:
            message["result"] = self._random.choice(self._extremes.accepted)
        message["error"] = self._random.choice(NO_ERROR)
        if self._random.random() < 0.3:
            del message["error"]

    def _error(self, code: int, text: str) -> Any:
        return self._random.choice(
            (
                [code, text],
                [code, text, None],
                [str(code), text],
                {"code": code, "message": text},
                {"code": code, "message": {"code": code, "message": text}},
                text,
            )
        )

    def _some(self, names: list[str], at_least: int = 0) -> list[str]:
        """Return some of `names`, at least that many, in another order."""
        return self._random.sample(names, self._random.randint(at_least, len(names)))


def _parts(error: Any) -> tuple[int, str]:
    """Return code and text of an error of the test pool."""
    if isinstance(error, dict):
        return error["code"], error["message"]
    return error[0], error[1]
