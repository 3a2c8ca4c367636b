"""Who commits the faults of a mischief on the bundled pool's clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from miner.clock import Clock
from miner.stratum.chain import Chain
from miner.stratum.difficulty import MAX_TARGET
from miner.stratum.share_rules import UNAUTHORIZED, Refusal
from miner.testpool.client_session import Client
from miner.testpool.faults import Fault, Mischief
from miner.work import NonceSpace

STORM = (2, -2, 4, -1, 1, -3)
"""Powers of two by which a storm moves the share target, again and again."""

RUBBISH = (b'{"id":', b"\xff\xfe\x00{}", b"<html>502 Bad Gateway</html>", b"[]", b"null", b"7")
"""Lines that no client understands."""

OUT_OF_REACH = "there is no way for it now, or none in its dialect"


@dataclass(frozen=True, slots=True)
class FaultCommitted:
    """A fault was committed on a client."""

    worker: str
    fault: Fault
    skipped: str
    """Why it was not, where it could not be; else empty."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a culprit needs of the server."""

    advance: Callable[[bool], None]
    """Go to the next height; the argument says whether cleanly."""
    refresh: Callable[[], None]
    take_prefix: Callable[[], NonceSpace | None]
    start: Callable[[Coroutine[None, None, None]], asyncio.Task[None]]
    """Start a task in the server's group."""
    report: Callable[[FaultCommitted], None]


class Culprit:
    """Commits what `mischief` holds in store; all waiting is by `clock`."""

    def __init__(self, mischief: Mischief, chain: Chain, clock: Clock, means: Means) -> None:
        self._mischief = mischief
        self._chain = chain
        self._clock = clock
        self._means = means
        self._banned: dict[str, float] = {}

    def barred(self, worker: str) -> str:
        """Return why `worker` may not log in now; empty where it may."""
        left = self._banned.get(worker, 0.0) - self._clock.now()
        if left <= 0:
            self._banned.pop(worker, None)
            return ""
        return f"{worker} is banned for {left:.0f} s more"

    def attend(self, client: Client, worker: str) -> None:
        """Begin with a client that has just logged in."""
        self._start(client, self._play(client, worker))

    async def _play(self, client: Client, worker: str) -> None:
        for seconds, fault in self._mischief.faults(worker):
            await self._clock.sleep(seconds)
            done = self._commit(client, worker, fault)
            self._means.report(FaultCommitted(worker, fault, "" if done else OUT_OF_REACH))

    def _commit(self, client: Client, worker: str, fault: Fault) -> bool:
        """Return whether the fault could be committed on this client."""
        dialect = client.teller.dialect
        if dialect.close_reason:
            return False
        match fault.do:
            case "cut":
                client.cut("the pool cut it on purpose")
            case "delay":
                self._start(client, self._hold(client, fault.number("seconds")))
            case "half_open":
                client.dead = True
                self._start(client, self._bury(client, fault.number("seconds")))
            case "garbage":
                lines = (RUBBISH[i % len(RUBBISH)] for i in range(int(fault.number("lines"))))
                client.send(b"".join(line + b"\n" for line in lines))
            case "overlong":
                client.send(b"x" * int(fault.number("bytes")) + b"\n")
            case "duplicate_job":
                dialect.offer(clean=False, again=True)
            case "wrong_answer":
                dialect.answer_wrongly(int(fault.number("shares")), fault.word("say"))
            case "swallow":
                dialect.leave_unanswered(int(fault.number("shares")))
            case "vardiff_storm":
                self._start(client, self._storm(client, fault))
            case "clean_job" | "unclean_job":
                self._means.advance(fault.do == "clean_job")
            case "refresh":
                self._means.refresh()
            case "ban":
                self._ban(client, worker, fault.number("seconds"))
            case "extranonce":
                return self._change_extranonce(client)
            case "reconnect":
                host, port = client.writer.get_extra_info("sockname")[:2]
                if not dialect.ask_to_reconnect(host, port, int(fault.number("wait"))):
                    return False
        client.flush()
        return True

    def _start(self, client: Client, work: Coroutine[None, None, None]) -> None:
        task = self._means.start(work)
        client.tasks.add(task)
        task.add_done_callback(client.tasks.discard)

    async def _hold(self, client: Client, seconds: float) -> None:
        client.held += 1
        await self._clock.sleep(seconds)
        client.held -= 1
        client.flush()

    async def _bury(self, client: Client, seconds: float) -> None:
        await self._clock.sleep(seconds)
        client.cut("the pool left it half open on purpose")

    async def _storm(self, client: Client, fault: Fault) -> None:
        """Move the share target to and fro; the last step brings it back."""
        dialect = client.teller.dialect
        usual = self._chain.template.share_target
        steps = int(fault.number("steps"))
        for i in range(1, steps):
            power = STORM[(i - 1) % len(STORM)]
            moved = usual << power if power > 0 else usual >> -power
            dialect.retarget(min(max(moved, 1), MAX_TARGET))
            client.flush()
            if seconds := fault.number("seconds"):
                await self._clock.sleep(seconds)
        dialect.retarget(usual)
        client.flush()

    def _ban(self, client: Client, worker: str, seconds: float) -> None:
        self._banned[worker] = self._clock.now() + seconds
        dialect = client.teller.dialect
        dialect.refuse(None, Refusal(UNAUTHORIZED, f"{worker} is banned for {seconds:.0f} s"))
        client.flush()
        client.close("the pool banned it on purpose")

    def _change_extranonce(self, client: Client) -> bool:
        if not client.teller.dialect.has_extranonce:
            return False
        nonces = self._means.take_prefix()
        if nonces is None:
            return False
        client.teller.dialect.change_extranonce(nonces)
        client.flush()
        return True
