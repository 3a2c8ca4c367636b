"""EthereumStratum/1.0.0 as a pool speaks it: difficulties as doubles, nonces without prefix."""

from __future__ import annotations

import re
from typing import Any

from miner.pool.bundled.dialect import House, extranonce
from miner.pool.bundled.events import RequestId, TellerEvent
from miner.pool.bundled.judge import OTHER, Claim, Offer, Refusal
from miner.pool.bundled.kawpow import KawPow
from miner.pool.protocols.difficulty import (
    DIFF1_FFFF,
    difficulty_from_target,
    target_from_difficulty,
)

VERSION = "EthereumStratum/1.0.0"


class EthStratum(KawPow):
    """NiceHash's dialect, with the height beside the job as open-etc-pool puts it."""

    name = "ethstratum"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._difficulty_sent = 0.0

    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> TellerEvent | None:
        if method == "mining.extranonce.subscribe":
            self._reply(request_id, True)
            return None
        return super().message(request_id, method, message)

    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        self._send({"id": request_id, "result": None, "error": [*refusal, None]})

    def _subscribe(self, request_id: RequestId, params: list[Any]) -> None:
        if len(params) < 2 or params[1] != VERSION:
            text = f"unsupported stratum version: the second parameter must be {VERSION}"
            self.refuse(request_id, Refusal(OTHER, text))
            return
        super()._subscribe(request_id, params)

    def _subscription(self, digits: str) -> list[Any]:
        return [["mining.notify", digits or "0", VERSION], digits]

    def _target(self, wanted: int) -> int:
        return target_from_difficulty(_difficulty(wanted), DIFF1_FFFF)

    def _claim(self, params: list[Any]) -> Claim | Refusal:
        """Read [worker, job id, nonce after the extranonce as hex digits]."""
        if len(params) < 3 or not all(isinstance(param, str) for param in params[:3]):
            return Refusal(OTHER, "a share is [worker, job, nonce after the extranonce]")
        worker, key, suffix = params[:3]
        offer = self._find(key)
        return suffix_claim(worker, offer, suffix, self._current())

    def _tell(self, key: str, offer: Offer, clean: bool) -> None:
        template = offer.template
        difficulty = _difficulty(offer.share_target)
        if difficulty != self._difficulty_sent:
            self._difficulty_sent = difficulty
            self._call("mining.set_difficulty", [difficulty])
        params = [key, template.seed_hash.hex(), template.header_hash.hex(), clean]
        self._call("mining.notify", params, height=str(template.height))


def suffix_claim(worker: str, offer: Offer | None, suffix: str, current: Offer) -> Claim | Refusal:
    """Return the claim of a nonce that came without its prefix; `current` gives the size where
    the job is unknown."""
    nonces = (offer or current).nonces
    size = nonces.free_bits // 8
    if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", suffix):
        text = f"incorrect size of nonce, must be {size} bytes behind {extranonce(nonces)!r}"
        return Refusal(OTHER, text)
    return Claim(worker, offer, nonces.first + int(suffix, 16))


def _difficulty(target: int) -> float:
    return float(difficulty_from_target(target, DIFF1_FFFF))
