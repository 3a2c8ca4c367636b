"""A client that sends any message to a session of the test pool, without sockets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from miner.stratum.chain import Chain
from miner.stratum.resumable import ResumableSessions
from miner.stratum.share_rules import BlockFound, LoggedIn, ShareJudged, ShareToProve
from miner.testpool.client_session import ClientSession
from miner.work import NonceSpace
from tests.testpool.standins import digest_of, make_chain

SPACE = NonceSpace(0xBEEF, 16)
FIRST = SPACE.first
WORKER = "0xwallet.rig1"


@dataclass
class OnePrefix:
    """A pool whose sessions all have the same extranonce, if any."""

    chain: Chain
    sessions: ResumableSessions = field(default_factory=lambda: ResumableSessions(lambda: 0.0))
    prefix: NonceSpace | None = SPACE
    taken: int = 0
    strict: bool = False

    def take_prefix(self) -> NonceSpace | None:
        self.taken += 1
        return self.prefix

    def ban_reason(self, worker: str) -> str:
        return ""


class RawClient:
    """Exchanges messages with a session, whose shares are proved at once."""

    def __init__(
        self,
        chain: Chain | None = None,
        protocol: str | None = None,
        **pool: Any,
    ) -> None:
        self.chain = chain or make_chain()
        self.session = ClientSession(OnePrefix(self.chain, **pool), protocol)
        self.judged: list[ShareJudged] = []
        self.logins: list[LoggedIn] = []
        self.blocks: list[BlockFound] = []
        self.last_id = 0

    def call(self, method: str, *params: object) -> list[Any]:
        return self.ask(method, list(params))

    def ask(self, method: str, params: object) -> list[Any]:
        self.last_id += 1
        head = {"id": self.last_id, "jsonrpc": "2.0"}
        message = head | {"method": method, "params": params}
        return self.feed(json.dumps(message).encode() + b"\n")

    def feed(self, data: bytes) -> list[Any]:
        for event in self.session.receive(data):
            match event:
                case ShareToProve(_, share):
                    job, nonce = share.template, share.nonce
                    digest = digest_of(job.height, job.header_hash, nonce)
                    judged, block = self.session.side.answer_share(event, digest)
                    self.judged.append(judged)
                    self.blocks += [block] if block else []
                case ShareJudged():
                    self.judged.append(event)
                case LoggedIn():
                    self.logins.append(event)
        return self.sent()

    def sent(self) -> list[Any]:
        return [json.loads(line) for line in self.session.output().splitlines()]

    def announced(self) -> list[Any]:
        self.session.side.announce()
        return self.sent()

    def retargeted(self, share_target: int) -> list[Any]:
        self.session.side.retarget(share_target)
        return self.sent()
