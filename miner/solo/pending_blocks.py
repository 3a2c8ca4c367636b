"""Found blocks of one node that wait for its answer, across sessions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Protocol

from cachetools import FIFOCache

from miner.solo.block_store import BlockStore, FoundBlock
from miner.solo.node_kinds import NodeWork, WorkApi
from miner.stratum.pool_events import Message, SessionListener
from miner.stratum.pool_memory import SentNonces
from miner.work import Outcome, Solution, Verdict

MAX_WORKS = 8
"""Works whose blocks can still be made; each holds all transactions."""


@dataclass(frozen=True, slots=True)
class PendingBlock:
    """A solution with its block, not answered yet."""

    solution: Solution
    block: FoundBlock
    reason: str
    """Why the session that issued the job could not submit it."""
    was_sent: bool = False
    """An earlier attempt may have reached the node."""
    was_reported: bool = False
    """A message about the delay was given."""


class BlockSender(Protocol):
    """The session that submits blocks while the node can be reached."""

    def send_block(self, pending: PendingBlock) -> None:
        """Submit a block; its verdict, or `PendingBlocks.put_off`, follows."""


class PendingBlocks:
    """Takes the solutions for one node, whether or not there is a session with it.

    Each solution is written to a file as a block, submitted by the current session or the next
    one, and ends in exactly one verdict, at the latest when `close` is called. `listener` is that
    of the newest session; it receives messages and the verdicts that no session gives.
    """

    def __init__(self, store: BlockStore, listener: SessionListener) -> None:
        self.store, self.listener = store, listener
        self._works: FIFOCache[bytes, tuple[WorkApi, NodeWork]] = FIFOCache(MAX_WORKS)
        """By header hash."""
        self._api: WorkApi | None = None
        self._sent = SentNonces()
        self._waiting: dict[FoundBlock, PendingBlock] = {}
        self._unwritten: set[FoundBlock] = set()
        self._none_waiting = asyncio.Event()
        self._none_waiting.set()
        self._sender: BlockSender | None = None
        self._closed = False

    def remember(self, api: WorkApi, work: NodeWork) -> None:
        """Note work before its job is reported; only the newest works are kept."""
        self._api = api
        self._works[work.header_hash] = (api, work)

    def take(self, solution: Solution, reason: str) -> None:
        """Take a solution, each (header, nonce) only once.

        If no session submits it, its verdict gives `reason`: why the session that issued its job
        could not.
        """
        if not self._sent.add(solution.job.header_hash, solution.nonce):
            text = "found again; it was submitted to this node before"
            self._give_verdict(solution, Outcome.DUPLICATE, text)
            return
        block = self._block_of(solution)
        if block is None:
            text = "the block template that it solves is no longer kept"
            self._give_verdict(solution, Outcome.STALE, text)
            return
        self._write(block)
        pending = PendingBlock(solution, block, reason)
        if self._sender is not None:
            self._sender.send_block(pending)
        else:
            self.put_off(pending)

    def put_off(self, pending: PendingBlock) -> None:
        """Keep a block for the next session."""
        if self._closed:
            self._lose(pending)
            return
        block = pending.block
        self._waiting[block] = replace(pending, was_reported=True)
        self._none_waiting.clear()
        if pending.was_reported:
            return
        kept = "" if block in self._unwritten else f"is kept in {self.store.path(block)} and "
        self._report(
            f"the block of height {block.height} could not be submitted to the node yet; it {kept}"
            "will be submitted when the node answers again"
        )

    def attach(self, sender: BlockSender) -> None:
        """Submit waiting and new blocks by `sender`."""
        self._sender = sender
        for pending in self._take_waiting():
            sender.send_block(pending)

    def detach(self) -> None:
        """Note that the current session submits no more blocks."""
        self._sender = None

    def kept_blocks(self) -> list[FoundBlock]:
        """Return the blocks in files whose verdict was given before, by height."""
        return [block for block in self.store.read_all() if block not in self._waiting]

    def answered(self, block: FoundBlock) -> None:
        """Forget a block that the node has answered."""
        self.store.remove(block)
        self._unwritten.discard(block)

    async def drained(self) -> None:
        await self._none_waiting.wait()

    @property
    def has_waiting(self) -> bool:
        return bool(self._waiting)

    def close(self) -> None:
        """End each waiting block, and each later one at once, with the verdict that it is lost
        for this run, naming its file."""
        self._closed = True
        for pending in self._take_waiting():
            self._lose(pending)

    def whereabouts(self, block: FoundBlock) -> str:
        """Return the end of a sentence about an unanswered block: where it is kept."""
        path = self.store.path(block)
        if block in self._unwritten:
            return f"; it could not be kept in {path}"
        return f"; it is kept in {path} and will be submitted at the next start"

    def _take_waiting(self) -> list[PendingBlock]:
        waiting = list(self._waiting.values())
        self._waiting.clear()
        self._none_waiting.set()
        return waiting

    def _block_of(self, solution: Solution) -> FoundBlock | None:
        """Return the block of `solution`, None if its work is no longer kept."""
        api, work = self._works.get(solution.job.header_hash, (self._api, None))
        if api is None:
            return None
        params = api.submission(solution, work)
        return FoundBlock.of(solution, api.kind.submit_method, params) if params else None

    def _write(self, block: FoundBlock) -> None:
        try:
            self.store.write(block)
        except OSError as error:
            self._unwritten.add(block)
            self._report(
                f"{self.store.path(block)}: a found block cannot be kept there "
                f"({error.strerror}); it is submitted without"
            )

    def _report(self, text: str) -> None:
        self.listener.on_event(Message(text, ours=True))

    def _give_verdict(self, solution: Solution, outcome: Outcome, text: str) -> None:
        self.listener.on_verdict(Verdict(solution, outcome, text))

    def _lose(self, pending: PendingBlock) -> None:
        text = f"{pending.reason}{self.whereabouts(pending.block)}"
        self._give_verdict(pending.solution, Outcome.LOST, text)
