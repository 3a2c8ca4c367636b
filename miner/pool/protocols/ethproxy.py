"""ETHPROXY, the dialect of getwork pools: the header is the job, whole nonces are handed in."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from miner.errors import ProtocolError
from miner.pool.protocols import fields
from miner.pool.protocols.events import Authorized, Subscribed
from miner.pool.protocols.stratum import Opening, Stratum
from miner.work import Job, NonceSpace, Outcome, Solution

POLL_SECONDS = 30.0
"""Some pools push no jobs; the same header again is no new work."""

_HEADER = re.compile(r"0[xX]|[0-9a-fA-F]{64}\Z")
"""How a header hash begins; one that is spoilt behind it is told, not taken for an answer."""

_OTHER_DIALECT = re.compile(
    r"\bmethod|not supported|unsupported (?:stratum|protocol)|subscribe|error -(?:3|32601)\b"
)
"""In the lower-case words of pools that know no such login."""


class EthProxy(Stratum):
    """The dialect of Zano's pools, old ProgPoW forks and geth-like proxies."""

    name = "ethproxy"
    title = "ETHPROXY"
    nudge_after = POLL_SECONDS

    PREFIX: ClassVar[str] = "eth"
    """What the methods begin with."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._height: int | None = None
        self._poll = 0
        """Number of the newest request for work."""

    def start(self) -> bytes:
        return self._ask("submitLogin", [self._opening.user, self._opening.password])

    def submit(self, solution: Solution) -> bytes:
        return self._ask(
            "submitWork",
            [
                f"0x{solution.nonce:016x}",
                f"0x{solution.job.header_hash.hex()}",
                f"0x{solution.mix_hash.hex()}",
            ],
        )

    def nudge(self) -> bytes:
        # A pool may answer under another id, or never: one request is waited for at most.
        self._requests.pop(self._poll, None)
        request = self._ask("getWork", [])
        self._poll = self.last_id
        return request

    def report_hashrate(self, hashes_per_second: int, rig: bytes) -> bytes:
        return self._ask("submitHashrate", [f"0x{hashes_per_second:064x}", f"0x{rig.hex()}"])

    def _ask(self, method: str, params: list[str]) -> bytes:
        more = {"jsonrpc": "2.0"}
        if params and self._opening.worker:
            more["worker"] = self._opening.worker
        return self._request(f"{self.PREFIX}_{method}", params, **more)

    def _answer(self, message: dict[str, Any]) -> None:
        result = message.get("result")
        if isinstance(result, list) and _is_work(result):
            if fields.whole(message.get("id")) == self._poll:
                self._requests.pop(self._poll, None)
            self._take_work(result)
        else:
            super()._answer(message)

    def _answered(self, method: str, result: Any, outcome: Outcome, text: str) -> None:
        if method.endswith("_submitLogin"):
            if outcome is not Outcome.ACCEPTED:
                self._refused(text, first=bool(_OTHER_DIALECT.search(text.lower())))
                return
            self._events += [Subscribed(NonceSpace()), Authorized()]
            self._send(self.nudge())
        elif outcome is not Outcome.ACCEPTED:
            self._say_once("work", f"the pool has no work for us: {text}")
        elif result:
            self._say_once(
                "work",
                "the pool answered our request for work with something else; if no job comes, "
                "have its protocol found with --protocol auto",
            )

    def _take_work(self, work: list[Any]) -> None:
        job = self._offer(lambda: self._read_job(work), work[1])
        if job is not None:
            self._height = job.height
            self._offered(job)

    def _read_job(self, work: list[Any]) -> Job:
        if len(work) < 4:
            raise ProtocolError(
                "its work brings no block height, which decides the program; this pool serves "
                "Ethash miners, not ProgPoW's"
            )
        height = fields.block_height(work[3])
        return self._job(
            name=f"0x{fields.header_hash(work[0]).hex()}",
            header=work[0],
            height=height,
            share_target=fields.target(work[2]),
            nonces=NonceSpace(),
            clean=height != self._height,
        )


def _is_work(result: list[Any]) -> bool:
    """Return whether a result, of whatever request, is a job: a header hash and two more texts,
    of which the seed hash may be empty."""
    return (
        len(result) >= 3
        and all(isinstance(value, str) for value in result[:3])
        and bool(_HEADER.match(result[0]))
    )
