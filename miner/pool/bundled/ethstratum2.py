"""EthereumStratum/2.0.0 as a pool speaks it: sessions that can be resumed, values set one by
one."""

from __future__ import annotations

from typing import Any

from miner.pool.bundled.dialect import WORKER, WORKERS_PER_CLIENT, Dialect, House, extranonce
from miner.pool.bundled.ethstratum import suffix_claim
from miner.pool.bundled.events import LoggedIn, RequestId, ShareJudged, ShareToProve, TellerEvent
from miner.pool.bundled.judge import (
    DUPLICATE,
    JOB_NOT_FOUND,
    LOW_DIFFICULTY,
    NOT_SUBSCRIBED,
    OTHER,
    UNAUTHORIZED,
    Claim,
    Offer,
    Refusal,
)

VERSION = "EthereumStratum/2.0.0"

TIMEOUT_SECONDS = 180
"""Silence after which the client is told to send a sign of life; not enforced."""

ERRORS = 999
"""Told to the client; not enforced."""

CODES = {
    OTHER: 400,
    JOB_NOT_FOUND: 404,
    DUPLICATE: 409,
    LOW_DIFFICULTY: 406,
    UNAUTHORIZED: 301,
    NOT_SUBSCRIBED: 300,
}


class EthStratum2(Dialect):
    """The dialect of EIP-1571."""

    name = "ethstratum2"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self._greeted = False
        self._told: dict[str, str] = {}

    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> TellerEvent | None:
        params = message.get("params")
        match method:
            case "mining.hello":
                self._hello(request_id, params)
            case "mining.subscribe":
                self._subscribe(request_id, params)
            case "mining.authorize":
                return self._authorize(request_id, params)
            case "mining.submit":
                return self._submit(request_id, params)
            case "mining.noop" | "mining.hashrate":
                self._reply(request_id, None)
            case "mining.bye":
                self.broken = "it said goodbye"
            case _:
                self.refuse(request_id, Refusal(OTHER, f"there is no method {method[:40]!r}"))
        return None

    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        error = {"code": CODES[refusal.code], "message": refusal.text}
        self._send({"id": request_id, "result": None, "error": error})

    def ask_to_reconnect(self, host: str, port: int, wait: int) -> bool:
        params = {"host": host, "port": f"{port:x}", "resume": "1"}
        self._send({"method": "mining.reconnect", "params": params})
        return True

    def _grant(self, request_id: RequestId) -> None:
        self._reply(request_id, None)

    def _reply(self, request_id: RequestId, result: Any) -> None:
        self._send({"id": request_id, "result": result, "error": None})

    def _hello(self, request_id: RequestId, params: Any) -> None:
        greeting = params if isinstance(params, dict) else {}
        if greeting.get("proto") != VERSION:
            self.refuse(request_id, Refusal(OTHER, f"unsupported protocol, this is {VERSION}"))
            return
        self._greeted = True
        self._name_agent(greeting.get("agent"))
        answer = {
            "proto": VERSION,
            "encoding": "plain",
            "resume": "1",
            "timeout": f"{TIMEOUT_SECONDS:x}",
            "maxerrors": f"{ERRORS:x}",
            "node": "bundled",
        }
        self._reply(request_id, answer)

    def _subscribe(self, request_id: RequestId, params: Any) -> None:
        wanted = params[0] if isinstance(params, list) and params else params
        if not self._greeted:
            self.refuse(request_id, Refusal(OTHER, "mining.hello comes first"))
            return
        if not self.seat.name:
            self._sit_down(wanted if isinstance(wanted, str) else "")
        if self.seat.nonces is None:
            self.refuse(request_id, Refusal(OTHER, "no extranonce is left"))
            return
        self._reply(request_id, self.seat.name)

    def _sit_down(self, wanted: str) -> None:
        """Take the seat of the session `wanted`, or a new one."""
        seat = self._house.sessions.resume(wanted)
        if seat is not None:
            self.seat = seat
            return
        self.seat.nonces = self._house.take_prefix()
        if self.seat.nonces is not None:
            self._house.sessions.open(self.seat)

    def _authorize(self, request_id: RequestId, params: Any) -> LoggedIn | None:
        worker = params[0] if isinstance(params, list) and params else None
        if not self.seat.name:
            self.refuse(request_id, Refusal(NOT_SUBSCRIBED, "not subscribed"))
        elif not isinstance(worker, str) or not WORKER.fullmatch(worker):
            text = "unauthorized worker: a name is 1 to 128 printable ASCII characters"
            self.refuse(request_id, Refusal(UNAUTHORIZED, text))
        elif reason := self._house.barred(worker):
            self.refuse(request_id, Refusal(UNAUTHORIZED, reason))
        elif worker in self.workers:
            self._reply(request_id, self._token(worker))
        elif len(self.workers) == WORKERS_PER_CLIENT:
            text = f"unauthorized worker: a connection has at most {WORKERS_PER_CLIENT}"
            self.refuse(request_id, Refusal(UNAUTHORIZED, text))
        else:
            self.workers.append(worker)
            self._reply(request_id, self._token(worker))
            if len(self.workers) == 1:
                self.offer(clean=True)
                return LoggedIn(worker, self._agent)
        return None

    def _token(self, worker: str) -> str:
        return f"w-{self.workers.index(worker) + 1}"

    def _submit(self, request_id: RequestId, params: Any) -> ShareToProve | ShareJudged:
        parts = params if isinstance(params, list) else []
        key, suffix, token = (*parts[:3], None, None, None)[:3]
        worker = next((name for name in self.workers if self._token(name) == token), "")
        claim: Claim | Refusal
        if not self.seat.name:
            claim = Refusal(NOT_SUBSCRIBED, "not subscribed")
        elif not worker:
            claim = Refusal(UNAUTHORIZED, "unauthorized worker")
        elif not isinstance(key, str) or not isinstance(suffix, str):
            claim = Refusal(OTHER, "a share is [job, nonce after the extranonce, worker's token]")
        else:
            claim = suffix_claim(worker, self._find(key), suffix, self._current())
        return self._submitted(request_id, worker, key if isinstance(key, str) else "", claim)

    def _tell(self, key: str, offer: Offer, clean: bool) -> None:
        template = offer.template
        values = {
            "epoch": f"{template.epoch.number:x}",
            "target": f"{offer.share_target:x}",
            "algo": "progpow",
            "extranonce": extranonce(offer.nonces),
        }
        changed = {name: text for name, text in values.items() if self._told.get(name) != text}
        if changed:
            self._told = values
            self._send({"method": "mining.set", "params": changed})
        params = [key, f"{template.height:x}", template.header_hash.hex(), "1" if clean else "0"]
        self._send({"method": "mining.notify", "params": params})
