"""ETHPROXY (getwork over Stratum) with its SERO and Zano forms."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from miner.errors import ProtocolError
from miner.stratum import wire_format
from miner.stratum.client_side import ClientSide
from miner.stratum.dialect import Dialect
from miner.stratum.extremes import (
    ANYTHING,
    BASE58_ACCOUNT,
    ETHEREUM_ADDRESS,
    HASH,
    NONCE,
    WORKER_NAME,
    Extremes,
)
from miner.stratum.opening import Opening
from miner.stratum.pool_events import Authorized, JobReceived, Subscribed
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
from miner.stratum.wire_format import params_of
from miner.work import Job, NonceSpace, Outcome, Solution

POLL_SECONDS = 30.0
"""Interval of requests for work: some pools do not push jobs."""

UNPUSHED_POLL_SECONDS = 2.0
"""The same while new jobs come only in answer to our requests."""

_HEADER = re.compile(r"0[xX]|[0-9a-fA-F]{64}\Z")
"""Start of a header hash. A malformed rest is reported as a bad job, not taken for an answer."""

_OTHER_DIALECT = re.compile(
    r"\bmethod|not supported|unsupported (?:stratum|protocol)|subscribe|error -(?:3|32601)\b"
)
"""In the lower-case errors of pools that do not know this login method."""


class EthProxyClient(ClientSide):
    """The client's side, for old ProgPoW forks, geth-like proxies, SERO and Zano.

    `prefix` is the part of the method names before the underscore; `numbers_in_login` keeps a
    number after the account's dot, which is a fixed difficulty.
    """

    keepalive_after: float = POLL_SECONDS

    def __init__(
        self,
        dialect: Dialect,
        opening: Opening,
        *,
        prefix: str = "eth",
        numbers_in_login: bool = False,
    ) -> None:
        super().__init__(dialect, opening)
        self._prefix, self._numbers_in_login = prefix, numbers_in_login
        self._newest: Job | None = None

    def start(self) -> bytes:
        login = [self._account(), self._opening.password]
        return self._request(f"{self._prefix}_submitLogin", login)

    def submit(self, solution: Solution) -> bytes:
        return self._request(f"{self._prefix}_submitWork", wire_format.proof(solution))

    def keepalive(self) -> bytes:
        return self._poll(f"{self._prefix}_getWork", [])

    def report_hashrate(self, hashes_per_second: int, rig: bytes) -> bytes:
        report = [f"0x{hashes_per_second:064x}", f"0x{rig.hex()}"]
        return self._optional(f"{self._prefix}_submitHashrate", report)

    def _account(self) -> str:
        # open-ethereum-pool and SERO's pools accept only an address. The worker is sent in another
        # member.
        opening = self._opening
        keeps_all = self._numbers_in_login and opening.worker.isdecimal()
        return opening.user if keeps_all else opening.account

    def _members(self, method: str) -> dict[str, Any]:
        worker = self._opening.worker
        named = {"worker": worker} if worker and not method.endswith("_getWork") else {}
        return {"jsonrpc": "2.0", **named}

    def _handle_call(self, method: str, message: dict[str, Any]) -> None:
        # Some pools push work as a call: in "params", after a job id, or in "result".
        params = params_of(message)
        work = params[1:] if len(params) > 4 else params or message.get("result")
        if method == "mining.notify" and isinstance(work, list) and _is_work(work):
            self._take_work(work)
        else:
            super()._handle_call(method, message)

    def _take_answer(self, message: dict[str, Any]) -> None:
        result = message.get("result")
        if isinstance(result, list) and _is_work(result):
            answers_us = wire_format.whole(message.get("id")) == self._polled
            asked_for = answers_us and self._requests.pop(self._polled, None) is not None
            self._take_work(result, asked_for=asked_for)
        else:
            super()._take_answer(message)

    def _handle_answer(self, method: str, result: Any, outcome: Outcome, text: str) -> None:
        if method.endswith("_submitLogin"):
            if outcome is not Outcome.ACCEPTED:
                self._refuse_login(text, first=bool(_OTHER_DIALECT.search(text.lower())))
                return
            self._events += [Subscribed(NonceSpace()), Authorized()]
            self._send(self.keepalive())
        elif outcome is not Outcome.ACCEPTED:
            self._warn_once("work", f"the pool has no work for us: {text}")
        elif result:
            self._warn_once(
                "work",
                "the pool answered our request for work with something else; if no job arrives, "
                "let --protocol auto detect its protocol",
            )

    def _take_work(self, work: list[Any], *, asked_for: bool = False) -> None:
        job = self._checked_job(work)
        if job is None:
            return
        if not asked_for:
            self.keepalive_after = POLL_SECONDS
        elif self._newest is not None and self._newest.id != job.id:
            self.keepalive_after = UNPUSHED_POLL_SECONDS
        self._newest = job
        self._events.append(JobReceived(job))

    def _read_job(self, work: list[Any]) -> Job:
        if len(work) < 4:
            raise ProtocolError(
                "its work has no block height, which ProgPoW needs; this pool serves Ethash miners"
            )
        height = wire_format.block_height(work[3])
        return self._job(
            name=f"0x{wire_format.header_hash(work[0]).hex()}",
            header=work[0],
            height=height,
            share_target=wire_format.target(work[2]),
            nonces=NonceSpace(),
            seed=work[1],
            clean=self._newest is None or height != self._newest.height,
        )


def _is_work(result: list[Any]) -> bool:
    """Return whether the result of any request is a job: a header hash, a seed hash (may be
    empty) and a target."""
    return (
        len(result) >= 3
        and all(isinstance(value, str) for value in result[:3])
        and bool(_HEADER.match(result[0]))
    )


@dataclass(frozen=True, slots=True)
class PoolForm:
    """The form of the messages of a coin's pools; the defaults are those of open-ethereum-pool."""

    prefix: str = "eth"
    """Part of the method names before the underscore."""
    height: str = "0x{:06x}"
    """Format of a block height."""
    accepted: Any = True
    """Result of an accepted share."""
    explains: bool = False
    """A bad share gets an error with the reason, and errors leave the connection open. False: a
    bad share gets `false`, and any error closes the connection."""
    takes_hashrate: bool = True
    unknown_method: tuple[int, str] = (-3, "Method not found")
    push_id: int | None = 0
    """Id of a pushed job; None: the member is absent."""


class EthProxyPool(PoolSide):
    """The test pool's side of ETHPROXY, in a given form."""

    has_extranonce = False

    def __init__(
        self, dialect: Dialect, context: PoolContext, *, form: PoolForm = PoolForm()
    ) -> None:
        super().__init__(dialect, context)
        self._form = form
        self._announced: dict[str, int] = {}
        """Newest target sent with each key."""

    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> ClientEvent | None:
        params = params_of(message)
        prefix, _, name = method.partition("_")
        match name if prefix == self._form.prefix else "":
            case "submitLogin":
                return self._log_in(request_id, params, message.get("worker"))
            case "getWork" | "submitWork" | "submitHashrate" if not self.workers:
                self._error(request_id, NOT_SUBSCRIBED, "not logged in")
            case "getWork":
                offer = self._current()
                self._reply(request_id, self._work(self._put_silently(offer), offer))
            case "submitWork":
                return self._submit(request_id, params)
            case "submitHashrate" if self._form.takes_hashrate:
                self._reply(request_id, True)
            case _:
                self._error(request_id, *self._form.unknown_method)
        return None

    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        self._error(request_id, -1, refusal.text)

    def _accept(self, request_id: RequestId) -> None:
        self._reply(request_id, self._form.accepted)

    def _reject(self, request_id: RequestId, refusal: Refusal) -> None:
        if self._form.explains:
            self.refuse(request_id, refusal)
        else:
            self._reply(request_id, False)

    def _key(self, job_id: str, header_hash: bytes) -> str:
        return f"0x{header_hash.hex()}"

    def _reply(self, request_id: RequestId, result: Any) -> None:
        self._send({"id": request_id, "jsonrpc": "2.0", "result": result})

    def _error(self, request_id: RequestId, code: int, text: str) -> None:
        error = {"code": code, "message": text}
        self._send({"id": request_id, "jsonrpc": "2.0", "result": None, "error": error})
        if not (self._form.explains or self.close_reason):
            self.close_reason = f"it was sent an error: {text}"

    def _log_in(self, request_id: RequestId, params: list[Any], name: object) -> LoggedIn | None:
        worker = params[0] if params else None
        if isinstance(worker, str) and isinstance(name, str) and not worker.endswith(f".{name}"):
            worker += f".{name}"
        if not isinstance(worker, str) or not WORKER.fullmatch(worker):
            self._error(request_id, -1, "Invalid login: 1 to 128 printable ASCII characters")
        elif reason := self._context.ban_reason(worker):
            self._error(request_id, -1, reason)
        else:
            self._reply(request_id, True)
            return self._enter(worker)
        return None

    def _submit(self, request_id: RequestId, params: list[Any]) -> ShareToProve | ShareJudged:
        (worker,) = self.workers
        nonce, header, mix = (*params[:3], None, None, None)[:3]
        key = header if isinstance(header, str) else ""
        claim: Claim | Refusal
        if not _is(NONCE, nonce) or not _is(HASH, header, mix):
            claim = Refusal(OTHER, "malformed share: nonce, header and mix are 0x and lower hex")
            judged = self._submitted(request_id, worker, key, claim)
            if not self._form.explains:
                self.close_reason = claim.text
            return judged
        claim = Claim.of_hex(worker, self._find(key), nonce, header, mix)
        return self._submitted(request_id, worker, key, claim)

    def _put(self, key: str, offer: Offer, clean: bool) -> None:
        # A header sent again with another target is the same job to clients: shares in flight
        # may still be made for the earlier target.
        before = self._announced.get(key, offer.share_target)
        self._announced = {
            known: t for known, t in self._announced.items() if known in self.state.offers
        }
        self._announced[key] = offer.share_target
        super()._put(key, replace(offer, share_target=max(offer.share_target, before)), clean)

    def _put_silently(self, offer: Offer) -> str:
        key = self._key("", offer.template.header_hash)
        if key not in self.state.offers:
            self.state.offers[key] = offer
            self._announced[key] = offer.share_target
        return key

    def _send_job(self, key: str, offer: Offer, clean: bool) -> None:
        push_id = self._form.push_id
        work = self._work(key, replace(offer, share_target=self._announced[key]))
        numbered = {} if push_id is None else {"id": push_id}
        self._send({**numbered, "jsonrpc": "2.0", "result": work})

    def _work(self, key: str, offer: Offer) -> list[str]:
        template = offer.template
        return [
            key,
            f"0x{template.seed_hash.hex()}",
            f"0x{offer.share_target:064x}",
            self._form.height.format(template.height),
        ]


def _extremes(prefix: str, account: str, accepted: tuple[Any, ...]) -> Extremes:
    return Extremes(
        order=(f"{prefix}_submitLogin",),
        methods=frozenset({f"{prefix}_getWork", f"{prefix}_submitWork"}),
        params={
            f"{prefix}_submitLogin": (account, ANYTHING),
            f"{prefix}_getWork": (),
            f"{prefix}_submitWork": (NONCE, HASH, HASH),
        },
        accepted=accepted,
    )


def _is(pattern: str, *values: object) -> bool:
    return all(isinstance(value, str) and re.fullmatch(pattern, value) for value in values)


ETHPROXY = Dialect(
    name="ethproxy",
    title="ETHPROXY",
    client=EthProxyClient,
    pool=EthProxyPool,
    schemes=("stratum1",),
    logins=frozenset({"eth_submitLogin"}),
    shares=frozenset({"eth_submitWork"}),
    hashrate_reports=frozenset({"eth_submitHashrate"}),
    first_method="eth_submitLogin",
    nodes_speak_getwork=True,
    extremes=_extremes("eth", ETHEREUM_ADDRESS, (True,)),
)

SERO = Dialect(
    name="sero",
    title="SERO's Stratum",
    client=partial(EthProxyClient, prefix="sero"),
    pool=partial(EthProxyPool, form=PoolForm(prefix="sero", height="{}")),
    logins=frozenset({"sero_submitLogin"}),
    shares=frozenset({"sero_submitWork"}),
    hashrate_reports=frozenset({"sero_submitHashrate"}),
    first_method="sero_submitLogin",
    nodes_speak_getwork=True,
    extremes=_extremes("sero", BASE58_ACCOUNT, (True,)),
)

ZANO = Dialect(
    name="zano",
    title="Zano's Stratum",
    client=partial(EthProxyClient, numbers_in_login=True),
    pool=partial(
        EthProxyPool,
        form=PoolForm(
            height="0x{:016x}",
            accepted={"status": "OK"},
            explains=True,
            takes_hashrate=False,
            unknown_method=(-1, "Invalid method"),
            push_id=None,
        ),
    ),
    logins=ETHPROXY.logins,
    shares=ETHPROXY.shares,
    hashrate_reports=ETHPROXY.hashrate_reports,
    first_method=None,  # its login is ETHPROXY's
    extremes=_extremes(
        "eth", rf"{BASE58_ACCOUNT}(?:@{WORKER_NAME})?(?:\.[0-9]+)?", (True, {"status": "OK"})
    ),
)
"""Zano's pools also answer a request for work with an empty list, which means "not yet"."""
