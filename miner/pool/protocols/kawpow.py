"""KawPow Stratum: jobs bring header, target and height, the extranonce is the nonce's prefix."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from miner.errors import ProtocolError
from miner.pool.protocols import fields
from miner.pool.protocols.difficulty import DIFF1_KAWPOW
from miner.pool.protocols.events import (
    Authorized,
    DifficultyNotice,
    Subscribed,
    WrongProtocol,
)
from miner.pool.protocols.stratum import Opening, Stratum, params_of
from miner.work import Job, NonceSpace, Outcome, Solution

ETHEREUM_STRATUM_1 = "EthereumStratum/1.0.0"
"""Named in the answer to mining.subscribe, by pools of that dialect and by some of this one."""

_HASH = re.compile(r"(?:0[xX])?[0-9a-fA-F]{64}")


class KawPow(Stratum):
    """The dialect of Ravencoin's pools and of most of its relatives."""

    name = "kawpow"
    title = "KawPow Stratum"

    DIFF1: ClassVar[int] = DIFF1_KAWPOW
    """Target of difficulty 1, for pools that send `mining.set_difficulty`."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._diff1 = opening.diff1 or self.DIFF1
        self._announced: int | None = None
        self._nonces: NonceSpace | None = None
        self._early: Job | None = None
        self._may_be_ethereums = False

    def start(self) -> bytes:
        return (
            self._request("mining.subscribe", self._subscription())
            + self._request("mining.authorize", [self._opening.user, self._opening.password])
            + self._request("mining.extranonce.subscribe", [])
        )

    def submit(self, solution: Solution) -> bytes:
        job = solution.job
        return self._request(
            "mining.submit",
            [
                self._opening.user,
                job.id,
                f"0x{solution.nonce:016x}",
                f"0x{job.header_hash.hex()}",
                f"0x{solution.mix_hash.hex()}",
            ],
        )

    def report_hashrate(self, hashes_per_second: int, rig: bytes) -> bytes:
        params = [f"0x{hashes_per_second:064x}", f"0x{rig.hex()}"]
        return self._request("eth_submitHashrate", params)

    def _subscription(self) -> list[str]:
        return [self._opening.agent]

    def _answered(self, method: str, result: Any, outcome: Outcome, text: str) -> None:
        accepted = outcome is Outcome.ACCEPTED
        if method == "mining.subscribe":
            if accepted:
                self._may_be_ethereums = _names_ethereum_stratum(result)
                self._subscribed(fields.extranonce(result))
            else:
                self._refused(text, first=True)
        elif method == "mining.authorize":
            if accepted:
                self._events.append(Authorized())
            else:
                self._refused(text, first=False)

    def _subscribed(self, nonces: NonceSpace) -> None:
        self._nonces = nonces
        self._events.append(Subscribed(nonces))
        if nonces.free_bits < 32:
            self._say_once(
                "nonces",
                f"the pool leaves only 2^{nonces.free_bits} nonces to search under each header",
            )
        if self._early:
            self._offered(replace(self._early, nonces=nonces))
            self._early = None

    def _called(self, method: str, message: dict[str, Any]) -> None:
        params = params_of(message)
        match method:
            case "mining.notify":
                self._notified(message, params)
            case "mining.set_target":
                self._announce(fields.target, params)
            case "mining.set_difficulty":
                self._announce(
                    lambda value: fields.target_of_difficulty(value, self._diff1), params
                )
            case "mining.set_extranonce":
                self._nonces = fields.nonce_space(params[0] if params else None)
            case _:
                super()._called(method, message)

    def _announce(self, read: Callable[[Any], int], params: list[Any]) -> None:
        try:
            self._announced = read(params[0] if params else None)
        except ProtocolError as problem:
            self._say_once("target", f"the pool announced a target that is none: {problem}")
        else:
            self._events.append(DifficultyNotice(self._announced))

    def _notified(self, message: dict[str, Any], params: list[Any]) -> None:
        if self._may_be_ethereums and self._is_foreign(params):
            self._may_be_ethereums = False
            self._events.append(WrongProtocol(f"its jobs are {ETHEREUM_STRATUM_1}'s"))
            return
        job = self._offer(lambda: self._read_job(message, params), self._seed_in(params))
        if job is None:
            return
        if self._nonces is None:
            self._early = job
        else:
            self._offered(job)

    def _is_foreign(self, params: list[Any]) -> bool:
        """Return whether these are not the values of a job of this dialect, but of its
        neighbour's."""
        return is_ethereums(params)

    def _seed_in(self, params: list[Any]) -> Any:
        return params[2] if len(params) > 2 else None

    def _read_job(self, message: dict[str, Any], params: list[Any]) -> Job:
        if len(params) < 6:
            raise ProtocolError(
                f"mining.notify brings {len(params)} values and no block height, which decides "
                "the program; this pool's dialect is not supported"
            )
        name, header, _, target, clean, height, *rest = params
        return self._job(
            name=fields.job_id(name),
            header=header,
            height=height,
            share_target=self._share_target(target),
            nonces=self._nonces or NonceSpace(),
            block_target=fields.block_target(rest[0] if rest else None),
            clean=fields.truth(clean),
        )

    def _share_target(self, value: Any) -> int:
        if value is not None and value != "":
            return fields.target(value)
        if self._announced is None:
            raise ProtocolError("no target was sent, neither with the job nor before it")
        return self._announced


def is_ethereums(params: list[Any]) -> bool:
    """Return whether a job's values are EthereumStratum/1.0.0's: id, seed hash, header hash, a
    boolean, and perhaps the height before or behind it. Where a target stands it is KawPow's."""
    match params:
        case [_, str(seed), str(header), bool()] | [_, str(seed), str(header), bool(), _]:
            return _is_hash(seed) and _is_hash(header)
        case [_, str(seed), str(header), height, bool()]:
            return _is_hash(seed) and _is_hash(header) and not _is_hash(height)
        case _:
            return False


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


def _names_ethereum_stratum(result: Any) -> bool:
    named = result[0] if isinstance(result, list) and result else None
    return isinstance(named, list) and any(
        ETHEREUM_STRATUM_1 in part if isinstance(part, list) else part == ETHEREUM_STRATUM_1
        for part in named
    )
