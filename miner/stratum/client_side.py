"""The client's side of a Stratum dialect, without sockets: bytes in, events out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cachetools import FIFOCache

from miner.errors import BadValue, ProtocolError
from miner.safe_text import short_line
from miner.stratum import pool_events, wire_format
from miner.stratum.bans import is_ban
from miner.stratum.opening import Opening
from miner.stratum.outcomes import NO_ERROR, classify, reason_of
from miner.stratum.wire_format import DialectFacts, LineReader, decode_all, encode
from miner.work import Job, NonceSpace, Outcome, Solution

WEB_SERVER = (b"HTTP/", b"<!DOC", b"<HTML")
"""Beginnings of a web server's answer to a line that is not HTTP, in upper case."""

MALFORMED_LINES = 20
"""Lines of one connection that may be something other than a JSON object."""

WARNINGS = 50
"""Different warnings that one connection may cause."""

KEPT_REQUESTS = 500
"""Outstanding requests kept for matching answers; some pools never answer hashrate reports."""

KEPT_SUBMISSIONS = 20_000
"""Outstanding shares kept for matching answers; more than are ever in flight."""

KEPT_HEADERS = 4
"""Newest job ids that are recognised when a pool uses them for another header; not more, since a
pool may have few ids that come in turn."""

CHECKED_EPOCHS = 16
"""Epochs of one connection whose seed hash is checked; that of a far epoch takes a while."""

SEED_WARNING = "the pool's seed hash does not belong to epoch"
"""Start of the warning about a seed hash that does not match the height."""


class ClientSide(ABC):
    """The client's side of one connection; a subclass implements one dialect.

    Request ids are positive and count up. A subclass returns requests from `start` and `submit`,
    handles the pool's messages in `_handle_call` and `_handle_answer`, and reads jobs in
    `_read_job`.
    """

    keepalive_after: float | None = None
    """Seconds between two `keepalive` requests; None: the dialect needs none."""

    resumable: str | None = None
    """Name under which another connection can resume this session."""

    def __init__(self, dialect: DialectFacts, opening: Opening) -> None:
        self.dialect = dialect
        self._opening = opening
        self._variant, self._session = opening.variant, opening.session
        self._reader = LineReader()
        self._requests: FIFOCache[int, str] = FIFOCache(KEPT_REQUESTS)
        """Methods of the requests without an answer, by id."""
        self._submissions: FIFOCache[int, None] = FIFOCache(KEPT_SUBMISSIONS)
        """Ids of the shares without an answer."""
        self._polled = 0
        """Id of the newest request for work."""
        self._announced: int | None = None
        """Target of the jobs that come without one, if the pool announced it."""
        self._unsent = bytearray()
        self._events: list[pool_events.PoolEvent] = []
        self._warned: set[str] = set()
        self._headers: FIFOCache[str, bytes] = FIFOCache(KEPT_HEADERS)
        """Newest header hash under each job id."""
        self._seeds: dict[int, str] = {}
        """Seed hashes by their index."""
        self.malformed_lines = 0
        """Received lines that were not JSON objects."""
        self.stray_refusal = ""
        """Text of the newest refusal that answers none of our requests."""
        self._heard = False
        """Whether any line was a JSON object."""
        self.tried: set[str] = set()
        """Optional methods of new requests, until `OptionalRequests` takes them."""
        self.welcome: set[str] = set()
        """Optional methods that the pool accepted."""
        self.answered: set[str] = set()
        """Optional methods that the pool answered in any way."""
        self.last_id = 0
        """Id of the newest request."""

    @property
    def user(self) -> str:
        """The user of the login."""
        return self._opening.user

    @abstractmethod
    def start(self) -> bytes:
        """Return the requests that open the session; the first has id 1."""

    @abstractmethod
    def submit(self, solution: Solution) -> bytes:
        """Return the request that submits `solution`; afterwards `last_id` is its id."""

    def keepalive(self) -> bytes:
        """Return a request that keeps the connection alive or asks for new work."""
        return b""

    def report_hashrate(self, hashes_per_second: int, rig: bytes) -> bytes:
        """Return a hashrate report, empty if the dialect has none.

        `rig` is 32 random bytes that stay the same during a run.
        """
        return b""

    def receive(self, data: bytes) -> list[pool_events.PoolEvent]:
        """Return the events of the lines that `data` completes, in order.

        Raises `ProtocolError`, after which the connection must be closed.
        """
        self._events = []
        for line in self._reader.feed(data):
            messages = decode_all(line)
            self._heard = self._heard or bool(messages)
            if not messages:
                self._count_malformed_line(line)
            for message in messages:
                self._take(message)
        return self._events

    def finish(self) -> list[pool_events.PoolEvent]:
        """Return the events of a last line that the pool did not end before it closed the
        connection; none if that line is cut."""
        rest = self._reader.rest
        return self.receive(b"\n") if decode_all(rest) or is_ban(_plain_text(rest)) else []

    def data_to_send(self) -> bytes:
        """Return and clear the bytes to send in reaction to what was received."""
        data = bytes(self._unsent)
        self._unsent.clear()
        return data

    # What a dialect implements or extends

    @abstractmethod
    def _handle_answer(self, method: str, result: Any, outcome: Outcome, text: str) -> None:
        """Handle the answer to a request that is neither a share nor a hashrate report; `text`
        explains a refusal."""

    def _handle_call(self, method: str, message: dict[str, Any]) -> None:
        """Handle a request or notification of the pool; this handles those of all dialects."""
        number = message.get("id")
        match method:
            case "client.show_message":
                params = message.get("params")
                given = params if isinstance(params, list) else [params]
                texts = [text for text in given if isinstance(text, str)]
                if text := short_line(" ".join(texts)):
                    self._events.append(pool_events.Message(text))
            case "client.reconnect" | "mining.reconnect":
                self._events.append(wire_format.reconnect(message.get("params")))
            case "client.get_version":
                self._reply(number, {"result": self._opening.agent, "error": None})
            case "mining.ping" | "client.ping":
                self._reply(number, {"result": "pong", "error": None})
            case _:
                error = {"code": -32601, "message": "Method not found"}
                self._reply(number, {"result": None, "error": error})

    @abstractmethod
    def _read_job(self, work: Any) -> Job:
        """Return the job in `work`, the argument of `_checked_job`.

        Raises `ProtocolError` or `BadValue` if it cannot be mined.
        """

    def _members(self, method: str) -> dict[str, Any]:
        """Return the members of a request beside its method and parameters."""
        return {}

    def _handle_share_answer(self, number: int, outcome: Outcome, text: str) -> None:
        self._events.append(pool_events.ShareAnswer(number, outcome, text))

    # What a dialect uses

    def _request(self, method: str, params: Any) -> bytes:
        """Return a request with these parameters (None: without any)."""
        self.last_id += 1
        if method in self.dialect.shares:
            self._submissions[self.last_id] = None
        else:
            self._requests[self.last_id] = method
        message: dict[str, Any] = {"id": self.last_id, "method": method}
        if params is not None:
            message["params"] = params
        return encode(message | self._members(method))

    def _optional(self, method: str, params: Any) -> bytes:
        """Return a request that may be left out; empty where it is."""
        if method in self._opening.left_out:
            return b""
        self.tried.add(method)
        return self._request(method, params)

    def _poll(self, method: str, params: Any) -> bytes:
        """Return a request for work. A pool may answer it under another id, or never: the one
        before is forgotten."""
        self._requests.pop(self._polled, None)
        request = self._request(method, params)
        self._polled = self.last_id
        return request

    def _send(self, data: bytes) -> None:
        """Queue `data` for `data_to_send`."""
        self._unsent += data

    def _warn_once(self, topic: str, text: str) -> None:
        """Report `text` unless there was a warning about `topic` before."""
        if topic not in self._warned and len(self._warned) < WARNINGS:
            self._warned.add(topic)
            self._events.append(pool_events.Message(text, ours=True))

    def _refuse_login(self, text: str, *, first: bool) -> None:
        """Report a refusal during login; refusing the `first` request may mean that the pool
        speaks another dialect."""
        kind = pool_events.WrongProtocol if first else pool_events.LoginRefused
        self._events.append(kind(text))

    def _job(
        self,
        *,
        name: str,
        header: Any,
        height: Any,
        share_target: int,
        nonces: NonceSpace,
        seed: Any = None,
        block_target: int = 0,
        clean: bool,
    ) -> Job:
        """Return a job, with a warning if the seed hash does not belong to its height.

        Raises `ProtocolError` or `BadValue` for values that cannot be mined.
        """
        number = wire_format.block_height(height)
        job = Job(
            session=self._session, id=name, variant=self._variant,
            header_hash=wire_format.header_hash(header), height=number,
            epoch=self._variant.epoch_at(number), share_target=share_target, nonces=nonces,
            block_target=block_target, clean=clean,
        )  # fmt: skip
        self._check_seed(job, seed)
        return job

    def _checked_job(self, work: Any) -> Job | None:
        """Return the job in `work`; warn and return None if it cannot be mined."""
        try:
            job = self._read_job(work)
        except (ProtocolError, BadValue) as problem:
            kind = problem.field if isinstance(problem, BadValue) else problem  # not its number
            self._warn_once(f"job {kind}", f"a job of the pool cannot be mined: {problem}")
            return None
        known = self._headers.get(job.id, job.header_hash)
        self._headers[job.id] = job.header_hash
        # Shares of an earlier job with the same id would be judged by this one.
        return job if known == job.header_hash else replace(job, clean=True)

    def _announce(self, read: Callable[[], int]) -> None:
        """Note the target that `read` returns for later jobs; warn if it is unusable."""
        try:
            self._announced = read()
        except ProtocolError as problem:
            self._warn_once("target", f"the pool announced an unusable target: {problem}")
        else:
            self._events.append(pool_events.DifficultyNotice(self._announced))

    def _check_range(self, nonces: NonceSpace) -> None:
        """Warn about a range that is searched within moments."""
        if nonces.free_bits < 32:
            self._warn_once(
                "nonces", f"the pool assigns only 2^{nonces.free_bits} nonces under each header"
            )

    # Inner workings

    def _take(self, message: dict[str, Any]) -> None:
        method = message.get("method")
        if isinstance(method, str) and not _is_answer(message):
            self._handle_call(method, message)
        else:
            self._take_answer(message)

    def _check_seed(self, job: Job, seed: Any) -> None:
        seed_of = self._opening.seed_of
        if not seed_of or "seed" in self._warned or not isinstance(seed, str) or not seed:
            return
        number = job.epoch.seed_epoch
        if number not in self._seeds:
            if len(self._seeds) >= CHECKED_EPOCHS:
                return
            self._seeds[number] = seed_of(number).hex()
        if seed.lower().removeprefix("0x") != self._seeds[number]:
            self._warn_once(
                "seed",
                f"{SEED_WARNING} {job.epoch.number}, the one of height {job.height} in "
                f"{self._variant.name}; using the height. If all shares are invalid, check the "
                "algorithm",
            )

    def _take_answer(self, message: dict[str, Any]) -> None:
        result, error = message.get("result"), message.get("error")
        number = wire_format.whole(message.get("id")) or 0
        outcome, text = classify(result, error, reason_of(message))
        if number > self.last_id and outcome is not Outcome.ACCEPTED:
            number = self._oldest_request()  # ethermine.org refuses a login under the id 999
        if number in self._submissions:
            del self._submissions[number]
            self._handle_share_answer(number, outcome, text)
        elif (method := self._requests.pop(number, None)) is None:
            if outcome is not Outcome.ACCEPTED:
                self.stray_refusal = text
            if message.get("id") is None and error is not None and text:
                self._events.append(pool_events.Message(text))
        elif method not in self.dialect.optional:
            self._handle_answer(method, result, outcome, text)
        else:
            self.answered.add(method)
            if outcome is Outcome.ACCEPTED:
                self.welcome.add(method)
            elif method in self.dialect.hashrate_reports:
                self._events.append(pool_events.HashrateRefused(text))

    def _oldest_request(self) -> int:
        """Return the id of the oldest request that the pool must answer, 0 if there is none."""
        must = (n for n, method in self._requests.items() if method not in self.dialect.optional)
        return next(must, 0)

    def _reply(self, number: Any, answer: dict[str, Any]) -> None:
        answerable = wire_format.whole(number) is not None or (
            isinstance(number, str) and len(number) <= 64
        )
        if answerable:
            self._send(encode({"id": number, **answer}))

    def _count_malformed_line(self, line: bytes) -> None:
        if not self._heard and line[:5].upper() in WEB_SERVER:
            raise ProtocolError("a web server answers there, not a pool; check the port")
        self.malformed_lines += 1
        if self.malformed_lines > MALFORMED_LINES:
            raise ProtocolError(
                f"the pool sent more than {MALFORMED_LINES} lines that are not JSON objects"
            )
        if is_ban(text := _plain_text(line)):  # firewalls and proxies of pools write no JSON
            self._events.append(pool_events.Message(text))
        else:
            self._warn_once("line", "the pool sent a line that is not a JSON object; ignoring it")


def _plain_text(line: bytes) -> str:
    return short_line(line.decode("utf-8", "replace")).strip("\"' ")


def _is_answer(message: dict[str, Any]) -> bool:
    """Return whether a message with a method is an answer: EPIC Cash's servers repeat the method,
    also to clients of other dialects, and libraries may write all members."""
    if message.get("params"):
        return False
    if message.get("result") is not None or message.get("error") not in NO_ERROR:
        return True
    return "result" in message and message.get("id") is not None and message.get("params") is None
