"""Rewrites the test pool's messages into the odd forms of known servers, which mean the same."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from miner.stratum.extremes import Extremes

NO_ERROR: tuple[Any, ...] = (None, [], {}, False, 0, "")
"""Values of `error` in answers without one."""

MEMBERS = {"jsonrpc": "2.0", "algo": "progpow", "extra": None}
"""Members that some servers add."""


class OddForms:
    """Draws a form for each message of one client."""

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
