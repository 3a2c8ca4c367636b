"""The pool's side of what all dialects do alike with one client, without input or output."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from miner.errors import ProtocolError
from miner.stratum.chain import Chain
from miner.stratum.framing import encode
from miner.stratum.resumable import ClientState, ResumableSessions
from miner.stratum.share_rules import (
    DUPLICATE,
    JOB_NOT_FOUND,
    LOW_DIFFICULTY,
    OTHER,
    BlockFound,
    Claim,
    ClientEvent,
    Offer,
    Refusal,
    RequestId,
    ShareJudged,
    ShareRules,
    ShareToProve,
    SubmittedShare,
)
from miner.work import NonceSpace

WORKERS_PER_CLIENT = 16
"""Names that one connection may authorize."""

WRONG_ANSWERS: Mapping[str, Refusal] = {
    "invalid": Refusal(OTHER, "invalid share"),
    "stale": Refusal(JOB_NOT_FOUND, "stale share"),
    "duplicate": Refusal(DUPLICATE, "duplicate share"),
    "low difficulty": Refusal(LOW_DIFFICULTY, "low difficulty share"),
}
"""Refusals of valid shares, for fault injection."""

WORKER = re.compile(r"[!-~]{1,128}")
NONCE_HEX = re.compile(r"0x[0-9a-fA-F]{16}")
HASH_HEX = re.compile(r"0x[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class PoolContext:
    """What the tellers of one pool share."""

    chain: Chain
    take_prefix: Callable[[], NonceSpace | None]
    """Called once a session; None means that no prefix is left."""
    sessions: ResumableSessions
    barred: Callable[[str], str] = lambda worker: ""
    """Why a worker may not log in now; empty: it may."""


class PoolSide(ABC):
    """Serves one client: messages go into `message`, replies come out of `output`.

    A subclass is one dialect of Stratum as a pool speaks it.
    """

    name: ClassVar[str]
    """As `--protocol` takes it."""

    has_extranonce: ClassVar[bool] = True

    def __init__(self, context: PoolContext) -> None:
        self.state = ClientState(ShareRules(context.chain))
        self.workers: list[str] = []
        self.close_reason = ""
        """Why the connection must end after `output` is sent; empty while all is well."""
        self._context = context
        self._chain = context.chain
        self._agent = ""
        self._unsent = bytearray()
        self._wrong_answers: list[Refusal] = []
        self._swallowed = 0

    def output(self) -> bytes:
        """Return what is to be sent, once."""
        data = bytes(self._unsent)
        self._unsent.clear()
        return data

    @abstractmethod
    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> ClientEvent | None:
        """Take the request or notification `method`; raises `ProtocolError` for one that ends
        the connection."""

    @abstractmethod
    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        """Answer a request that is not granted."""

    def announce(self) -> None:
        """Tell the chain's newest template to a client that is logged in."""
        self.state.rules.forget_old()
        self.offer(self._chain.template.clean)

    def offer(self, clean: bool, again: bool = False) -> None:
        """Tell the chain's newest template to a client that is logged in, under a made-up id
        where it is told `again`."""
        if not self.workers or self.close_reason:
            return
        state, template = self.state, self._chain.template
        name = template.job_id
        if again:
            state.renamed += 1
            name += f"{state.renamed:02x}"
        self._put(self._key(name, template.header_hash), self._current(), clean)

    def retarget(self, share_target: int) -> None:
        """Hold the client to `share_target` from now on, telling it at once."""
        self.state.share_target = share_target
        self.offer(clean=False, again=True)

    def change_extranonce(self, nonces: NonceSpace) -> None:
        """Have the client search `nonces` from the next job on, which is told at once; only
        where the dialect has an extranonce."""
        self.state.nonces = nonces
        self.offer(clean=True, again=True)

    def ask_to_reconnect(self, host: str, port: int, wait: int) -> bool:
        """Ask the client to connect anew in `wait` seconds; return False where the dialect has
        no way to."""
        return False

    def answer_wrongly(self, shares: int, answer: str) -> None:
        """Refuse the next `shares` valid shares with `WRONG_ANSWERS[answer]`."""
        self._wrong_answers += [WRONG_ANSWERS[answer]] * shares

    def leave_unanswered(self, shares: int) -> None:
        """Leave the next `shares` unanswered."""
        self._swallowed += shares

    def answer_share(
        self, pending: ShareToProve, mix_hash: bytes, final_hash: bytes
    ) -> tuple[ShareJudged, BlockFound | None]:
        """Answer a share, given the recomputed hashes (32 bytes each, display order)."""
        share = pending.share
        height = share.template.height
        judgement = self.state.rules.evaluate(share, mix_hash, final_hash)
        judged = self._answer(
            pending.request_id, share.worker, height, judgement.refusal, judgement.difficulty
        )
        if not judgement.is_block:
            return judged, None
        return judged, BlockFound(share.worker, height, share.nonce, final_hash)

    def disconnected(self) -> None:
        """Note that the connection has ended."""
        if self.state.name:
            self._context.sessions.leave(self.state.name)

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
        target = self._target(self.state.share_target or template.share_target)
        return Offer(template, target, self.state.nonces or NonceSpace())

    def _find(self, key: str) -> Offer | None:
        """Return what `key` was offered as, or would be if it is a template's id."""
        offer = self.state.offers.get(key)
        if offer is not None:
            return offer if self._chain.find(offer.template.job_id) else None
        template = self._chain.find(key)
        if template is None:
            return None
        return Offer(template, self._current().share_target, self.state.nonces or NonceSpace())

    def _put(self, key: str, offer: Offer, clean: bool) -> None:
        self.state.offers[key] = offer
        self._tell(key, offer, clean)

    def _submitted(
        self, request_id: RequestId, worker: str, key: str, claim: Claim | Refusal
    ) -> ShareToProve | ShareJudged:
        """Check a submission; `worker` is empty where it names no authorized one."""
        checked = claim if isinstance(claim, Refusal) else self.state.rules.check(claim)
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
        said = self._wrong_answers.pop(0) if refusal is None and self._wrong_answers else refusal
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
