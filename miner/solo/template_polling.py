"""Polls a node for work and reports it as jobs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, NoReturn

from miner.clock import Clock, first_of, within
from miner.errors import BadValue, ConnectionLost, NoAnswer, NodeBusy, PoolRefused, ProtocolError
from miner.progpow.variant import Variant
from miner.safe_text import short_line
from miner.solo.block import Block, check_successor
from miner.solo.node_kinds import NodeKind, NodeWork
from miner.solo.pending_blocks import PendingBlocks
from miner.solo.rpc import IS_STARTING, NodeRpc, RpcAnswer
from miner.stratum import pool_events
from miner.work import Job, NonceSpace

EXTRA_NONCE_BYTES = 8

POLL_SECONDS = 1.0
"""Interval of looking at a node's tip. Long polls would return sooner, but each holds one of the
four threads with which a Bitcoin-derived node answers all its callers (`rpcthreads`)."""

TEMPLATE_SECONDS = 30.0
"""Age at which a template on the same tip is replaced, for newer transactions. Not shorter: with
new transactions a node of the kind `pprpc` forgets the headers that it gave before."""

TIP_LOOK_LIMIT = 10.0
"""Seconds for the answer to a look at the tip."""

SUCCESSOR_SECONDS = 1.0
"""Longest time for which a job that is over is mined while its successor is awaited."""

NO_WORK_SECONDS = 600.0
"""A node without usable work for this long is left for another pool."""

KEPT_SECONDS = 60.0
"""Age up to which a template is mined while the node's queue of calls is full."""

RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses after the first, second … failure in a row; the last repeats."""

MAX_MESSAGES = 50
"""Different messages of one session."""

NOT_READY: Mapping[int, str] = {
    -9: "the node has no connection to other nodes yet",
    -10: "the node is still downloading the chain",
    IS_STARTING: "the node is still starting",
}
"""Error codes of a node that has no work yet."""

CANNOT_DECODE = -22
"""Error code for a block that the node cannot decode."""

BLOCK_REFUSED = (
    "it would refuse the miner's blocks ({reason}); if the node has a miningaddress=, leave out "
    "the address to pay, else mine with a pool"
)

FINAL: Mapping[int, str] = {
    -32601: "it has no {method}; check that this is the RPC port of a node of this coin",
    -5: "it rejects the request: {text}; check the reward's address",
    -8: "it rejects the request: {text}; check the coin",
}
"""Error codes that do not go away by asking again."""


class TemplatePoller:
    """Polls one node; `where` names the node in errors.

    The listener receives the first usable template as an accepted login, then jobs and messages.
    A job ends when the node has no work, or does not replace one that is known to be over at once.
    All work is remembered in `pending` before its job is reported.
    """

    def __init__(
        self,
        rpc: NodeRpc,
        clock: Clock,
        listener: pool_events.SessionListener,
        pending: PendingBlocks,
        variant: Variant,
        session: int,
        kind: NodeKind,
        address: str,
        where: str,
    ) -> None:
        self._rpc, self._clock, self._listener, self._pending = rpc, clock, listener, pending
        self._variant, self._session = variant, session
        self._api = kind.open(address, secrets.token_bytes(EXTRA_NONCE_BYTES))
        self._where = where
        self._scripts: dict[str, bytes] = {}
        self._newest: NodeWork | None = None
        self._solved_tip: str | None = None
        """The tip on which a block of ours was accepted; work on it is done."""
        self._has_job = False
        self._job_is_over, self._ask_now = asyncio.Event(), asyncio.Event()
        self._reported: set[str] = set()
        self._failures = 0
        self._usable_at = clock.now()
        self.ended = False

    @property
    def kind(self) -> NodeKind:
        """The kind of node in use: `submitblock` in place of `pprpc` for an address to pay."""
        return self._api.kind

    def is_current(self, height: int) -> bool:
        """Return whether the node, as far as known, still wants a block of `height`."""
        newest = self._newest.template.height if self._newest is not None else None
        return not self.ended and newest is not None and newest <= height

    def answered(self, block_height: int, *, accepted: bool) -> None:
        """Ask for work at once if the node answered a block of the newest job's height.

        An accepted block ends the job; after a refusal the node may have other work.
        """
        if self._newest is None or self._newest.template.height != block_height:
            return
        if accepted:
            self._solved_tip = self._newest.template.previous
            self._job_is_over.set()
        self._ask_now.set()

    async def follow(self) -> None:
        """Report jobs until cancelled.

        Raises `PoolRefused` if the settings or the node must be changed, another `PoolError` if
        the node cannot be reached or has no work.
        """
        self._usable_at = self._clock.now()
        try:
            await first_of(self._poll(), self._end_finished_jobs())
        except PoolRefused as error:
            text = str(error)
            # The errors of `NodeRpc` name the node or the cookie file already.
            if self._where in text or text.startswith("cookie file"):
                raise
            raise PoolRefused(f"node {self._where}: {text}", error.cause) from error.__cause__
        finally:
            self.ended = True

    async def _poll(self) -> NoReturn:
        while True:
            self._ask_now.clear()
            try:
                answer = await self._rpc.call(self.kind.work_method, self._api.params())
            except NodeBusy as busy:
                age = self._clock.now() - self._usable_at
                await self._pause(f"{busy}; asking again", keeps_job=age < KEPT_SECONDS)
                continue
            if self._job_is_over.is_set() and self._ask_now.is_set():
                continue  # a block of ours was accepted after the node made this answer
            if answer.error is not None:
                await self._pause(self._refusal(answer), answer.code)
                continue
            try:
                await self._take(answer.result)
            except (NodeBusy, ProtocolError, BadValue) as problem:
                await self._pause(f"the node's work cannot be mined: {problem}; asking again")
                continue
            self._failures = 0
            self._usable_at = self._clock.now()
            await self._await_poll_time()

    async def _end_finished_jobs(self) -> NoReturn:
        """End each job that is over and has no successor after `SUCCESSOR_SECONDS`."""
        while True:
            await self._job_is_over.wait()
            await self._clock.sleep(SUCCESSOR_SECONDS)
            if self._job_is_over.is_set():
                self._end_job()

    def _end_job(self) -> None:
        if self._has_job:
            self._has_job = False
            self._listener.on_event(pool_events.JobEnded())

    async def _await_poll_time(self) -> None:
        """Return when the node should be asked for work again."""
        interval = self.kind.poll_seconds
        until = self._clock.now() + (interval or TEMPLATE_SECONDS)
        while (left := until - self._clock.now()) > 0:
            if await within(self._clock, min(left, POLL_SECONDS), self._ask_now.wait()):
                return
            if interval is not None:
                continue
            try:
                tip_is_new = await self._tip_is_new()
            except (NodeBusy, NoAnswer) as busy:  # all its threads may be held by others
                self._report_once(type(busy).__name__, f"{busy}; trying again")
                continue
            if tip_is_new:
                self._job_is_over.set()
            if tip_is_new is not False:
                return

    async def _tip_is_new(self) -> bool | None:
        """Look at the node's tip; None if it has no usable answer."""
        answer = await self._rpc.call("getbestblockhash", [], TIP_LOOK_LIMIT)
        tip = answer.result
        if answer.error is not None or not isinstance(tip, str) or self._newest is None:
            return None
        return tip.lower() != self._newest.template.previous

    async def _take(self, result: Any) -> None:
        """Report the job of an answer, unless it is the last one and still mined."""
        for address in self._api.payees(result):
            if address not in self._scripts:
                self._scripts[address] = await self._script(address)
        work = self._api.read(result, self._scripts)
        last = self._newest
        if work.template.previous == self._solved_tip:
            raise ProtocolError("a block of ours solved it already")
        check_successor(work.template, last.template if last else None)
        if last is None and work.block is not None:
            await self._check_block(work.block)
        job = self._job(work, last)
        self._newest = work
        self._job_is_over.clear()
        self._pending.remember(self._api, work)
        if last is None:
            self._listener.on_event(pool_events.Subscribed(NonceSpace()))
            self._listener.on_event(pool_events.Authorized())
        elif self._has_job and (last.header_hash, last.template) == (
            work.header_hash,
            work.template,
        ):
            return
        self._has_job = True
        self._listener.on_event(pool_events.JobReceived(job))

    def _job(self, work: NodeWork, last: NodeWork | None) -> Job:
        template = work.template
        epoch = self._variant.epoch_at(template.height)
        if work.epoch is not None and work.epoch != epoch.number:
            self._report_once(
                "epoch",
                f"the node counts height {template.height} to epoch {work.epoch}, and "
                f"{self._variant.name} to epoch {epoch.number}, which is mined; if blocks are "
                "refused, check the algorithm",
            )
        return Job(
            session=self._session, id=work.header_hash.hex(), variant=self._variant,
            header_hash=work.header_hash, height=template.height, epoch=epoch,
            share_target=template.target, nonces=NonceSpace(), block_target=template.target,
            clean=last is None or last.template.previous != template.previous,
        )  # fmt: skip

    async def _script(self, address: str) -> bytes:
        """Return the output script that pays `address`; only the node knows its chain's forms."""
        answer = await self._rpc.call("validateaddress", [address])
        result = answer.result if isinstance(answer.result, dict) else {}
        digits = result.get("scriptPubKey")
        if answer.error is None and result.get("isvalid") is False:
            raise PoolRefused(f"{address[:100]} is not an address of the node's chain; correct it")
        try:
            script = bytes.fromhex(digits) if isinstance(digits, str) else b""
        except ValueError:
            script = b""
        if not script:
            raise ProtocolError(f"the node returned no script for {address[:100]}")
        return script

    async def _check_block(self, block: Block) -> None:
        """Have the node check an assembled block, apart from its proof of work (BIP23).

        Raises `PoolRefused` if the coin wants another kind of block. Other answers do not count:
        not every node knows proposals, and the tip may have changed.
        """
        data = block.solved(0, bytes(32)).hex()
        request = {**(self.kind.request or {}), "mode": "proposal", "data": data}
        answer = await self._rpc.call(self.kind.work_method, [request])
        reason = answer.result if isinstance(answer.result, str) else ""
        if answer.error is None and reason.startswith("bad-cb"):
            raise PoolRefused(BLOCK_REFUSED.format(reason=short_line(reason)))
        if answer.code == CANNOT_DECODE:
            raise PoolRefused(BLOCK_REFUSED.format(reason=answer.text))

    def _refusal(self, answer: RpcAnswer) -> str:
        """Return the message for a node without work; raises `PoolRefused` for a final error."""
        if (final := FINAL.get(answer.code)) and self._newest is None:
            raise PoolRefused(final.format(method=self.kind.work_method, text=answer.text))
        reason = NOT_READY.get(answer.code, f"the node has no work (error {answer.code})")
        return f"{reason} (its message: {answer.text}); asking again"

    async def _pause(self, reason: str, code: int = 0, *, keeps_job: bool = False) -> None:
        """End the job unless it is kept, report a failure once, then wait; `code` is the node's
        error.

        Raises `ConnectionLost` after `NO_WORK_SECONDS`.
        """
        if not keeps_job:
            self._end_job()
        self._report_once(reason, reason)
        if self._clock.now() - self._usable_at >= NO_WORK_SECONDS:
            minutes = NO_WORK_SECONDS / 60
            raise ConnectionLost(f"node {self._where}: no work for {minutes:g} minutes; {reason}")
        pause = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1
        await self._clock.sleep(self._rpc.pause_after(code, pause))

    def _report_once(self, topic: str, text: str) -> None:
        if topic not in self._reported and len(self._reported) < MAX_MESSAGES:
            self._reported.add(topic)
            self._listener.on_event(pool_events.Message(text, ours=True))
