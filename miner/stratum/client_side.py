"""What every dialect of Stratum does alike, without sockets: bytes in, events out."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from miner.errors import BadValue, ProtocolError
from miner.progpow.variant import Variant
from miner.safe_text import one_line
from miner.stratum import fields
from miner.stratum.framing import LineReader, encode
from miner.stratum.outcomes import classify
from miner.stratum.pool_events import (
    HashrateRefused,
    JobReceived,
    LoginRefused,
    Message,
    PoolEvent,
    Reconnect,
    ShareAnswer,
    WrongProtocol,
)
from miner.work import Job, NonceSpace, Outcome, Solution

ODD_LINES = 20
"""Lines that are no JSON object which one connection may bring."""

SENTENCES = 50
"""Oddities that one connection may bring to a person's notice, each of them once."""

KEPT_REQUESTS = 500
"""Newest requests whose answers are known for theirs: some pools answer no report ever."""

KEPT_SUBMISSIONS = 20_000
"""Newest shares whose answers are known for theirs; more than are ever in flight."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a dialogue is begun with."""

    user: str
    """As it is sent: account, or account.worker."""
    password: str
    agent: str
    variant: Variant
    session: int
    """Marks the jobs."""
    host: str = ""
    port: int = 0
    diff1: int | None = None
    """Target of difficulty 1 where the coin has its own; None: the dialect's."""
    seed_of: Callable[[int], bytes] | None = None
    """Index in the keccak256 chain -> 32 bytes in display order; the pool's seed hashes are only
    held against it."""
    resume: str | None = None
    """Name of an earlier session with this pool, for dialects that can go on with one."""

    @property
    def worker(self) -> str:
        """The part of the user after the last dot; empty where there is none."""
        return self.user.rpartition(".")[2] if "." in self.user else ""


class ClientSide(ABC):
    """One connection's dialogue; numbers of requests are positive, unique, never used again.

    A subclass is one dialect. It says `start`, `submit`, and takes what the pool says in
    `_called` (requests and notifications) and `_answered` (answers to our own requests).
    """

    name: ClassVar[str]
    """As `--protocol` takes it."""

    title: ClassVar[str]
    """As a person reads it."""

    nudge_after: float | None = None
    """Seconds after which `nudge` is to be sent, again and again; None: never."""

    resumable: str | None = None
    """Name under which this session can be gone on with on another connection."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._variant, self._session = opening.variant, opening.session
        self._reader = LineReader()
        self._requests: dict[int, str] = {}
        """Those that wait for an answer, the newest last; `_submissions` are apart."""
        self._submissions: dict[int, str] = {}
        self._unsent = bytearray()
        self._events: list[PoolEvent] = []
        self._said: set[str] = set()
        self._odd_lines = 0
        self.last_id = 0
        """Number of the newest request."""

    @abstractmethod
    def start(self) -> bytes:
        """Return the requests that open the session, the first with number 1."""

    @abstractmethod
    def submit(self, solution: Solution) -> bytes:
        """Return the request that hands in `solution`; its number is `last_id` then."""

    def nudge(self) -> bytes:
        """Return what keeps the other side talking."""
        return b""

    def report_hashrate(self, hashes_per_second: int, rig: bytes) -> bytes:
        """Return the report of our hashrate; nothing where the dialect has none. `rig` is 32
        random bytes that stay the same during a run."""
        return b""

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
                self._called(method, message)
            else:
                self._answer(message)
        return self._events

    def data_to_send(self) -> bytes:
        """Return what must be sent because of what was received, once."""
        data = bytes(self._unsent)
        self._unsent.clear()
        return data

    # For the dialects

    @abstractmethod
    def _answered(self, method: str, result: Any, outcome: Outcome, text: str) -> None:
        """Take the answer to our request `method`, no submission; `text` explains a refusal."""

    def _called(self, method: str, message: dict[str, Any]) -> None:
        """Take what the pool calls; the calls that all pools may make are taken here."""
        params = params_of(message)
        number = message.get("id")
        match method:
            case "client.show_message":
                if text := one_line(" ".join(p for p in params if isinstance(p, str))):
                    self._events.append(Message(text))
            case "client.reconnect" | "mining.reconnect":
                self._events.append(reconnect(message.get("params")))
            case "client.get_version":
                self._reply(number, {"result": self._opening.agent, "error": None})
            case "mining.ping" | "client.ping":
                self._reply(number, {"result": "pong", "error": None})
            case _:
                error = {"code": -32601, "message": "Method not found"}
                self._reply(number, {"result": None, "error": error})

    def _is_submission(self, method: str) -> bool:
        return method.endswith((".submit", "_submitWork"))

    def _is_report(self, method: str) -> bool:
        return method.endswith(("_submitHashrate", ".hashrate"))

    def _request(self, method: str, params: Any, **more: Any) -> bytes:
        """Return a request; `more` are members beside its parameters (None: no parameters)."""
        self.last_id += 1
        if self._is_submission(method):
            kept, most = self._submissions, KEPT_SUBMISSIONS
        else:
            kept, most = self._requests, KEPT_REQUESTS
        kept[self.last_id] = method
        while len(kept) > most:
            del kept[next(iter(kept))]
        message: dict[str, Any] = {"id": self.last_id, "method": method}
        if params is not None:
            message["params"] = params
        return encode(message | more)

    def _send(self, data: bytes) -> None:
        """Have `data` sent because of what was received."""
        self._unsent += data

    def _say_once(self, topic: str, text: str) -> None:
        if topic not in self._said and len(self._said) < SENTENCES:
            self._said.add(topic)
            self._events.append(Message(text, ours=True))

    def _job(
        self,
        *,
        name: str,
        header: Any,
        height: Any,
        share_target: int,
        nonces: NonceSpace,
        block_target: int = 0,
        clean: bool,
    ) -> Job:
        """Return a job; raises `ProtocolError` or `BadValue` for one that cannot be mined."""
        number = fields.block_height(height)
        return Job(
            session=self._session,
            id=name,
            variant=self._variant,
            header_hash=fields.header_hash(header),
            height=number,
            epoch=self._variant.epoch_at(number),
            share_target=share_target,
            nonces=nonces,
            block_target=block_target,
            clean=clean,
        )

    def _offer(self, make: Callable[[], Job], seed: Any) -> Job | None:
        """Return the job that `make` makes, its seed hash checked; None where it cannot be
        mined, which a person is told once a reason."""
        try:
            job = make()
        except (ProtocolError, BadValue) as problem:
            self._say_once(f"job {problem}", f"a job of the pool cannot be mined: {problem}")
            return None
        self._check_seed(job, seed)
        return job

    def _check_seed(self, job: Job, seed: Any) -> None:
        seed_of = self._opening.seed_of
        if not seed_of or "seed" in self._said or not isinstance(seed, str) or not seed:
            return
        digits = seed.lower().removeprefix("0x")
        if digits != seed_of(job.epoch.seed_epoch).hex():
            self._say_once(
                "seed",
                f"the pool's seed hash is not that of epoch {job.epoch.number}, to which height "
                f"{job.height} belongs in {self._variant.name}; the height is followed. If all "
                "shares are invalid, check the algorithm",
            )

    # How a line is taken

    def _answer(self, message: dict[str, Any]) -> None:
        result, error = message.get("result"), message.get("error")
        number = fields.whole(message.get("id"))
        method = self._asked(number) if number else ""
        outcome, text = classify(result, error)
        if self._is_submission(method):
            self._share_answered(number or 0, outcome, text)
        elif self._is_report(method):
            if outcome is not Outcome.ACCEPTED:
                self._events.append(HashrateRefused(text))
        elif method:
            self._answered(method, result, outcome, text)
        else:
            self._unasked(message, text)

    def _asked(self, number: int) -> str:
        """Return the method of the request that is answered now; empty where it is not known."""
        return self._submissions.pop(number, "") or self._requests.pop(number, "")

    def _share_answered(self, number: int, outcome: Outcome, text: str) -> None:
        self._events.append(ShareAnswer(number, outcome, text))

    def _unasked(self, message: dict[str, Any], text: str) -> None:
        """Take an answer to nothing that we asked; `text` holds the words of its error."""
        if message.get("id") is None and message.get("error") is not None:
            self._events.append(Message(text))

    def _refused(self, text: str, *, first: bool) -> None:
        """Report a refusal at the login; that of the `first` request may mean that the pool
        speaks another dialect."""
        self._events.append(WrongProtocol(text) if first else LoginRefused(text))

    def _offered(self, job: Job) -> None:
        self._events.append(JobReceived(job))

    def _reply(self, number: Any, answer: dict[str, Any]) -> None:
        answerable = fields.whole(number) is not None or (
            isinstance(number, str) and len(number) <= 64
        )
        if answerable:
            self._send(encode({"id": number, **answer}))

    def _odd_line(self) -> None:
        self._odd_lines += 1
        if self._odd_lines > ODD_LINES:
            raise ProtocolError(
                f"the pool sent more than {ODD_LINES} lines that are no JSON object"
            )
        self._say_once("line", "the pool sent a line that is no JSON object; it is ignored")


def params_of(message: dict[str, Any]) -> list[Any]:
    """Return the positional parameters of a call; none where they have another form."""
    params = message.get("params")
    return params if isinstance(params, list) else []


def reconnect(params: Any) -> Reconnect:
    """Return the wish of `client.reconnect` ([host, port, seconds], each of them optional) or
    `mining.reconnect` ({"host", "port" in hex})."""
    if isinstance(params, dict):
        port = params.get("port")
        given: Sequence[Any] = (params.get("host"), f"0x{port}" if isinstance(port, str) else port)
    else:
        given = params if isinstance(params, list) else ()
    host, port, wait = (*given[:3], None, None, None)[:3]
    try:
        number = fields.block_height(port)
    except ProtocolError:
        number = 0
    return Reconnect(
        host if isinstance(host, str) and host else None,
        number if 0 < number < 65536 else None,
        float(min(fields.whole(wait) or 0, 3600)),
    )


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
