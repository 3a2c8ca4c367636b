"""The client's side of KawPow Stratum without sockets: bytes in, events out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from miner.errors import BadValue, ProtocolError
from miner.pool.protocols import fields
from miner.pool.protocols.answers import classify, sanitised
from miner.pool.protocols.difficulty import DIFF1_KAWPOW
from miner.pool.protocols.events import (
    Authorized,
    DifficultyNotice,
    JobReceived,
    LoginRefused,
    Message,
    PoolEvent,
    Reconnect,
    ShareAnswer,
    Subscribed,
)
from miner.pool.protocols.lines import LineReader, encode
from miner.progpow.variant import Variant
from miner.work import Job, NonceSpace, Outcome, Solution

ODD_LINES = 20
"""Lines that are no JSON object which one connection may bring."""

SENTENCES = 50
"""Oddities that one connection may bring to a person's notice, each of them once."""


class KawpowClient:
    """One connection's dialogue; numbers of requests are positive, unique, never used again.

    `session` marks the jobs. `diff1` is the target of difficulty 1, for pools that send
    `mining.set_difficulty`. `seed_of` maps an index in the keccak256 chain to 32 bytes in
    display order; the pool's seed hashes are only held against it.
    """

    def __init__(
        self,
        user: str,
        password: str,
        agent: str,
        variant: Variant,
        session: int,
        diff1: int = DIFF1_KAWPOW,
        seed_of: Callable[[int], bytes] | None = None,
    ) -> None:
        self._user, self._password, self._agent = user, password, agent
        self._variant, self._session = variant, session
        self._diff1, self._seed_of = diff1, seed_of
        self._reader = LineReader()
        self._requests: dict[int, str] = {}
        self._replies = bytearray()
        self._events: list[PoolEvent] = []
        self._said: set[str] = set()
        self._odd_lines = 0
        self._announced: int | None = None
        self._nonces: NonceSpace | None = None
        self._early: Job | None = None
        self.last_id = 0
        """Number of the newest request."""

    def start(self) -> bytes:
        """Return the requests that open the session, the subscription first with number 1."""
        return (
            self._request("mining.subscribe", [self._agent])
            + self._request("mining.authorize", [self._user, self._password])
            + self._request("mining.extranonce.subscribe", [])
        )

    def submit(self, solution: Solution) -> bytes:
        """Return the request that hands in `solution`; its number is `last_id` then."""
        job = solution.job
        return self._request(
            "mining.submit",
            [
                self._user,
                job.id,
                f"0x{solution.nonce:016x}",
                f"0x{job.header_hash.hex()}",
                f"0x{solution.mix_hash.hex()}",
            ],
        )

    def receive(self, data: bytes) -> list[PoolEvent]:
        """Return what the lines completed by `data` say, in their order.

        Raises nothing but `ProtocolError`, after which the connection is of no more use.
        """
        self._events = []
        for line in self._reader.feed(data):
            message = _parsed(line)
            if message is None:
                self._odd_line()
            elif isinstance(method := message.get("method"), str):
                self._called(method, message.get("params"), message.get("id"))
            else:
                self._answered(message)
        return self._events

    def data_to_send(self) -> bytes:
        """Return the replies that the pool's own requests need, once each."""
        data = bytes(self._replies)
        self._replies.clear()
        return data

    def _request(self, method: str, params: list[str]) -> bytes:
        self.last_id += 1
        self._requests[self.last_id] = method
        return encode({"id": self.last_id, "method": method, "params": params})

    def _odd_line(self) -> None:
        self._odd_lines += 1
        if self._odd_lines > ODD_LINES:
            raise ProtocolError(
                f"the pool sent more than {ODD_LINES} lines that are no JSON object"
            )
        self._say_once("line", "the pool sent a line that is no JSON object; it is ignored")

    def _say_once(self, topic: str, text: str) -> None:
        if topic not in self._said and len(self._said) < SENTENCES:
            self._said.add(topic)
            self._events.append(Message(text))

    # Answers to our requests

    def _answered(self, message: dict[str, Any]) -> None:
        result, error = message.get("result"), message.get("error")
        number = fields.whole(message.get("id"))
        method = self._requests.pop(number, "") if number else ""
        outcome, text = classify(result, error)
        if method == "mining.submit":
            self._events.append(ShareAnswer(number or 0, outcome, text))
        elif method == "mining.subscribe":
            if outcome is not Outcome.ACCEPTED:
                self._events.append(LoginRefused(text))
            else:
                self._subscribed(fields.extranonce(result))
        elif method == "mining.authorize":
            accepted = outcome is Outcome.ACCEPTED
            self._events.append(Authorized() if accepted else LoginRefused(text))
        elif message.get("id") is None and error is not None:
            self._events.append(Message(text))

    def _subscribed(self, nonces: NonceSpace) -> None:
        self._nonces = nonces
        self._events.append(Subscribed(nonces))
        if nonces.free_bits < 32:
            self._say_once(
                "nonces",
                f"the pool leaves only 2^{nonces.free_bits} nonces to search under each header",
            )
        if self._early:
            self._events.append(JobReceived(replace(self._early, nonces=nonces)))
            self._early = None

    # What the pool calls

    def _called(self, method: str, params: Any, number: Any) -> None:
        params = params if isinstance(params, list) else []
        match method:
            case "mining.notify":
                self._notified(params)
            case "mining.set_target":
                self._announce(fields.target, params)
            case "mining.set_difficulty":
                self._announce(
                    lambda value: fields.target_of_difficulty(value, self._diff1), params
                )
            case "mining.set_extranonce":
                self._nonces = fields.nonce_space(params[0] if params else None)
            case "client.show_message":
                if text := sanitised(" ".join(p for p in params if isinstance(p, str))):
                    self._events.append(Message(text))
            case "client.reconnect" | "mining.reconnect":
                self._events.append(_reconnect(params))
            case "client.get_version":
                self._reply(number, {"result": self._agent, "error": None})
            case "mining.ping" | "client.ping":
                self._reply(number, {"result": "pong", "error": None})
            case _:
                error = {"code": -32601, "message": "Method not found"}
                self._reply(number, {"result": None, "error": error})

    def _reply(self, number: Any, body: dict[str, Any]) -> None:
        answerable = fields.whole(number) is not None or (
            isinstance(number, str) and len(number) <= 64
        )
        if answerable:
            self._replies += encode({"id": number, **body})

    def _announce(self, read: Callable[[Any], int], params: list[Any]) -> None:
        try:
            self._announced = read(params[0] if params else None)
        except ProtocolError as problem:
            self._say_once("target", f"the pool announced a target that is none: {problem}")
        else:
            self._events.append(DifficultyNotice(self._announced))

    def _notified(self, params: list[Any]) -> None:
        try:
            job = self._job(params)
        except (ProtocolError, BadValue) as problem:
            self._say_once(f"job {problem}", f"a job of the pool cannot be mined: {problem}")
            return
        self._check_seed(job, params[2])
        if self._nonces is None:
            self._early = job
        else:
            self._events.append(JobReceived(job))

    def _job(self, params: list[Any]) -> Job:
        if len(params) < 6:
            raise ProtocolError(
                f"mining.notify brings {len(params)} values and no block height, which decides "
                "the program; this pool's dialect is not supported"
            )
        name, header, _, target, clean, height, *rest = params
        height = fields.block_height(height)
        return Job(
            session=self._session,
            id=fields.job_id(name),
            variant=self._variant,
            header_hash=fields.header_hash(header),
            height=height,
            epoch=self._variant.epoch_at(height),
            share_target=self._share_target(target),
            nonces=self._nonces or NonceSpace(),
            block_target=fields.block_target(rest[0] if rest else None),
            clean=clean not in (False, 0, None, "", "0", "false"),
        )

    def _share_target(self, value: Any) -> int:
        if value is not None and value != "":
            return fields.target(value)
        if self._announced is None:
            raise ProtocolError("no target was sent, neither with the job nor before it")
        return self._announced

    def _check_seed(self, job: Job, seed: Any) -> None:
        if not self._seed_of or "seed" in self._said or not isinstance(seed, str) or not seed:
            return
        if seed.lower().removeprefix("0x") != self._seed_of(job.epoch.seed_epoch).hex():
            self._say_once(
                "seed",
                f"the pool's seed hash is not that of epoch {job.epoch.number}, to which height "
                f"{job.height} belongs in {self._variant.name}; the height is followed. If all "
                "shares are invalid, check the algorithm",
            )


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _reconnect(params: list[Any]) -> Reconnect:
    host, port, wait = (*params[:3], None, None, None)[:3]
    number = fields.whole(port)
    return Reconnect(
        host if isinstance(host, str) and host else None,
        number if number and number < 65536 else None,
        float(min(fields.whole(wait) or 0, 3600)),
    )
