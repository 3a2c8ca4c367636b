"""sgminer's TCP API, read-only: one request per connection, as JSON or as plain text."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from miner.api.context import ApiContext
from miner.panels import sgminer
from miner.panels.line_server import PanelPort, looks_like_http
from miner.panels.panel_figures import compact_json, version_with_space
from miner.panels.sgminer import Row
from miner.telemetry import Snapshot

KEY = "sgminer"

REQUEST_LIMIT = 512
"""Maximum length of a request in bytes; panels send less than 100."""

END = b"\0"
"""Ends each answer, as in cgminer; clients wait for it."""

SEPARATOR = "+"
"""Between several commands of one request."""


_BLANK = b" \t\r\n\0"
_ENDS = (b"\n", b"\0")
_NUMBER = re.compile("[0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class _Command:
    """A command: its section in the answer, and code and message of its status."""

    section: str
    code: int
    rows: Callable[[Snapshot], list[Row]]
    message: Callable[[list[Row]], str]
    listed: bool = False
    """Each row starts with its own name and number; plain text then omits the section's name."""


def _message(text: str) -> Callable[[list[Row]], str]:
    return lambda rows: text


COMMANDS = {
    "summary": _Command("SUMMARY", 11, sgminer.summary, _message("Summary")),
    "devs": _Command("DEVS", 9, sgminer.devices, lambda rows: f"{len(rows)} GPU(s)", listed=True),
    "pools": _Command("POOLS", 7, sgminer.pools, lambda rows: f"{len(rows)} Pool(s)", listed=True),
    "version": _Command("VERSION", 22, sgminer.version, _message("SGMiner versions")),
    "config": _Command("CONFIG", 33, sgminer.config, _message("SGMiner config")),
    "coin": _Command("COIN", 78, sgminer.coin, _message("SGMiner coin")),
    "gpucount": _Command("GPUS", 20, sgminer.gpucount, _message("GPU count")),
}

GPU = "gpu"
"""The command that takes a device's number."""

PRIVILEGED = frozenset({
    "addpool", "ascdisable", "ascenable", "ascidentify", "ascset", "changeprofile",
    "changestrategy", "debug", "disablepool", "enablepool", "failover-only", "gpudisable",
    "gpuenable", "gpuengine", "gpufan", "gpuintensity", "gpumem", "gpurestart", "gpuvddc",
    "hotplug", "lockstats", "pgadisable", "pgaenable", "pgaidentify", "pgaset", "poolpriority",
    "poolquota", "privileged", "quit", "removepool", "restart", "save", "setconfig",
    "switchpool", "zero",
})  # fmt: skip
"""Commands that change something; they are refused."""

NO_SUCH_GPU, INVALID_COMMAND, NO_ID, INVALID_JSON, NO_COMMAND, DENIED = 1, 14, 15, 23, 24, 45
"""Codes of error messages."""


@dataclass(frozen=True, slots=True)
class _Reply:
    """The reply to one command: a status and its section, if any."""

    code: int
    message: str
    ok: bool = False
    section: str = ""
    rows: list[Row] = field(default_factory=list)
    listed: bool = False


def port(context: ApiContext, host: str, number: int, has_token: bool = False) -> PanelPort:
    """Return the port, not yet open. Listening on other than loopback addresses requires a token;
    the port is read-only nevertheless."""
    return PanelPort(
        KEY, host, number, lambda: SgminerSession(context), context.clock, context.journal,
        has_token,
    )  # fmt: skip


class SgminerSession:
    """One client: a request, with or without a line end, its answer, and the end."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._request = b""
        self.ended = False

    def split(self, data: bytes) -> list[bytes]:
        return [data]  # a connection has one request, which may contain line ends

    def receive(self, piece: bytes) -> bytes:
        if self.ended:
            return b""
        self._request += piece
        request = self._stripped()
        final = self._request[-1:] in _ENDS
        if looks_like_http(request):
            self.ended = True
            return b""
        if len(self._request) > REQUEST_LIMIT:
            return self._answer(b"", final=True)
        # Many clients send JSON without a line end; it may be complete with any "}".
        if request.startswith(b"{") and not (final or request.endswith(b"}")):
            return b""
        return self._answer(request, final) if request else b""

    def finish(self) -> bytes:
        request = b"" if self.ended else self._stripped()
        self.ended = True
        return self._answer(request, final=True) if request else b""

    def _stripped(self) -> bytes:
        return self._request.removeprefix(codecs.BOM_UTF8).strip(_BLANK)

    def _answer(self, request: bytes, final: bool) -> bytes:
        snapshot = self._context.snapshots.newest()
        if request.startswith(b"{"):
            text = _as_json(snapshot, request, final)
        else:
            text = _as_text(snapshot, request.decode("utf-8", "replace"))
        if text is None:
            return b""
        self.ended = True
        return text.encode("utf-8", "replace") + END


def _as_json(snapshot: Snapshot, request: bytes, final: bool) -> str | None:
    """Return the answer; None while `request` may be incomplete JSON."""

    def sections(reply: _Reply) -> dict[str, object]:
        section = {reply.section: reply.rows} if reply.section else {}
        return {"STATUS": [_status(snapshot, reply)], **section}

    def with_id(answer: Mapping[str, object]) -> str:
        return compact_json({**answer, "id": 1})

    try:
        members = json.loads(request)
    except (ValueError, RecursionError):
        return with_id(sections(_Reply(INVALID_JSON, "Invalid JSON"))) if final else None
    command, parameter = members.get("command"), members.get("parameter")
    if not isinstance(command, str):
        return with_id(sections(_Reply(NO_COMMAND, "Missing JSON 'command'")))
    argument = "" if parameter is None else str(parameter)
    names = _names(command)
    replies = {name: sections(_reply(snapshot, name, argument)) for name in names}
    return with_id(replies if len(replies) > 1 else replies[names[0]])


def _as_text(snapshot: Snapshot, request: str) -> str:
    command, _, argument = request.partition("|")
    lines = {}
    for name in _names(command):
        reply = _reply(snapshot, name, argument)
        prefix = "" if reply.listed else f"{reply.section},"
        rows = [prefix + _pairs(row) for row in reply.rows]
        lines[name] = "".join(f"{row}|" for row in [_pairs(_status(snapshot, reply)), *rows])
    if len(lines) == 1:
        return "".join(lines.values())
    return "".join(f"CMD={_escaped(name)}|{line}" for name, line in lines.items())


def _names(command: str) -> list[str]:
    """Return the commands of one request without repetitions."""
    return list(dict.fromkeys(command.split(SEPARATOR)))


def _status(snapshot: Snapshot, reply: _Reply) -> Row:
    return {
        "STATUS": "S" if reply.ok else "E",
        "When": int(snapshot.at),
        "Code": reply.code,
        "Msg": reply.message,
        "Description": version_with_space(snapshot),
    }


def _reply(snapshot: Snapshot, name: str, argument: str) -> _Reply:
    if name == GPU:
        return _gpu(snapshot, argument)
    if name in PRIVILEGED:
        return _Reply(DENIED, f"Access denied to '{name}' command")
    if (command := COMMANDS.get(name)) is None:
        return _Reply(INVALID_COMMAND, "Invalid command")
    rows = command.rows(snapshot)
    return _Reply(command.code, command.message(rows), True, command.section, rows, command.listed)


def _gpu(snapshot: Snapshot, argument: str) -> _Reply:
    if not argument:
        return _Reply(NO_ID, "Missing device id parameter")
    last = len(snapshot.devices) - 1
    if not (_NUMBER.fullmatch(argument) and int(argument) <= last):
        return _Reply(NO_SUCH_GPU, f"Invalid GPU id - range is 0 - {last}")
    index = int(argument)
    return _Reply(17, f"GPU{index}", True, "GPU", [sgminer.device(snapshot, index)], listed=True)


def _pairs(row: Row) -> str:
    return ",".join(f"{key}={_escaped(_plain(value))}" for key, value in row.items())


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escaped(text: str) -> str:
    """Return `text` with a backslash before the separators of plain text."""
    for separator in "\\|,=":
        text = text.replace(separator, f"\\{separator}")
    return text
