"""The composition root: who is given what, and the order in which all of it ends."""

from __future__ import annotations

import asyncio
import os
import random as random_module
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from miner import __version__
from miner.clock import Clock, SystemClock
from miner.codegen.search import search_source
from miner.console import Console, summary
from miner.devices.registry import Listed
from miner.engine.engine import Engine
from miner.engine.programs import Programs
from miner.engine.threads import WorkPool
from miner.pool.bundled.chain import Chain
from miner.pool.bundled.culprit import FaultCommitted
from miner.pool.bundled.events import BlockFound, ShareJudged
from miner.pool.bundled.mischief import Mischief
from miner.pool.bundled.server import (
    ClientJoined,
    ClientLeft,
    HeightAdvanced,
    PoolServer,
    ServerEvent,
)
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.pool.dial import NetworkDial
from miner.pool.limits import Limits
from miner.pool.node.session import NodeSession
from miner.pool.protocols.difficulty import target_from_difficulty
from miner.pool.protocols.events import PoolEvent
from miner.pool.recording import Recorder
from miner.pool.session import Reports
from miner.pool.url import PoolUrl
from miner.progpow.epoch import Epoch
from miner.progpow.keccak import seed_hash
from miner.progpow.light import dataset_nodes
from miner.progpow.variant import Variant
from miner.telemetry import (
    About,
    Journal,
    LightCacheBuilding,
    NewJob,
    ShareAnswered,
    Telemetry,
)
from miner.verify import Verifier
from miner.work import Job, Verdict

AGENT = f"progpow-miner/{__version__}"

BUILDS = 2
"""Kernels compiled at a time: more would make a rig of twelve cards look overloaded."""

STOP_SECONDS = 4.8
"""From the first signal to the end, the last answers included."""

STOPPED_AT_ONCE = 130


@dataclass(frozen=True, slots=True)
class Mining:
    """What a run needs to be told."""

    variant: Variant
    pools: Sequence[PoolUrl]
    devices: Sequence[Listed]
    diff1: int | None = None
    """Target of difficulty 1; None: as the protocol has it."""
    shares: int | None = None
    """Accepted shares after which the run ends."""
    give_up: float | None = None
    """Seconds without any pool after which the run ends."""
    report_hashrate: bool = False
    """Tell pools that take such reports how fast we are."""
    record: Path | None = None
    """File that what pools say and are told is written to."""
    limits: Limits = field(default_factory=Limits)
    node: str | None = None
    """Flavour of the coin's node, for mining without a pool."""
    rig: str = ""
    """Name of this machine in every view."""
    coin: str = ""
    """Symbol of the coin, where one was named."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The bundled pool."""

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
    mischief: Mischief | None = None
    """Faults to commit on the clients."""


async def mine(
    mining: Mining,
    write: Callable[[str], None],
    verifier: Verifier | None = None,
) -> int:
    """Mine until a signal or the wanted number of shares; return how many were accepted.

    Raises `NoUsableDevice`, `DeviceHung` or `EveryPoolRefused`; what was found by then has been
    submitted.
    """
    clock: Clock = SystemClock()
    loop = asyncio.get_running_loop()
    about = About(mining.rig, __version__, mining.variant.name, mining.coin)
    telemetry = Telemetry(clock, [found.info for found in mining.devices], about)
    journal = Journal(clock)
    telemetry.subscribe(journal.event)
    console = Console(telemetry, journal, clock, write)
    random = random_module.SystemRandom()
    emit = telemetry.emit

    def light_progress(epoch: Epoch, done: float, seconds: float, from_disk: bool) -> None:
        event = LightCacheBuilding(epoch.number, done, seconds, from_disk)
        loop.call_soon_threadsafe(emit, event)

    verifier = verifier or Verifier()
    verifier.progress = light_progress
    stopped_at: list[float] = []

    def stop() -> None:
        if not stopped_at:
            stopped_at.append(clock.now())
            engine.stop()

    def on_verdict(verdict: Verdict) -> None:
        emit(ShareAnswered(verdict))
        wanted = mining.shares
        if wanted is not None and telemetry.snapshot().shares.accepted >= wanted:
            stop()

    told: list[object] = [None]

    def work_on(job: Job | None) -> None:
        # A pool that is polled names the same work again and again, one that is down no work.
        news = (job.search_key, job.target) if job else None
        if news != told[0]:
            told[0] = news
            emit(NewJob(job))
        engine.work_on(job)

    def hash_of(job: Job, nonce: int) -> tuple[bytes, bytes]:
        digest = verifier.hash(job.variant, job.height, job.epoch, job.header_hash, nonce)
        return digest.mix_hash, digest.final_hash

    def node_session(
        number: int,
        url: PoolUrl,
        report: Callable[[PoolEvent], None],
        answered: Callable[[Verdict], None],
    ) -> NodeSession:
        flavour = mining.node
        if url.protocol == "getwork":
            flavour = "sero" if flavour == "sero" else "getwork"
        return NodeSession(
            number, url, mining.variant, flavour, clock, report, answered, AGENT,
            address=url.reward,
        )  # fmt: skip

    tape = None
    if mining.record is not None:
        tape = Recorder(mining.record, clock, lambda text: journal.say("record", text))
    reports = None
    if mining.report_hashrate:
        reports = Reports(lambda: telemetry.snapshot().hashrate.minute, random.randbytes(32))
    connections = Connections(
        mining.variant, NetworkDial(mining.limits.connect), clock, AGENT,
        seed_of=seed_hash, diff1=mining.diff1, limits=mining.limits,
        reports=reports, tape=tape, node_session=node_session,
    )  # fmt: skip
    client = PoolClient(
        mining.pools, connections, work_on, on_verdict, emit, clock, random, mining.give_up
    )
    with WorkPool("build", BUILDS) as builds:
        engine = Engine(
            [(found.info, found.open) for found in mining.devices],
            programs=Programs(search_source, builds),
            light_of=lambda epoch, should_stop: verifier.light(epoch, should_stop).cache,
            node_of=dataset_nodes,
            hash_of=hash_of,
            submit=client.submit,
            on_verdict=on_verdict,
            emit=emit,
            clock=clock,
            random=random,
        )
        with _signals(stop, write):
            try:
                await _work(engine, client, console, clock, stopped_at)
            finally:
                if tape:
                    tape.close()
                for line in summary(telemetry.snapshot()):
                    journal.say("summary", line)
    return telemetry.snapshot().shares.accepted


async def _work(
    engine: Engine, client: PoolClient, console: Console, clock: Clock, stopped_at: list[float]
) -> None:
    """The pool outlives the devices: when they have ended, what they found is still sent."""
    async with asyncio.TaskGroup() as outer:
        session = outer.create_task(client.run())
        status = outer.create_task(console.keep_status())
        try:
            await engine.run()
        finally:
            begun = stopped_at[0] if stopped_at else clock.now()
            await client.drain(max(0.1, begun + STOP_SECONDS - clock.now()))
            session.cancel()
            status.cancel()


@contextmanager
def _signals(stop: Callable[[], None], write: Callable[[str], None]) -> Iterator[None]:
    """First SIGINT or SIGTERM: `stop`; the second: the process ends at once with 130."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def received(number: int) -> None:
        if seen:
            os._exit(STOPPED_AT_ONCE)
        seen.append(number)
        write("stopping: what was found is submitted; once more stops at once")
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, received, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@dataclass(frozen=True, slots=True)
class _Proofs:
    """The bundled pool's proofs, off the event loop."""

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
    options: PoolOptions, proofs: _Proofs, report: Callable[[ServerEvent], None]
) -> PoolServer:
    """Return the bundled pool, not listening yet."""
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
        proofs.prove,
        SystemClock(),
        block_time=options.block_time,
        report=report,
        protocol=options.protocol,
        mischief=options.mischief,
    )


async def serve_pool(options: PoolOptions, write: Callable[[str], None]) -> None:
    """Serve the bundled pool until a signal."""
    ended = asyncio.Event()
    with WorkPool("prove", 1) as work, _signals(ended.set, write):
        server = make_pool(
            options, _Proofs(Verifier(), work), lambda event: write(pool_line(event))
        )
        async with server.listen(options.host, options.port):
            write(f"listening on stratum+tcp://{options.host}:{server.port}")
            await ended.wait()


async def demo(
    mining: Callable[[int], Mining], options: PoolOptions, write: Callable[[str], None]
) -> int:
    """Serve the bundled pool on a free loopback port and mine against it; `mining` is given
    the port. Returns the accepted shares."""
    verifier = Verifier()
    async with AsyncExitStack() as stack:
        work = stack.enter_context(WorkPool("prove", 1))
        server = make_pool(options, _Proofs(verifier, work), lambda event: None)
        await stack.enter_async_context(server.listen(options.host, options.port))
        return await mine(mining(server.port), write, verifier=verifier)


def pool_line(event: ServerEvent) -> str:
    """Return what the bundled pool prints of `event`."""
    match event:
        case ClientJoined(address, worker, agent):
            return f"joined  {worker} from {address} ({agent})"
        case ClientLeft(address, worker, reason):
            return f"left    {worker or address}: {reason}"
        case ShareJudged(worker, height, accepted, code, text, difficulty):
            word = "accepted" if accepted else f"refused {code} {text}"
            return f"share   {worker} height {height} {word} difficulty {difficulty:.6g}"
        case BlockFound(worker, height):
            return f"block   {worker} height {height}"
        case HeightAdvanced(height):
            return f"height  {height}"
        case FaultCommitted(worker, fault, skipped):
            return f"fault   {worker} {fault}" + (f", skipped: {skipped}" if skipped else "")
