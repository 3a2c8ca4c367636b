"""The client side of each dialect against the test pool's side, without sockets."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Any

import pytest

from miner.stratum.dialects import DIALECTS
from miner.stratum.opening import Opening
from miner.stratum.pool_events import Authorized, PoolEvent, Reconnect, ShareAnswer, Subscribed
from miner.stratum.resumable import ResumableSessions
from miner.stratum.share_rules import ShareToProve
from miner.testpool.client_session import ClientSession
from miner.work import Job, NonceSpace, Outcome
from tests.stratum.dialogue import jobs, messages, solution
from tests.testpool.raw_client import SPACE, OnePrefix
from tests.testpool.standins import (
    ANY_HASH,
    KAWPOW,
    digest_of,
    make_chain,
    mix_of,
    nonce_between,
    seed_of,
)

OTHER_PREFIX = NonceSpace(0xAB02, 16)

WITHOUT_REASONS = {"ethproxy", "sero"}
"""Dialects that answer a bad share with `false` only."""

WITHOUT_MIX = {"ethstratum", "ethstratum2"}
"""Dialects whose shares have no mix hash."""


class BothEnds:
    """Our client, of the dialect `name`, and the test pool, which speaks only `only` if given."""

    def __init__(
        self,
        name: str,
        share_target: int = ANY_HASH,
        *,
        only: str | None = None,
        odd: Random | None = None,
        opening: Mapping[str, Any] = MappingProxyType({}),
        **pool: Any,
    ) -> None:
        self.name = name
        self.chain = make_chain(share_target)
        # The login of Zano's dialect is ETHPROXY's.
        only = "zano" if name == "zano" else only
        self.session = ClientSession(OnePrefix(self.chain, **pool), only, odd)
        values = {"user": "0xwallet.rig1", "password": "x", "seed_of": seed_of} | opening
        own = Opening(
            agent="test/1", variant=KAWPOW, session=7, host="127.0.0.1", port=3333, **values
        )
        self.client = DIALECTS[name].connect(own)
        self.events = self.exchange(self.client.start())

    def exchange(self, data: bytes) -> list[PoolEvent]:
        """Pass `data` to the pool, and all answers of either side to the other; return events."""
        events: list[PoolEvent] = []
        while True:
            for event in self.session.receive(data):
                if isinstance(event, ShareToProve):
                    job = event.share.template
                    digest = digest_of(job.height, job.header_hash, event.share.nonce)
                    self.session.side.answer_share(event, digest)
            events += self.client.receive(self.session.output())
            data = self.client.data_to_send()
            if not data or self.session.close_reason:
                return events

    def share(self, job: Job, nonce: int, honest: bool = True) -> Outcome:
        mix = mix_of(job.height, job.header_hash, nonce) if honest else bytes(32)
        events = self.exchange(self.client.submit(solution(job, nonce, mix)))
        (answered,) = [event for event in events if isinstance(event, ShareAnswer)]
        assert answered.id == self.client.last_id
        return answered.outcome

    def reported(self, outcome: Outcome) -> Outcome:
        """Return `outcome` as the dialect reports it to the client."""
        return Outcome.INVALID if self.name in WITHOUT_REASONS else outcome


@pytest.fixture(params=list(DIALECTS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_login_and_first_job(name: str) -> None:
    ends = BothEnds(name)
    side = ends.session.side
    nonces = SPACE if side.has_extranonce else NonceSpace()
    assert side.dialect.name == name
    assert Authorized() in ends.events
    # EthereumStratum/2.0.0 sends the prefix after the login, with its first mining.set.
    subscribed = NonceSpace() if name == "ethstratum2" else nonces
    assert [event.nonces for event in ends.events if isinstance(event, Subscribed)] == [subscribed]
    (job,) = jobs(ends.events)
    template = ends.chain.template
    assert (job.height, job.epoch) == (template.height, template.epoch)
    assert (job.header_hash, job.nonces) == (template.header_hash, nonces)
    offer = side.state.offers[job.id if job.id in side.state.offers else _header(job)]
    assert job.share_target == offer.share_target
    assert messages(ends.events) == []
    assert ends.session.worker == "0xwallet.rig1"


def _header(job: Job) -> str:
    return f"0x{job.header_hash.hex()}"


def test_each_share_outcome(name: str) -> None:
    ends = BothEnds(name, share_target=2**255)
    (job,) = jobs(ends.events)
    first = nonce_between(job.header_hash, job.nonces.first, 0, 2**254)
    low = nonce_between(job.header_hash, job.nonces.first, job.share_target + 2**250, ANY_HASH)
    assert ends.share(job, first) is Outcome.ACCEPTED
    assert ends.share(job, first) is ends.reported(Outcome.DUPLICATE)
    assert ends.share(job, low) is ends.reported(Outcome.LOW_DIFFICULTY)
    if name not in WITHOUT_MIX:
        assert ends.share(job, first + 2**20, honest=False) is Outcome.INVALID
    ends.chain.advance()
    assert ends.share(job, first + 2**21) is ends.reported(Outcome.STALE)
    assert ends.session.close_reason == ""


def test_a_new_height(name: str) -> None:
    ends = BothEnds(name)
    ends.chain.advance()
    ends.session.side.announce()
    (job,) = jobs(ends.exchange(b""))
    assert (job.height, job.header_hash) == (1001, ends.chain.template.header_hash)
    assert ends.share(job, job.nonces.first) is Outcome.ACCEPTED


def test_a_retarget(name: str) -> None:
    ends = BothEnds(name, share_target=2**250)
    (old,) = jobs(ends.events)
    ends.session.side.retarget(2**253)
    (job,) = jobs(ends.exchange(b""))
    assert job.share_target == pytest.approx(2**253)
    assert job.search_key == old.search_key
    nonce = nonce_between(job.header_hash, job.nonces.first, 2**250, 2**252)
    assert ends.share(job, nonce) is Outcome.ACCEPTED
    ends.session.side.retarget(2**250)
    (job,) = jobs(ends.exchange(b""))
    assert job.share_target == pytest.approx(2**250)


def test_an_extranonce_change(name: str) -> None:
    ends = BothEnds(name)
    if not ends.session.side.has_extranonce:
        assert jobs(ends.events)[0].nonces == NonceSpace()
        return
    (old,) = jobs(ends.events)
    ends.session.side.change_extranonce(OTHER_PREFIX)
    (job,) = jobs(ends.exchange(b""))
    assert (job.nonces, job.header_hash) == (OTHER_PREFIX, old.header_hash)
    assert ends.share(job, OTHER_PREFIX.first) is Outcome.ACCEPTED
    assert ends.share(old, SPACE.first) is Outcome.ACCEPTED


def test_a_reconnect_request(name: str) -> None:
    ends = BothEnds(name)
    asked = ends.session.side.ask_to_reconnect("127.0.0.1", 3334, 0)
    wishes = [event for event in ends.exchange(b"") if isinstance(event, Reconnect)]
    assert wishes == ([Reconnect("127.0.0.1", 3334, 0.0)] if asked else [])
    assert asked == ends.session.side.has_extranonce


def test_wrong_answers(name: str) -> None:
    ends = BothEnds(name)
    (job,) = jobs(ends.events)
    first = job.nonces.first
    ends.session.side.answer_wrongly(1, "stale")
    assert ends.share(job, first) is ends.reported(Outcome.STALE)
    assert ends.share(job, first) is ends.reported(Outcome.DUPLICATE)
    assert ends.share(job, first + 1) is Outcome.ACCEPTED


def test_a_session_is_resumed_if_the_dialect_supports_it(name: str) -> None:
    sessions = ResumableSessions(lambda: 0.0)
    one = BothEnds(name, sessions=sessions)
    (job,) = jobs(one.events)
    assert one.share(job, job.nonces.first) is Outcome.ACCEPTED
    one.session.side.disconnected()
    two = BothEnds(name, sessions=sessions, opening={"resume": one.client.resumable})
    resumed = [event.resumed for event in two.events if isinstance(event, Subscribed)]
    assert resumed == [one.client.resumable is not None]
    assert (one.client.resumable is not None) == (name == "ethstratum2")
