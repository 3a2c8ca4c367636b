"""The test pool in its own process, or in one process with a miner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from miner.clock import SystemClock
from miner.devices.selection import ListedDevice
from miner.devices.tuning import Tuning
from miner.engine.threads import WorkPool
from miner.formatting import format_difficulty
from miner.net.address import HostPort, PoolUrl
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Digest
from miner.progpow.keccak import seed_hash
from miner.progpow.variant import Variant
from miner.run.mining import mine
from miner.run.run_config import LiveConfig, LogConfig, RunConfig
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
    """Options of the test pool."""

    variant: Variant
    height: int
    """Height of the first job."""
    difficulty: float
    """Difficulty of a share, as KawPow Stratum counts it."""
    block_difficulty: float | None
    """Difficulty of a block; None: 256 times a share's."""
    block_time: float | None
    """Seconds after which the height advances; None: only a block advances it."""
    seed: int
    """Seed of the headers."""
    host: str = "127.0.0.1"
    port: int = 0
    protocol: str | None = None
    """The only dialect to speak; None: all."""
    faults: FaultPlan | None = None
    """Faults to inject."""
    strict: bool = False
    """Be as strict as the strictest server of each dialect."""
    odd: bool = False
    """Send messages in odd forms, drawn with `seed`."""


class _ShareProver:
    """Computes the hashes of shares in a thread of `work`."""

    def __init__(self, verifier: Verifier, work: WorkPool) -> None:
        self._verifier, self._work = verifier, work

    async def prove(
        self, variant: Variant, epoch: Epoch, height: int, header_hash: bytes, nonce: int
    ) -> Digest:
        return await self._work.offload(
            self._verifier.hash, variant, height, epoch, header_hash, nonce
        )


class _Printer:
    """Writes a line for each event of the test pool."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def on_event(self, event: ServerEvent) -> None:
        self._write(pool_line(event))


async def serve_pool(options: PoolOptions, write: Callable[[str], None]) -> None:
    """Serve the test pool until a signal; `write` prints a line for each event."""
    stopped = asyncio.Event()
    with WorkPool("prove", 1) as work, signals(stopped.set, write):
        server = _new_server(options, _ShareProver(Verifier(), work), _Printer(write))
        async with server.listen(options.host, options.port):
            write(f"listening on stratum+tcp://{HostPort(options.host, server.port)}")
            await stopped.wait()


async def demo(
    options: PoolOptions,
    devices: Sequence[ListedDevice],
    shares: int,
    datasets_on_disk: bool,
    notes: Sequence[tuple[str, str]] = (),
    *,
    as_json: bool = False,
) -> int:
    """Serve the test pool on a free loopback port, mine with it until `shares` are accepted, and
    return their number. `notes` are the first lines, as (topic, sentence); `as_json` prints JSON
    lines."""
    tuning = Tuning(datasets_on_disk=datasets_on_disk)
    verifier = Verifier()
    with WorkPool("prove", 1) as work:
        server = _new_server(options, _ShareProver(verifier, work))
        async with server.listen(options.host, options.port):
            url = PoolUrl(options.host, server.port, "demo", protocol=options.protocol)
            config = RunConfig(
                options.variant, devices, LiveConfig((url,)), diff1=DIFF1_KAWPOW, shares=shares,
                tunings={found.info.name: tuning for found in devices},
                log=LogConfig("json" if as_json else "plain"), notes=notes,
            )  # fmt: skip
            return await mine(config, verifier=verifier)


def _new_server(
    options: PoolOptions, prover: _ShareProver, listener: ServerListener | None = None
) -> PoolServer:
    """Return the test pool, not listening yet."""
    block_difficulty = options.block_difficulty
    if block_difficulty is None:
        block_difficulty = options.difficulty * 256
    chain = Chain(
        options.variant, options.height, target_from_difficulty(options.difficulty, DIFF1_KAWPOW),
        target_from_difficulty(block_difficulty, DIFF1_KAWPOW), Random(options.seed), seed_hash,
    )  # fmt: skip
    return PoolServer(
        chain,
        prover,
        SystemClock(),
        ServerOptions(
            block_time=options.block_time, protocol=options.protocol, faults=options.faults,
            strict=options.strict, odd_seed=options.seed if options.odd else None,
        ),
        listener,
    )  # fmt: skip


def pool_line(event: ServerEvent) -> str:
    """Return the line that the test pool prints for `event`."""
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
