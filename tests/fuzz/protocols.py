"""A coverage-guided fuzzer of every dialect's client side; `make fuzz` runs it.

The first byte selects the dialect, the second how the rest is split. A client may raise nothing but
`ProtocolError`, and the memory that it uses stays small.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["miner.stratum"]):
    from miner.stratum.dialects import DIALECTS

from miner.errors import ProtocolError
from miner.stratum.opening import Opening
from tests.fakes.variants import KAWPOW
from tests.stratum.transcripts import TRANSCRIPTS, sent_by_pool

ROWS = list(DIALECTS.values())


def one_input(data: bytes) -> None:
    """Feed `data` to a client after its opening requests."""
    if len(data) < 2:
        return
    opening = Opening("wallet.rig", "x", "fuzz/0", KAWPOW, 1, "pool.example", 3333)
    client = ROWS[data[0] % len(ROWS)].connect(opening)
    client.start()
    step = data[1] % 64 + 1
    rest = data[2:]
    try:
        for at in range(0, len(rest), step):
            client.receive(rest[at : at + step])
            client.data_to_send()
    except ProtocolError:
        return
    assert len(client._requests) < 1000
    assert len(client._warned) <= 50


def write_seeds(folder: Path) -> None:
    """Write the pool's lines of each transcript into `folder`, once for each dialect."""
    for path in sorted(TRANSCRIPTS.glob("*.jsonl")):
        lines = b"".join(sent_by_pool(path.stem)[:8])
        for index in range(len(ROWS)):
            (folder / f"{path.stem}-{index}").write_bytes(bytes([index, 63]) + lines)


if __name__ == "__main__":
    with TemporaryDirectory() as corpus:
        write_seeds(Path(corpus))
        atheris.Setup([*sys.argv, corpus], one_input)
        atheris.Fuzz()
