"""KawPow Stratum as a pool speaks it: whole nonces under a prefix, headers repeated."""

from __future__ import annotations

from typing import Any

from miner.pool.bundled.dialect import (
    HASH_HEX,
    NONCE_HEX,
    WORKER,
    WORKERS_PER_CLIENT,
    Dialect,
    House,
    extranonce,
    params_of,
)
from miner.pool.bundled.events import LoggedIn, RequestId, ShareJudged, ShareToProve, TellerEvent
from miner.pool.bundled.judge import NOT_SUBSCRIBED, OTHER, UNAUTHORIZED, Claim, Offer, Refusal
from miner.work import NonceSpace


class KawPow(Dialect):
    """The dialect of Ravencoin's pools and of most of its relatives."""

    name = "kawpow"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._target_sent = 0

    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> TellerEvent | None:
        match method:
            case "mining.subscribe":
                self._subscribe(request_id, params_of(message))
            case "mining.authorize":
                return self._authorize(request_id, params_of(message))
            case "mining.submit":
                return self._submit(request_id, params_of(message))
            case "eth_submitHashrate":
                pass  # taken without an answer, as NOMP's pools do
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

    def _grant(self, request_id: RequestId) -> None:
        self._reply(request_id, True)

    def _reply(self, request_id: RequestId, result: Any) -> None:
        self._send({"id": request_id, "result": result, "error": None})

    def _call(self, method: str, params: list[Any], **more: str) -> None:
        self._send({"id": None, "method": method, "params": params, **more})

    def _subscribe(self, request_id: RequestId, params: list[Any]) -> None:
        if self.seat.nonces is None:
            self.seat.nonces = self._house.take_prefix()
            self._name_agent(params[0] if params else None)
        if self.seat.nonces is None:
            self.refuse(request_id, Refusal(OTHER, "no extranonce is left"))
            return
        self._reply(request_id, self._subscription(extranonce(self.seat.nonces)))

    def _subscription(self, digits: str) -> list[Any]:
        return [None, digits]

    def _authorize(self, request_id: RequestId, params: list[Any]) -> LoggedIn | None:
        worker = params[0] if params else None
        if self.seat.nonces is None:
            self.refuse(request_id, Refusal(NOT_SUBSCRIBED, "not subscribed"))
        elif not isinstance(worker, str) or not WORKER.fullmatch(worker):
            text = "unauthorized worker: a name is 1 to 128 printable ASCII characters"
            self.refuse(request_id, Refusal(UNAUTHORIZED, text))
        elif reason := self._house.barred(worker):
            self.refuse(request_id, Refusal(UNAUTHORIZED, reason))
        elif worker in self.workers:
            self._reply(request_id, True)
        elif len(self.workers) == WORKERS_PER_CLIENT:
            text = f"unauthorized worker: a connection has at most {WORKERS_PER_CLIENT}"
            self.refuse(request_id, Refusal(UNAUTHORIZED, text))
        else:
            self.workers.append(worker)
            self._reply(request_id, True)
            if len(self.workers) == 1:
                self.offer(clean=True)
                return LoggedIn(worker, self._agent)
        return None

    def _submit(self, request_id: RequestId, params: list[Any]) -> ShareToProve | ShareJudged:
        claim: Claim | Refusal = Refusal(NOT_SUBSCRIBED, "not subscribed")
        if self.seat.nonces is not None:
            claim = Refusal(UNAUTHORIZED, "unauthorized worker")
            if params and params[0] in self.workers:
                claim = self._claim(params)
        worker = params[0] if params and params[0] in self.workers else ""
        key = params[1] if len(params) > 1 and isinstance(params[1], str) else ""
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
        return Claim(
            worker,
            self._find(key),
            int(nonce, 16),
            bytes.fromhex(header[2:]),
            bytes.fromhex(mix[2:]),
        )

    def _tell(self, key: str, offer: Offer, clean: bool) -> None:
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
