"""Processor time of a pool client whose pool floods it: 5 MB/s of lines of one kind after another.

The pool is a separate process. It accepts the login first, so that the session stays open.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from random import Random
from time import monotonic, thread_time

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT)]

from miner.clock import SystemClock  # noqa: E402
from miner.net.address import PoolUrl  # noqa: E402
from miner.net.dial import NetworkDial  # noqa: E402
from miner.pool.client import PoolClient  # noqa: E402
from miner.pool.connections import Connections  # noqa: E402
from miner.progpow.keccak import seed_hash  # noqa: E402
from miner.work import Job, Verdict  # noqa: E402
from tests.fakes.variants import KAWPOW  # noqa: E402
from tests.stratum.dialogue import answer, notify  # noqa: E402

BYTES_PER_SECOND = 5e6
BOUND = 0.02
"""Most CPUs that a flood may take."""

WARM_SECONDS = 1.5

FLOODS = {
    "empty lines": b"\n" * 4000,
    "empty objects": b"{}\n" * 1500,
    "one job": notify() * 10,
    "many jobs": b"".join(notify((0, f"job {n}"), (1, f"{n:064x}")) for n in range(2000)),
    "messages": b'{"id":null,"method":"client.show_message","params":["hello there"]}\n' * 60,
    "unknown methods": b'{"id":null,"method":"mining.unknown","params":[1,2,3]}\n' * 60,
    "unexpected answers": b'{"id":77,"result":true,"error":null}\n' * 100,
    "long lines": b'{"id":1,"x":"' + b"a" * 60_000 + b'"}\n',
    "not JSON": b"xyz\n" * 1000,
}


async def serve(flood: bytes) -> None:
    """Accept each login, then flood the client; print the port."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(1, [None, "0b8e5b"]) + answer(2) + notify())
        try:
            while True:
                writer.write(flood)
                await writer.drain()
                await asyncio.sleep(len(flood) / BYTES_PER_SECOND)
        except OSError:
            pass

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Sink:
    """Counts jobs."""

    def __init__(self) -> None:
        self.jobs = 0

    def work_on(self, job: Job | None) -> None:
        self.jobs += 1

    def on_verdict(self, verdict: Verdict) -> None:
        pass


async def measure(name: str, seconds: float) -> float:
    """Return the CPUs that a client takes for a flood."""
    pool = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", name, stdout=asyncio.subprocess.PIPE
    )
    assert pool.stdout is not None
    url = PoolUrl("127.0.0.1", int(await pool.stdout.readline()), "wallet", "x", protocol="kawpow")
    clock, sink = SystemClock(), Sink()
    connections = Connections(KAWPOW, NetworkDial(), clock, "flood/0", seed_of=seed_hash)
    client = PoolClient([url], connections, sink, sink, lambda event: None, clock, Random(1))
    running = asyncio.create_task(client.run())
    await asyncio.sleep(WARM_SECONDS)
    begun, used = monotonic(), thread_time()
    await asyncio.sleep(seconds)
    share = (thread_time() - used) / (monotonic() - begun)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    pool.kill()
    await pool.wait()
    print(f"{name}: {share:.2%} of a core, {sink.jobs} jobs")
    return share


async def measure_all(seconds: float) -> float:
    """Return the CPUs of the most expensive flood."""
    return max([await measure(name, seconds) for name in FLOODS])


def main() -> None:
    """Measure each flood; exit with 1 if one is above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each flood")
    parser.add_argument("--serve", choices=FLOODS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(serve(FLOODS[asked.serve]))
    sys.exit(asyncio.run(measure_all(asked.seconds)) > BOUND)


if __name__ == "__main__":
    main()
