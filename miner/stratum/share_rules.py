"""The rules by which the test pool accepts or refuses shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from miner.stratum.chain import Chain, Template
from miner.stratum.difficulty import DIFF1_KAWPOW
from miner.work import NonceSpace

OTHER = 20
JOB_NOT_FOUND = 21
DUPLICATE = 22
LOW_DIFFICULTY = 23
UNAUTHORIZED = 24
OUT_OF_RANGE = 24
NOT_SUBSCRIBED = 25


class Refusal(NamedTuple):
    """Why a request is not granted: one of the codes above with a text."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A template as one client was told it."""

    template: Template
    share_target: int
    """What a share is held to: the easiest target told for this offer of late."""
    nonces: NonceSpace
    """Those that the client was to search."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A submission whose parts have the right form. Hashes are 32 bytes in display order."""

    worker: str
    offer: Offer | None
    """None: the job that it names was never offered or is long gone."""
    nonce: int
    header_hash: bytes | None = None
    """None where the dialect does not repeat it."""
    mix_hash: bytes | None = None
    """None where the dialect leaves it to the pool."""


@dataclass(frozen=True, slots=True)
class SubmittedShare:
    """A share that passed every check but the recomputing of its hashes."""

    worker: str
    template: Template
    share_target: int
    nonce: int
    mix_hash: bytes | None
    """What the client claims, 32 bytes in display order; None: nothing."""

    @property
    def target(self) -> int:
        """The easier of share and block target: a block above the share target is taken too."""
        return max(self.share_target, self.template.block_target)


@dataclass(frozen=True, slots=True)
class ShareResult:
    """What became of one share when its hashes were recomputed."""

    refusal: Refusal | None
    """None: accepted."""
    difficulty: float
    """Difficulty 1 is 2**32 * 256 / 255 expected hashes; 0 for a share with a wrong mix hash."""
    is_block: bool = False


class ShareRules:
    """Judges shares by the templates of `chain`, remembering which nonces came before."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._seen: dict[bytes, set[int]] = {}

    def check(self, claim: Claim) -> SubmittedShare | Refusal:
        """Make every check that costs nothing.

        A share that passes counts as seen, whatever is found when it is recomputed.
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

    def evaluate(self, share: SubmittedShare, mix_hash: bytes, final_hash: bytes) -> ShareResult:
        """Return the result for `share` from the recomputed hashes, 32 bytes each in display order.

        It solves a block only as long as the chain is at its height.
        """
        template = share.template
        if share.mix_hash not in (None, mix_hash):
            return ShareResult(Refusal(OTHER, "invalid mix hash"), 0.0)
        value = int.from_bytes(final_hash, "big")
        difficulty = DIFF1_KAWPOW / max(value, 1)
        if value > share.target:
            wanted = DIFF1_KAWPOW / share.target
            text = f"low difficulty share of {difficulty:.6g}, wanted is {wanted:.6g}"
            return ShareResult(Refusal(LOW_DIFFICULTY, text), difficulty)
        is_block = value <= template.block_target and not self._chain.is_stale(template)
        return ShareResult(None, difficulty, is_block)

    def forget_old(self) -> None:
        """Drop the nonces of headers that the chain no longer knows."""
        known = self._chain.headers()
        self._seen = {header: seen for header, seen in self._seen.items() if header in known}


RequestId = int | str | None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The client authorized its first worker."""

    worker: str
    agent: str
    """What the client calls itself, printable ASCII; may be empty."""


@dataclass(frozen=True, slots=True)
class ShareToProve:
    """A share that only recomputing can judge: pass the hashes to `PoolSide.answer_share`."""

    request_id: RequestId
    share: SubmittedShare


@dataclass(frozen=True, slots=True)
class ShareJudged:
    """A share was judged, whatever the client was told of it."""

    worker: str
    """Empty where the submission named no authorized one."""
    height: int
    accepted: bool
    code: int
    """0 when accepted, else the judge's code, which dialects put in their own ways."""
    text: str
    difficulty: float
    """Difficulty 1 is 2**32 * 256 / 255 expected hashes; 0 where nothing was recomputed."""


@dataclass(frozen=True, slots=True)
class BlockFound:
    """An accepted share solves the block at the chain's height."""

    worker: str
    height: int
    nonce: int
    final_hash: bytes
    """32 bytes in display order."""


ClientEvent = LoggedIn | ShareToProve | ShareJudged
