"""The wire format that all dialects share: JSON lines, and the values in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from miner.errors import ProtocolError
from miner.stratum.difficulty import (
    DIFF1_KAWPOW,
    parse_target,
    target_from_bits,
    target_from_difficulty,
)
from miner.stratum.pool_events import Reconnect
from miner.work import NonceSpace, Solution

MESSAGES_PER_LINE = 20

LINE_LIMIT = 65536
"""Most bytes of a received line without its newline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialectFacts:
    """The properties of a dialect, apart from the code of its two sides."""

    name: str
    """As `--protocol` takes it; also a URL scheme."""
    title: str
    """As messages show it."""
    logins: frozenset[str]
    """Methods whose parameters contain the password."""
    shares: frozenset[str]
    """Methods that submit a share."""
    first_method: str | None
    """Method of a client's first message, by which the test pool recognises the dialect; None: it
    cannot."""
    version: str | None = None
    """Second parameter of that message, if the dialect is distinguished by it."""
    schemes: tuple[str, ...] = ()
    """URL schemes besides `name`, without transport (`+tls`)."""
    hashrate_reports: frozenset[str] = frozenset()
    """Methods whose first parameter is the hashrate, in hex."""
    extras: frozenset[str] = frozenset()
    """Methods at the start of a session that a pool need not know."""
    keepalives: frozenset[str] = frozenset()
    """Methods of keepalives that a pool need not know."""
    diff1: int = DIFF1_KAWPOW
    """Target of difficulty 1 for pools that announce difficulties; a coin may have its own."""
    nodes_speak_getwork: bool = False
    """Nodes of coins with this dialect answer eth_getWork, not getblocktemplate."""

    @property
    def optional(self) -> frozenset[str]:
        """Methods that are skipped for a pool that fails on them."""
        return self.extras | self.keepalives | self.hashrate_reports


class LineReader:
    """Splits a byte stream into lines; buffers at most `limit` bytes."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._broken = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the non-empty lines that `data` completes, without line ends and NUL bytes.

        Raises `ProtocolError` for a line longer than `limit` bytes, and in every later call.
        """
        *complete, rest = data.split(b"\n")
        lines = []
        for piece in complete:
            self._append(piece)
            line = bytes(self._rest.strip(b"\r\0"))
            self._rest.clear()
            if line.strip():
                lines.append(line)
        self._append(rest)
        return lines

    @property
    def rest(self) -> bytes:
        """The bytes of the line that is not complete yet."""
        return bytes(self._rest)

    def _append(self, piece: bytes) -> None:
        if self._broken or len(self._rest) + len(piece) > self._limit:
            self._broken = True
            self._rest.clear()
            raise ProtocolError(f"a line is longer than {self._limit} bytes")
        self._rest += piece


# Some pools put tabs and other control characters into strings.
_JSON = json.JSONDecoder(strict=False)


def decode(line: bytes) -> dict[str, Any] | None:
    """Return the only JSON object in `line`; None for anything else."""
    messages = decode_all(line)
    return messages[0] if len(messages) == 1 else None


def decode_all(line: bytes) -> list[dict[str, Any]]:
    """Return the JSON objects in `line`, none if it contains anything else.

    There should be one; but a message without its line end is followed by the next one. More than
    `MESSAGES_PER_LINE` count as something else.
    """
    text = _decoded(line).strip()
    messages: list[dict[str, Any]] = []
    at = 0
    try:
        while at < len(text):
            message, end = _JSON.raw_decode(text, at)
            if not isinstance(message, dict) or len(messages) == MESSAGES_PER_LINE:
                return []
            messages.append(message)
            at = len(text) - len(text[end:].lstrip())
    except (ValueError, RecursionError):
        return []
    return messages


def _decoded(line: bytes) -> str:
    # Pools in China send GBK, part of GB 18030, where a character may end in a backslash. Latin-1
    # decodes any bytes, so that at least the structure of a line is read.
    for encoding in ("utf-8-sig", "gb18030"):
        with suppress(UnicodeDecodeError):
            return line.decode(encoding)
    return line.decode("latin-1")


def encode(message: Mapping[str, Any]) -> bytes:
    """Return `message` as one line of compact ASCII JSON with its newline.

    Callers keep it under 1024 bytes: open-ethereum-pool and its forks ban for longer lines.
    """
    return json.dumps(message, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n"


def params_of(message: dict[str, Any]) -> list[Any]:
    """Return the positional parameters of a request, empty if they have another form."""
    params = message.get("params")
    return params if isinstance(params, list) else []


PREFIX_BYTES = 7
"""Longest extranonce; it leaves one byte of the nonce to search."""

_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]*)")
_EXTRANONCES = ("extra_nonce", "extranonce", "extranonce1")
_DECIMAL = re.compile(r"[0-9]{1,20}")
_DIFFICULTY = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_JOB_ID_BYTES = 256
_HOST = re.compile(r"(?:[A-Za-z0-9+]{1,20}://)?(\[[^\]]{1,80}\]|[^:/]*)(?::([0-9]{1,5}))?/?")
"""Scheme, host and port of a request to reconnect."""


def whole(value: Any) -> int | None:
    """Return a whole number of at most 64 bits, else None.

    It may be written as decimal digits, or as 7.0: servers in Lua and PHP write floats.
    """
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64:
        return value
    return None


def extranonce(result: Any) -> NonceSpace:
    """Return the nonces assigned by the result of mining.subscribe, in any known form.

    Without an extranonce these are all 64 bits, as in kawpowminer. Raises `ProtocolError` for an
    unusable extranonce, and for a text as the result: EthereumStratum/2.0.0 has session names.
    """
    found = [result]
    if isinstance(result, dict):
        found = [value for name in _EXTRANONCES if (value := result.get(name)) is not None]
    elif isinstance(result, list):
        found = result[1:]
    for value in found:
        if isinstance(value, str) and _HEX.fullmatch(value) and value is not result:
            return nonce_space(value)
    if found and found[0] is not None and found[0] is not True:
        raise ProtocolError("the pool's answer to mining.subscribe has no usable extranonce")
    return NonceSpace()


def nonce_space(value: Any) -> NonceSpace:
    """Return the nonces of an extranonce: the nonce's most significant bytes as hex digits.

    An empty one leaves all 64 bits. An odd number of digits is half a byte more, as in ethminer.
    Raises `ProtocolError` for anything but hex digits, at most `PREFIX_BYTES` bytes.
    """
    match = _HEX.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ProtocolError("the pool's extranonce is not hex digits")
    digits = match[1]
    if len(digits) > 2 * PREFIX_BYTES:
        raise ProtocolError(
            f"the pool's extranonce has {len(digits)} hex digits; at most {2 * PREFIX_BYTES} "
            "leave nonces to search"
        )
    return NonceSpace(int(digits or "0", 16), 4 * len(digits))


def job_id(value: Any) -> str:
    """Return a job id, to be sent back as a text; raises `ProtocolError` for an unusable one."""
    if not isinstance(value, str) and (number := whole(value)) is not None:
        value = str(number)
    if not isinstance(value, str) or len(json.dumps(value)) > _JOB_ID_BYTES:
        raise ProtocolError("its id is not a text of a usable length")
    return value


def header_hash(value: Any) -> bytes:
    """Return 32 bytes in display order from 64 hex digits; else raises `ProtocolError`."""
    match = _HEX.fullmatch(value) if isinstance(value, str) else None
    if not match or len(match[1]) != 64:
        raise ProtocolError("its header hash is not 64 hex digits")
    return bytes.fromhex(match[1])


def block_height(value: Any) -> int:
    """Return a height given as a number, as decimal digits or as 0x and hex digits.

    Raises `ProtocolError` for anything else.
    """
    if isinstance(value, str) and re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}", value):
        return int(value, 16)
    height = whole(value)
    if height is None:
        raise ProtocolError("its block height is not a number")
    return height


def target(value: Any) -> int:
    """Return the target of a string of hex digits; raises `ProtocolError` for anything else, and
    for 0."""
    if not isinstance(value, str):
        raise ProtocolError("a target is not 1 to 64 hex digits")
    return _above_0(parse_target(value))


def target_of_difficulty(value: Any, diff1: int) -> int:
    """Return the target of a difficulty, given as a number or in decimal notation.

    Raises `ProtocolError` unless it is above 0 and a hash can meet it.
    """
    if isinstance(value, str) and _DIFFICULTY.fullmatch(value):
        value = Fraction(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        raise ProtocolError("a difficulty is not a number")
    return _above_0(target_from_difficulty(value, diff1))


def _above_0(found: int) -> int:
    if found == 0:
        raise ProtocolError("target is 0, which no hash meets")
    return found


def proof(solution: Solution) -> list[str]:
    """Return nonce, header hash and mix hash as most dialects submit them: 0x and hex digits."""
    hashes = (solution.job.header_hash, solution.mix_hash)
    return [f"0x{solution.nonce:016x}", *(f"0x{value.hex()}" for value in hashes)]


def block_target(value: Any) -> int:
    """Return the target of a block's compact bits, 0 if they are absent or unusable."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return 0
    try:
        return target_from_bits(value)
    except ProtocolError:
        return 0


def truth(value: Any) -> bool:
    """Return a boolean, which pools also give as 0, 1, "0", "False" or null."""
    value = value.lower() if isinstance(value, str) else value
    return value not in (False, 0, None, "", "0", "false", "no")


def reconnect(params: Any) -> Reconnect:
    """Return the request of `client.reconnect` ([host, port, seconds], each of them optional) or
    of `mining.reconnect` ({"host", "port" in hex})."""
    if isinstance(params, dict):
        port = params.get("port")
        port = f"0x{port.lower().removeprefix('0x')}" if isinstance(port, str) else port
        given: Sequence[Any] = (params.get("host"), port)
    else:
        given = params if isinstance(params, list) else ()
    host, port, wait = (*given[:3], None, None, None)[:3]
    if isinstance(host, str) and (match := _HOST.fullmatch(host)):
        # It may contain scheme and port, or end in the dot of the DNS root.
        host, port = match[1].strip("[]").removesuffix("."), port or match[2]
    try:
        number = block_height(port)
    except ProtocolError:
        number = 0
    return Reconnect(
        host if isinstance(host, str) and host else None,
        number if 0 < number < 65536 else None,
        float(min(whole(wait) or 0, 3600)),
    )
