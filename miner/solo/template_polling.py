"""Polls a node for work and reports it as jobs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, NoReturn

from miner.clock import Clock, first_of
from miner.errors import BadValue, ConnectionLost, PoolError, PoolRefused, ProtocolError
from miner.progpow.variant import Variant
from miner.solo.block_template import check_successor
from miner.solo.node_kinds import PPRPC, SUBMITBLOCK, NodeKind, NodeWork
from miner.solo.pending_blocks import PendingBlocks
from miner.solo.rpc import NodeRpc, RpcAnswer
from miner.stratum.pool_events import Authorized, JobReceived, Message, SessionListener, Subscribed
from miner.work import Job, NonceSpace

EXTRA_NONCE_BYTES = 8

POLL_SECONDS = 1.0
"""Between two looks at the tip of a node without long polls; least time between two long polls."""

TIP_LOOKS_PER_TEMPLATE = 5
"""Looks after which a node without long polls is asked for a template on the same tip."""

LONG_POLL_SECONDS = 600.0
"""A node answers a long poll at a new tip or with new transactions. That takes long on a quiet
chain, and each abandoned poll keeps one of the node's few threads busy."""

TIP_LOOK_SECONDS = 30.0
"""Between two looks at the tip during a long poll, in case the poll hangs."""

TIP_LOOK_LIMIT = 10.0
"""Seconds for the answer to a look at the tip."""

NO_WORK_SECONDS = 600.0
"""A node without usable work for so long is left, so that another pool has its turn."""

RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses after the first, second … failure in a row; the last repeats."""

MAX_MESSAGES = 50
"""Different messages of one session."""

NOT_READY: Mapping[int, str] = {
    -9: "the node has no connection to other nodes yet",
    -10: "the node is still downloading the chain",
    -28: "the node is still starting",
}
"""Error codes of a node that has no work yet."""

FINAL: Mapping[int, str] = {
    -32601: "it has no {method}; check that this is the RPC port of a node of this coin",
    -5: "it rejects the request: {text}; check the reward's address",
    -8: "it rejects the request: {text}; check the coin",
}
"""Error codes that do not go away by asking again."""


class TemplatePoller:
    """Polls one node; `where` names the node in errors.

    The listener receives the first usable template as an accepted login, then jobs and messages.
    Without a `kind` the node's first template decides. All work is remembered in `pending` before
    its job is reported.
    """

    def __init__(
        self,
        rpc: NodeRpc,
        clock: Clock,
        listener: SessionListener,
        pending: PendingBlocks,
        variant: Variant,
        session: int,
        kind: NodeKind | None,
        address: str,
        where: str,
    ) -> None:
        self._rpc, self._clock, self._listener, self._pending = rpc, clock, listener, pending
        self._variant, self._session = variant, session
        self._address, self._where = address, where
        self._extra_nonce = secrets.token_bytes(EXTRA_NONCE_BYTES)
        self._api = kind.open(address, self._extra_nonce) if kind is not None else None
        self._scripts: dict[str, bytes] = {}
        self._newest: NodeWork | None = None
        self._reported: set[str] = set()
        self._failures = 0
        self._usable_at = clock.now()
        self.ended = False

    @property
    def kind(self) -> NodeKind | None:
        """The kind of node, None if it is unknown so far."""
        return self._api.kind if self._api is not None else None

    def is_current(self, height: int) -> bool:
        """Return whether the node, as far as known, still wants a block of `height`."""
        newest = self._newest.template.height if self._newest is not None else None
        return not self.ended and newest is not None and newest <= height

    async def follow(self) -> NoReturn:
        """Report jobs until cancelled.

        Raises `PoolRefused` if the settings or the node must be changed, another `PoolError` if
        the node cannot be reached or has no work.
        """
        self._usable_at = self._clock.now()
        try:
            await self._follow()
        except PoolRefused as error:
            text = str(error)
            # The errors of `NodeRpc` name the node or the cookie file already.
            if self._where in text or text.startswith("cookie file"):
                raise
            raise PoolRefused(f"node {self._where}: {text}") from error.__cause__
        finally:
            self.ended = True

    async def _follow(self) -> NoReturn:
        long_poll_id: str | None = None
        while True:
            asked_at = self._clock.now()
            answer = await self._ask(long_poll_id)
            long_poll_id = None
            if answer is None:
                continue
            if answer.error is not None:
                await self._pause(self._refusal(answer))
                continue
            try:
                work, tip_is_new = await self._take(answer.result)
            except (ProtocolError, BadValue) as problem:
                await self._pause(f"the node's work cannot be mined: {problem}; asking again")
                continue
            self._failures = 0
            self._usable_at = self._clock.now()
            long_poll_id = work.template.long_poll_id
            if long_poll_id is None:
                await self._await_poll_time()
            elif not tip_is_new and (left := asked_at + POLL_SECONDS - self._clock.now()) > 0:
                await self._clock.sleep(left)

    async def _ask(self, long_poll_id: str | None) -> RpcAnswer | None:
        """Ask for work; None if a long poll was abandoned and a plain request is due."""
        api = self._api or PPRPC.open(self._address, self._extra_nonce)
        method, params = api.kind.work_method, api.params(long_poll_id)
        if long_poll_id is None:
            return await self._rpc.call(method, params)
        limit = LONG_POLL_SECONDS + POLL_SECONDS
        return await first_of(self._rpc.call(method, params, limit), self._await_tip_change())

    async def _await_tip_change(self) -> None:
        """Return when a long poll should be abandoned: the tip is another one, the node does not
        answer, or `LONG_POLL_SECONDS` are over."""
        until = self._clock.now() + LONG_POLL_SECONDS
        while self._clock.now() < until:
            await self._clock.sleep(TIP_LOOK_SECONDS)
            try:
                if await self._tip_is_new():
                    return
            except PoolError:
                return

    async def _tip_is_new(self) -> bool | None:
        """Look at the node's tip; None if it has no usable answer."""
        answer = await self._rpc.call("getbestblockhash", [], TIP_LOOK_LIMIT)
        tip = answer.result
        if answer.error is not None or not isinstance(tip, str) or self._newest is None:
            return None
        return tip.lower() != self._newest.template.previous

    async def _await_poll_time(self) -> None:
        """Return when a node without long polls should be asked for work again."""
        if self.kind is not None and self.kind.poll_seconds is not None:
            await self._clock.sleep(self.kind.poll_seconds)
            return
        for _ in range(TIP_LOOKS_PER_TEMPLATE):
            await self._clock.sleep(POLL_SECONDS)
            if await self._tip_is_new() is not False:
                return

    async def _take(self, result: Any) -> tuple[NodeWork, bool]:
        """Report the job of an answer unless it is the last one; return the work, and whether its
        tip is new."""
        api = self._api or self._detected_kind(result).open(self._address, self._extra_nonce)
        for address in api.payees(result):
            if address not in self._scripts:
                self._scripts[address] = await self._script(address)
        work = api.read(result, self._scripts)
        last = self._newest
        check_successor(work.template, last.template if last else None)
        job = self._job(work, last)
        self._api, self._newest = api, work
        self._pending.remember(api, work)
        if last is None:
            self._listener.on_event(Subscribed(NonceSpace()))
            self._listener.on_event(Authorized())
        elif (last.header_hash, last.template.target) == (work.header_hash, work.template.target):
            return work, False
        self._listener.on_event(JobReceived(job))
        return work, job.clean

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
            session=self._session,
            id=work.header_hash.hex(),
            variant=self._variant,
            header_hash=work.header_hash,
            height=template.height,
            epoch=epoch,
            share_target=template.target,
            nonces=NonceSpace(),
            block_target=template.target,
            clean=last is None or last.template.previous != template.previous,
        )

    def _detected_kind(self, result: Any) -> NodeKind:
        if isinstance(result, dict) and "pprpcheader" not in result and self._address:
            return SUBMITBLOCK
        return PPRPC

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

    def _refusal(self, answer: RpcAnswer) -> str:
        """Return the message for a node without work; raises `PoolRefused` for a final error."""
        method = self.kind.work_method if self.kind is not None else PPRPC.work_method
        if (final := FINAL.get(answer.code)) and self._newest is None:
            raise PoolRefused(final.format(method=method, text=answer.text))
        reason = NOT_READY.get(answer.code, f"the node has no work (error {answer.code})")
        return f"{reason} (its message: {answer.text}); asking again"

    async def _pause(self, reason: str) -> None:
        """Report a failure once, then wait; raises `ConnectionLost` after `NO_WORK_SECONDS`."""
        self._report_once(reason, reason)
        if self._clock.now() - self._usable_at >= NO_WORK_SECONDS:
            minutes = NO_WORK_SECONDS / 60
            raise ConnectionLost(f"node {self._where}: no work for {minutes:g} minutes; {reason}")
        pause = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1
        await self._clock.sleep(pause)

    def _report_once(self, topic: str, text: str) -> None:
        if topic not in self._reported and len(self._reported) < MAX_MESSAGES:
            self._reported.add(topic)
            self._listener.on_event(Message(text, ours=True))
