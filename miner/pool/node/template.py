"""What a node's answer to getblocktemplate says, checked before anything is mined on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from miner.errors import ProtocolError
from miner.pool.protocols import fields
from miner.pool.protocols.difficulty import target_from_bits
from miner.progpow.variant import MAX_HEIGHT

_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Template:
    """The part of a template that all flavours share."""

    height: int
    bits: int
    """Compact target of the block."""
    target: int
    previous: str
    """Hash of the tip, 64 lower hex digits in display order."""
    longpollid: str | None
    """Names this state of the node to a long poll; None where the node offers none."""


def read_template(result: Any) -> Template:
    """Return what all flavours need of `result`, any JSON value.

    Raises `ProtocolError` where it is no template or contradicts itself.
    """
    if not isinstance(result, dict):
        raise ProtocolError("it is no JSON object")
    height = fields.whole(result.get("height"))
    if height is None or height > MAX_HEIGHT:
        raise ProtocolError("its height is not a number")
    previous = hash_of(result, "previousblockhash")
    bits = result.get("bits")
    if not isinstance(bits, str) or not re.fullmatch(r"[0-9a-fA-F]{8}", bits):
        raise ProtocolError("its bits are not 8 hex digits")
    target = target_from_bits(bits)
    if target == 0:
        raise ProtocolError("its target is 0, which no hash is under")
    if "target" in result and fields.target(result["target"]) != target:
        raise ProtocolError(f"its target is not the one that its bits {bits} stand for")
    longpollid = result.get("longpollid")
    usable = isinstance(longpollid, str) and 0 < len(longpollid) <= 1024
    return Template(height, int(bits, 16), target, previous, longpollid if usable else None)


def hash_of(result: dict[str, Any], key: str) -> str:
    """Return the 64 lower hex digits at `key`; raises `ProtocolError` for anything else."""
    value = result.get(key)
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ProtocolError(f"its {key} is not 64 hex digits")
    return value.lower()


def check_follows(template: Template, last: Template | None) -> None:
    """Raise `ProtocolError` where `template` goes down in height, or another way, on one tip."""
    if last is None or template.previous != last.previous:
        return
    if template.height != last.height:
        raise ProtocolError(
            f"its height is {template.height}, and was {last.height} on the same tip"
        )
