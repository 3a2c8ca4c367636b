"""EPIC Cash's Stratum, whose chain lets one of three algorithms make each block."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from miner.errors import Cause, ProtocolError
from miner.safe_text import short_line
from miner.stratum import wire_format
from miner.stratum.client_side import ClientSide
from miner.stratum.dialect import Dialect
from miner.stratum.difficulty import MAX_TARGET
from miner.stratum.extremes import Extremes
from miner.stratum.opening import Opening
from miner.stratum.pool_events import Authorized, JobReceived, Subscribed
from miner.stratum.pool_side import WORKER, PoolContext, PoolSide
from miner.stratum.share_rules import (
    DUPLICATE,
    JOB_NOT_FOUND,
    LOW_DIFFICULTY,
    OTHER,
    UNAUTHORIZED,
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

ALGORITHM = "progpow"
OTHER_ALGORITHMS = ("randomx", "cuckoo")

STATUS_SECONDS = 30.0
"""Interval of requests for our status, the only keepalive that EPIC's own miner sends."""

JOB_REQUEST_SECONDS = 5.0
"""Interval of requests for a job, until the first one arrives."""

MOST_DIFFICULTY = 2**64 - 1

METHOD_NOT_FOUND = -32601
TRANSIENT = (-32000, -32603, 32603)
"""Codes of a node that is syncing and of internal errors; some nodes omit the minus sign."""

LOGIN_REQUIRED = -32500

_HEADER = re.compile(r"(?:0[xX])?((?:[0-9a-fA-F]{2})+)")


def job_name(height: int, number: int) -> str:
    """Return the id of a job: nodes number the templates of each height from 0."""
    return f"{height}/{number}"


class EpicClient(ClientSide):
    """The client's side, for EPIC's nodes and pools."""

    keepalive_after = JOB_REQUEST_SECONDS

    def __init__(self, dialect: Dialect, opening: Opening) -> None:
        super().__init__(dialect, opening)
        self._height: int | None = None
        """Height of the newest job."""
        self._answered_method = ""
        """Method that the newest answer names."""
        self._error_code: Any = None
        """Code of the newest answer's error."""

    def start(self) -> bytes:
        opening = self._opening
        login = {"login": opening.user, "pass": opening.password, "agent": opening.agent}
        return self._request("login", login)

    def submit(self, solution: Solution) -> bytes:
        job = solution.job
        share = {
            "height": job.height,
            "job_id": wire_format.whole(job.id.rpartition("/")[2]) or 0,
            "nonce": solution.nonce,
            "pow": {"ProgPow": list(solution.mix_hash)},
        }
        return self._request("submit", share)

    def keepalive(self) -> bytes:
        if self._height is None:
            return self._request_job()
        return self._optional("status", None)

    def _members(self, method: str) -> dict[str, Any]:
        # Servers close the connection if "jsonrpc" is missing. EPIC's own miner sends texts as ids.
        return {"id": str(self.last_id), "jsonrpc": "2.0"}

    def _request_job(self) -> bytes:
        return self._poll("getjobtemplate", {"algorithm": ALGORITHM})

    # Messages of the pool

    def _handle_call(self, method: str, message: dict[str, Any]) -> None:
        if method == "job":
            self._take_job(message.get("params"))
        else:
            super()._handle_call(method, message)

    def _reply(self, number: Any, answer: dict[str, Any]) -> None:
        """Send nothing: a line without a method would end the connection."""

    def _take_answer(self, message: dict[str, Any]) -> None:
        method, error = message.get("method"), message.get("error")
        self._answered_method = method if isinstance(method, str) else ""
        self._error_code = error.get("code") if isinstance(error, dict) else None
        if self._answered_method:
            number = wire_format.whole(message.get("id")) or 0
            message = {**message, "id": self._number_of(number, self._answered_method)}
        super()._take_answer(message)

    def _number_of(self, number: int, method: str) -> int | None:
        """Return the number of the request that an answer with this id and method belongs to.

        Servers name the method in their answers. The id may be any: EPIC's own miner gives all
        requests the same one, and distinguishes answers by their method.
        """
        known = "submit" if number in self._submissions else self._requests.get(number)
        if known == method or (known is None and 1 <= number <= self.last_id):
            return number
        if method in self.dialect.shares:
            return next(iter(self._submissions), None)
        return next((n for n, sent in self._requests.items() if sent == method), None)

    def _handle_answer(self, method: str, result: Any, outcome: Outcome, text: str) -> None:
        accepted = outcome is Outcome.ACCEPTED
        if method == "login":
            self._handle_login(result, text, accepted=accepted)
        elif accepted:
            if result is not None:
                self._take_job(result)
        elif self._error_code == LOGIN_REQUIRED:
            self._refuse_login(text, first=False)
        else:
            self._warn_once("work", f"the pool has no work for us: {text}")

    def _handle_login(self, result: Any, text: str, *, accepted: bool) -> None:
        if accepted and isinstance(result, dict):
            self._refuse_login("its answer is that of a CryptoNote pool", first=True)
        elif accepted:
            self._events += [Subscribed(NonceSpace()), Authorized()]
            self._send(self._request_job())
        elif self._answered_method and self._error_code in TRANSIENT:
            raise ProtocolError(f"the pool cannot log us in now: {text}", Cause.LOGIN_LATER)
        else:
            # Only servers of this dialect name the method in their answers.
            foreign = not self._answered_method or self._error_code == METHOD_NOT_FOUND
            self._refuse_login(text, first=foreign)

    def _take_job(self, params: Any) -> None:
        values = params if isinstance(params, dict) else {}
        if wire_format.whole(values.get("height")) == 0:
            return  # the empty template of a starting node; a keepalive requests another one
        job = self._checked_job(values)
        if job is not None:
            self._height, self.keepalive_after = job.height, STATUS_SECONDS
            self._events.append(JobReceived(job))

    def _read_job(self, work: dict[str, Any]) -> Job:
        from miner.progpow.keccak import keccak256  # importing it loads numba

        height = wire_format.block_height(work.get("height"))
        number = wire_format.whole(work.get("job_id"))
        if number is None:
            raise ProtocolError("its job_id is not a number")
        header = work.get("pre_pow")
        match = _HEADER.fullmatch(header) if isinstance(header, str) else None
        if not match:
            raise ProtocolError("its pre_pow is not an even number of hex digits")
        job = self._job(
            name=job_name(height, number),
            header=keccak256(bytes.fromhex(match[1])).hex(),
            height=height,
            share_target=_target(work.get("difficulty")),
            nonces=NonceSpace(),
            block_target=_target(work.get("block_difficulty"), absent=0),
            clean=height != self._height,
        )
        algorithm = work.get("algorithm")
        if not isinstance(algorithm, str) or algorithm.lower() in ("", ALGORITHM):
            return job
        epoch = self._variant.epoch_at(height + 1)  # the next block may be ours
        return replace(job, epoch=epoch, other_algorithm=short_line(algorithm, 40))


def _target(entries: Any, absent: int = MAX_TARGET) -> int:
    """Return the target of ProgPoW in a list of [algorithm, difficulty]. Without an entry, or with
    a difficulty of 0, every hash is a share, as for EPIC's own miner.

    Raises `ProtocolError` for a difficulty that is not a number of at most 64 bits.
    """
    for entry in entries if isinstance(entries, list) else ():
        match entry:
            case [str(name), value] if name.lower() == ALGORITHM:
                difficulty = wire_format.whole(value)
                if difficulty is None and value is not None:
                    raise ProtocolError("its difficulty is not a number")
                return MAX_TARGET // (difficulty or 1)
    return absent


LOGIN_LENGTHS = range(5, 21)
"""Characters of a login at pools."""

PASSWORD_LENGTH = 8
"""Fewest characters of a password at pools."""

MALFORMED = Refusal(OTHER, "Invalid Request")

ERRORS = {
    OTHER: (-32502, "Failed to validate solution: {}"),
    DUPLICATE: (-32502, "Failed to validate solution: {}"),
    JOB_NOT_FOUND: (-32503, "Solution submitted too late"),
    LOW_DIFFICULTY: (-32501, "Share rejected due to low difficulty"),
    UNAUTHORIZED: (LOGIN_REQUIRED, "{}"),
}
"""Code and text by the reason of a refusal; {} is its text."""


class EpicPool(PoolSide):
    """The test pool's side: a node's rules, and like a pool it demands a login."""

    has_extranonce = False
    takes_answers = False

    def __init__(self, dialect: Dialect, context: PoolContext) -> None:
        super().__init__(dialect, context)
        self._method = ""
        """Method of the newest request."""
        self._algorithm = ALGORITHM
        self._newest = -1, -1
        """Height and number of the newest job."""
        self._accepted = self._rejected = self._stale = 0

    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> ClientEvent | None:
        if request_id is None or not isinstance(message.get("jsonrpc"), str):
            self.close_reason = "a message has no id or no jsonrpc"
            return None
        self._method, params = method, message.get("params")
        match method:
            case "login":
                return self._log_in(request_id, params)
            case "keepalive":
                self._reply(request_id, "ok")
            case "getjobtemplate" | "submit" | "status" if not self.workers:
                self.refuse(request_id, Refusal(UNAUTHORIZED, "login first"))
            case "getjobtemplate":
                self._send_template(request_id, params)
            case "submit":
                return self._submit(request_id, params)
            case "status":
                self._reply(request_id, self._status())
            case _:
                self._error(request_id, METHOD_NOT_FOUND, "Method not found")
        return None

    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        if self.close_reason:
            return  # a node closes the connection without an answer
        if refusal == MALFORMED:
            self._error(request_id, -32600, refusal.text)
        else:
            code, text = ERRORS[refusal.code]
            self._error(request_id, code, text.format(refusal.text))

    def set_algorithm(self, name: str) -> bool:
        self._algorithm = name or ALGORITHM
        return True

    def _accept(self, request_id: RequestId) -> None:
        self._accepted += 1
        self._method = "submit"
        block = self._block_hash
        self._reply(request_id, "ok" if block is None else f"blockfound - {block.hex()}")

    def _reject(self, request_id: RequestId, refusal: Refusal) -> None:
        late = refusal.code == JOB_NOT_FOUND
        self._stale, self._rejected = self._stale + late, self._rejected + (not late)
        self._method = "submit"
        self.refuse(request_id, refusal)

    def _key(self, job_id: str, header_hash: bytes) -> str:
        height = self._chain.template.height
        number = self._newest[1] + 1 if self._newest[0] == height else 0
        self._newest = height, number
        return job_name(height, number)

    def _target(self, wanted: int) -> int:
        return MAX_TARGET // _difficulty(wanted)

    def _reply(self, request_id: RequestId, result: Any) -> None:
        self._answer_with(request_id, result, None)

    def _error(self, request_id: RequestId, code: int, text: str) -> None:
        self._answer_with(request_id, None, {"code": code, "message": text})

    def _answer_with(self, request_id: RequestId, result: Any, error: Any) -> None:
        head = {"id": request_id, "jsonrpc": "2.0", "method": self._method}
        self._send(head | {"result": result, "error": error})

    def _log_in(self, request_id: RequestId, params: Any) -> LoggedIn | None:
        match params:
            case {"login": str(worker), "pass": str(password), "agent": str(agent)}:
                pass
            case _:
                self.refuse(request_id, MALFORMED)
                return None
        problem = self._context.ban_reason(worker)
        if not WORKER.fullmatch(worker):
            problem = "invalid login: 1 to 128 printable ASCII characters"
        elif self._context.strict and len(worker) not in LOGIN_LENGTHS:
            problem = "invalid login: user.worker of 5 to 20 characters"
        elif self._context.strict and len(password) < PASSWORD_LENGTH:
            problem = f"invalid password: at least {PASSWORD_LENGTH} characters"
        if problem:
            self._error(request_id, -30600, problem)
            return None
        self._set_agent(agent)
        self._reply(request_id, "ok")
        return self._enter(worker)

    def _send_template(self, request_id: RequestId, params: Any) -> None:
        if not isinstance(params, dict) or not isinstance(params.get("algorithm"), str):
            self.refuse(request_id, MALFORMED)
            return
        offer = self._current()
        key = job_name(*self._newest)
        if self.state.offers.get(key) != offer:
            key = self._key("", offer.template.header_hash)
            self.state.offers[key] = offer
        self._reply(request_id, self._job(key, offer))

    def _submit(self, request_id: RequestId, params: Any) -> ShareToProve | ShareJudged:
        (worker,) = self.workers
        match params:
            case {
                "height": int(height),
                "job_id": int(number),
                "nonce": int(nonce),
                "pow": {"ProgPow": [*mix]},
            } if 0 <= nonce < 2**64 and _is_hash(mix):
                key = job_name(height, number)
                claim = Claim(worker, self._find(key), nonce, mix_hash=bytes(mix))
                return self._submitted(request_id, worker, key, claim)
        return self._submitted(request_id, worker, "", MALFORMED)

    def _status(self) -> dict[str, Any]:
        return {
            "id": "0",
            "height": self._chain.template.height,
            "difficulty": 1,
            "accepted": self._accepted,
            "rejected": self._rejected,
            "stale": self._stale,
        }

    def _send_job(self, key: str, offer: Offer, clean: bool) -> None:
        job = self._job(key, offer)
        self._send({"id": "Stratum", "jsonrpc": "2.0", "method": "job", "params": job})

    def _job(self, key: str, offer: Offer) -> dict[str, Any]:
        template = offer.template
        seeds_from = template.height // 1000 * 1000
        return {
            "height": template.height,
            "job_id": int(key.rpartition("/")[2]),
            "difficulty": _difficulties(offer.share_target),
            "block_difficulty": _difficulties(template.block_target),
            "pre_pow": template.header.hex(),
            "epochs": [[seeds_from, seeds_from + 1000, list(template.seed_hash)]],
            "algorithm": self._algorithm,
        }


def _difficulty(target: int) -> int:
    """Return the difficulty nearest to a target."""
    return min(max((MAX_TARGET + target // 2) // target, 1), MOST_DIFFICULTY)


def _difficulties(target: int) -> list[list[Any]]:
    return [*([name, 1] for name in OTHER_ALGORITHMS), [ALGORITHM, _difficulty(target)]]


def _is_hash(values: list[Any]) -> bool:
    return len(values) == 32 and all(type(byte) is int and 0 <= byte < 256 for byte in values)


EPIC = Dialect(
    name="epic",
    title="EPIC Cash's Stratum",
    client=EpicClient,
    pool=EpicPool,
    logins=frozenset({"login"}),
    shares=frozenset({"submit"}),
    keepalives=frozenset({"status"}),
    first_method="login",
    diff1=MAX_TARGET,
    extremes=Extremes(
        order=("login",),
        methods=frozenset({"getjobtemplate", "submit"}),
        line_bytes=10_240,
        any_id=True,
        accepted=("ok",),
        error_forms=False,
    ),
)
