"""The test pool as a process of its own, or with a miner beside it."""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from miner.clock import SystemClock
from miner.engine.threads import WorkPool
from miner.formatting import format_difficulty
from miner.progpow.epoch import Epoch
from miner.progpow.keccak import seed_hash
from miner.progpow.variant import Variant
from miner.run.mining import mine
from miner.run.run_config import Mining
from miner.signals import signals
from miner.stratum.chain import Chain
from miner.stratum.difficulty import DIFF1_KAWPOW, expected_hashes, target_from_difficulty
from miner.stratum.share_rules import BlockFound, ShareJudged
from miner.testpool.faults import FaultPlan
from miner.testpool.pool_server import PoolServer, ServerOptions
from miner.testpool.server_events import (
    ClientJoined,
    ClientLeft,
    FaultInjected,
    HeightAdvanced,
    ServerEvent,
    ServerListener,
)
from miner.verify import Verifier


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The test pool."""

    variant: Variant
    height: int
    difficulty: float
    block_difficulty: float | None
    block_time: float | None
    seed: int
    diff1: int
    host: str = "127.0.0.1"
    port: int = 0
    protocol: str | None = None
    """The only dialect to speak; None: all."""
    faults: FaultPlan | None = None
    """Faults to inject."""


@dataclass(frozen=True, slots=True)
class _Proofs:
    """The test pool's proofs, off the event loop."""

    verifier: Verifier
    work: WorkPool

    async def prove(
        self, variant: Variant, epoch: Epoch, height: int, header_hash: bytes, nonce: int
    ) -> tuple[bytes, bytes]:
        digest = await self.work.offload(
            self.verifier.hash, variant, height, epoch, header_hash, nonce
        )
        return digest.mix_hash, digest.final_hash


def make_pool(
    options: PoolOptions, proofs: _Proofs, listener: ServerListener | None = None
) -> PoolServer:
    """Return the test pool, not listening yet."""
    share_target = target_from_difficulty(options.difficulty, options.diff1)
    block = options.block_difficulty
    if block is None:
        block = options.difficulty * 256
    chain = Chain(
        options.variant,
        options.height,
        share_target,
        target_from_difficulty(block, options.diff1),
        random_module.Random(options.seed),
        seed_hash,
    )
    return PoolServer(
        chain,
        proofs,
        SystemClock(),
        ServerOptions(
            block_time=options.block_time, protocol=options.protocol, faults=options.faults
        ),
        listener,
    )


class _Printer:
    """Writes each event of a test pool as a line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def on_event(self, event: ServerEvent) -> None:
        self._write(pool_line(event))


async def serve_pool(options: PoolOptions, write: Callable[[str], None]) -> None:
    """Serve the test pool until a signal."""
    ended = asyncio.Event()
    with WorkPool("prove", 1) as work, signals(ended.set, write):
        server = make_pool(options, _Proofs(Verifier(), work), _Printer(write))
        async with server.listen(options.host, options.port):
            write(f"listening on stratum+tcp://{options.host}:{server.port}")
            await ended.wait()


async def demo(mining: Callable[[int], Mining], options: PoolOptions) -> int:
    """Serve the test pool on a free loopback port and mine against it; `mining` is given
    the port. Returns the accepted shares."""
    verifier = Verifier()
    async with AsyncExitStack() as stack:
        work = stack.enter_context(WorkPool("prove", 1))
        server = make_pool(options, _Proofs(verifier, work))
        await stack.enter_async_context(server.listen(options.host, options.port))
        return await mine(mining(server.port), verifier=verifier)


def pool_line(event: ServerEvent) -> str:
    """Return what the test pool prints of `event`."""
    match event:
        case ClientJoined(address, worker, agent):
            return f"joined  {worker} from {address} ({agent})"
        case ClientLeft(address, worker, reason):
            return f"left    {worker or address}: {reason}"
        case ShareJudged(worker, height, accepted, code, text, difficulty):
            word = "accepted" if accepted else f"refused {code} {text}"
            reached = format_difficulty(difficulty * float(expected_hashes(DIFF1_KAWPOW)))
            return f"share   {worker} height {height} {word} difficulty {reached}"
        case BlockFound(worker, height):
            return f"block   {worker} height {height}"
        case HeightAdvanced(height):
            return f"height  {height}"
        case FaultInjected(worker, fault, skipped):
            return f"fault   {worker} {fault}" + (f", skipped: {skipped}" if skipped else "")
