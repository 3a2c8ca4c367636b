"""A dialect is one file with both sides, and one row in the table."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.adding.conftest import ProductCopy

PASSWORD = "s3cret"

DIALECT = '''
"""Parrot: KawPow's jobs and shares after a login of its own."""

from __future__ import annotations

from typing import Any

from miner.stratum import wire_format
from miner.stratum.dialect import Dialect
from miner.stratum.kawpow import KawPowClient, KawPowPool
from miner.stratum.pool_events import Authorized
from miner.stratum.pool_side import extranonce
from miner.stratum.share_rules import OTHER, ClientEvent, Refusal, RequestId
from miner.work import Outcome


class ParrotClient(KawPowClient):
    """The client's side: one request is subscription and login."""

    def start(self) -> bytes:
        login = {"name": self._opening.user, "secret": self._opening.password}
        return self._request("parrot.enter", login)

    def _handle_answer(self, method: str, result: Any, outcome: Outcome, text: str) -> None:
        if outcome is not Outcome.ACCEPTED:
            self._refuse_login(text, first=True)
            return
        self._subscribed(wire_format.nonce_space(result))
        self._events.append(Authorized())


class ParrotPool(KawPowPool):
    """The test pool's side."""

    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> ClientEvent | None:
        match method:
            case "parrot.enter":
                self.state.nonces = self._context.take_prefix()
                return self._authorize(request_id, message["params"]["name"])
            case "mining.submit":
                return super().message(request_id, method, message)
        self.refuse(request_id, Refusal(OTHER, "Not supported."))
        return None

    def _answer_login(self, request_id: RequestId, worker: str) -> None:
        assert self.state.nonces is not None
        self._reply(request_id, extranonce(self.state.nonces))


PARROT = Dialect(
    name="parrot",
    title="Parrot Stratum",
    client=ParrotClient,
    pool=ParrotPool,
    schemes=("macaw",),
    logins=frozenset({"parrot.enter"}),
    shares=frozenset({"mining.submit"}),
    first_method="parrot.enter",
)
'''


@pytest.fixture
def parrot(product: ProductCopy) -> ProductCopy:
    """The product with one more dialect."""
    product.write("miner/stratum/parrot.py", DIALECT.lstrip())
    table = "miner/stratum/dialects.py"
    product.add_row(table, "\nDIALECTS:", "from miner.stratum.parrot import PARROT\n")
    product.add_row(table, "            ZANO,\n", "            PARROT,\n")
    return product


@contextmanager
def pool(product: ProductCopy, toy: str, *options: str) -> Iterator[int]:
    """Run the copy's test pool; yields its port."""
    usual = ("--variant", toy, "--difficulty", "0.000002", "--listen", "127.0.0.1:0")
    process = subprocess.Popen(
        product.python("-u", "-m", "miner", "pool", *usual, *options),
        cwd=product.root,
        env=product.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+)$", process.stdout.readline())
        assert found is not None
        yield int(found[1])
    finally:
        process.kill()
        process.communicate()


def test_shares_are_accepted_over_an_added_dialect_and_recorded_without_the_password(
    parrot: ProductCopy, toy: str
) -> None:
    recording = parrot.root / "session.jsonl"
    with pool(parrot, toy) as port:
        output = parrot.run(
            "mine", "-a", toy, "-P", f"macaw://wallet.rig:{PASSWORD}@127.0.0.1:{port}",
            "--shares", "2", "--backend", "ref", "--no-ledger", "--api", "off",
            "--record", str(recording),
        )  # fmt: skip
    assert re.search(r"\d shares accepted, not accepted: none", output), output
    text = recording.read_text(encoding="ascii")
    assert "parrot.enter" in text
    assert PASSWORD not in text
    assert "same bytes" in parrot.run("replay", str(recording), "-a", toy)


def test_an_added_dialect_is_detected(parrot: ProductCopy, toy: str) -> None:
    with pool(parrot, toy, "--protocol", "parrot") as port:
        found = parrot.run("probe", f"stratum+tcp://127.0.0.1:{port}", "-u", "wallet", "-a", toy)
    assert "Parrot Stratum (--protocol parrot)" in found
