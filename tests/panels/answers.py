"""Every answer of every format to one snapshot, as bytes."""

from __future__ import annotations

from miner.panels.ethminer_rpc import READS, EthminerSession
from miner.panels.http_panels import RENDERERS
from miner.panels.panel_figures import compact_json
from miner.panels.sgminer_api import SgminerSession
from miner.telemetry import Snapshot, Telemetry
from tests.fakes.api import context_of
from tests.fakes.clock import FakeClock

SUMMARY_AND_DEVS = b'{"command":"summary+devs"}'
SIMPLE_MINING = b'{"command":"devs+summary+devs2+summary2"}'
SGMINER = [
    SUMMARY_AND_DEVS,
    SIMPLE_MINING,
    b'{"command":"pools"}',
    b'{"command":"config"}',
    b'{"command":"coin"}',
    b'{"command":"version"}',
    b'{"command":"gpucount"}',
    b'{"command":"gpu","parameter":"0"}',
]
TEXTS = [b"summary", b"devs", b"pools", b"summary+devs", b"coin", b"gpu|0", b"config", b"version"]
METHODS = ["miner_ping", *READS]


class Frozen:
    """Sessions whose telemetry always returns one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        clock = FakeClock()
        telemetry = Telemetry(clock)
        telemetry.snapshot = lambda: snapshot  # type: ignore[method-assign]
        self.context = context_of(telemetry, clock)

    def ethminer(self, method: str) -> bytes:
        line = f'{{"id":0,"jsonrpc":"2.0","method":"{method}"}}\n'
        return EthminerSession(self.context).receive(line.encode())

    def sgminer(self, request: bytes) -> bytes:
        return SgminerSession(self.context).receive(request)


def http(snapshot: Snapshot, path: str) -> bytes:
    return compact_json(RENDERERS[path](snapshot)).encode()


def all_answers(snapshot: Snapshot) -> dict[str, bytes]:
    frozen = Frozen(snapshot)
    answers = {path: http(snapshot, path) for path in RENDERERS}
    answers |= {method: frozen.ethminer(method) for method in METHODS}
    answers |= {request.decode(): frozen.sgminer(request) for request in SGMINER + TEXTS}
    return answers
