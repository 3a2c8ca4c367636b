"""Submits a found block until the node answers, and interprets the answer."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain, count, repeat
from typing import Any

from miner.clock import Clock
from miner.errors import NodeBusy, PoolError
from miner.solo.block_store import FoundBlock
from miner.solo.rpc import IS_STARTING, NodeRpc, RpcAnswer
from miner.solo.template_polling import TemplatePoller
from miner.stratum.outcomes import classify
from miner.stratum.pool_events import Message, SessionListener
from miner.work import Outcome

ANSWER_SECONDS = 60.0
"""Limit of one attempt: the node verifies the block before it answers."""

RETRY_LIMIT = 120.0
"""Seconds after which the submission of a block is given up."""

CURRENT_RETRY_LIMIT = 600.0
"""The same while the node still wants a block of that height."""

CONFIRM_SECONDS = 15.0
"""Limit of a look at the chain."""

RETRY_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0)
"""Pauses between attempts; the last repeats."""

UNKNOWN_HEADER = "Block header hash not found"
FORGOTTEN = (
    "if several rigs share this node, mine with -u ADDRESS: it has forgotten work of this height"
)
"""Advice when a node of the kind `pprpc` no longer knows a header that it gave."""

NOT_JUDGED = frozenset({IS_STARTING, -10, -9, -25, -20, -7, -32603})
"""Error codes of a node that is starting, downloading the chain or has no connections, or could
not verify a block: its disk is full, its database or memory fails, or another internal error."""


TAKEN = {"status": "OK"}
"""Answer of some nodes to a block that they accepted, in place of true."""


@dataclass(frozen=True, slots=True)
class BlockVerdict:
    """The node's answer; `text` is its reason for a refusal."""

    outcome: Outcome
    text: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer within the limit; `reason` is that of the last attempt."""

    reason: str


class Turns:
    """Lets one block at a time use the node: the newest height first, then the best final hash.

    A block of a newer height does not wait for older ones: they may be answered late, and the node
    still wants the newer one.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, str, int, asyncio.Future[None]]] = []
        """Heap of (negative height, final hash, number, turn)."""
        self._numbers = count()
        self._heights: list[int] = []
        """Heights of the blocks whose turn it is."""

    @asynccontextmanager
    async def turn_of(self, block: FoundBlock) -> AsyncIterator[None]:
        """Wait for the turn of `block`, which lasts as long as the context."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        heappush(self._waiting, (-block.height, block.final_hash, next(self._numbers), turn))
        loop.call_soon(self._grant)  # not yet: better blocks may come at the same time
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._heights.remove(block.height)
                self._grant()

    def _grant(self) -> None:
        while self._waiting:
            height, turn = -self._waiting[0][0], self._waiting[0][-1]
            if not turn.cancelled():
                if self._heights and height <= max(self._heights):
                    return
                self._heights.append(height)
                turn.set_result(None)
            heappop(self._waiting)


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
        self._turns = Turns()

    async def submit(
        self, block: FoundBlock, *, was_sent: bool = False
    ) -> BlockVerdict | Unanswered:
        """Submit `block` until it is answered or a retry limit is over; raises nothing.

        `was_sent`: an earlier attempt may have reached the node. Then the block is accepted if it
        is in the chain, regardless of the answer to another attempt.
        """
        began, reported = self._clock.now(), False
        pauses = chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1]))
        while True:
            code = 0
            async with self._turns.turn_of(block):
                try:
                    answer = await self._submitting.call(
                        block.method, list(block.params), ANSWER_SECONDS
                    )
                except PoolError as error:
                    reason = str(error)
                    was_sent = was_sent or not isinstance(error, NodeBusy)
                else:
                    code, reason = answer.code, answer.text
                    if code not in NOT_JUDGED:
                        return await self._verdict(block, answer, was_sent)
            if not reported:
                reported = True
                text = f"no answer to the block of height {block.height} yet: {reason}; retrying"
                self._listener.on_event(Message(text, ours=True))
            pause = self._submitting.pause_after(code, next(pauses))
            current = self._poller.is_current(block.height)
            limit = CURRENT_RETRY_LIMIT if current else RETRY_LIMIT
            if self._clock.now() - began + pause > limit:
                return Unanswered(reason)
            await self._clock.sleep(pause)

    async def is_in_chain(self, block: FoundBlock) -> bool | None:
        """Return whether the node's chain has `block`; None if the node does not answer that."""
        family, is_ethereum, _ = block.method.partition("_")
        try:
            if is_ethereum:
                return await self._is_in_ethereum_chain(block, family)
            block_hash = await self._looked_up("getblockhash", [block.height])
            if not isinstance(block_hash, str):
                return None
            if block_hash.lower() == block.final_hash:
                return True
            # The hash of some coins' blocks is not the final hash; the header has the proof.
            header = await self._looked_up("getblockheader", [block_hash, False])
        except PoolError:
            return None
        return _has_proof(header, block) if isinstance(header, str) else None

    async def _is_in_ethereum_chain(self, block: FoundBlock, family: str) -> bool | None:
        shown = await self._looked_up(f"{family}_getBlockByNumber", [hex(block.height), False])
        if not isinstance(shown, dict):
            return None
        proof = tuple(_number(shown.get(key)) for key in ("nonce", "mixHash"))
        return proof == (block.nonce, int(block.mix_hash, 16))

    async def _looked_up(self, method: str, params: list[Any]) -> Any:
        """Return the node's answer, None for an error."""
        answer = await self._asking.call(method, params, CONFIRM_SECONDS)
        return answer.result if answer.error is None else None

    async def _verdict(self, block: FoundBlock, answer: RpcAnswer, was_sent: bool) -> BlockVerdict:
        outcome, text = self._classified(block, answer)
        if outcome is Outcome.ACCEPTED:
            return BlockVerdict(outcome)
        duplicate = outcome is Outcome.DUPLICATE
        doubtful = duplicate or outcome is Outcome.INVALID or text == "inconclusive"
        if not (doubtful or was_sent):
            return BlockVerdict(outcome, text)
        in_chain = await self.is_in_chain(block)
        if in_chain is None:  # unknown: a duplicate is then the block that we sent before
            in_chain = duplicate and (was_sent or self._poller.kind.duplicate_is_accepted)
        elif not in_chain and duplicate:
            outcome, text = Outcome.STALE, f"{text}, and another block is in the chain"
        return BlockVerdict(Outcome.ACCEPTED) if in_chain else BlockVerdict(outcome, text)

    def _classified(self, block: FoundBlock, answer: RpcAnswer) -> tuple[Outcome, str]:
        result, error = answer.result, answer.error
        if error is None and isinstance(result, str):
            result, error = None, result  # submitblock returns the reason of a refusal
        if error is None and result is False:
            stale = not self._poller.is_current(block.height)
            text = "the node refused it without a reason"
            return (Outcome.STALE if stale else Outcome.INVALID), text
        if error is None and result is not None and result is not True and result != TAKEN:
            return Outcome.INVALID, "the node's answer to it is neither true nor a reason"
        outcome, text = classify(result, error)
        if text == "inconclusive":  # a valid block beside the chain: another one came first
            outcome = Outcome.STALE
        elif text == "duplicate-invalid":
            outcome = Outcome.INVALID
        elif text.startswith(UNKNOWN_HEADER) and self._poller.is_current(block.height):
            text = f"{text}; {FORGOTTEN}"
        return outcome, text


def _has_proof(header: str, block: FoundBlock) -> bool:
    """Return whether a serialized block header in hex has nonce and mix hash of `block`."""
    # Other solutions of one template share everything else, the header hash as well.
    nonce = struct.pack("<Q", block.nonce).hex()
    mix_hash = bytes.fromhex(block.mix_hash)[::-1].hex()
    return nonce in header.lower() and mix_hash in header.lower()


def _number(digits: Any) -> int | None:
    try:
        return int(digits, 16) if isinstance(digits, str) else None
    except ValueError:
        return None
