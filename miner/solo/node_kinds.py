"""The kinds of nodes: what each is asked for work, and how a solution is handed in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

from miner.errors import PoolRefused, ProtocolError
from miner.progpow.variant import MAX_HEIGHT
from miner.solo import block as assembly
from miner.solo.block import Block, NodeTemplate, hash_of, read_template
from miner.stratum import fields
from miner.work import Solution

RETIMED_SECONDS = 30
"""A block of our own is made anew for its time alone once that is older, by the node's clock."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a node wants mined."""

    template: NodeTemplate
    header_hash: bytes
    """32 bytes in display order."""
    epoch: int | None = None
    """As the node sees it; None where it does not say."""
    block: Block | None = None
    """Where it is us who make the block."""


class Flavour(ABC):
    """One kind of node; `address` is the reward's, empty where the node has its own."""

    name: ClassVar[str]
    asks: ClassVar[str] = "getblocktemplate"
    """Method that brings work."""
    submits: ClassVar[str] = "pprpcsb"
    """Method that takes a solution."""
    polled_after: ClassVar[float | None] = None
    """Seconds between two requests for work of nodes that know no tip and no long poll."""
    duplicate_is_accepted: ClassVar[bool] = False

    def __init__(self, address: str = "", extra_nonce: bytes = bytes(8)) -> None:
        self._address, self._extra_nonce = address, extra_nonce

    @abstractmethod
    def request(self, longpollid: str | None) -> list[Any]:
        """Return the parameters of `asks`, for a long poll where `longpollid` is given."""

    def addresses(self, result: Any) -> list[str]:
        """Return whose scripts `read` needs."""
        return []

    @abstractmethod
    def read(self, result: Any, scripts: Mapping[str, bytes]) -> Work:
        """Return the work of an answer.

        Raises `ProtocolError` for an unusable one, `PoolRefused` where the node must be set up
        another way.
        """

    @abstractmethod
    def hand_in(self, solution: Solution, work: Work | None) -> list[str] | None:
        """Return the parameters of `submits`, None where that is not possible without `work`."""


class PprpcFlavour(Flavour):
    """Ravencoin, Evrmore and their clones: the node makes the block and keeps it."""

    name = "pprpc"

    def request(self, longpollid: str | None) -> list[Any]:
        return [_with_poll({"rules": ["segwit"]}, longpollid)]

    def read(self, result: Any, scripts: Mapping[str, bytes]) -> Work:
        template = read_template(result)
        if "pprpcheader" not in result:
            raise PoolRefused(self._no_header())
        header = bytes.fromhex(hash_of(result, "pprpcheader"))
        return Work(template, header, fields.whole(result.get("pprpcepoch")))

    def hand_in(self, solution: Solution, work: Work | None) -> list[str]:
        return [
            solution.job.header_hash.hex(),
            solution.mix_hash.hex(),
            f"0x{solution.nonce:016x}",
        ]

    def _no_header(self) -> str:
        return (
            "the node's block template has no pprpcheader; write miningaddress=<an address of "
            "yours> into the node's configuration and start it again"
        )


class VeilFlavour(PprpcFlavour):
    """Veil: as Ravencoin, for one of its algorithms."""

    name = "veil"

    def request(self, longpollid: str | None) -> list[Any]:
        return [_with_poll({"algo": "progpow"}, longpollid)]

    def _no_header(self) -> str:
        return (
            "the node's block template has no pprpcheader; write miningaddress=<a basecoin address "
            "of yours> into the node's configuration and start it again"
        )


class FiroFlavour(PprpcFlavour):
    """Firo: the reward's address goes with the request, a fresh block is called a duplicate."""

    name = "firo"
    duplicate_is_accepted = True

    def request(self, longpollid: str | None) -> list[Any]:
        if not self._address:
            raise PoolRefused("a Firo node needs the address that the reward goes to; name it")
        return [_with_poll({}, longpollid), self._address]

    def _no_header(self) -> str:
        return "the node's block template has no pprpcheader; update the node"


class BlockFlavour(Flavour):
    """Any node with getblocktemplate and submitblock: we make the block."""

    name = "submitblock"
    submits = "submitblock"

    def __init__(self, address: str = "", extra_nonce: bytes = bytes(8)) -> None:
        super().__init__(address, extra_nonce)
        self._made: Work | None = None
        self._content: dict[str, Any] = {}
        self._time = 0

    def request(self, longpollid: str | None) -> list[Any]:
        return [_with_poll({"rules": ["segwit"]}, longpollid)]

    def addresses(self, result: Any) -> list[str]:
        if not self._address:
            raise PoolRefused("this node needs the address that the reward goes to; name it")
        return [self._address, *assembly.other_addresses(result)]

    def read(self, result: Any, scripts: Mapping[str, bytes]) -> Work:
        template = read_template(result)
        content = {key: result[key] for key in result if key not in ("curtime", "longpollid")}
        time = fields.whole(result.get("curtime")) or 0
        if self._made and content == self._content and time - self._time < RETIMED_SECONDS:
            return replace(self._made, template=template)
        block = assembly.assemble(template, result, self._address, scripts, self._extra_nonce)
        self._made = Work(template, block.header_hash, block=block)
        self._content, self._time = content, time
        return self._made

    def hand_in(self, solution: Solution, work: Work | None) -> list[str] | None:
        if work is None or work.block is None:
            return None
        return [work.block.solved(solution.nonce, solution.mix_hash).hex()]


class GetworkFlavour(Flavour):
    """Nodes with the Ethereum family's calls."""

    name = "getwork"
    asks = "eth_getWork"
    submits = "eth_submitWork"
    polled_after = 0.5

    def request(self, longpollid: str | None) -> list[Any]:
        return []

    def read(self, result: Any, scripts: Mapping[str, bytes]) -> Work:
        if not isinstance(result, list) or len(result) < 3:
            raise ProtocolError(f"{self.asks} brings no work; the node may still be synchronizing")
        if len(result) == 3:
            raise PoolRefused(
                f"the node's {self.asks} brings no block height, which decides the program; it "
                "cannot be mined with"
            )
        header, _, target, height, *_ = result
        number = fields.block_height(height)
        if number > MAX_HEIGHT:
            raise ProtocolError("its block height is not a number")
        bound = fields.target(target)
        if bound == 0:
            raise ProtocolError("its target is 0, which no hash is under")
        template = NodeTemplate(number, 0, bound, f"height {number}", None)
        return Work(template, fields.header_hash(header))

    def hand_in(self, solution: Solution, work: Work | None) -> list[str]:
        return [
            f"0x{solution.nonce:016x}",
            f"0x{solution.job.header_hash.hex()}",
            f"0x{solution.mix_hash.hex()}",
        ]


class SeroFlavour(GetworkFlavour):
    """SERO: the same under another prefix, the height in decimal digits."""

    name = "sero"
    asks = "sero_getWork"
    submits = "sero_submitWork"


FLAVOURS: Mapping[str, type[Flavour]] = MappingProxyType(
    {
        flavour.name: flavour
        for flavour in (
            PprpcFlavour,
            FiroFlavour,
            VeilFlavour,
            BlockFlavour,
            GetworkFlavour,
            SeroFlavour,
        )
    }
)
"""Each kind of node, by the name that a coin's file gives it."""

SUBMITTING = frozenset(flavour.submits for flavour in FLAVOURS.values())
"""Every method that takes a solution."""


def _with_poll(request: dict[str, Any], longpollid: str | None) -> dict[str, Any]:
    return request if longpollid is None else {**request, "longpollid": longpollid}
