"""How a found block is brought to its node, until the node has said what it thinks of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from miner.clock import Clock
from miner.errors import PoolError
from miner.solo.node_kinds import Flavour
from miner.solo.pending_blocks import FoundBlock
from miner.solo.rpc import NodeRpc, RpcAnswer
from miner.stratum.outcomes import classify
from miner.work import Outcome

ANSWER_SECONDS = 60.0
"""For one try: the node verifies the block before it answers."""

LEAST_SECONDS = 120.0
"""Tries go on at least so long."""

MOST_SECONDS = 600.0
"""Tries go on so long where the block's height is still the one to be found."""

CONFIRM_SECONDS = 15.0

PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
"""Seconds between tries; the last of them again and again."""

NOT_READY = frozenset({-28, -10, -9})
"""Errors of a node that is starting, downloading the chain or alone: it judged nothing."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The node's answer, as a verdict tells it."""

    outcome: Outcome
    text: str = ""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """No answer could be had; `reason` is that of the last try."""

    reason: str


class Delivery:
    """Submits over `submitting`, whose connections nothing else uses, and asks `asking` whether
    the chain has the block; `is_current` tells whether a height is still to be found, and `tell`
    is told once of each block that has no answer at the first try."""

    def __init__(
        self,
        submitting: NodeRpc,
        asking: NodeRpc,
        clock: Clock,
        is_current: Callable[[int], bool],
        tell: Callable[[str], None],
    ) -> None:
        self._submitting, self._asking, self._clock = submitting, asking, clock
        self._is_current, self._tell = is_current, tell

    async def deliver(
        self, found: FoundBlock, flavour: type[Flavour] | None, *, sent_before: bool = False
    ) -> Delivered | Undelivered:
        """Submit `found` until it is answered, at least `LEAST_SECONDS` long; raises nothing.

        `sent_before` says that an earlier try may have reached the node: then it having the
        block is success, whatever it answers to another one.
        """
        began, told = self._clock.now(), False
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            try:
                answer = await self._submitting.call(
                    found.method, list(found.params), ANSWER_SECONDS
                )
            except PoolError as error:
                reason, sent_before = str(error), True
            else:
                if answer.code not in NOT_READY:
                    return await self._judged(found, answer, flavour, sent_before)
                reason = answer.text
            if not told:
                told = True
                self._tell(
                    f"the block of height {found.height} has no answer yet: {reason}; it is sent "
                    "again"
                )
            passed = self._clock.now() - began
            limit = MOST_SECONDS if self._is_current(found.height) else LEAST_SECONDS
            if passed + pause > limit:
                return Undelivered(reason)
            await self._clock.sleep(pause)
        raise AssertionError("repeat() does not end")

    async def is_in_chain(self, found: FoundBlock) -> bool | None:
        """Return whether the node's chain holds `found`; None where it cannot be told."""
        try:
            block = await self._block_at(found)
        except PoolError:
            return None
        return None if block is None else _is_of(block, found)

    async def _judged(
        self, found: FoundBlock, answer: RpcAnswer, flavour: type[Flavour] | None, sent_before: bool
    ) -> Delivered:
        outcome, text = self._meaning(found, answer)
        if outcome is Outcome.ACCEPTED:
            return Delivered(outcome)
        known = outcome is Outcome.DUPLICATE
        if known and (sent_before or (flavour is not None and flavour.duplicate_is_accepted)):
            return Delivered(Outcome.ACCEPTED)
        unsure = known or sent_before or text == "inconclusive"
        if unsure and await self.is_in_chain(found):
            return Delivered(Outcome.ACCEPTED)
        return Delivered(outcome, text)

    def _meaning(self, found: FoundBlock, answer: RpcAnswer) -> tuple[Outcome, str]:
        result, error = answer.result, answer.error
        if error is None and isinstance(result, str):
            result, error = None, result
        if error is None and result is False:
            late = not self._is_current(found.height)
            text = "the node refused it without a reason"
            return (Outcome.STALE if late else Outcome.INVALID), text
        outcome, text = classify(result, error)
        match text:
            case "inconclusive":
                # A valid block beside the chain: another one of its height came first.
                return Outcome.STALE, text
            case "duplicate-invalid":
                return Outcome.INVALID, text
        return outcome, text

    async def _block_at(self, found: FoundBlock) -> Any:
        """What the node shows of the block at the height of `found`: a hash or an object."""
        family, ethereum, _ = found.method.partition("_")
        if ethereum:
            params = [hex(found.height), False]
            answer = await self._asking.call(f"{family}_getBlockByNumber", params, CONFIRM_SECONDS)
            return answer.result if answer.error is None else None
        answer = await self._asking.call("getblockhash", [found.height], CONFIRM_SECONDS)
        block_hash = answer.result if answer.error is None else None
        if not isinstance(block_hash, str) or block_hash.lower() == found.final_hash:
            return block_hash
        answer = await self._asking.call("getblock", [block_hash], CONFIRM_SECONDS)
        return answer.result if answer.error is None else None


def _is_of(block: Any, found: FoundBlock) -> bool:
    """Whether what a node shows of a block carries what nothing but `found` has: KawPow-like
    coins name a block by its final hash, others show the mix hash or the nonce somewhere."""
    shown = block.values() if isinstance(block, dict) else [block]
    marks = {found.final_hash, found.mix_hash, found.header_hash, f"{found.nonce:016x}"}
    for value in shown:
        if isinstance(value, str) and value.lower().removeprefix("0x") in marks:
            return True
        if isinstance(value, int) and not isinstance(value, bool) and value == found.nonce > 2**32:
            return True
    return False
