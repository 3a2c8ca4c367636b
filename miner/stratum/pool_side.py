"""The test pool's side of a Stratum dialect, without sockets: messages in, bytes out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from miner.stratum.chain import Chain
from miner.stratum.resumable import ClientState, ResumableSessions
from miner.stratum.share_rules import (
    DUPLICATE,
    JOB_NOT_FOUND,
    LOW_DIFFICULTY,
    NOT_SUBSCRIBED,
    OTHER,
    UNAUTHORIZED,
    BlockFound,
    Claim,
    ClientEvent,
    LoggedIn,
    Offer,
    Refusal,
    RequestId,
    ShareJudged,
    ShareRules,
    ShareToProve,
    SubmittedShare,
)
from miner.stratum.wire_format import DialectFacts, encode
from miner.work import NonceSpace

if TYPE_CHECKING:
    from miner.progpow.hashing import Digest  # importing it loads numba

WORKERS_PER_CLIENT = 16
"""Names that one connection may authorize."""

WRONG_ANSWERS: Mapping[str, Refusal] = {
    "invalid": Refusal(OTHER, "invalid share"),
    "stale": Refusal(JOB_NOT_FOUND, "stale share"),
    "duplicate": Refusal(DUPLICATE, "duplicate share"),
    "low difficulty": Refusal(LOW_DIFFICULTY, "low difficulty share"),
}
"""Refusals of valid shares, for fault injection."""

NOT_SUBSCRIBED_YET = Refusal(NOT_SUBSCRIBED, "not subscribed")

WORKER = re.compile(r"[!-~]{1,128}")
NONCE_HEX = re.compile(r"0x[0-9a-fA-F]{16}")
HASH_HEX = re.compile(r"0x[0-9a-fA-F]{64}")


class PoolContext(Protocol):
    """The state that all clients of one test pool share."""

    chain: Chain
    sessions: ResumableSessions
    strict: bool
    """Be as strict as the strictest server of each dialect."""

    def take_prefix(self) -> NonceSpace | None:
        """Return an unused extranonce for a new session, None if there is none left."""

    def ban_reason(self, worker: str) -> str:
        """Return why `worker` may not log in now; empty if it may."""


class PoolSide(ABC):
    """Serves one client: requests go into `message`, replies come out of `output`.

    A subclass implements one dialect as a pool speaks it.
    """

    has_extranonce: ClassVar[bool] = True
    takes_answers: ClassVar[bool] = True
    """Whether a client's answer, which has no method, leaves the connection open."""

    def __init__(self, dialect: DialectFacts, context: PoolContext) -> None:
        self.dialect = dialect
        self.state = ClientState(ShareRules(context.chain))
        self.workers: list[str] = []
        """Authorized names, the first one first."""
        self.close_reason = ""
        """Why the connection must be closed after sending `output`; empty: keep it open."""
        self._context = context
        self._chain = context.chain
        self._agent = ""
        self._unsent = bytearray()
        self._block_hash: bytes | None = None
        """Final hash of the share that is being answered, if it is a block."""
        self._wrong_answers: list[Refusal] = []
        self._unanswered = 0

    def output(self) -> bytes:
        """Return and clear the bytes to send."""
        data = bytes(self._unsent)
        self._unsent.clear()
        return data

    @abstractmethod
    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> ClientEvent | None:
        """Handle a request or notification; raises `ProtocolError` to end the connection."""

    @abstractmethod
    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        """Answer a request with an error."""

    def announce(self) -> None:
        """Send the chain's newest template to a client that is logged in."""
        self.state.rules.forget_old()
        self.offer(self._chain.template.clean)

    def offer(self, clean: bool, again: bool = False) -> None:
        """Send the chain's newest template to a client that is logged in; `again` sends it under
        a new job id."""
        if not self.workers or self.close_reason:
            return
        template, name = self._chain.template, self._chain.template.job_id
        if again:
            self.state.renamed += 1
            name += f"{self.state.renamed:02x}"
        self._put(self._key(name, template.header_hash), self._current(), clean)

    def retarget(self, share_target: int) -> None:
        """Require `share_target` from now on and announce it at once."""
        self.state.share_target = share_target
        self.offer(clean=False, again=True)

    def change_extranonce(self, nonces: NonceSpace) -> None:
        """Assign `nonces` to the client with a new job; only for dialects with an extranonce."""
        self.state.nonces = nonces
        self.offer(clean=True, again=True)

    def ask_to_reconnect(self, host: str, port: int, wait: int) -> bool:
        """Ask the client to reconnect in `wait` seconds; return False if the dialect cannot."""
        return False

    def set_algorithm(self, name: str) -> bool:
        """Name this algorithm in jobs from now on, ours if empty; return False if the dialect
        names none."""
        return False

    def answer_wrongly(self, shares: int, answer: str) -> None:
        """Refuse the next `shares` valid shares with `WRONG_ANSWERS[answer]`."""
        self._wrong_answers += [WRONG_ANSWERS[answer]] * shares

    def leave_unanswered(self, shares: int) -> None:
        """Leave the next `shares` unanswered."""
        self._unanswered += shares

    def answer_share(
        self, pending: ShareToProve, digest: Digest
    ) -> tuple[ShareJudged, BlockFound | None]:
        """Answer a share, given its recomputed digest. On a `BlockFound` the caller advances the
        chain."""
        share = pending.share
        height = share.template.height
        result = self.state.rules.evaluate(share, digest)
        self._block_hash = digest.final_hash if result.is_block else None
        judged = self._answer(
            pending.request_id, share.worker, height, result.refusal, result.difficulty
        )
        if not result.is_block:
            return judged, None
        return judged, BlockFound(share.worker, height, share.nonce, digest.final_hash)

    def disconnected(self) -> None:
        """Record that the connection has ended."""
        if self.state.name:
            self._context.sessions.leave(self.state.name)

    # What a dialect implements or overrides

    def _accept(self, request_id: RequestId) -> None:
        """Answer an accepted share."""
        self._reply(request_id, True)

    def _reply(self, request_id: RequestId, result: Any) -> None:
        """Answer a request with a result."""
        self._send({"id": request_id, "result": result, "error": None})

    def _reject(self, request_id: RequestId, refusal: Refusal) -> None:
        """Answer a refused share."""
        self.refuse(request_id, refusal)

    def _answer_login(self, request_id: RequestId, worker: str) -> None:
        """Answer the accepted login of `worker`."""
        self._accept(request_id)

    @abstractmethod
    def _send_job(self, key: str, offer: Offer, clean: bool) -> None: ...

    def _key(self, job_id: str, header_hash: bytes) -> str:
        """Return the key by which shares name this job."""
        return job_id

    def _target(self, wanted: int) -> int:
        """Return the target nearest to `wanted` that the dialect can express."""
        return wanted

    # What a dialect uses

    def _authorize(self, request_id: RequestId, worker: Any) -> LoggedIn | None:
        """Authorize `worker` on a subscribed connection; send a job to the first one."""
        if self.state.nonces is None:
            self.refuse(request_id, NOT_SUBSCRIBED_YET)
            return None
        if not isinstance(worker, str) or not WORKER.fullmatch(worker):
            text = "unauthorized worker: a name is 1 to 128 printable ASCII characters"
        elif text := self._context.ban_reason(worker):
            pass
        elif worker in self.workers:
            self._answer_login(request_id, worker)
            return None
        elif len(self.workers) == WORKERS_PER_CLIENT:
            text = f"unauthorized worker: a connection has at most {WORKERS_PER_CLIENT}"
        else:
            self.workers.append(worker)
            self._answer_login(request_id, worker)
            if len(self.workers) > 1:
                return None
            self.offer(clean=True)
            return LoggedIn(worker, self._agent)
        self.refuse(request_id, Refusal(UNAUTHORIZED, text))
        return None

    def _unauthorized(self, worker: str) -> Refusal | None:
        """Return the refusal of a share before the subscription, or by an unknown `worker` (an
        empty name); None for another share."""
        if self.state.nonces is None:
            return NOT_SUBSCRIBED_YET
        return None if worker else Refusal(UNAUTHORIZED, "unauthorized worker")

    def _enter(self, worker: str) -> LoggedIn | None:
        """Make `worker` the only one, with all nonces; return the event of the first login."""
        first = not self.workers
        self.workers, self.state.nonces = [worker], NonceSpace()
        return LoggedIn(worker, self._agent) if first else None

    def _current(self) -> Offer:
        template = self._chain.template
        target = self._target(self.state.share_target or template.share_target)
        return Offer(template, target, self.state.nonces or NonceSpace())

    def _find(self, key: str) -> Offer | None:
        """Return the offer of `key`, a key sent before or the job id of a recent template."""
        offer = self.state.offers.get(key)
        if offer is not None:
            return offer if self._chain.find(offer.template.job_id) else None
        template = self._chain.find(key)
        if template is None:
            return None
        return Offer(template, self._current().share_target, self.state.nonces or NonceSpace())

    def _put(self, key: str, offer: Offer, clean: bool) -> None:
        """Remember `offer` and send it."""
        self.state.offers[key] = offer
        self._send_job(key, offer, clean)

    def _submitted(
        self, request_id: RequestId, worker: str, key: str, claim: Claim | Refusal
    ) -> ShareToProve | ShareJudged:
        """Check a submission; `worker` is empty if it names no authorized one."""
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
        injected = self._wrong_answers and refusal is None
        answered = self._wrong_answers.pop(0) if injected else refusal
        if self._unanswered:
            self._unanswered -= 1
        elif answered is None:
            self._accept(request_id)
        else:
            self._reject(request_id, answered)
        code, text = refusal or (0, "")
        return ShareJudged(worker, height, refusal is None, code, text, difficulty)

    def _set_agent(self, value: object) -> None:
        if isinstance(value, str):
            self._agent = "".join(c for c in value if " " <= c <= "~")[:64]

    def _send(self, message: dict[str, Any]) -> None:
        self._unsent += encode(message)


def extranonce(nonces: NonceSpace) -> str:
    """Return the hex digits of the prefix of `nonces`."""
    return nonces.prefix.to_bytes(nonces.prefix_bits // 8, "big").hex()
