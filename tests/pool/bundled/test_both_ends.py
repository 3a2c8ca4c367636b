"""Our client against our own pool, over the same lines and without a socket."""

from __future__ import annotations

import pytest

from miner.pool.bundled.events import ShareToProve
from miner.pool.bundled.teller import Teller
from miner.pool.protocols.events import PoolEvent, ShareAnswer, Subscribed
from miner.work import Job, NonceSpace, Outcome
from tests.pool.bundled.ground import final_of, make_chain, mix_of, seed_of
from tests.pool.protocols.dialogue import client, jobs, messages, solution

PREFIX = NonceSpace(0xAB01, 16)


class BothEnds:
    def __init__(self) -> None:
        self.chain = make_chain()
        self.teller = Teller(self.chain, lambda: PREFIX)
        self.client = client(variant=self.chain.variant, seed_of=seed_of)
        self.heard = self.tell(self.client.start())

    def tell(self, data: bytes) -> list[PoolEvent]:
        """Carry `data` to the pool, what it says back to the client."""
        for event in self.teller.receive(data):
            if isinstance(event, ShareToProve):
                share = event.share
                job = share.template
                mix = mix_of(job.height, job.header_hash, share.nonce)
                self.teller.judge(event, mix, final_of(job.header_hash, share.nonce))
        return self.client.receive(self.teller.output())

    def share(self, job: Job, nonce: int, honest: bool = True) -> Outcome:
        mix = mix_of(job.height, job.header_hash, nonce) if honest else bytes(32)
        events = self.tell(self.client.submit(solution(job, nonce, mix)))
        (answered,) = [event for event in events if isinstance(event, ShareAnswer)]
        return answered.outcome


@pytest.fixture
def ends() -> BothEnds:
    return BothEnds()


def test_login_and_first_job(ends: BothEnds) -> None:
    assert Subscribed(PREFIX) in ends.heard
    (job,) = jobs(ends.heard)
    template = ends.chain.template
    assert (job.id, job.height, job.epoch) == (template.job_id, template.height, template.epoch)
    assert (job.header_hash, job.nonces) == (template.header_hash, PREFIX)
    assert job.share_target == template.share_target
    assert messages(ends.heard) == []


def test_each_kind_of_answer(ends: BothEnds) -> None:
    (job,) = jobs(ends.heard)
    first = job.nonces.first
    assert ends.share(job, first) is Outcome.ACCEPTED
    assert ends.share(job, first) is Outcome.DUPLICATE
    assert ends.share(job, first + 1, honest=False) is Outcome.INVALID
    assert ends.share(job, 0) is Outcome.INVALID
    ends.chain.advance()
    assert ends.share(job, first + 2) is Outcome.STALE
