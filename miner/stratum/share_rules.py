"""The rules by which the test pool accepts or refuses shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from miner.stratum.chain import Chain, Template
from miner.stratum.difficulty import DIFF1_KAWPOW
from miner.work import NonceSpace

if TYPE_CHECKING:
    from miner.progpow.hashing import Digest  # importing it loads numba

OTHER = 20
JOB_NOT_FOUND = 21
DUPLICATE = 22
LOW_DIFFICULTY = 23
UNAUTHORIZED = 24
OUT_OF_RANGE = 24
NOT_SUBSCRIBED = 25


class Refusal(NamedTuple):
    """Why a request is refused: one of the codes above with a text."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A template as sent to one client."""

    template: Template
    share_target: int
    """The easiest target recently sent with this template."""
    nonces: NonceSpace
    """The nonces assigned to the client."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A well-formed submission. Hashes are 32 bytes in display order."""

    worker: str
    offer: Offer | None
    """None: its job is unknown or too old."""
    nonce: int
    header_hash: bytes | None = None
    """None: the dialect does not send it."""
    mix_hash: bytes | None = None
    """None: the dialect does not send it."""

    @classmethod
    def of_hex(cls, worker: str, offer: Offer | None, nonce: str, header: str, mix: str) -> Claim:
        """Return a claim whose numbers are given as 0x and hex digits."""
        return cls(worker, offer, int(nonce, 16), bytes.fromhex(header[2:]), bytes.fromhex(mix[2:]))


@dataclass(frozen=True, slots=True)
class SubmittedShare:
    """A share that passed every check except recomputing its hashes."""

    worker: str
    template: Template
    share_target: int
    nonce: int
    mix_hash: bytes | None
    """As the client sent it, 32 bytes in display order; None: it sent none."""

    @property
    def target(self) -> int:
        """The easier of share and block target: a block above the share target is accepted, too."""
        return max(self.share_target, self.template.block_target)


@dataclass(frozen=True, slots=True)
class ShareResult:
    """The result of recomputing one share's hashes."""

    refusal: Refusal | None
    """None: accepted."""
    difficulty: float
    """Difficulty 1 is 2**32 * 256 / 255 expected hashes; 0 for a share with a wrong mix hash."""
    is_block: bool = False


class ShareRules:
    """Checks one client's shares against `chain` and the nonces it sent before."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._seen: dict[bytes, set[int]] = {}

    def check(self, claim: Claim) -> SubmittedShare | Refusal:
        """Make every check that needs no hashing.

        A share that passes counts as seen, even if recomputing refuses it later.
        """
        offer, nonce = claim.offer, claim.nonce
        if offer is None:
            return Refusal(JOB_NOT_FOUND, "job not found")
        template = offer.template
        if nonce not in offer.nonces:
            return Refusal(OUT_OF_RANGE, "nonce out of worker range")
        header_hash = template.header_hash if claim.header_hash is None else claim.header_hash
        if nonce in self._seen.get(header_hash, ()):
            return Refusal(DUPLICATE, "duplicate share")
        if header_hash != template.header_hash:
            return Refusal(OTHER, "invalid header hash")
        if self._chain.is_stale(template):
            now = self._chain.template.height
            text = f"stale share: height {template.height} is over, the chain is at {now}"
            return Refusal(JOB_NOT_FOUND, text)
        self._seen.setdefault(header_hash, set()).add(nonce)
        return SubmittedShare(claim.worker, template, offer.share_target, nonce, claim.mix_hash)

    def evaluate(self, share: SubmittedShare, digest: Digest) -> ShareResult:
        """Return the result for `share` from its recomputed digest.

        A block counts only while the chain is at its height.
        """
        template = share.template
        if share.mix_hash not in (None, digest.mix_hash):
            return ShareResult(Refusal(OTHER, "invalid mix hash"), 0.0)
        value = digest.value
        difficulty = DIFF1_KAWPOW / max(value, 1)
        if value > share.target:
            wanted = DIFF1_KAWPOW / share.target
            text = f"low difficulty share of {difficulty:.6g}, wanted is {wanted:.6g}"
            return ShareResult(Refusal(LOW_DIFFICULTY, text), difficulty)
        is_block = value <= template.block_target and not self._chain.is_stale(template)
        return ShareResult(None, difficulty, is_block)

    def forget_old(self) -> None:
        """Forget the nonces of headers that the chain no longer knows."""
        known = self._chain.headers()
        self._seen = {header: seen for header, seen in self._seen.items() if header in known}


RequestId = int | str | None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The client authorized its first worker."""

    worker: str
    agent: str
    """The client's user agent, printable ASCII; may be empty."""


@dataclass(frozen=True, slots=True)
class ShareToProve:
    """A share to recompute: pass its hashes to `PoolSide.answer_share`."""

    request_id: RequestId
    share: SubmittedShare


@dataclass(frozen=True, slots=True)
class ShareJudged:
    """A share was checked; an injected wrong answer does not change the result."""

    worker: str
    """Empty if the submission named no authorized worker."""
    height: int
    accepted: bool
    code: int
    """0 if accepted, else one of the codes above; a dialect may send another one."""
    text: str
    difficulty: float
    """Difficulty 1 is 2**32 * 256 / 255 expected hashes; 0 if nothing was recomputed."""


@dataclass(frozen=True, slots=True)
class BlockFound:
    """An accepted share solves the block at the chain's height."""

    worker: str
    height: int
    nonce: int
    final_hash: bytes
    """32 bytes in display order."""


ClientEvent = LoggedIn | ShareToProve | ShareJudged
