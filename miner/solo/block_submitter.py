"""Submits a found block until the node answers it, and interprets the answer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from miner.clock import Clock
from miner.errors import PoolError
from miner.solo.block_store import FoundBlock
from miner.solo.rpc import NodeRpc, RpcAnswer
from miner.solo.template_polling import TemplatePoller
from miner.stratum.outcomes import classify
from miner.stratum.pool_events import Message, SessionListener
from miner.work import Outcome

ANSWER_SECONDS = 60.0
"""Limit of one attempt: the node verifies the block before it answers."""

RETRY_LIMIT = 120.0
"""Seconds after which the submission of a block is given up."""

CURRENT_RETRY_LIMIT = 600.0
"""The same while the node still wants a block of its height."""

CONFIRM_SECONDS = 15.0
"""Limit of a look at the chain."""

RETRY_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
"""Pauses between attempts; the last repeats."""

NOT_JUDGED = frozenset({-28, -10, -9})
"""Error codes of a node that is starting, downloading the chain or has no connections."""


@dataclass(frozen=True, slots=True)
class BlockVerdict:
    """The node's answer; `text` is its reason for a refusal."""

    outcome: Outcome
    text: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer within the limit; `reason` is that of the last attempt."""

    reason: str


class BlockSubmitter:
    """Submits over `submitting`, whose connections nothing else uses.

    `asking` looks at the chain after doubtful answers, `poller` knows the current height. The
    listener receives a message for each block that has no answer at the first attempt.
    """

    def __init__(
        self,
        submitting: NodeRpc,
        asking: NodeRpc,
        clock: Clock,
        poller: TemplatePoller,
        listener: SessionListener,
    ) -> None:
        self._submitting, self._asking, self._clock = submitting, asking, clock
        self._poller, self._listener = poller, listener

    async def submit(
        self, block: FoundBlock, *, was_sent: bool = False
    ) -> BlockVerdict | Unanswered:
        """Submit `block` until it is answered or a retry limit is over; raises nothing.

        `was_sent`: an earlier attempt may have reached the node. Then the block is accepted if it
        is in the chain, whatever the node answers to another attempt.
        """
        began, reported = self._clock.now(), False
        pauses = chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1]))
        while True:
            try:
                answer = await self._submitting.call(
                    block.method, list(block.params), ANSWER_SECONDS
                )
            except PoolError as error:
                reason, was_sent = str(error), True
            else:
                if answer.code not in NOT_JUDGED:
                    return await self._verdict(block, answer, was_sent)
                reason = answer.text
            if not reported:
                reported = True
                text = f"no answer to the block of height {block.height} yet: {reason}; retrying"
                self._listener.on_event(Message(text, ours=True))
            pause = next(pauses)
            current = self._poller.is_current(block.height)
            limit = CURRENT_RETRY_LIMIT if current else RETRY_LIMIT
            if self._clock.now() - began + pause > limit:
                return Unanswered(reason)
            await self._clock.sleep(pause)

    async def is_in_chain(self, block: FoundBlock) -> bool | None:
        """Return whether the node's chain has `block`; None if the node does not answer that."""
        try:
            shown = await self._block_at(block)
        except PoolError:
            return None
        return None if shown is None else _is_same_block(shown, block)

    async def _verdict(self, block: FoundBlock, answer: RpcAnswer, was_sent: bool) -> BlockVerdict:
        outcome, text = self._classified(block, answer)
        if outcome is Outcome.ACCEPTED:
            return BlockVerdict(outcome)
        duplicate = outcome is Outcome.DUPLICATE
        kind = self._poller.kind
        if duplicate and (was_sent or (kind is not None and kind.duplicate_is_accepted)):
            return BlockVerdict(Outcome.ACCEPTED)
        doubtful = duplicate or was_sent or text == "inconclusive"
        if doubtful and await self.is_in_chain(block):
            return BlockVerdict(Outcome.ACCEPTED)
        return BlockVerdict(outcome, text)

    def _classified(self, block: FoundBlock, answer: RpcAnswer) -> tuple[Outcome, str]:
        result, error = answer.result, answer.error
        if error is None and isinstance(result, str):
            result, error = None, result  # submitblock returns the reason of a refusal
        if error is None and result is False:
            stale = not self._poller.is_current(block.height)
            text = "the node refused it without a reason"
            return (Outcome.STALE if stale else Outcome.INVALID), text
        outcome, text = classify(result, error)
        if text == "inconclusive":  # a valid block beside the chain: another one came first
            outcome = Outcome.STALE
        elif text == "duplicate-invalid":
            outcome = Outcome.INVALID
        return outcome, text

    async def _block_at(self, block: FoundBlock) -> Any:
        """Return the chain's block at the height of `block`: a hash or an object, None if the
        node shows none."""
        family, is_ethereum, _ = block.method.partition("_")
        if is_ethereum:
            params = [hex(block.height), False]
            answer = await self._asking.call(f"{family}_getBlockByNumber", params, CONFIRM_SECONDS)
            return answer.result if answer.error is None else None
        answer = await self._asking.call("getblockhash", [block.height], CONFIRM_SECONDS)
        block_hash = answer.result if answer.error is None else None
        if not isinstance(block_hash, str) or block_hash.lower() == block.final_hash:
            return block_hash
        answer = await self._asking.call("getblock", [block_hash], CONFIRM_SECONDS)
        return answer.result if answer.error is None else None


def _is_same_block(shown: Any, block: FoundBlock) -> bool:
    # KawPow-like coins identify a block by its final hash; others show mix hash or nonce, under
    # different keys.
    values = shown.values() if isinstance(shown, dict) else [shown]
    marks = {block.final_hash, block.mix_hash, block.header_hash, f"{block.nonce:016x}"}
    for value in values:
        if isinstance(value, str) and value.lower().removeprefix("0x") in marks:
            return True
        if isinstance(value, int) and not isinstance(value, bool) and value == block.nonce > 2**32:
            return True
    return False
