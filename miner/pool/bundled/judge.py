"""The rules by which a pool judges the shares of one client."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from miner.pool.bundled.chain import Chain, Template
from miner.pool.protocols.difficulty import DIFF1_KAWPOW
from miner.work import NonceSpace

OTHER = 20
JOB_NOT_FOUND = 21
DUPLICATE = 22
LOW_DIFFICULTY = 23
UNAUTHORIZED = 24
OUT_OF_RANGE = 24
NOT_SUBSCRIBED = 25

NONCE_HEX = re.compile(r"0x[0-9a-fA-F]{16}")
HASH_HEX = re.compile(r"0x[0-9a-fA-F]{64}")


class Refusal(NamedTuple):
    """Why a request is not granted: one of the codes above with a text."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Share:
    """A share that passed every check but the recomputing of its hashes."""

    worker: str
    template: Template
    nonce: int
    mix_hash: bytes
    """What the client claims, 32 bytes in display order."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of one share when its hashes were recomputed."""

    refusal: Refusal | None
    """None: accepted."""
    difficulty: float
    """Difficulty 1 is 2**32 * 256 / 255 expected hashes; 0 for a share with a wrong mix hash."""
    is_block: bool = False


class Judge:
    """Judges shares by the templates of `chain`, remembering which nonces came before."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._seen: dict[bytes, set[int]] = {}

    def check(
        self, params: Sequence[Any], nonces: NonceSpace, workers: Collection[str]
    ) -> Share | Refusal:
        """Make every check that costs nothing on `params`, a submission as it came:
        [worker, job id, nonce, header hash, mix hash], the last three as 0x and hex digits.

        A share that passes counts as seen, whatever is found when it is recomputed.
        """
        if not params or params[0] not in workers:
            return Refusal(UNAUTHORIZED, "unauthorized worker")
        if len(params) < 5 or not all(isinstance(param, str) for param in params[:5]):
            return Refusal(OTHER, "a share is [worker, job, nonce, header hash, mix hash]")
        worker, job_id, nonce_hex, header_hex, mix_hex = params[:5]
        if not NONCE_HEX.fullmatch(nonce_hex):
            return Refusal(OTHER, "incorrect size of nonce, must be 8 bytes")
        if not HASH_HEX.fullmatch(header_hex):
            return Refusal(OTHER, "incorrect size of header hash, must be 32 bytes")
        if not HASH_HEX.fullmatch(mix_hex):
            return Refusal(OTHER, "incorrect size of mix hash, must be 32 bytes")
        template = self._chain.find(job_id)
        if template is None:
            return Refusal(JOB_NOT_FOUND, "job not found")
        nonce = int(nonce_hex, 16)
        if nonce not in nonces:
            return Refusal(OUT_OF_RANGE, "nonce out of worker range")
        header_hash = bytes.fromhex(header_hex[2:])
        if nonce in self._seen.get(header_hash, ()):
            return Refusal(DUPLICATE, "duplicate share")
        if header_hash != template.header_hash:
            return Refusal(OTHER, "invalid header hash")
        if self._chain.is_stale(template):
            now = self._chain.template.height
            text = f"stale share: height {template.height} is over, the chain is at {now}"
            return Refusal(JOB_NOT_FOUND, text)
        self._seen.setdefault(header_hash, set()).add(nonce)
        return Share(worker, template, nonce, bytes.fromhex(mix_hex[2:]))

    def judge(self, share: Share, mix_hash: bytes, final_hash: bytes) -> Judgement:
        """Judge `share` by the recomputed hashes, 32 bytes each in display order.

        It solves a block only as long as the chain is at its height.
        """
        template = share.template
        if mix_hash != share.mix_hash:
            return Judgement(Refusal(OTHER, "invalid mix hash"), 0.0)
        value = int.from_bytes(final_hash, "big")
        difficulty = DIFF1_KAWPOW / max(value, 1)
        if value > template.target:
            wanted = DIFF1_KAWPOW / template.target
            text = f"low difficulty share of {difficulty:.6g}, wanted is {wanted:.6g}"
            return Judgement(Refusal(LOW_DIFFICULTY, text), difficulty)
        is_block = value <= template.block_target and not self._chain.is_stale(template)
        return Judgement(None, difficulty, is_block)

    def forget_old(self) -> None:
        """Drop the nonces of headers that the chain no longer knows."""
        known = self._chain.headers()
        self._seen = {header: seen for header, seen in self._seen.items() if header in known}
