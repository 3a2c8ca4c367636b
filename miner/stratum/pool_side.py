"""The pool's side of what all dialects do alike with one client, without input or output."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from miner.errors import ProtocolError
from miner.stratum.chain import Chain
from miner.stratum.framing import encode
from miner.stratum.resumable import Seat, Sessions
from miner.stratum.share_rules import (
    DUPLICATE,
    JOB_NOT_FOUND,
    LOW_DIFFICULTY,
    OTHER,
    BlockFound,
    Claim,
    Judge,
    Offer,
    Refusal,
    RequestId,
    ShareJudged,
    ShareToProve,
    SubmittedShare,
    TellerEvent,
)
from miner.work import NonceSpace

WORKERS_PER_CLIENT = 16
"""Names that one connection may authorize."""

OFFERS_PER_CLIENT = 64
"""Offers whose late shares are still recognised."""

LIES = {
    "invalid": Refusal(OTHER, "invalid share"),
    "stale": Refusal(JOB_NOT_FOUND, "stale share"),
    "duplicate": Refusal(DUPLICATE, "duplicate share"),
    "low difficulty": Refusal(LOW_DIFFICULTY, "low difficulty share"),
}
"""What a good share can be called on purpose."""

WORKER = re.compile(r"[!-~]{1,128}")
NONCE_HEX = re.compile(r"0x[0-9a-fA-F]{16}")
HASH_HEX = re.compile(r"0x[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class House:
    """What the tellers of one pool share."""

    chain: Chain
    take_prefix: Callable[[], NonceSpace | None]
    """Called once a session; None means that no prefix is left."""
    sessions: Sessions
    barred: Callable[[str], str] = lambda worker: ""
    """Why a worker may not log in now; empty: it may."""


class PoolSide(ABC):
    """Serves one client: messages go into `message`, replies come out of `output`.

    A subclass is one dialect of Stratum as a pool speaks it.
    """

    name: ClassVar[str]
    """As `--protocol` takes it."""

    has_extranonce: ClassVar[bool] = True

    def __init__(self, house: House) -> None:
        self.seat = Seat(Judge(house.chain))
        self.workers: list[str] = []
        self.broken = ""
        """Why the connection must end after `output` is sent; empty while all is well."""
        self._house = house
        self._chain = house.chain
        self._agent = ""
        self._unsent = bytearray()
        self._lies: list[Refusal] = []
        self._swallowed = 0

    def output(self) -> bytes:
        """Return what is to be sent, once."""
        data = bytes(self._unsent)
        self._unsent.clear()
        return data

    @abstractmethod
    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> TellerEvent | None:
        """Take the request or notification `method`; raises `ProtocolError` for one that ends
        the connection."""

    @abstractmethod
    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        """Answer a request that is not granted."""

    def announce(self) -> None:
        """Tell the chain's newest template to a client that is logged in."""
        self.seat.judge.forget_old()
        self.offer(self._chain.template.clean)

    def offer(self, clean: bool, again: bool = False) -> None:
        """Tell the chain's newest template to a client that is logged in, under a made-up id
        where it is told `again`."""
        if not self.workers or self.broken:
            return
        seat, template = self.seat, self._chain.template
        name = template.job_id
        if again:
            seat.renamed += 1
            name += f"{seat.renamed:02x}"
        self._put(self._key(name, template.header_hash), self._current(), clean)

    def retarget(self, share_target: int) -> None:
        """Hold the client to `share_target` from now on, telling it at once."""
        self.seat.share_target = share_target
        self.offer(clean=False, again=True)

    def change_extranonce(self, nonces: NonceSpace) -> None:
        """Have the client search `nonces` from the next job on, which is told at once; only
        where the dialect has an extranonce."""
        self.seat.nonces = nonces
        self.offer(clean=True, again=True)

    def ask_to_reconnect(self, host: str, port: int, wait: int) -> bool:
        """Ask the client to connect anew in `wait` seconds; return False where the dialect has
        no way to."""
        return False

    def lie(self, shares: int, saying: str) -> None:
        """Call the next `shares` good ones something that they are not, a key of `LIES`."""
        self._lies += [LIES[saying]] * shares

    def swallow(self, shares: int) -> None:
        """Leave the next `shares` unanswered."""
        self._swallowed += shares

    def judge(
        self, pending: ShareToProve, mix_hash: bytes, final_hash: bytes
    ) -> tuple[ShareJudged, BlockFound | None]:
        """Answer a share, given the recomputed hashes (32 bytes each, display order)."""
        share = pending.share
        height = share.template.height
        judgement = self.seat.judge.judge(share, mix_hash, final_hash)
        judged = self._answer(
            pending.request_id, share.worker, height, judgement.refusal, judgement.difficulty
        )
        if not judgement.is_block:
            return judged, None
        return judged, BlockFound(share.worker, height, share.nonce, final_hash)

    def left(self) -> None:
        """Note that the connection has ended."""
        if self.seat.name:
            self._house.sessions.leave(self.seat.name)

    # For the dialects

    @abstractmethod
    def _grant(self, request_id: RequestId) -> None:
        """Answer a share that was accepted."""

    @abstractmethod
    def _tell(self, key: str, offer: Offer, clean: bool) -> None:
        """Send a job."""

    def _refuse_share(self, request_id: RequestId, refusal: Refusal) -> None:
        self.refuse(request_id, refusal)

    def _key(self, job_id: str, header_hash: bytes) -> str:
        """Return what a share for this job will name."""
        return job_id

    def _target(self, wanted: int) -> int:
        """Return the target nearest to `wanted` that the dialect can express."""
        return wanted

    def _current(self) -> Offer:
        template = self._chain.template
        target = self._target(self.seat.share_target or template.share_target)
        return Offer(template, target, self.seat.nonces or NonceSpace())

    def _find(self, key: str) -> Offer | None:
        """Return what `key` was offered as, or would be if it is a template's id."""
        offer = self.seat.offers.get(key)
        if offer is not None:
            return offer if self._chain.find(offer.template.job_id) else None
        template = self._chain.find(key)
        if template is None:
            return None
        return Offer(template, self._current().share_target, self.seat.nonces or NonceSpace())

    def _put(self, key: str, offer: Offer, clean: bool) -> None:
        self.seat.offers[key] = offer
        while len(self.seat.offers) > OFFERS_PER_CLIENT:
            self.seat.offers.popitem(last=False)
        self._tell(key, offer, clean)

    def _submitted(
        self, request_id: RequestId, worker: str, key: str, claim: Claim | Refusal
    ) -> ShareToProve | ShareJudged:
        """Check a submission; `worker` is empty where it names no authorized one."""
        checked = claim if isinstance(claim, Refusal) else self.seat.judge.check(claim)
        if isinstance(checked, SubmittedShare):
            return ShareToProve(request_id, checked)
        offer = self._find(key)
        height = (offer.template if offer else self._chain.template).height
        return self._answer(request_id, worker, height, checked)

    def _answer(
        self,
        request_id: RequestId,
        worker: str,
        height: int,
        refusal: Refusal | None,
        difficulty: float = 0.0,
    ) -> ShareJudged:
        said = self._lies.pop(0) if refusal is None and self._lies else refusal
        if self._swallowed:
            self._swallowed -= 1
        elif said is None:
            self._grant(request_id)
        else:
            self._refuse_share(request_id, said)
        code, text = refusal or (0, "")
        return ShareJudged(worker, height, refusal is None, code, text, difficulty)

    def _name_agent(self, value: object) -> None:
        if isinstance(value, str):
            self._agent = "".join(c for c in value if " " <= c <= "~")[:64]

    def _send(self, message: dict[str, Any]) -> None:
        self._unsent += encode(message)


def positional_params(message: dict[str, Any]) -> list[Any]:
    """Return the positional parameters; raises `ProtocolError` where they have another form."""
    params = message.get("params", [])
    if not isinstance(params, list):
        raise ProtocolError("params is not a list")
    return params


def extranonce(nonces: NonceSpace) -> str:
    """Return the hex digits of the prefix of `nonces`."""
    return nonces.prefix.to_bytes(nonces.prefix_bits // 8, "big").hex()
