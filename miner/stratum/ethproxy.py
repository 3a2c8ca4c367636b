"""ETHPROXY (getwork over Stratum), with its relatives of SERO and Zano."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, ClassVar

from miner.errors import ProtocolError
from miner.stratum import fields
from miner.stratum.client_side import ClientSide, Opening
from miner.stratum.pool_events import Authorized, Subscribed
from miner.stratum.pool_side import WORKER, PoolContext, PoolSide
from miner.stratum.share_rules import (
    NOT_SUBSCRIBED,
    OTHER,
    Claim,
    ClientEvent,
    LoggedIn,
    Offer,
    Refusal,
    RequestId,
    ShareJudged,
    ShareToProve,
)
from miner.work import Job, NonceSpace, Outcome, Solution

POLL_SECONDS = 30.0
"""Some pools push no jobs; the same header again is no new work."""

_HEADER = re.compile(r"0[xX]|[0-9a-fA-F]{64}\Z")
"""How a header hash begins; one that is spoilt behind it is told, not taken for an answer."""

_OTHER_DIALECT = re.compile(
    r"\bmethod|not supported|unsupported (?:stratum|protocol)|subscribe|error -(?:3|32601)\b"
)
"""In the lower-case words of pools that know no such login."""


class EthProxyClient(ClientSide):
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


class SeroClient(EthProxyClient):
    """The dialect of SERO's pools and nodes."""

    name = "sero"
    title = "SERO's Stratum"
    PREFIX = "sero"


class ZanoClient(EthProxyClient):
    """ETHPROXY with heights of 16 hex digits; an empty list for work means "not yet"."""

    name = "zano"
    title = "Zano's Stratum"


STRICT_NONCE = re.compile(r"0x[0-9a-f]{16}")
STRICT_HASH = re.compile(r"0x[0-9a-f]{64}")


class EthProxyPool(PoolSide):
    """The dialect of open-ethereum-pool: after an error it hangs up, bad shares are `false`."""

    name = "ethproxy"
    has_extranonce = False

    PREFIX: ClassVar[str] = "eth_"
    HANGS_UP: ClassVar[bool] = True

    def __init__(self, context: PoolContext) -> None:
        super().__init__(context)
        self._told: dict[str, int] = {}

    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> ClientEvent | None:
        given = message.get("params")
        params = given if isinstance(given, list) else []
        known = method.removeprefix(self.PREFIX) if method.startswith(self.PREFIX) else ""
        match known:
            case "submitLogin":
                return self._login(request_id, params)
            case "getWork" | "submitWork" | "submitHashrate" if not self.workers:
                self._error(request_id, NOT_SUBSCRIBED, "not logged in")
            case "getWork":
                offer = self._current()
                self._reply(request_id, self._work(self._put_silently(offer), offer))
            case "submitWork":
                return self._submit(request_id, params)
            case "submitHashrate":
                self._take_hashrate(request_id)
            case _:
                self._unknown(request_id)
        return None

    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        self._error(request_id, -1, refusal.text)

    def _grant(self, request_id: RequestId) -> None:
        self._reply(request_id, True)

    def _refuse_share(self, request_id: RequestId, refusal: Refusal) -> None:
        self._reply(request_id, False)

    def _take_hashrate(self, request_id: RequestId) -> None:
        self._reply(request_id, True)

    def _unknown(self, request_id: RequestId) -> None:
        self._error(request_id, -3, "Method not found")

    def _key(self, job_id: str, header_hash: bytes) -> str:
        return f"0x{header_hash.hex()}"

    def _height(self, height: int) -> str:
        return f"0x{height:06x}"

    def _push(self, work: list[str]) -> None:
        self._send({"id": 0, "jsonrpc": "2.0", "result": work})

    def _reply(self, request_id: RequestId, result: Any) -> None:
        self._send({"id": request_id, "jsonrpc": "2.0", "result": result})

    def _error(self, request_id: RequestId, code: int, text: str) -> None:
        error = {"code": code, "message": text}
        self._send({"id": request_id, "jsonrpc": "2.0", "result": None, "error": error})
        if self.HANGS_UP and not self.close_reason:
            self.close_reason = f"it was told an error: {text}"

    def _login(self, request_id: RequestId, params: list[Any]) -> LoggedIn | None:
        worker = params[0] if params else None
        if not isinstance(worker, str) or not WORKER.fullmatch(worker):
            self._error(request_id, -1, "Invalid login: 1 to 128 printable ASCII characters")
        elif reason := self._context.barred(worker):
            self._error(request_id, -1, reason)
        else:
            first = not self.workers
            self.workers = [worker]
            self.state.nonces = NonceSpace()
            self._reply(request_id, True)
            if first:
                return LoggedIn(worker, self._agent)
        return None

    def _submit(self, request_id: RequestId, params: list[Any]) -> ShareToProve | ShareJudged:
        (worker,) = self.workers
        nonce, header, mix = (*params[:3], None, None, None)[:3]
        key = header if isinstance(header, str) else ""
        claim: Claim | Refusal
        if not _is(STRICT_NONCE, nonce) or not _is(STRICT_HASH, header, mix):
            claim = Refusal(OTHER, "malformed share: nonce, header and mix are 0x and lower hex")
            judged = self._submitted(request_id, worker, key, claim)
            if self.HANGS_UP:
                self.close_reason = claim.text
            return judged
        claim = Claim(
            worker,
            self._find(key),
            int(nonce, 16),
            bytes.fromhex(header[2:]),
            bytes.fromhex(mix[2:]),
        )
        return self._submitted(request_id, worker, key, claim)

    def _put(self, key: str, offer: Offer, clean: bool) -> None:
        # The same header under another target is a new bound, not a new job: shares that are
        # under way may still be held to the one before.
        before = self._told.get(key, offer.share_target)
        self._told = {known: t for known, t in self._told.items() if known in self.state.offers}
        self._told[key] = offer.share_target
        super()._put(key, replace(offer, share_target=max(offer.share_target, before)), clean)

    def _put_silently(self, offer: Offer) -> str:
        key = self._key("", offer.template.header_hash)
        if key not in self.state.offers:
            self.state.offers[key] = offer
            self._told[key] = offer.share_target
        return key

    def _tell(self, key: str, offer: Offer, clean: bool) -> None:
        self._push(self._work(key, replace(offer, share_target=self._told[key])))

    def _work(self, key: str, offer: Offer) -> list[str]:
        template = offer.template
        return [
            key,
            f"0x{template.seed_hash.hex()}",
            f"0x{offer.share_target:064x}",
            self._height(template.height),
        ]


class SeroPool(EthProxyPool):
    """SERO's methods have names of their own, its heights are decimal."""

    name = "sero"
    PREFIX = "sero_"

    def _height(self, height: int) -> str:
        return str(height)


class ZanoPool(EthProxyPool):
    """Zano's node and pool: wide heights, pushes without a number, errors that say why."""

    name = "zano"
    HANGS_UP = False

    def _grant(self, request_id: RequestId) -> None:
        self._reply(request_id, {"status": "OK"})

    def _refuse_share(self, request_id: RequestId, refusal: Refusal) -> None:
        self._error(request_id, -1, refusal.text)

    def _take_hashrate(self, request_id: RequestId) -> None:
        self._unknown(request_id)

    def _unknown(self, request_id: RequestId) -> None:
        self._error(request_id, -1, "Invalid method")

    def _height(self, height: int) -> str:
        return f"0x{height:016x}"

    def _push(self, work: list[str]) -> None:
        self._send({"jsonrpc": "2.0", "result": work})


def _is(form: re.Pattern[str], *values: object) -> bool:
    return all(isinstance(value, str) and form.fullmatch(value) for value in values)
