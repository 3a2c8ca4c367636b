"""EthereumStratum/2.0.0 (EIP-1571)."""

from __future__ import annotations

import re
from typing import Any

from miner.errors import ProtocolError
from miner.safe_text import short_line
from miner.stratum import wire_format
from miner.stratum.client_side import ClientSide
from miner.stratum.dialect import Dialect
from miner.stratum.ethstratum1 import nonce_suffix, suffix_claim
from miner.stratum.extremes import ANYTHING, ETHEREUM_ADDRESS, SUFFIX, WORKER_NAME, Extremes
from miner.stratum.opening import Opening
from miner.stratum.outcomes import remark
from miner.stratum.pool_events import Authorized, JobReceived, Reconnect, Subscribed
from miner.stratum.pool_side import PoolContext, PoolSide, extranonce
from miner.stratum.share_rules import (
    DUPLICATE,
    JOB_NOT_FOUND,
    LOW_DIFFICULTY,
    NOT_SUBSCRIBED,
    OTHER,
    UNAUTHORIZED,
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

VERSION = "EthereumStratum/2.0.0"

LONGEST_KEEPALIVE_SECONDS = 600.0

NAME_LENGTH = 128
"""Most characters of a session name or worker token from the pool."""

_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,16})")


class EthereumStratum2Client(ClientSide):
    """The client's side, as of EIP-1571 and Quai's pools."""

    def __init__(self, dialect: Dialect, opening: Opening) -> None:
        super().__init__(dialect, opening)
        self._to_resume: str | None = None
        """The session that we asked to resume."""
        self._can_resume = self._resumed = False
        self._token = ""
        self._nonces = NonceSpace()
        self._nonces_set = False
        """Whether the pool set an extranonce on this connection."""
        self._epoch: int | None = None
        self._remark: str | None = None

    def start(self) -> bytes:
        greeting = {
            "agent": self._opening.agent,
            "host": self._opening.host,
            "port": f"{self._opening.port:x}",
            "proto": VERSION,
        }
        return self._request("mining.hello", greeting)

    def submit(self, solution: Solution) -> bytes:
        job = solution.job
        suffix = nonce_suffix(solution.nonce, job.nonces)
        return self._request("mining.submit", [job.id, suffix, self._worker()])

    def keepalive(self) -> bytes:
        noop = self._request("mining.noop", None)
        # Some pools never answer it, so its answer is not waited for.
        del self._requests[self.last_id]
        return noop

    def report_hashrate(self, hashes_per_second: int, rig: bytes) -> bytes:
        return self._optional("mining.hashrate", [f"{hashes_per_second:x}", self._worker()])

    # Answers

    def _take_answer(self, message: dict[str, Any]) -> None:
        self._remark = remark(message.get("error"))
        if self._remark is not None:
            result = message.get("result")
            message = {**message, "result": None if result is False else result, "error": None}
        super()._take_answer(message)

    def _handle_share_answer(self, number: int, outcome: Outcome, text: str) -> None:
        super()._handle_share_answer(number, outcome, self._remark or text)

    def _handle_answer(self, method: str, result: Any, outcome: Outcome, text: str) -> None:
        accepted = outcome is Outcome.ACCEPTED
        match method:
            case "mining.hello" if accepted:
                self._greeted(result)
            case "mining.subscribe" if accepted:
                self._subscribed(result)
            case "mining.subscribe" if self._to_resume:
                self._to_resume = None
                self._subscribe()
            case "mining.authorize" if accepted:
                self._token = _name(result) or ""
                self._events.append(Authorized())
            case _:
                # Resuming a session that refused us would be refused again.
                self.resumable = None
                self._refuse_login(text, first=method == "mining.hello")

    def _greeted(self, result: Any) -> None:
        greeting = result if isinstance(result, dict) else {}
        proto = greeting.get("proto")
        if not isinstance(proto, str) or proto.lower() != VERSION.lower():
            self._refuse_login(f"its answer to mining.hello does not name {VERSION}", first=True)
            return
        if greeting.get("encoding") not in (None, "", "plain"):
            raise ProtocolError("the pool wants compression, which is not supported")
        self._can_resume = _whole(greeting.get("resume")) not in (None, 0)
        if timeout := _whole(greeting.get("timeout")):
            self.keepalive_after = min(timeout / 2, LONGEST_KEEPALIVE_SECONDS)
        self._to_resume = self._opening.resume if self._can_resume else None
        self._subscribe()

    def _subscribe(self) -> None:
        self._send(self._request("mining.subscribe", self._to_resume))

    def _subscribed(self, result: Any) -> None:
        session = _name(result)
        self._resumed = session is not None and session == self._to_resume
        self.resumable = session if self._can_resume else None
        self._events.append(Subscribed(self._nonces, self._resumed))
        login = [self._opening.user, self._opening.password]
        self._send(self._request("mining.authorize", login))

    def _worker(self) -> str:
        return self._token or self._opening.user

    # Calls

    def _handle_call(self, method: str, message: dict[str, Any]) -> None:
        match method:
            case "mining.set":
                self._set(message.get("params"))
            case "mining.notify":
                self._handle_notify(params_of(message))
            case "mining.bye":
                self._events.append(Reconnect(None, None, 0.0))
            case _:
                if method == "mining.reconnect":
                    self._note_session_end(message.get("params"))
                super()._handle_call(method, message)

    def _note_session_end(self, params: Any) -> None:
        if isinstance(params, dict) and _whole(params.get("resume")) == 0:
            self.resumable = None

    def _set(self, params: Any) -> None:
        """Apply values for the next job on; absent values stay as they are."""
        if isinstance(params, list) and params:
            params = params[0]
        if not isinstance(params, dict):
            self._warn_once("set", "the pool sent mining.set without values; ignoring it")
            return
        if (prefix := params.get("extranonce")) is not None:
            self._set_nonces(wire_format.nonce_space(prefix))
        if "target" in params:
            self._announce(lambda: wire_format.target(params["target"]))
        if (epoch := _whole(params.get("epoch"))) is not None:
            self._epoch = epoch
        algorithm = params.get("algo")
        if isinstance(algorithm, str) and algorithm and "pow" not in algorithm.lower():
            self._warn_once(
                "algo",
                f"the pool's algorithm is {short_line(algorithm)}, which is not of the ProgPoW "
                f"family; mining {self._variant.name}. If all shares are invalid, check the port",
            )

    def _set_nonces(self, nonces: NonceSpace) -> None:
        self._nonces, self._nonces_set = nonces, True
        self._check_range(nonces)

    def _handle_notify(self, params: list[Any]) -> None:
        if self._resumed and (self._announced is None or not self._nonces_set):
            # The earlier connection's values are unknown here; open a new session next time.
            self.resumable = None
            missing = "target" if self._announced is None else "extranonce"
            raise ProtocolError(f"the pool resumed our earlier session without its {missing}")
        job = self._checked_job(params)
        if job is None:
            return
        if self._epoch is not None and self._epoch != job.epoch.number:
            self._warn_once(
                "epoch",
                f"the pool's epoch is {self._epoch}, but height {job.height} belongs to epoch "
                f"{job.epoch.number} in {self._variant.name}; using the height. If all shares are "
                "invalid, check the algorithm",
            )
        self._events.append(JobReceived(job))

    def _read_job(self, work: list[Any]) -> Job:
        if len(work) < 3:
            raise ProtocolError(f"mining.notify has {len(work)} parameters instead of 4")
        if self._announced is None:
            raise ProtocolError("the pool sent no target before it")
        name, height, header, *rest = work
        return self._job(
            name=wire_format.job_id(name),
            header=header,
            height=_whole(height),
            share_target=self._announced,
            nonces=self._nonces,
            clean=wire_format.truth(rest[0] if rest else None),
        )


def _whole(value: Any) -> int | None:
    """Return a number given as hex digits or as a number; None for anything else."""
    if isinstance(value, str):
        match = _HEX.fullmatch(value)
        return int(match[1], 16) if match else None
    return wire_format.whole(value)


def _name(value: Any) -> str | None:
    """Return a name given by the pool, None if absent or unusable."""
    if isinstance(value, str) and 0 < len(value) <= NAME_LENGTH:
        return value
    return None


TIMEOUT_SECONDS = 180
"""Idle timeout as announced to the client; not enforced."""

MAX_ERRORS = 999
"""Most errors of a client as announced to it; not enforced."""

CODES = {
    OTHER: 400,
    JOB_NOT_FOUND: 404,
    DUPLICATE: 409,
    LOW_DIFFICULTY: 406,
    UNAUTHORIZED: 301,
    NOT_SUBSCRIBED: 300,
}


class EthereumStratum2Pool(PoolSide):
    """The test pool's side, as of EIP-1571."""

    def __init__(self, dialect: Dialect, context: PoolContext) -> None:
        super().__init__(dialect, context)
        self._greeted = False
        self._announced: dict[str, str] = {}
        """Values of the last `mining.set`."""

    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> ClientEvent | None:
        params = message.get("params")
        match method:
            case "mining.hello":
                self._hello(request_id, params)
            case "mining.subscribe":
                self._subscribe(request_id, params)
            case "mining.authorize":
                worker = params[0] if isinstance(params, list) and params else None
                return self._authorize(request_id, worker)
            case "mining.submit":
                return self._submit(request_id, params_of(message))
            case "mining.noop" | "mining.hashrate":
                self._reply(request_id, None)
            case "mining.bye":
                self.close_reason = "it sent mining.bye"
            case _:
                self.refuse(request_id, Refusal(OTHER, f"unknown method {method[:40]!r}"))
        return None

    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        error = {"code": CODES[refusal.code], "message": refusal.text}
        self._send({"id": request_id, "result": None, "error": error})

    def ask_to_reconnect(self, host: str, port: int, wait: int) -> bool:
        params = {"host": host, "port": f"{port:x}", "resume": "1"}
        self._send({"method": "mining.reconnect", "params": params})
        return True

    def _accept(self, request_id: RequestId) -> None:
        self._reply(request_id, None)

    def _hello(self, request_id: RequestId, params: Any) -> None:
        greeting = params if isinstance(params, dict) else {}
        if greeting.get("proto") != VERSION:
            self.refuse(request_id, Refusal(OTHER, f"unsupported protocol, this is {VERSION}"))
            return
        self._greeted = True
        self._set_agent(greeting.get("agent"))
        answer = {
            "proto": VERSION,
            "encoding": "plain",
            "resume": "1",
            "timeout": f"{TIMEOUT_SECONDS:x}",
            "maxerrors": f"{MAX_ERRORS:x}",
            "node": "bundled",
        }
        self._reply(request_id, answer)

    def _subscribe(self, request_id: RequestId, params: Any) -> None:
        wanted = params[0] if isinstance(params, list) and params else params
        if not self._greeted:
            self.refuse(request_id, Refusal(OTHER, "mining.hello comes first"))
            return
        if not self.state.name:
            self._open_session(wanted if isinstance(wanted, str) else "")
        if self.state.nonces is None:
            self.refuse(request_id, Refusal(OTHER, "no extranonce is left"))
            return
        self._reply(request_id, self.state.name)

    def _open_session(self, wanted: str) -> None:
        """Resume the session `wanted`, or open a new one."""
        state = self._context.sessions.resume(wanted)
        if state is not None:
            self.state = state
            return
        self.state.nonces = self._context.take_prefix()
        if self.state.nonces is not None:
            self._context.sessions.open(self.state)

    def _answer_login(self, request_id: RequestId, worker: str) -> None:
        self._reply(request_id, self._token_of(worker))

    def _token_of(self, worker: str) -> str:
        return f"w-{self.workers.index(worker) + 1}"

    def _submit(self, request_id: RequestId, params: list[Any]) -> ShareToProve | ShareJudged:
        key, suffix, token = (*params[:3], None, None, None)[:3]
        worker = next((name for name in self.workers if self._token_of(name) == token), "")
        claim: Claim | Refusal | None = self._unauthorized(worker)
        if claim is None and isinstance(key, str) and isinstance(suffix, str):
            claim = suffix_claim(worker, self._find(key), suffix, self._current())
        text = "a share is [job, nonce after the extranonce, worker's token]"
        known = key if isinstance(key, str) else ""
        return self._submitted(request_id, worker, known, claim or Refusal(OTHER, text))

    def _send_job(self, key: str, offer: Offer, clean: bool) -> None:
        template = offer.template
        values = {
            "epoch": f"{template.epoch.number:x}",
            "target": f"{offer.share_target:x}",
            "algo": "progpow",
            "extranonce": extranonce(offer.nonces),
        }
        changed = {name: text for name, text in values.items() if self._announced.get(name) != text}
        if changed:
            self._announced = values
            self._send({"method": "mining.set", "params": changed})
        params = [key, f"{template.height:x}", template.header_hash.hex(), "1" if clean else "0"]
        self._send({"method": "mining.notify", "params": params})


ETHSTRATUM2 = Dialect(
    name="ethstratum2",
    title=VERSION,
    client=EthereumStratum2Client,
    pool=EthereumStratum2Pool,
    schemes=("stratum3",),
    logins=frozenset({"mining.authorize"}),
    shares=frozenset({"mining.submit"}),
    hashrate_reports=frozenset({"mining.hashrate"}),
    first_method="mining.hello",
    nodes_speak_getwork=True,
    extremes=Extremes(
        order=("mining.hello", "mining.subscribe", "mining.authorize"),
        methods=frozenset({"mining.submit", "mining.noop", "mining.bye"}),
        params={
            "mining.authorize": (rf"{ETHEREUM_ADDRESS}(?:\.{WORKER_NAME})?", ANYTHING),
            "mining.submit": (ANYTHING, SUFFIX, ANYTHING),
        },
        accepted=(None, True),
        error_forms=False,
    ),
)
