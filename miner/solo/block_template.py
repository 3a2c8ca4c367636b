"""The checked parts of a node's block template."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from miner.errors import ProtocolError
from miner.progpow.variant import MAX_HEIGHT
from miner.stratum import wire_format
from miner.stratum.difficulty import target_from_bits

_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class BlockTemplate:
    """The part of a template that all kinds of node have in common."""

    height: int
    bits: int
    """Compact form of `target`."""
    target: int
    previous: str
    """Hash of the tip, 64 lower-case hex digits in display order."""


def read_template(result: Any) -> BlockTemplate:
    """Return the common parts of a `getblocktemplate` result, any JSON value.

    Raises `ProtocolError` if a part is missing, malformed or contradicts another one.
    """
    if not isinstance(result, dict):
        raise ProtocolError("not a JSON object")
    height = wire_format.whole(result.get("height"))
    if height is None or height > MAX_HEIGHT:
        raise ProtocolError("height is not a number")
    previous = read_hash(result, "previousblockhash")
    bits = result.get("bits")
    if not isinstance(bits, str) or not re.fullmatch(r"[0-9a-fA-F]{8}", bits):
        raise ProtocolError("bits is not 8 hex digits")
    target = target_from_bits(bits)
    if target == 0:
        raise ProtocolError("target is 0, which no hash meets")
    if "target" in result and wire_format.target(result["target"]) != target:
        raise ProtocolError(f"target differs from the one encoded by bits {bits}")
    return BlockTemplate(height, int(bits, 16), target, previous)


def read_hash(result: dict[str, Any], key: str) -> str:
    """Return the 64 hex digits at `key` in lower case; raises `ProtocolError` for other values."""
    value = result.get(key)
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ProtocolError(f"{key} is not 64 hex digits")
    return value.lower()


def check_successor(template: BlockTemplate, last: BlockTemplate | None) -> None:
    """Raise `ProtocolError` if two templates on the same tip differ in height."""
    if last is None or template.previous != last.previous:
        return
    if template.height != last.height:
        raise ProtocolError(f"height is {template.height}, after {last.height} on the same tip")
