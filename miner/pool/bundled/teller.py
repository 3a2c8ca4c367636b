"""The pool's side of the KawPow Stratum dialogue with one client, without input or output."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from miner.errors import ProtocolError
from miner.pool.bundled.chain import Chain
from miner.pool.bundled.judge import NOT_SUBSCRIBED, OTHER, UNAUTHORIZED, Judge, Refusal, Share
from miner.pool.protocols.lines import LineReader, encode
from miner.work import NonceSpace

CLIENT_LINE_BYTES = 10240
"""A longer line ends the connection, as NOMP's pools do."""

WORKERS_PER_CLIENT = 16
"""Names that one connection may authorize."""

WORKER = re.compile(r"[!-~]{1,128}")

RequestId = int | str | None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The client authorized its first worker."""

    worker: str
    agent: str
    """What the client calls itself, printable ASCII; may be empty."""


@dataclass(frozen=True, slots=True)
class ShareToProve:
    """A share that only recomputing can judge: hand the hashes to `Teller.judge`."""

    request_id: RequestId
    share: Share


@dataclass(frozen=True, slots=True)
class ShareJudged:
    """A share was answered."""

    worker: str
    """Empty where the submission named no authorized one."""
    height: int
    accepted: bool
    code: int
    """0 when accepted, else the error code sent."""
    text: str
    difficulty: float
    """Difficulty 1 is 2**32 * 256 / 255 expected hashes; 0 where nothing was recomputed."""


@dataclass(frozen=True, slots=True)
class BlockFound:
    """An accepted share solves the block at the chain's height."""

    worker: str
    height: int
    nonce: int
    final_hash: bytes
    """32 bytes in display order."""


class Teller:
    """Serves one client: bytes go into `receive`, replies come out of `output`.

    `take_prefix` is called at the subscription; None means that no prefix is left.
    """

    def __init__(self, chain: Chain, take_prefix: Callable[[], NonceSpace | None]) -> None:
        self._chain = chain
        self._judge = Judge(chain)
        self._take_prefix = take_prefix
        self._lines = LineReader(CLIENT_LINE_BYTES)
        self._output = bytearray()
        self._nonces: NonceSpace | None = None
        self._agent = ""
        self._workers: list[str] = []
        self._target_sent = 0
        self._broken = ""

    @property
    def broken(self) -> str:
        """Why the connection must end after `output` is sent; empty while all is well."""
        return self._broken

    @property
    def worker(self) -> str:
        """The first authorized worker; empty before."""
        return self._workers[0] if self._workers else ""

    def output(self) -> bytes:
        """Return what is to be sent, once."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def receive(self, data: bytes) -> list[LoggedIn | ShareToProve | ShareJudged]:
        """Take bytes from the client; after a malformed line `broken` is set, the rest ignored."""
        events: list[LoggedIn | ShareToProve | ShareJudged] = []
        if self._broken:
            return events
        try:
            for line in self._lines.feed(data):
                event = self._message(_parse(line))
                if event is not None:
                    events.append(event)
        except ProtocolError as error:
            self._broken = str(error)
            self._reply(None, Refusal(OTHER, self._broken))
        return events

    def announce(self) -> None:
        """Tell the chain's newest template to a client that is subscribed and authorized."""
        self._judge.forget_old()
        if self._workers and not self._broken:
            self._notify(self._chain.template.clean)

    def judge(
        self, pending: ShareToProve, mix_hash: bytes, final_hash: bytes
    ) -> tuple[ShareJudged, BlockFound | None]:
        """Answer a share, given the recomputed hashes (32 bytes each, display order).

        On a `BlockFound` the caller advances the chain.
        """
        share = pending.share
        height = share.template.height
        judgement = self._judge.judge(share, mix_hash, final_hash)
        judged = self._answer(
            pending.request_id, share.worker, height, judgement.refusal, judgement.difficulty
        )
        if not judgement.is_block:
            return judged, None
        return judged, BlockFound(share.worker, height, share.nonce, final_hash)

    def _message(self, message: dict[str, Any]) -> LoggedIn | ShareToProve | ShareJudged | None:
        request_id = _request_id(message.get("id"))
        method = message.get("method")
        params = message.get("params", [])
        if not isinstance(method, str):
            if "result" in message or "error" in message:
                return None  # an answer, though nothing was asked
            raise ProtocolError("a message has no method")
        if not isinstance(params, list):
            raise ProtocolError("params is not a list")
        match method:
            case "mining.subscribe":
                self._subscribe(request_id, params)
            case "mining.authorize":
                return self._authorize(request_id, params)
            case "mining.submit":
                return self._submit(request_id, params)
            case "eth_submitHashrate":
                pass  # taken without an answer, as NOMP's pools do
            case _:
                self._reply(request_id, Refusal(OTHER, "Not supported."))
        return None

    def _subscribe(self, request_id: RequestId, params: list[Any]) -> None:
        if self._nonces is None:
            self._nonces = self._take_prefix()
            if params and isinstance(params[0], str):
                self._agent = "".join(c for c in params[0] if " " <= c <= "~")[:64]
        if self._nonces is None:
            self._reply(request_id, Refusal(OTHER, "no extranonce is left"))
            return
        space = self._nonces
        extranonce = space.prefix.to_bytes(space.prefix_bits // 8, "big").hex()
        self._reply(request_id, [None, extranonce])

    def _authorize(self, request_id: RequestId, params: list[Any]) -> LoggedIn | None:
        worker = params[0] if params else None
        if self._nonces is None:
            self._reply(request_id, Refusal(NOT_SUBSCRIBED, "not subscribed"))
        elif not isinstance(worker, str) or not WORKER.fullmatch(worker):
            text = "unauthorized worker: a name is 1 to 128 printable ASCII characters"
            self._reply(request_id, Refusal(UNAUTHORIZED, text))
        elif worker in self._workers:
            self._reply(request_id, True)
        elif len(self._workers) == WORKERS_PER_CLIENT:
            text = f"unauthorized worker: a connection has at most {WORKERS_PER_CLIENT}"
            self._reply(request_id, Refusal(UNAUTHORIZED, text))
        else:
            self._workers.append(worker)
            self._reply(request_id, True)
            if len(self._workers) == 1:
                self._notify(clean=True)
                return LoggedIn(worker, self._agent)
        return None

    def _submit(self, request_id: RequestId, params: list[Any]) -> ShareToProve | ShareJudged:
        checked: Share | Refusal = Refusal(NOT_SUBSCRIBED, "not subscribed")
        if self._nonces is not None:
            checked = self._judge.check(params, self._nonces, self._workers)
        if isinstance(checked, Share):
            return ShareToProve(request_id, checked)
        worker = params[0] if params and params[0] in self._workers else ""
        job_id = params[1] if len(params) > 1 and isinstance(params[1], str) else ""
        template = self._chain.find(job_id) or self._chain.template
        return self._answer(request_id, worker, template.height, checked)

    def _answer(
        self,
        request_id: RequestId,
        worker: str,
        height: int,
        refusal: Refusal | None,
        difficulty: float = 0.0,
    ) -> ShareJudged:
        self._reply(request_id, True if refusal is None else refusal)
        code, text = refusal or (0, "")
        return ShareJudged(worker, height, refusal is None, code, text, difficulty)

    def _notify(self, clean: bool) -> None:
        template = self._chain.template
        target = f"{template.share_target:064x}"
        if template.share_target != self._target_sent:
            self._target_sent = template.share_target
            self._send({"id": None, "method": "mining.set_target", "params": [target]})
        params = [
            template.job_id,
            template.header_hash.hex(),
            template.seed_hash.hex(),
            target,
            clean,
            template.height,
            f"{template.bits:08x}",
        ]
        self._send({"id": None, "method": "mining.notify", "params": params})

    def _reply(self, request_id: RequestId, result: list[Any] | bool | Refusal) -> None:
        if isinstance(result, Refusal):
            self._send({"id": request_id, "result": None, "error": list(result)})
        else:
            self._send({"id": request_id, "result": result, "error": None})

    def _send(self, message: dict[str, Any]) -> None:
        self._output += encode(message)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a line is not JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("a line is not a JSON object")
    return message


def _request_id(value: object) -> RequestId:
    """Return the id as it may be echoed; raise `ProtocolError` for one that may not."""
    match value:
        case None:
            return None
        case int(number) if not isinstance(number, bool) and abs(number) < 2**63:
            return number
        case str(text) if len(text) <= 64:
            return text
    raise ProtocolError("an id is a whole number")
