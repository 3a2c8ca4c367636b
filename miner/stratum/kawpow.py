"""KawPow Stratum, the dialect of Ravencoin pools and most of their relatives."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from miner.errors import ProtocolError
from miner.stratum import wire_format
from miner.stratum.client_side import ClientSide
from miner.stratum.dialect import Dialect
from miner.stratum.extremes import ACCOUNT, ANYTHING, HASH, NONCE, Extremes
from miner.stratum.opening import Opening
from miner.stratum.pool_events import Authorized, JobReceived, Subscribed, WrongProtocol
from miner.stratum.pool_side import HASH_HEX, NONCE_HEX, PoolContext, PoolSide, extranonce
from miner.stratum.share_rules import (
    OTHER,
    Claim,
    ClientEvent,
    Offer,
    Refusal,
    RequestId,
    ShareJudged,
    ShareToProve,
)
from miner.stratum.wire_format import params_of
from miner.work import Job, NonceSpace, Outcome, Solution

KAWPOW_STRATUM = "KawPow Stratum"

ETHEREUM_STRATUM_1 = "EthereumStratum/1.0.0"
"""Named in the answer to mining.subscribe by pools of that dialect and by some KawPow pools."""

_HASH = re.compile(r"(?:0[xX])?[0-9a-fA-F]{64}")


class KawPowClient(ClientSide):
    """The client's side of KawPow Stratum."""

    def __init__(self, dialect: Dialect, opening: Opening) -> None:
        super().__init__(dialect, opening)
        self._diff1 = opening.diff1 or dialect.diff1
        self._nonces: NonceSpace | None = None
        self._early: Job | None = None
        """A job received before the extranonce."""
        self._names_ethstratum = False
        """Whether the pool named EthereumStratum/1.0.0 in its answer to mining.subscribe."""

    def start(self) -> bytes:
        return (
            self._request("mining.subscribe", self._subscription())
            + self._request("mining.authorize", [self._opening.user, self._opening.password])
            + self._optional("mining.extranonce.subscribe", [])
        )

    def submit(self, solution: Solution) -> bytes:
        share = [self._opening.user, solution.job.id, *wire_format.proof(solution)]
        return self._request("mining.submit", share)

    def report_hashrate(self, hashes_per_second: int, rig: bytes) -> bytes:
        params = [f"0x{hashes_per_second:064x}", f"0x{rig.hex()}"]
        return self._optional("eth_submitHashrate", params)

    def _subscription(self) -> list[str]:
        return [self._opening.agent]

    def _handle_answer(self, method: str, result: Any, outcome: Outcome, text: str) -> None:
        accepted = outcome is Outcome.ACCEPTED
        if method == "mining.subscribe":
            if accepted:
                self._names_ethstratum = _names_ethereum_stratum(result)
                self._subscribed(wire_format.extranonce(result))
            else:
                self._refuse_login(text, first=True)
        elif method == "mining.authorize":
            if accepted:
                self._events.append(Authorized())
            else:
                self._refuse_login(text, first=False)

    def _subscribed(self, nonces: NonceSpace) -> None:
        if self._nonces is not None and nonces == NonceSpace():
            nonces = self._nonces  # mining.set_extranonce came before this answer, which has none
        self._nonces = nonces
        self._events.append(Subscribed(nonces))
        self._check_range(nonces)
        if self._early:
            self._events.append(JobReceived(replace(self._early, nonces=nonces)))
            self._early = None

    def _handle_call(self, method: str, message: dict[str, Any]) -> None:
        value = next(iter(params_of(message)), None)
        match method:
            case "mining.notify":
                self._handle_notify(message)
            case "mining.set_target":
                self._announce(lambda: wire_format.target(value))
            case "mining.set_difficulty":
                self._announce(lambda: wire_format.target_of_difficulty(value, self._diff1))
            case "mining.set_extranonce":
                self._nonces = wire_format.nonce_space(value)
                self._check_range(self._nonces)
            case _:
                super()._handle_call(method, message)

    def _handle_notify(self, message: dict[str, Any]) -> None:
        dialect = self._other_dialect_of(params_of(message))
        if dialect and "dialect" not in self._warned:
            self._warned.add("dialect")
            self._events.append(WrongProtocol(f"its jobs are those of {dialect}", dialect))
            return
        job = self._checked_job(message)
        if job is None:
            return
        if self._nonces is None:
            self._early = job
        else:
            self._events.append(JobReceived(job))

    def _other_dialect_of(self, params: list[Any]) -> str:
        """Return the title of the other dialect that a job shows the pool to speak, else ""."""
        foreign = self._names_ethstratum and is_ethstratum_job(params)
        return ETHEREUM_STRATUM_1 if foreign else ""

    def _read_job(self, work: dict[str, Any]) -> Job:
        params = params_of(work)
        if len(params) < 6:
            raise ProtocolError(
                f"mining.notify has {len(params)} parameters and no block height, which ProgPoW "
                "needs; this pool's dialect is not supported"
            )
        name, header, seed, target, clean, height, *rest = params
        return self._job(
            name=wire_format.job_id(name),
            header=header,
            height=height,
            share_target=self._share_target(target),
            nonces=self._nonces or NonceSpace(),
            seed=seed,
            block_target=wire_format.block_target(rest[0] if rest else None),
            clean=wire_format.truth(clean),
        )

    def _share_target(self, value: Any) -> int:
        if value is not None and value != "":
            return wire_format.target(value)
        if self._announced is None:
            raise ProtocolError("the pool sent no target, neither with the job nor before it")
        return self._announced


def is_ethstratum_job(params: list[Any]) -> bool:
    """Return whether a job's parameters are those of EthereumStratum/1.0.0: id, seed hash, header
    hash, a boolean and possibly the height before or after it. KawPow has a target there."""
    match params:
        case [_, str(seed), str(header), bool()] | [_, str(seed), str(header), bool(), _]:
            return _is_hash(seed) and _is_hash(header)
        case [_, str(seed), str(header), height, bool()]:
            return _is_hash(seed) and _is_hash(header) and not _is_hash(height)
        case _:
            return False


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


def _names_ethereum_stratum(result: Any) -> bool:
    named = result[0] if isinstance(result, list) and result else None
    return isinstance(named, list) and any(
        ETHEREUM_STRATUM_1 in part if isinstance(part, list) else part == ETHEREUM_STRATUM_1
        for part in named
    )


class KawPowPool(PoolSide):
    """The test pool's side of KawPow Stratum."""

    def __init__(self, dialect: Dialect, context: PoolContext) -> None:
        super().__init__(dialect, context)
        self._target_sent = 0

    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> ClientEvent | None:
        match method:
            case "mining.subscribe":
                self._subscribe(request_id, _params(message))
            case "mining.authorize":
                return self._authorize(request_id, next(iter(_params(message)), None))
            case "mining.submit":
                return self._submit(request_id, _params(message))
            case "eth_submitHashrate":
                pass  # not answered, like by NOMP's pools
            case _:
                self.refuse(request_id, Refusal(OTHER, "Not supported."))
        return None

    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        self._send({"id": request_id, "result": None, "error": list(refusal)})

    def change_extranonce(self, nonces: NonceSpace) -> None:
        self._call("mining.set_extranonce", [extranonce(nonces)])
        super().change_extranonce(nonces)

    def ask_to_reconnect(self, host: str, port: int, wait: int) -> bool:
        self._call("client.reconnect", [host, port, wait])
        return True

    def _call(self, method: str, params: list[Any], **more: str) -> None:
        self._send({"id": None, "method": method, "params": params, **more})

    def _subscribe(self, request_id: RequestId, params: list[Any]) -> None:
        if self.state.nonces is None:
            self.state.nonces = self._context.take_prefix()
            self._set_agent(params[0] if params else None)
        if self.state.nonces is None:
            self.refuse(request_id, Refusal(OTHER, "no extranonce is left"))
            return
        self._reply(request_id, self._subscription(extranonce(self.state.nonces)))

    def _subscription(self, digits: str) -> list[Any]:
        return [None, digits]

    def _submit(self, request_id: RequestId, params: list[Any]) -> ShareToProve | ShareJudged:
        worker = params[0] if params and params[0] in self.workers else ""
        key = params[1] if len(params) > 1 and isinstance(params[1], str) else ""
        claim = self._unauthorized(worker) or self._claim(params)
        return self._submitted(request_id, worker, key, claim)

    def _claim(self, params: list[Any]) -> Claim | Refusal:
        """Read [worker, job id, nonce, header hash, mix hash], the last three as 0x and hex."""
        if len(params) < 5 or not all(isinstance(param, str) for param in params[:5]):
            return Refusal(OTHER, "a share is [worker, job, nonce, header hash, mix hash]")
        worker, key, nonce, header, mix = params[:5]
        if not NONCE_HEX.fullmatch(nonce):
            return Refusal(OTHER, "incorrect size of nonce, must be 8 bytes")
        if not HASH_HEX.fullmatch(header):
            return Refusal(OTHER, "incorrect size of header hash, must be 32 bytes")
        if not HASH_HEX.fullmatch(mix):
            return Refusal(OTHER, "incorrect size of mix hash, must be 32 bytes")
        return Claim.of_hex(worker, self._find(key), nonce, header, mix)

    def _send_job(self, key: str, offer: Offer, clean: bool) -> None:
        template = offer.template
        target = f"{offer.share_target:064x}"
        if offer.share_target != self._target_sent:
            self._target_sent = offer.share_target
            self._call("mining.set_target", [target])
        params = [
            key,
            template.header_hash.hex(),
            template.seed_hash.hex(),
            target,
            clean,
            template.height,
            f"{template.bits:08x}",
        ]
        self._call("mining.notify", params)


def _params(message: dict[str, Any]) -> list[Any]:
    """Return the positional parameters; raises `ProtocolError` if they have another form."""
    params = message.get("params", [])
    if not isinstance(params, list):
        raise ProtocolError("params is not a list")
    return params


KAWPOW = Dialect(
    name="kawpow",
    title=KAWPOW_STRATUM,
    client=KawPowClient,
    pool=KawPowPool,
    logins=frozenset({"mining.authorize"}),
    shares=frozenset({"mining.submit"}),
    hashrate_reports=frozenset({"eth_submitHashrate"}),
    extras=frozenset({"mining.extranonce.subscribe"}),
    first_method="mining.subscribe",
    extremes=Extremes(
        order=("mining.subscribe", "mining.authorize"),
        methods=frozenset({"mining.submit"}),
        params={
            "mining.subscribe": (ANYTHING,),
            "mining.authorize": (ACCOUNT, ANYTHING),
            "mining.submit": (ACCOUNT, ANYTHING, NONCE, HASH, HASH),
        },
    ),
)
