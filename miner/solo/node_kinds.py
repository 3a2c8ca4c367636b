"""The kinds of node: how each is asked for work and how a solution is submitted to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from miner.errors import PoolRefused, ProtocolError
from miner.progpow.variant import MAX_HEIGHT
from miner.solo.block import Block, BlockTemplate, assemble, other_payees, read_hash, read_template
from miner.stratum import wire_format
from miner.work import Solution

RETIME_SECONDS = 30
"""Age, by the node's clock, at which an assembled block is replaced for its time alone."""


@dataclass(frozen=True, slots=True)
class NodeWork:
    """Work that a node gave."""

    template: BlockTemplate
    header_hash: bytes
    """32 bytes in display order."""
    epoch: int | None = None
    """The node's own epoch number; None if it gives none."""
    block: Block | None = None
    """Set if the miner assembles the block."""


@dataclass(frozen=True, slots=True)
class NodeKind:
    """One kind of node."""

    name: str
    """As written in a coin's file."""
    api: type[WorkApi]
    work_method: str = "getblocktemplate"
    submit_method: str = "pprpcsb"
    request: Mapping[str, Any] | None = None
    """First parameter of a request for work, if there is one."""
    poll_seconds: float | None = None
    """Interval of requests for work; None: the node has a tip to look at."""
    duplicate_is_accepted: bool = False
    """The node calls a new block a duplicate."""
    missing_header: str = ""
    """Advice for a template without `pprpcheader`."""
    own_payee: str = ""
    """The payee in the node's own settings; empty if it pays the address that a request gives."""

    def open(self, address: str, extra_nonce: bytes) -> WorkApi:
        """Return the API of one node that pays `address`, if one is given."""
        if self is PPRPC and address:
            return SUBMITBLOCK.open(address, extra_nonce)
        return self.api(self, address, extra_nonce)


class WorkApi(ABC):
    """Requests for work to one node, and its answers.

    `address` is where the reward goes, empty if the node's own settings decide that.
    `extra_nonce` makes an assembled block unlike those of other miners.
    """

    def __init__(self, kind: NodeKind, address: str, extra_nonce: bytes) -> None:
        self.kind = kind
        self._address, self._extra_nonce = address, extra_nonce

    def params(self) -> list[Any]:
        """Return the parameters of a request for work.

        Raises `PoolRefused` if an address is missing, or given and not paid by this node.
        """
        if self._address and self.kind.own_payee:
            raise PoolRefused(
                f"a node of the kind {self.kind.name} cannot be asked to pay the user's address; "
                f"it pays {self.kind.own_payee}, so leave the user out"
            )
        return [] if self.kind.request is None else [dict(self.kind.request)]

    def payees(self, result: Any) -> list[str]:
        """Return the addresses whose output scripts `read` needs; errors as those of `read`."""
        return []

    @abstractmethod
    def read(self, result: Any, scripts: Mapping[str, bytes]) -> NodeWork:
        """Return the work in an answer.

        Raises `ProtocolError` for an unusable answer, `PoolRefused` if the node must be set up
        in another way.
        """

    @abstractmethod
    def submission(self, solution: Solution, work: NodeWork | None) -> list[str] | None:
        """Return the parameters of the kind's `submit_method`.

        None if they cannot be made without the work, which was forgotten.
        """

    def _required_address(self) -> str:
        if not self._address:
            raise PoolRefused(
                f"a node of the kind {self.kind.name} needs the reward's address; set it as user"
            )
        return self._address


class PprpcApi(WorkApi):
    """The node assembles the block and keeps it under the header hash."""

    def read(self, result: Any, scripts: Mapping[str, bytes]) -> NodeWork:
        template = read_template(result)
        if "pprpcheader" not in result:
            raise PoolRefused(
                f"the node's block template has no pprpcheader; {self.kind.missing_header}"
            )
        header_hash = bytes.fromhex(read_hash(result, "pprpcheader"))
        return NodeWork(template, header_hash, wire_format.whole(result.get("pprpcepoch")))

    def submission(self, solution: Solution, work: NodeWork | None) -> list[str]:
        return [solution.job.header_hash.hex(), solution.mix_hash.hex(), f"0x{solution.nonce:016x}"]


class FiroApi(PprpcApi):
    """The node assembles the block for the address in the request."""

    def params(self) -> list[Any]:
        return [*super().params(), self._required_address()]


class SubmitblockApi(WorkApi):
    """The miner assembles the block."""

    def __init__(self, kind: NodeKind, address: str, extra_nonce: bytes) -> None:
        super().__init__(kind, address, extra_nonce)
        self._last: NodeWork | None = None
        self._content: dict[str, Any] = {}
        self._time = 0

    def payees(self, result: Any) -> list[str]:
        return [self._required_address(), *other_payees(result)]

    def read(self, result: Any, scripts: Mapping[str, bytes]) -> NodeWork:
        template = read_template(result)
        content = {key: result[key] for key in result if key not in ("curtime", "longpollid")}
        time = wire_format.whole(result.get("curtime")) or 0
        # Also if it is earlier: the node's clock was wrong, and such a block may be refused.
        if self._last and content == self._content and abs(time - self._time) < RETIME_SECONDS:
            return replace(self._last, template=template)
        block = assemble(template, result, self._address, scripts, self._extra_nonce)
        self._last = NodeWork(template, block.header_hash, block=block)
        self._content, self._time = content, time
        return self._last

    def submission(self, solution: Solution, work: NodeWork | None) -> list[str] | None:
        if work is None or work.block is None:
            return None
        return [work.block.solved(solution.nonce, solution.mix_hash).hex()]


class GetworkApi(WorkApi):
    """The calls of the Ethereum family."""

    def read(self, result: Any, scripts: Mapping[str, bytes]) -> NodeWork:
        method = self.kind.work_method
        if not isinstance(result, list) or len(result) < 3:
            raise ProtocolError(f"{method} returned no work; the node may still be synchronizing")
        if len(result) == 3:
            raise PoolRefused(
                f"the node's {method} returns no block height, which ProgPoW needs; mine with "
                "another node or a pool"
            )
        header, _, target_digits, height_digits, *_ = result
        height = wire_format.block_height(height_digits)
        if height > MAX_HEIGHT:
            raise ProtocolError("block height is not a number in range")
        template = BlockTemplate(height, 0, wire_format.target(target_digits), f"height {height}")
        return NodeWork(template, wire_format.header_hash(header))

    def submission(self, solution: Solution, work: NodeWork | None) -> list[str]:
        return wire_format.proof(solution)


_SET_MINING_ADDRESS = (
    "write miningaddress=<{address}> into the node's configuration and start it again"
)
_MINING_ADDRESS = "miningaddress= of its configuration"
_OWN_ACCOUNT = "the account of its own settings"

PPRPC = NodeKind(
    "pprpc",
    PprpcApi,
    request={"rules": ["segwit"]},
    missing_header="give the address to pay as user, or "
    + _SET_MINING_ADDRESS.format(address="an address of yours"),
    own_payee=_MINING_ADDRESS,
)
"""Ravencoin, Evrmore and most of their clones. They take whole blocks as well, which pay any
address."""

SUBMITBLOCK = NodeKind(
    "submitblock", SubmitblockApi, submit_method="submitblock", request={"rules": ["segwit"]}
)
"""Any node with `getblocktemplate` and `submitblock`."""

NODE_KINDS: Mapping[str, NodeKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            PPRPC,
            NodeKind(
                "firo",
                FiroApi,
                request={},
                duplicate_is_accepted=True,
                missing_header="update the node",
            ),
            NodeKind(
                "veil",
                PprpcApi,
                request={"algo": "progpow"},
                missing_header=_SET_MINING_ADDRESS.format(address="a basecoin address of yours"),
                own_payee=_MINING_ADDRESS,
            ),
            SUBMITBLOCK,
            NodeKind(
                "getwork",
                GetworkApi,
                work_method="eth_getWork",
                submit_method="eth_submitWork",
                poll_seconds=0.5,
                own_payee=_OWN_ACCOUNT,
            ),
            NodeKind(
                "sero",
                GetworkApi,
                work_method="sero_getWork",
                submit_method="sero_submitWork",
                poll_seconds=0.5,
                own_payee=_OWN_ACCOUNT,
            ),
        )
    }
)
"""By name."""

SUBMIT_METHODS = frozenset(kind.submit_method for kind in NODE_KINDS.values())
