"""The miner as a process with fake nodes that prove each block, on a toy-sized KawPow."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from miner.progpow.variant import Variant
from miner.variant_file import load_variant
from miner.verify import Verifier
from tests.fakes.block_node import BlockNode
from tests.fakes.node import LOGIN, PprpcNode, serving

ROOT = Path(__file__).parents[2]
SECONDS = 180
"""Limit of a run, generous for busy machines."""
BITS, TARGET = "1f7fffff", "007fffff" + "00" * 28
"""A block takes about 512 hashes."""


@dataclass
class Prover:
    """Checks submitted blocks with the reference implementation."""

    variant: Variant
    verifier: Verifier = field(default_factory=lambda: Verifier(disk=False))
    proved: int = 0

    async def prove(self, height: int, header: str, nonce: int, mix: str) -> None:
        epoch = self.variant.epoch_at(height)
        digest = await asyncio.to_thread(
            self.verifier.hash, self.variant, height, epoch, bytes.fromhex(header), nonce
        )
        assert digest.mix_hash.hex() == mix
        assert digest.final_hash.hex() <= TARGET
        self.proved += 1


def easy(template: dict[str, Any]) -> dict[str, Any]:
    return template | {"bits": BITS, "target": TARGET}


@dataclass
class ProvingPprpcNode(PprpcNode):
    prover: Prover | None = None

    def template(self) -> dict[str, Any]:
        self.header = hashlib.sha256(f"{self.tip}{self.height}".encode()).hexdigest()
        self.known.clear()
        return easy(super().template())

    async def rpc_pprpcsb(self, params: list[Any]) -> Any:
        header, mix, nonce = params
        height = self.height
        verdict = await super().rpc_pprpcsb(params)  # a header of an older tip is refused here
        if verdict is True:
            assert self.prover is not None
            await self.prover.prove(height, header, int(nonce, 16), mix)
        return verdict


@dataclass
class ProvingBlockNode(BlockNode):
    prover: Prover | None = None

    def template(self) -> dict[str, Any]:
        return easy(super().template())

    async def rpc_submitblock(self, params: list[Any]) -> Any:
        height = self.height
        verdict = await super().rpc_submitblock(params)
        assert self.prover is not None
        if verdict is None:
            block = self.blocks[-1]
            await self.prover.prove(height, block["header"], block["nonce"], block["mix"])
        return verdict


@pytest.mark.parametrize(
    ("kind", "payee"), [(ProvingPprpcNode, ()), (ProvingBlockNode, ("-u", "miner"))]
)
async def test_blocks_are_found_proved_and_confirmed(
    kind: type[ProvingPprpcNode] | type[ProvingBlockNode],
    payee: tuple[str, ...],
    toy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("node", "block_node"):
        monkeypatch.setattr(f"tests.fakes.{module}.BITS", BITS)
    prover = Prover(load_variant(Path(toy)))
    async with serving(kind(prover=prover)) as node, asyncio.timeout(SECONDS):
        address = f"http://{LOGIN[0]}:{LOGIN[1]}@127.0.0.1:{node.port}"
        miner = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "miner", "mine", "-a", toy, "-o", address, "-d", "cpu",
            *payee, "--shares", "3",
            cwd=ROOT, env=os.environ | {"PROGPOW_MINER_STATE": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = await miner.communicate()
        finally:
            if miner.returncode is None:
                miner.kill()
                await miner.wait()
    text = output.decode()
    assert miner.returncode == 0, text
    assert prover.proved >= 3
    assert text.count("BLOCK") >= 3, text
    assert LOGIN[1] not in text
    assert list((tmp_path / "blocks").glob("*")) == []
