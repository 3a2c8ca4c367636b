"""The newest work of a node, asked for again and again, as jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from miner.clock import Clock
from miner.errors import BadValue, ConnectionLost, PoolError, PoolRefused, ProtocolError
from miner.progpow.variant import Variant
from miner.solo.block import check_follows
from miner.solo.node_kinds import BlockFlavour, Flavour, PprpcFlavour, Work
from miner.solo.rpc import NodeRpc, RpcAnswer
from miner.stratum.pool_events import Authorized, JobReceived, Message, PoolEvent, Subscribed
from miner.work import Job, NonceSpace

POLL_SECONDS = 1.0
"""Between two looks at the tip of a node without long polls, at least between two long polls."""

TEMPLATE_POLLS = 5
"""Looks after which such a node is asked for a template though its tip is the same."""

LONG_POLL_SECONDS = 600.0
"""A node answers a long poll at a new tip, or when its transactions changed; on a quiet chain
that is long, and each poll given up keeps one of its few threads busy."""

TIP_LOOK_SECONDS = 30.0
"""Between two looks at the tip meanwhile, so that no long poll that hangs hides a new one."""

LOOK_SECONDS = 10.0
"""For the answer to a look."""

SILENCE_SECONDS = 600.0
"""A node without usable work for so long gives way to other pools."""

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds after the first, second … failure in a row; then the last again and again."""

IN_WORDS = {
    -9: "the node is connected to no other node yet",
    -10: "the node is still downloading the chain",
    -28: "the node is still starting",
}

_FINAL = {
    -32601: "it has no {method}; check that this is the RPC port of a node of this coin",
    -5: "it does not take our request: {text}; check the reward's address",
    -8: "it does not take our request: {text}; check the coin",
}
"""Errors that asking again does not help against."""


class Templates:
    """Follows one node; `where` names it in errors, and `on_work` is told of all work before its
    job is."""

    def __init__(
        self,
        rpc: NodeRpc,
        clock: Clock,
        report: Callable[[PoolEvent], None],
        on_work: Callable[[Flavour, Work], None],
        variant: Variant,
        session: int,
        flavour: type[Flavour] | None,
        address: str,
        extra_nonce: bytes,
        where: str,
    ) -> None:
        self._rpc, self._clock, self._report, self._on_work = rpc, clock, report, on_work
        self._variant, self._session = variant, session
        self._address, self._extra_nonce, self._where = address, extra_nonce, where
        self._flavour = flavour(address, extra_nonce) if flavour is not None else None
        self._scripts: dict[str, bytes] = {}
        self._newest: Work | None = None
        self._said: set[str] = set()
        self._failures = 0
        self._usable_at = clock.now()

    @property
    def flavour(self) -> type[Flavour] | None:
        """The kind of node, None as long as it is not known."""
        return type(self._flavour) if self._flavour is not None else None

    @property
    def height(self) -> int | None:
        """Height of the block that is to be found now, None before the first template."""
        return self._newest.template.height if self._newest is not None else None

    async def follow(self) -> PoolError:
        """Report jobs as they come, until that fails; return why."""
        self._usable_at = self._clock.now()
        try:
            await self._follow()
        except PoolRefused as error:
            text = str(error)
            if self._where in text or text.startswith("cookie file"):
                return error
            refused = PoolRefused(f"node {self._where}: {text}")
            refused.__cause__ = error.__cause__
            return refused
        except PoolError as error:
            return error
        raise AssertionError("it does not end but by an error")

    async def _follow(self) -> None:
        longpollid: str | None = None
        while True:
            asked = self._clock.now()
            answer = await self._ask(longpollid)
            longpollid = None
            if answer is None:
                continue
            if answer.error is not None:
                await self._failed(self._refusal(answer))
                continue
            try:
                tip_is_new = await self._take(answer.result)
            except (ProtocolError, BadValue) as problem:
                await self._failed(f"the node's work cannot be mined: {problem}; it is asked again")
                continue
            self._failures = 0
            self._usable_at = self._clock.now()
            assert self._newest is not None
            longpollid = self._newest.template.longpollid
            if longpollid is None:
                await self._until_worth_asking()
            elif not tip_is_new and (left := asked + POLL_SECONDS - self._clock.now()) > 0:
                await self._clock.sleep(left)

    async def _ask(self, longpollid: str | None) -> RpcAnswer | None:
        """Ask for work; None where a long poll was given up, so that a plain request is due."""
        method = self._flavour.asks if self._flavour is not None else "getblocktemplate"
        known = self._flavour or PprpcFlavour()
        params = known.request(longpollid)
        if longpollid is None:
            return await self._rpc.call(method, params)
        async with asyncio.TaskGroup() as group:
            poll = group.create_task(self._polled(method, params))
            look = group.create_task(self._tip_moves())
            await asyncio.wait((poll, look), return_when=asyncio.FIRST_COMPLETED)
            for task in (poll, look):
                task.cancel()
        if poll.cancelled():
            return None
        answer = poll.result()
        if isinstance(answer, PoolError):
            raise answer from answer.__cause__
        return answer

    async def _polled(self, method: str, params: list[Any]) -> RpcAnswer | PoolError:
        try:
            return await self._rpc.call(method, params, LONG_POLL_SECONDS + POLL_SECONDS)
        except PoolError as error:
            return error

    async def _tip_moves(self) -> None:
        """Return when the long poll is of no use any more: the tip is another one, the node does
        not answer, or it has lasted `LONG_POLL_SECONDS`."""
        until = self._clock.now() + LONG_POLL_SECONDS
        while self._clock.now() < until:
            await self._clock.sleep(TIP_LOOK_SECONDS)
            try:
                if await self._tip_is_new():
                    return
            except PoolError:
                return

    async def _tip_is_new(self) -> bool | None:
        """Look at the node's tip; None where it does not say."""
        answer = await self._rpc.call("getbestblockhash", [], LOOK_SECONDS)
        tip = answer.result
        if answer.error is not None or not isinstance(tip, str) or self._newest is None:
            return None
        return tip.lower() != self._newest.template.previous

    async def _until_worth_asking(self) -> None:
        if self._flavour is not None and self._flavour.polled_after is not None:
            await self._clock.sleep(self._flavour.polled_after)
            return
        for _ in range(TEMPLATE_POLLS):
            await self._clock.sleep(POLL_SECONDS)
            if await self._tip_is_new() is not False:
                return

    async def _take(self, result: Any) -> bool:
        """Report the job of an answer, if it is another one than before; return whether it
        follows another tip."""
        flavour = self._flavour or self._found_out(result)
        for address in flavour.addresses(result):
            if address not in self._scripts:
                self._scripts[address] = await self._script(address)
        work = flavour.read(result, self._scripts)
        last = self._newest
        check_follows(work.template, last.template if last else None)
        job = self._job(work, last)
        self._flavour, self._newest = flavour, work
        self._on_work(flavour, work)
        if last is None:
            self._report(Subscribed(NonceSpace()))
            self._report(Authorized())
        elif (last.header_hash, last.template.target) == (work.header_hash, work.template.target):
            return False
        self._report(JobReceived(job))
        return job.clean

    def _job(self, work: Work, last: Work | None) -> Job:
        template = work.template
        epoch = self._variant.epoch_at(template.height)
        if work.epoch is not None and work.epoch != epoch.number:
            self._say_once(
                f"the node takes height {template.height} for epoch {work.epoch}, and "
                f"{self._variant.name} for epoch {epoch.number}; the height is followed. If blocks "
                "are refused, check the algorithm",
                "epoch",
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

    def _found_out(self, result: Any) -> Flavour:
        """Return the kind of node that gives such a template."""
        if isinstance(result, dict) and "pprpcheader" not in result and self._address:
            return BlockFlavour(self._address, self._extra_nonce)
        return PprpcFlavour()

    async def _script(self, address: str) -> bytes:
        """Ask the node for the output script that pays `address`: it knows its chain's forms."""
        answer = await self._rpc.call("validateaddress", [address])
        result = answer.result if isinstance(answer.result, dict) else {}
        script = result.get("scriptPubKey")
        if answer.error is None and result.get("isvalid") is False:
            raise PoolRefused(f"{address[:100]} is no address on the node's chain; correct it")
        try:
            found = bytes.fromhex(script) if isinstance(script, str) else b""
        except ValueError:
            found = b""
        if not found:
            raise ProtocolError(f"the node does not tell the script of {address[:100]}")
        return found

    def _refusal(self, answer: RpcAnswer) -> str:
        """Return what a refusal to give work means; raises `PoolRefused` for a final one."""
        method = self._flavour.asks if self._flavour is not None else "getblocktemplate"
        if (final := _FINAL.get(answer.code)) and self._newest is None:
            raise PoolRefused(final.format(method=method, text=answer.text))
        words = IN_WORDS.get(answer.code, f"the node gives no work (error {answer.code})")
        return f"{words} (it says: {answer.text}); it is asked again"

    async def _failed(self, reason: str) -> None:
        """Tell a person once, then wait; raises `ConnectionLost` when it has lasted too long."""
        self._say_once(reason, reason)
        if self._clock.now() - self._usable_at >= SILENCE_SECONDS:
            minutes = SILENCE_SECONDS / 60
            raise ConnectionLost(f"node {self._where}: no work for {minutes:g} minutes; {reason}")
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        await self._clock.sleep(pause)

    def _say_once(self, text: str, topic: str) -> None:
        if topic not in self._said and len(self._said) < 50:
            self._said.add(topic)
            self._report(Message(text, ours=True))
