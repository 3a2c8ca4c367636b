"""A client that says whatever a test wants, at the other end of a teller."""

from __future__ import annotations

import json
from typing import Any

from miner.stratum.chain import Chain
from miner.stratum.share_rules import BlockFound, LoggedIn, ShareJudged, ShareToProve
from miner.testpool.client_session import Teller
from miner.work import NonceSpace
from tests.testpool.ground import final_of, make_chain, mix_of

SPACE = NonceSpace(0xBEEF, 16)
FIRST = SPACE.first
WORKER = "0xwallet.rig1"


class Raw:
    """Speaks to a teller of `chain`, proving at once."""

    def __init__(self, chain: Chain | None = None, **options: Any) -> None:
        self.chain = chain or make_chain()
        self.teller = Teller(self.chain, lambda: SPACE, **options)
        self.judged: list[ShareJudged] = []
        self.logins: list[LoggedIn] = []
        self.blocks: list[BlockFound] = []
        self.last_id = 0

    def call(self, method: str, *params: object) -> list[Any]:
        return self.ask(method, list(params))

    def ask(self, method: str, params: object) -> list[Any]:
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        return self.feed(json.dumps(message).encode() + b"\n")

    def feed(self, data: bytes) -> list[Any]:
        for event in self.teller.receive(data):
            match event:
                case ShareToProve(_, share):
                    job, nonce = share.template, share.nonce
                    mix = mix_of(job.height, job.header_hash, nonce)
                    final = final_of(job.header_hash, nonce)
                    judged, block = self.teller.answer_share(event, mix, final)
                    self.judged.append(judged)
                    self.blocks += [block] if block else []
                case ShareJudged():
                    self.judged.append(event)
                case LoggedIn():
                    self.logins.append(event)
        return self.sent()

    def sent(self) -> list[Any]:
        return [json.loads(line) for line in self.teller.output().splitlines()]

    def announced(self) -> list[Any]:
        self.teller.announce()
        return self.sent()

    def retargeted(self, share_target: int) -> list[Any]:
        self.teller.dialect.retarget(share_target)
        return self.sent()
