"""Mining with a node: its templates become jobs, solutions become blocks."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import replace

from miner.clock import Clock
from miner.errors import PoolError
from miner.net.pool_url import PoolUrl
from miner.progpow.variant import Variant
from miner.resources import cache_directory
from miner.solo.delivery import Delivered, Delivery, Undelivered
from miner.solo.node_kinds import FLAVOURS
from miner.solo.pending_blocks import BlockStore, Findings, FoundBlock, Waiting
from miner.solo.rpc import NodeRpc
from miner.solo.template_polling import Templates
from miner.stratum.pool_events import Message, PoolEvent, SessionListener, ShareWritten
from miner.work import Outcome, Solution, Verdict

EXTRA_NONCE_BYTES = 8


class NodeSession:
    """Keeps the newest work of one node and brings it what was found; every solution taken ends
    in one verdict, be it by the next session with the node, or when `findings` is closed.

    `number` is that of the jobs it brings. `findings` are those of an earlier session with the
    node. `flavour` is one of `FLAVOURS`, None: find out by the node's first answer. The login is
    that of `url`; `address` is where the reward goes, for nodes that are told it, and the user of
    `url` where a cookie file has the login. `report` is told of the first usable template as an
    accepted login, of jobs and messages.
    """

    def __init__(
        self,
        number: int,
        url: PoolUrl,
        variant: Variant,
        flavour: str | None,
        clock: Clock,
        report: Callable[[PoolEvent], None],
        on_verdict: Callable[[Verdict], None],
        agent: str,
        *,
        address: str = "",
        findings: Findings | None = None,
    ) -> None:
        self.number = number
        self._clock, self._report, self._on_verdict = clock, report, on_verdict
        self._asking = NodeRpc(url, clock, agent)
        self._submitting = NodeRpc(url, clock, agent, keep_alive=False)
        self._templates = Templates(
            self._asking,
            clock,
            report,
            lambda flavour, work: self.findings.remember(flavour, work),
            variant,
            number,
            FLAVOURS[flavour] if flavour is not None else None,
            address or (url.user if url.cookie_file is not None else ""),
            secrets.token_bytes(EXTRA_NONCE_BYTES),
            f"{url.host}, port {url.port}",
        )
        self._delivery = Delivery(
            self._submitting, self._asking, clock, self._is_current,
            self._remark,
        )  # fmt: skip
        self.findings = findings or Findings(
            BlockStore(cache_directory() / "blocks", url.host, url.port),
            on_verdict,
            self._remark,
        )
        """What it leaves to the next session with this node; it takes solutions after the end."""
        self._flying: dict[FoundBlock, Waiting] = {}
        self._idle, self._none_new = asyncio.Event(), asyncio.Event()
        """Set where no block is on its way; where none is that no earlier session tried."""
        self._settle()
        self._group: asyncio.TaskGroup | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self._broken = False
        self._ended = ""
        self._leaving: str | None = None
        self._leave = asyncio.Event()

    @property
    def resumable(self) -> None:
        """A node knows no sessions."""
        return

    @property
    def backlog(self) -> Findings:
        """Takes solutions when the session has ended."""
        return self.findings

    async def run(self) -> str:
        """Mine until `leave`, then return its reason.

        Raises `PoolRefused` for refused credentials or a node that must be set up another way,
        `ConnectionLost` or `ProtocolError` where it cannot be talked to; a block on its way is
        waited for before. Everything is closed then, and what was not answered stays in its file
        and in `findings` for the next session with this node.
        """
        reason = "the miner stopped"
        try:
            async with self._asking, self._submitting:
                reason = await self._in_group()
        except PoolError as error:
            reason = str(error)
            raise
        finally:
            self._end(reason)
        return reason

    def submit(self, solution: Solution) -> None:
        """Bring `solution` to the node at once; each (header, nonce) only once."""
        self.findings.take(solution, self._ended or "no connection was made")

    def bring(self, one: Waiting) -> None:
        """Bring a block that `findings` has."""
        self._flying[one.found] = one
        self._idle.clear()
        if not one.sent:
            self._none_new.clear()
            self._report(ShareWritten(one.solution))
        self._start(self._bring(one))

    def leave(self, reason: str) -> None:
        """End it on our side; blocks not answered to stay in their files."""
        self._leaving = self._leaving or reason
        self._leave.set()

    async def drained(self) -> None:
        """Wait until no solution waits for its answer."""
        await self._idle.wait()

    async def _in_group(self) -> str:
        async with asyncio.TaskGroup() as group:
            self._group = group
            for found in self.findings.left():
                self._start(self._bring_again(found))
            self.findings.carried_by(self)
            follow = group.create_task(self._templates.follow())
            left = group.create_task(self._leave.wait())
            await asyncio.wait((follow, left), return_when=asyncio.FIRST_COMPLETED)
            failure = follow.result() if follow.done() else None
            if failure is not None and not left.done():
                self._broken = True
                # What was tried so long before holds up no other pool.
                idle = group.create_task(self._none_new.wait())
                await asyncio.wait((idle, left), return_when=asyncio.FIRST_COMPLETED)
                idle.cancel()
            self.findings.uncarried()
            for task in (follow, left, *self._deliveries):
                task.cancel()
        if failure is not None and self._leaving is None:
            raise failure from failure.__cause__
        return self._leaving or ""

    def _remark(self, text: str) -> None:
        self._report(Message(text, ours=True))

    def _start(self, coroutine: Coroutine[None, None, None]) -> None:
        assert self._group is not None
        task = self._group.create_task(coroutine)
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _bring(self, one: Waiting) -> None:
        sent, found = self._clock.now(), one.found
        delivered = await self._delivery.deliver(
            found, self._templates.flavour, sent_before=one.sent
        )
        match delivered:
            case Delivered(outcome, text):
                self.findings.answered(found)
                seconds = self._clock.now() - sent
                self._landed(found, Verdict(one.solution, outcome, text, seconds))
                if outcome is Outcome.ACCEPTED:
                    await self._confirm(found)
            case Undelivered(reason) if self._broken:
                self._put_off(one, reason)
            case Undelivered(reason):
                # The node is well and took another block meanwhile, or answers everything but
                # this: there may be no next session for long.
                text = f"{reason}{self.findings.whereabouts(found)}"
                self._landed(found, Verdict(one.solution, Outcome.LOST, text))

    async def _bring_again(self, found: FoundBlock) -> None:
        """Bring what an earlier run or session left; its verdict was given there."""
        what = f"the block of height {found.height} that was kept"
        match await self._delivery.deliver(found, self._templates.flavour, sent_before=True):
            case Delivered(Outcome.ACCEPTED):
                self.findings.answered(found)
                self._remark(f"{what} was accepted by the node")
            case Delivered(outcome, text):
                self.findings.answered(found)
                self._remark(f"{what} was refused by the node: {text or outcome.phrase}")
            case Undelivered(reason):
                self._remark(f"{what} could not be brought to the node yet: {reason}")

    async def _confirm(self, found: FoundBlock) -> None:
        if await self._delivery.is_in_chain(found):
            self._remark(f"the block of height {found.height} is in the node's chain")
        else:
            self._remark(
                f"the node took the block of height {found.height}, and does not show it in "
                "its chain yet"
            )

    def _is_current(self, height: int) -> bool:
        """Whether the node, as far as we hear from it, still wants a block of `height`."""
        newest = self._templates.height
        return not self._broken and newest is not None and newest <= height

    def _landed(self, found: FoundBlock, verdict: Verdict) -> None:
        if self._flying.pop(found, None) is not None:
            self._on_verdict(verdict)
        self._settle()

    def _put_off(self, one: Waiting, reason: str) -> None:
        """Leave a block that may have been sent to the next session."""
        del self._flying[one.found]
        self.findings.put_off(replace(one, reason=reason, sent=True))
        self._settle()

    def _settle(self) -> None:
        if not self._flying:
            self._idle.set()
        if all(one.sent for one in self._flying.values()):
            self._none_new.set()

    def _end(self, reason: str) -> None:
        self._ended = reason or "the connection ended"
        self.findings.uncarried()
        for one in list(self._flying.values()):
            self._put_off(one, self._ended)


class NodeSessions:
    """Opens sessions with nodes; what was found for a node passes from one to the next."""

    def __init__(self, variant: Variant, flavour: str | None, clock: Clock, agent: str) -> None:
        self._variant, self._flavour = variant, flavour
        self._clock, self._agent = clock, agent
        self._findings: dict[tuple[str, int], Findings] = {}
        """Of each node so far, by host and port."""

    def open(self, number: int, url: PoolUrl, listener: SessionListener) -> NodeSession:
        """Return session `number` with the node at `url`, not running yet."""
        flavour = self._flavour
        if url.protocol == "getwork":
            flavour = "sero" if flavour == "sero" else "getwork"
        session = NodeSession(
            number, url, self._variant, flavour, self._clock, listener.on_event,
            listener.on_verdict, self._agent, address=url.reward,
            findings=self._findings.get((url.host, url.port)),
        )  # fmt: skip
        self._findings[url.host, url.port] = session.findings
        return session
