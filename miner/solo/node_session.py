"""Sessions with a node: its templates become jobs, solutions become blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

from miner.clock import Clock, first_of, within
from miner.errors import PoolError
from miner.net.address import DEFAULT_PASSWORD, PoolUrl
from miner.progpow.variant import Variant
from miner.resources import cache_directory, state_directory
from miner.solo.block_store import BLOCKS, BlockStore, FoundBlock, move_blocks
from miner.solo.block_submitter import (
    ANSWER_SECONDS,
    RETRY_LIMIT,
    BlockSubmitter,
    BlockVerdict,
    Unanswered,
)
from miner.solo.node_kinds import NODE_KINDS, PPRPC, NodeKind
from miner.solo.pending_blocks import PendingBlock, PendingBlocks
from miner.solo.rpc import NodeRpc
from miner.solo.template_polling import TemplatePoller
from miner.stratum.pool_events import Message, SessionListener, ShareWritten
from miner.work import Outcome, Solution, Verdict


class NodeSessions:
    """Opens sessions with nodes; keeps each node's pending blocks from one session to the next.

    `kind` is a key of `NODE_KINDS`; None: "pprpc", or "submitblock" for a URL with an address to
    pay. URLs with the protocol "getwork" get the kind of that name, unless `kind` is "sero".
    """

    def __init__(self, variant: Variant, kind: str | None, clock: Clock, agent: str) -> None:
        self._variant, self._kind, self._clock, self._agent = variant, kind, clock, agent
        self._pending: dict[tuple[str, int], PendingBlocks] = {}
        self._blocks: Path | None = None
        """The folder of found blocks, once it is in use."""

    def open(self, number: int, url: PoolUrl, listener: SessionListener) -> NodeSession:
        """Return session `number` with the node at `url`, not running yet."""
        name = self._kind
        if url.protocol == "getwork" and name != "sero":
            name = "getwork"
        pending = self._pending.get((url.host, url.port))
        if pending is None:
            store = BlockStore(self._blocks_folder(listener), url.host, url.port)
            pending = self._pending[url.host, url.port] = PendingBlocks(store, listener)
        pending.listener = listener
        return NodeSession(
            number, url, self._variant, NODE_KINDS[name] if name is not None else PPRPC,
            self._clock, listener, pending, self._agent,
        )  # fmt: skip

    def _blocks_folder(self, listener: SessionListener) -> Path:
        if self._blocks is None:
            self._blocks = state_directory() / BLOCKS
            old = cache_directory() / BLOCKS  # where earlier versions kept them
            try:
                move_blocks(old, self._blocks)
            except OSError as error:
                text = (
                    f"{old}: the found blocks there cannot be moved to {self._blocks} "
                    f"({error.strerror}); move them yourself, then start again"
                )
                listener.on_event(Message(text, ours=True))
        return self._blocks


class NodeSession:
    """One session with a node; `number` is that of its jobs.

    The listener receives the first usable template as an accepted login, then jobs and messages,
    and verdicts. Each submitted solution ends in one verdict, from this session, the next one
    with this node, or `PendingBlocks.close`.
    """

    resumable = None
    """None: a node has no sessions that could be resumed."""

    def __init__(
        self,
        number: int,
        url: PoolUrl,
        variant: Variant,
        kind: NodeKind,
        clock: Clock,
        listener: SessionListener,
        pending: PendingBlocks,
        agent: str,
    ) -> None:
        self.number = number
        self.backlog = pending
        """Takes solutions after the end of the session."""
        self._clock, self._listener = clock, listener
        self._asking = NodeRpc(url, clock, agent)
        self._submitting = NodeRpc(url, clock, agent, keep_alive=False)
        where = f"{url.host}, port {url.port}"
        self._poller = TemplatePoller(
            self._asking, clock, listener, pending, variant, number, kind,
            _reward_address(url, kind), where,
        )  # fmt: skip
        self._submitter = BlockSubmitter(
            self._submitting, self._asking, clock, self._poller, listener
        )
        self._in_flight: dict[FoundBlock, PendingBlock] = {}
        self._idle = asyncio.Event()
        """Set while no block is in flight."""
        self._none_new = asyncio.Event()
        """Set while each block in flight was also sent by an earlier session."""
        self._update_idle()
        self._group: asyncio.TaskGroup | None = None
        self._submissions: set[asyncio.Task[None]] = set()
        self._end_reason = ""
        self._leave_reason: str | None = None
        self._leave = asyncio.Event()

    async def run(self) -> str:
        """Mine until `leave` and return its reason.

        Raises `PoolRefused` for refused credentials or a node that must be set up in another way,
        `ConnectionLost` or `ProtocolError` if the node cannot be used; a block in flight delays
        that. Afterwards all connections are closed, and unanswered blocks stay in their files and
        in `backlog` for the next session.
        """
        reason = None
        try:
            async with self._asking, self._submitting:
                reason = await self._run()
        except PoolError as error:
            reason = str(error)
            raise
        finally:
            self._end(reason)
        return reason

    def submit(self, solution: Solution) -> None:
        """Submit `solution` at once; each (header, nonce) only once."""
        self.backlog.take(solution, self._end_reason or "no connection was made")

    def send_block(self, pending: PendingBlock) -> None:
        self._in_flight[pending.block] = pending
        self._idle.clear()
        if not pending.was_sent:
            self._none_new.clear()
            self._listener.on_event(ShareWritten(pending.solution))
        self._start(self._submit(pending))

    def leave(self, reason: str) -> None:
        """End the session; the files of unanswered blocks stay."""
        self._leave_reason = self._leave_reason or reason
        self._leave.set()

    async def drained(self) -> None:
        await self._idle.wait()

    async def _run(self) -> str:
        failure: PoolError | None = None
        async with asyncio.TaskGroup() as group:
            self._group = group
            for block in self.backlog.kept_blocks():
                self._start(self._submit_kept(block))
            self.backlog.attach(self)
            try:
                await first_of(self._poller.follow(), self._leave.wait())
            except PoolError as error:
                failure = error
                # New blocks may still reach the node. Those that an earlier session tried for
                # long do not delay the turn of another pool.
                ending = first_of(self._none_new.wait(), self._leave.wait())
                await within(self._clock, RETRY_LIMIT + ANSWER_SECONDS, ending)
            self.backlog.detach()
            for task in self._submissions:
                task.cancel()
        if failure is not None and self._leave_reason is None:
            raise failure from failure.__cause__
        return self._leave_reason or ""

    def _start(self, submission: Coroutine[None, None, None]) -> None:
        assert self._group is not None
        task = self._group.create_task(submission)
        self._submissions.add(task)
        task.add_done_callback(self._submissions.discard)

    async def _submit(self, pending: PendingBlock) -> None:
        began, block = self._clock.now(), pending.block
        match await self._submitter.submit(block, was_sent=pending.was_sent):
            case BlockVerdict(outcome, text):
                self._answered(block, outcome)
                seconds = self._clock.now() - began
                self._finish(block, Verdict(pending.solution, outcome, text, seconds))
                if outcome is Outcome.ACCEPTED:
                    await self._confirm(block)
            case Unanswered(reason) if self._poller.ended:
                self._put_off(pending, reason)
            case Unanswered(reason):
                # The node still has work for us, so the next session may be far off.
                text = f"{reason}{self.backlog.whereabouts(block)}"
                self._finish(block, Verdict(pending.solution, Outcome.LOST, text))

    async def _submit_kept(self, block: FoundBlock) -> None:
        """Submit a block from its file; its verdict was given before."""
        name = f"the kept block of height {block.height}"
        match await self._submitter.submit(block, was_sent=True):
            case BlockVerdict(Outcome.ACCEPTED):
                self._answered(block, Outcome.ACCEPTED)
                self._report(f"{name} was accepted by the node")
            case BlockVerdict(outcome, text):
                self._answered(block, outcome)
                self._report(f"{name} was refused by the node: {text or outcome.phrase}")
            case Unanswered(reason):
                self._report(f"{name} could not be submitted to the node yet: {reason}")

    async def _confirm(self, block: FoundBlock) -> None:
        name = f"the block of height {block.height}"
        if await self._submitter.is_in_chain(block):
            self._report(f"{name} is in the node's chain")
        else:
            self._report(f"the node accepted {name}, but does not show it in its chain yet")

    def _answered(self, block: FoundBlock, outcome: Outcome) -> None:
        self.backlog.answered(block)
        self._poller.answered(block.height, accepted=outcome is Outcome.ACCEPTED)

    def _report(self, text: str) -> None:
        self._listener.on_event(Message(text, ours=True))

    def _finish(self, block: FoundBlock, verdict: Verdict) -> None:
        if self._in_flight.pop(block, None) is not None:
            self._listener.on_verdict(verdict)
        self._update_idle()

    def _put_off(self, pending: PendingBlock, reason: str, *, quiet: bool = False) -> None:
        """Leave a block that may have been sent to the next session."""
        del self._in_flight[pending.block]
        self.backlog.put_off(
            replace(
                pending, reason=reason, was_sent=True, was_reported=quiet or pending.was_reported
            )
        )
        self._update_idle()

    def _update_idle(self) -> None:
        if not self._in_flight:
            self._idle.set()
        if all(pending.was_sent for pending in self._in_flight.values()):
            self._none_new.set()

    def _end(self, reason: str | None) -> None:
        """End for `reason`; None: the run was stopped, and each block's verdict follows at once."""
        stopped = reason is None
        self._end_reason = "the miner stopped" if stopped else reason or "the connection ended"
        self.backlog.detach()
        for pending in list(self._in_flight.values()):
            self._put_off(pending, self._end_reason, quiet=stopped)


def _reward_address(url: PoolUrl, kind: NodeKind) -> str:
    """Return the address that the user wants to be paid, empty if there is none."""
    # The user is an address where it is not a login: beside a cookie file, and without a password
    # for a node of the Ethereum family, which wants no login.
    no_login = kind.work_method != PPRPC.work_method and url.password == DEFAULT_PASSWORD
    return url.reward or (url.user if url.cookie_file is not None or no_login else "")
