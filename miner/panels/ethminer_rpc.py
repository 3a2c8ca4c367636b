"""ethminer's JSON-RPC over TCP: a request a line, an answer a line."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

from miner.api.auth import FailedTokens
from miner.api.context import ApiContext
from miner.panels.ethminer import connections, getstat1, getstatdetail
from miner.panels.line_server import LINE_LIMIT, Lines, PanelPort, looks_like_http
from miner.panels.panel_figures import compact_json

KEY = "ethminer"

UNAUTHORIZED = -401
BAD_VALUE = -422
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
UNKNOWN_METHOD = -32601
INVALID_PARAMS = -32602

MAX_FAILURES = 3
"""Wrong passwords after which a connection is closed."""

CLIENT = "a client of ethminer's port"
"""All its clients together: a connection more costs nothing."""

READS = {
    "miner_getstat1": getstat1,
    "miner_getstatdetail": getstatdetail,
    "miner_getconnections": connections,
}

NOT_OFFERED = {
    "miner_restart": "this miner is not restarted from outside; restart its process",
    "miner_reboot": "this miner does not reboot rigs",
    "miner_shuffle": "nonces are not shuffled: no two cards ever search the same",
    "miner_setactiveconnection": "pools are chosen in the settings",
    "miner_addconnection": "pools are chosen in the settings",
    "miner_removeconnection": "pools are chosen in the settings",
    "miner_getscramblerinfo": "there is no nonce scrambler",
    "miner_setscramblerinfo": "there is no nonce scrambler",
    "miner_setverbosity": "what is logged is chosen in the settings",
}
"""ethminer's other methods, with why there is none of them here."""


class _Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def port(context: ApiContext, host: str, number: int, token: str | None = None) -> PanelPort:
    """Return the port, not open yet. `token` lets a client that gives it as `psw` pause cards, and
    is needed for listening on anything but loopback."""
    failed = FailedTokens(context.clock, context.journal)
    return PanelPort(
        KEY,
        host,
        number,
        lambda: EthminerSession(context, token, failed),
        context.clock,
        guarded=token is not None,
        note=lambda address: context.journal.say("api", f"ethminer's answers on {address}"),
    )


class EthminerSession:
    """One client's dialogue; `token` None: it can only read. `failed` are those of the port."""

    def __init__(
        self, context: ApiContext, token: str | None = None, failed: FailedTokens | None = None
    ) -> None:
        self._context = context
        self._token = token
        self._failed = failed or FailedTokens(context.clock, context.journal)
        self._authorized = False
        self._wrong = 0
        self._lines = Lines()
        self.ended = False

    def pieces(self, data: bytes) -> list[bytes]:
        return data.splitlines(keepends=True)

    def receive(self, piece: bytes) -> bytes:
        answers = [self._answer(line) for line in self._lines.feed(piece)]
        if self._lines.too_long and not self.ended:
            self.ended = True
            message = f"a request has at most {LINE_LIMIT} bytes"
            answers.append(_failure(None, INVALID_REQUEST, message))
        return b"".join(answers)

    def end(self) -> bytes:
        rest = self._lines.rest()
        answer = self._answer(rest) if rest else b""
        self.ended = True
        return answer

    def _answer(self, line: bytes) -> bytes:
        if self.ended:
            return b""
        if looks_like_http(line):
            self.ended = True
            return b""
        number: int | str | None = None
        try:
            request = _parsed(line)
            number = _id(request)
            return _line({"id": number, "jsonrpc": "2.0", "result": self._result(request)})
        except _Refused as refused:
            return _failure(number, refused.code, str(refused))

    def _result(self, request: Mapping[str, Any]) -> Any:
        method, params = request.get("method"), request.get("params", {})
        if not isinstance(method, str):
            raise _Refused(INVALID_REQUEST, "a request needs a method")
        if read := READS.get(method):
            return self._context.snapshots.render(read)
        if method in NOT_OFFERED:
            raise _Refused(UNKNOWN_METHOD, f"{method} is not supported: {NOT_OFFERED[method]}")
        match method:
            case "miner_ping":
                return "pong"
            case "api_authorize":
                return self._authorize(_object(params))
            case "miner_pausegpu":
                return self._pause(_object(params))
        raise _Refused(UNKNOWN_METHOD, "there is no such method")

    def _authorize(self, params: Mapping[str, Any]) -> bool:
        given = params.get("psw")
        if not isinstance(given, str):
            raise _Refused(INVALID_PARAMS, "params needs psw, a text")
        token = self._token
        if token is None:
            raise _Refused(UNAUTHORIZED, "this port only reads: no token is set")
        if self._failed.seconds_to_wait(CLIENT):
            raise _Refused(UNAUTHORIZED, "too many wrong passwords: try again later")
        self._authorized = hmac.compare_digest(_bytes(given), _bytes(token))
        if not self._authorized:
            self._failed.add(CLIENT)
            self._wrong += 1
            self.ended = self._wrong >= MAX_FAILURES
            raise _Refused(UNAUTHORIZED, "the password is not the token")
        return True

    def _pause(self, params: Mapping[str, Any]) -> bool:
        if not self._authorized:
            reason = "call api_authorize first" if self._token else "no token is set"
            raise _Refused(UNAUTHORIZED, f"pausing a card needs the token: {reason}")
        index, pause = params.get("index"), params.get("pause")
        if not isinstance(index, int) or isinstance(index, bool) or not isinstance(pause, bool):
            raise _Refused(INVALID_PARAMS, "params needs index, a number, and pause, true or false")
        devices = self._context.snapshots.newest().devices
        if not 0 <= index < len(devices):
            raise _Refused(BAD_VALUE, f"there is no card {index}: there are {len(devices)}")
        name, control = devices[index].name, self._context.control
        try:
            (control.pause if pause else control.resume)(name)
        except KeyError:
            raise _Refused(BAD_VALUE, f"card {index} is not one that mines") from None
        return True


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise _Refused(PARSE_ERROR, "the request is no JSON") from None
    if not isinstance(request, dict):
        raise _Refused(INVALID_REQUEST, "a request is one JSON object")
    return request


def _id(request: Mapping[str, Any]) -> int | str | None:
    number = request.get("id")
    return number if isinstance(number, int | str) and not isinstance(number, bool) else None


def _object(params: object) -> Mapping[str, Any]:
    if not isinstance(params, dict):
        raise _Refused(INVALID_PARAMS, "params is an object")
    return params


def _failure(number: int | str | None, code: int, message: str) -> bytes:
    return _line({"id": number, "jsonrpc": "2.0", "error": {"code": code, "message": message}})


def _line(answer: object) -> bytes:
    return compact_json(answer).encode() + b"\n"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
