"""Injects the faults of a plan into the test pool's clients."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import cycle, islice
from typing import Protocol

from miner.clock import Clock
from miner.stratum.chain import Chain
from miner.stratum.difficulty import MAX_TARGET
from miner.stratum.share_rules import UNAUTHORIZED, Refusal
from miner.testpool.client_session import ClientConnection
from miner.testpool.faults import Fault, FaultPlan
from miner.testpool.server_events import FaultInjected, ServerEvent
from miner.work import NonceSpace

VARDIFF_STEPS = (2, -2, 4, -1, 1, -3)
"""Powers of two by which `vardiff_storm` moves the share target, in turn."""

GARBAGE_LINES = (
    b'{"id":',
    b"\xff\xfe\x00{}",
    b"<html>502 Bad Gateway</html>",
    b"[]",
    b"null",
    b"7",
)
"""Lines that are not messages."""

IMPOSSIBLE = "not possible now, or not in the client's dialect"


class FaultTarget(Protocol):
    """The parts of the pool that faults control."""

    chain: Chain

    def advance(self, clean: bool) -> None:
        """Go to the next height; `clean`: older jobs become void."""

    def refresh(self) -> None:
        """Replace the header at the current height."""

    def take_prefix(self) -> NonceSpace | None:
        """Return an unused extranonce, None if there is none left."""

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task that ends with the pool."""

    def report(self, event: ServerEvent) -> None:
        """Pass `event` to the listener of the pool."""


class FaultInjector:
    """Injects the faults of `plan` into clients of `pool`, from their login on."""

    def __init__(self, plan: FaultPlan, pool: FaultTarget, clock: Clock) -> None:
        self._plan, self._pool, self._clock = plan, pool, clock
        self._banned_until: dict[str, float] = {}

    def ban_reason(self, worker: str) -> str:
        """Return why `worker` may not log in now; empty if it may."""
        left = self._banned_until.get(worker, 0.0) - self._clock.now()
        if left <= 0:
            self._banned_until.pop(worker, None)
            return ""
        return f"{worker} is banned for {left:.0f} s more"

    def begin(self, client: ClientConnection, worker: str) -> None:
        """Start injecting faults into a client that has just logged in."""
        self._start(client, self._run_plan(client, worker))

    async def _run_plan(self, client: ClientConnection, worker: str) -> None:
        for seconds, fault in self._plan.faults(worker):
            await self._clock.sleep(seconds)
            done = self._inject(client, worker, fault)
            self._pool.report(FaultInjected(worker, fault, "" if done else IMPOSSIBLE))

    def _inject(self, client: ClientConnection, worker: str, fault: Fault) -> bool:
        """Return whether the fault was possible for this client."""
        side = client.session.side
        if side.close_reason:
            return False
        match fault.name:
            case "cut":
                client.cut("cut by an injected fault")
            case "delay":
                self._start(client, self._delay(client, fault.number("seconds")))
            case "half_open":
                client.half_open = True
                self._start(client, self._cut_half_open(client, fault.number("seconds")))
            case "garbage":
                count = int(fault.number("lines"))
                client.send(b"".join(line + b"\n" for line in islice(cycle(GARBAGE_LINES), count)))
            case "overlong":
                client.send(b"x" * int(fault.number("bytes")) + b"\n")
            case "duplicate_job":
                side.offer(clean=False, again=True)
            case "wrong_answer":
                side.answer_wrongly(int(fault.number("shares")), fault.choice("say"))
            case "swallow":
                side.leave_unanswered(int(fault.number("shares")))
            case "vardiff_storm":
                self._start(client, self._vardiff_steps(client, fault))
            case "clean_job" | "unclean_job":
                self._pool.advance(fault.name == "clean_job")
            case "refresh":
                self._pool.refresh()
            case "ban":
                self._ban(client, worker, fault.number("seconds"))
            case "extranonce":
                nonces = self._pool.take_prefix() if side.has_extranonce else None
                if nonces is None:
                    return False
                side.change_extranonce(nonces)
            case "other_algorithm":
                if not side.set_algorithm(fault.choice("name")):
                    return False
                self._start(client, self._return_to_ours(client, fault.number("seconds")))
                self._pool.advance(True)
            case "reconnect":
                host, port = client.writer.get_extra_info("sockname")[:2]
                if not side.ask_to_reconnect(host, port, int(fault.number("wait"))):
                    return False
        client.flush()
        return True

    def _start(self, client: ClientConnection, work: Coroutine[None, None, None]) -> None:
        task = self._pool.start(work)
        client.tasks.add(task)
        task.add_done_callback(client.tasks.discard)

    async def _delay(self, client: ClientConnection, seconds: float) -> None:
        client.delays += 1
        await self._clock.sleep(seconds)
        client.delays -= 1
        client.flush()

    async def _cut_half_open(self, client: ClientConnection, seconds: float) -> None:
        await self._clock.sleep(seconds)
        client.cut("left half open by an injected fault")

    async def _vardiff_steps(self, client: ClientConnection, fault: Fault) -> None:
        """Move the share target back and forth; the last step restores the usual one."""
        side = client.session.side
        usual = self._pool.chain.template.share_target
        for power in islice(cycle(VARDIFF_STEPS), int(fault.number("steps")) - 1):
            moved = usual << power if power > 0 else usual >> -power
            side.retarget(min(max(moved, 1), MAX_TARGET))
            client.flush()
            if seconds := fault.number("seconds"):
                await self._clock.sleep(seconds)
        side.retarget(usual)
        client.flush()

    async def _return_to_ours(self, client: ClientConnection, seconds: float) -> None:
        """Let our algorithm make the block after `seconds`, that of the next height."""
        await self._clock.sleep(seconds)
        client.session.side.set_algorithm("")
        self._pool.advance(True)

    def _ban(self, client: ClientConnection, worker: str, seconds: float) -> None:
        self._banned_until[worker] = self._clock.now() + seconds
        side = client.session.side
        side.refuse(None, Refusal(UNAUTHORIZED, f"{worker} is banned for {seconds:.0f} s"))
        client.flush()
        client.close("banned by an injected fault")
