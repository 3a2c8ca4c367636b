"""A KawPow client, lines of a pool and solutions, for the protocol tests."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from miner.errors import ProtocolError
from miner.progpow.variant import Variant
from miner.stratum.client_side import ClientSide
from miner.stratum.dialect import Dialect
from miner.stratum.kawpow import KAWPOW as KAWPOW_DIALECT
from miner.stratum.opening import Opening
from miner.stratum.pool_events import JobReceived, Message, PoolEvent
from miner.work import Job, Solution
from tests.fakes.variants import KAWPOW

HEADER = "c4a9530940f57011507fe048ed12495e267391ac3c66303de2ca004722e1bba1"
TARGET = "00000009f6000000000000000000000000000000000000000000000000000000"
SEED = "c61dd6e690b0e87b596a70c4a7451cb67103f3cb830b1c691e5466cec15df702"
JOB = ["61da602b93926af1c7c2", HEADER, SEED, TARGET, True, 1866617, "1b0135ad"]


def any_json(*special: Any) -> st.SearchStrategy[Any]:
    """Return a strategy of JSON values, often one of `special`."""
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=20)
        | st.sampled_from(["", "0x", 10**400, *special]),
        lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=10,
    )


def receive_quietly(client: ClientSide, data: bytes) -> None:
    """Have `client` receive `data`; only a `ProtocolError` is allowed."""
    try:
        client.receive(data)
    except ProtocolError:
        return
    client.data_to_send()


def line(message: Any) -> bytes:
    return json.dumps(message).encode() + b"\n"


def notify(*changes: tuple[int, Any]) -> bytes:
    params: list[Any] = list(JOB)
    for index, value in changes:
        params[index] = value
    return call("mining.notify", *params)


def call(method: str, *params: Any) -> bytes:
    return line({"id": None, "method": method, "params": list(params)})


def answer(number: Any, result: Any = True, error: Any = None) -> bytes:
    return line({"id": number, "result": result, "error": error})


SUBSCRIBED = answer(1, [None, "0b8e5b"])
LOGIN = SUBSCRIBED + answer(2)
WELCOME = LOGIN + notify()


def client(
    dialect: Dialect = KAWPOW_DIALECT,
    user: str = "RWallet.rig1",
    password: str = "x",
    variant: Variant = KAWPOW,
    **changes: Any,
) -> ClientSide:
    return dialect.connect(Opening(user, password, "progpow-miner/0", variant, 7, **changes))


def connected(dialect: Dialect = KAWPOW_DIALECT, **changes: Any) -> ClientSide:
    """Return a client that has sent its first requests."""
    opened = client(dialect, **changes)
    opened.start()
    return opened


def started(extranonce: str = "0b8e5b", **changes: Any) -> ClientSide:
    opened = connected(**changes)
    opened.receive(answer(1, [None, extranonce]) + answer(2))
    return opened


def jobs(events: list[PoolEvent]) -> list[Job]:
    return [event.job for event in events if isinstance(event, JobReceived)]


def one_job(client: ClientSide, data: bytes) -> Job:
    """Return the only job that `client` reads in `data`."""
    (job,) = jobs(client.receive(data))
    return job


def parsed(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in data.splitlines()]


def messages(events: list[PoolEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, Message)]


def solution(job: Job, nonce: int | None = None, mix: bytes = bytes(32)) -> Solution:
    return Solution(job, job.nonces.first if nonce is None else nonce, "fake", 0.0, mix, bytes(32))
