"""ethminer's JSON-RPC over TCP: a request ends with a line end, a NUL or its closing brace."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

from miner.api.auth import FailedTokens
from miner.api.context import ApiContext
from miner.errors import ProtocolError
from miner.panels.ethminer import connections, getstat1, getstatdetail, getstathr
from miner.panels.line_server import READ_BYTES, PanelPort, looks_like_http
from miner.panels.panel_figures import compact_json
from miner.stratum.wire_format import LINE_LIMIT, LineReader

KEY = "ethminer"

UNAUTHORIZED = -401
BAD_VALUE = -422
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
UNKNOWN_METHOD = -32601
INVALID_PARAMS = -32602

MAX_FAILURES = 3
"""Wrong passwords before a connection is closed."""

CLIENT = "a client of ethminer's port"
"""Wrong passwords of all clients of the port are counted together, since a client can open as many
connections as it likes."""

READS = {
    "miner_getstat1": getstat1,
    "miner_getstathr": getstathr,
    "miner_getstatdetail": getstatdetail,
    "miner_getconnections": connections,
}

NOT_OFFERED = {
    "miner_restart": "restart the miner's process instead",
    "miner_reboot": "this miner does not reboot rigs",
    "miner_shuffle": "nonces are not shuffled: two cards never search the same ones",
    "miner_setactiveconnection": "change the pools in the settings",
    "miner_addconnection": "change the pools in the settings",
    "miner_removeconnection": "change the pools in the settings",
    "miner_getscramblerinfo": "this miner has no nonce scrambler",
    "miner_setscramblerinfo": "this miner has no nonce scrambler",
    "miner_setverbosity": "change the log level in the settings",
}
"""ethminer's methods that this miner does not support, with the reason."""


class _RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def port(context: ApiContext, host: str, number: int, token: str | None = None) -> PanelPort:
    """Return the port, not yet open. A client that sends `token` as `psw` may pause cards;
    listening on other than loopback addresses requires a token."""
    failed = FailedTokens(context.clock, context.journal)
    return PanelPort(
        KEY, host, number, lambda: EthminerSession(context, token, failed), context.clock,
        context.journal, has_token=token is not None,
    )  # fmt: skip


class EthminerSession:
    """One client; without a `token` it can only read. `failed` is shared by the port's clients."""

    def __init__(
        self, context: ApiContext, token: str | None = None, failed: FailedTokens | None = None
    ) -> None:
        self._context = context
        self._token = token
        self._failed = failed or FailedTokens(context.clock, context.journal)
        self._authorized = False
        self._failures = 0
        self._lines = LineReader()
        self.ended = False

    def split(self, data: bytes) -> list[bytes]:
        return _with_line_ends(data).splitlines(keepends=True)

    def receive(self, piece: bytes) -> bytes:
        answer = self._answers(_with_line_ends(piece))
        if _is_complete(self._lines.rest):
            answer += self._answers(b"\n")
        return answer

    def finish(self) -> bytes:
        answer = self._answers(b"\n")
        self.ended = True
        return answer

    def _answers(self, data: bytes) -> bytes:
        """Return the answers to the requests that `data` completes; empty after the end."""
        if self.ended:
            return b""
        try:
            return b"".join(self._answer(line.strip()) for line in self._lines.feed(data))
        except ProtocolError:
            self.ended = True
            message = f"a request may have {LINE_LIMIT} bytes at most"
            return _failure(None, INVALID_REQUEST, message)

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
        except _RpcError as error:
            return _failure(number, error.code, str(error))

    def _result(self, request: Mapping[str, Any]) -> Any:
        method, params = request.get("method"), request.get("params", {})
        if not isinstance(method, str):
            raise _RpcError(INVALID_REQUEST, "a request needs a method")
        if read := READS.get(method):
            return self._context.snapshots.render(read)
        if method in NOT_OFFERED:
            raise _RpcError(UNKNOWN_METHOD, f"{method} is not supported: {NOT_OFFERED[method]}")
        match method:
            case "miner_ping":
                return "pong"
            case "api_authorize":
                return self._authorize(_object(params))
            case "miner_pausegpu":
                return self._pause(_object(params))
        raise _RpcError(UNKNOWN_METHOD, "unknown method")

    def _authorize(self, params: Mapping[str, Any]) -> bool:
        given = params.get("psw")
        if not isinstance(given, str):
            raise _RpcError(INVALID_PARAMS, "params needs psw (a string)")
        token = self._token
        if token is None:
            raise _RpcError(UNAUTHORIZED, "this port is read-only: no token is set")
        self._authorized = hmac.compare_digest(_bytes(given), _bytes(token))
        if self._authorized:
            return True
        self._failures += 1
        self.ended = self._failures >= MAX_FAILURES
        if self._failed.seconds_to_wait(CLIENT):
            raise _RpcError(UNAUTHORIZED, "too many wrong passwords: try again later")
        self._failed.add(CLIENT)
        raise _RpcError(UNAUTHORIZED, "the password is not the token")

    def _pause(self, params: Mapping[str, Any]) -> bool:
        if not self._authorized:
            reason = "call api_authorize first" if self._token else "no token is set"
            raise _RpcError(UNAUTHORIZED, f"pausing a card needs the token: {reason}")
        index, pause = params.get("index"), params.get("pause")
        if not isinstance(index, int) or isinstance(index, bool) or not isinstance(pause, bool):
            raise _RpcError(INVALID_PARAMS, "params needs index (a number) and pause (a boolean)")
        devices = self._context.snapshots.newest().devices
        if not 0 <= index < len(devices):
            raise _RpcError(BAD_VALUE, f"unknown card {index}: this rig has {len(devices)}")
        name, control = devices[index].name, self._context.control
        try:
            (control.pause if pause else control.resume)(name)
        except KeyError:
            raise _RpcError(BAD_VALUE, f"card {index} is not used for mining") from None
        return True


def _with_line_ends(data: bytes) -> bytes:
    """Return `data` with a line feed for each NUL, which ends the requests of some panels, and
    between two requests without any end, which may arrive together."""
    return data.replace(b"\0", b"\n").replace(b'}{"', b'}\n{"')


def _is_complete(rest: bytes) -> bool:
    """Return whether `rest` is a whole request: many scripts send no line end.

    A request longer than `READ_BYTES` needs a line end, so that it is not parsed at each read.
    """
    if len(rest) > READ_BYTES or not rest.rstrip().endswith(b"}"):
        return False
    try:
        return isinstance(json.loads(rest), dict)
    except (ValueError, RecursionError):
        return False


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise _RpcError(PARSE_ERROR, "the request is not valid JSON") from None
    if not isinstance(request, dict):
        raise _RpcError(INVALID_REQUEST, "a request must be a JSON object")
    return request


def _id(request: Mapping[str, Any]) -> int | str | None:
    number = request.get("id")
    return number if isinstance(number, int | str) and not isinstance(number, bool) else None


def _object(params: object) -> Mapping[str, Any]:
    if not isinstance(params, dict):
        raise _RpcError(INVALID_PARAMS, "params must be an object")
    return params


def _failure(number: int | str | None, code: int, message: str) -> bytes:
    return _line({"id": number, "jsonrpc": "2.0", "error": {"code": code, "message": message}})


def _line(answer: object) -> bytes:
    return compact_json(answer).encode() + b"\n"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
