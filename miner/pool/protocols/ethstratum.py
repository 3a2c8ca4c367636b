"""EthereumStratum/1.0.0: difficulties set beforehand, nonces handed in without their prefix."""

from __future__ import annotations

import re
from typing import Any

from miner.errors import ProtocolError
from miner.pool.protocols import fields
from miner.pool.protocols.difficulty import DIFF1_FFFF
from miner.pool.protocols.kawpow import ETHEREUM_STRATUM_1, KawPow
from miner.pool.protocols.stratum import Opening
from miner.work import Job, NonceSpace, Solution

KEPT_JOBS = 256
"""Newest jobs in KawPow's shape whose shares are known to be handed in KawPow's way."""

HEIGHT_DIGITS = 16
"""Longest height; a longer text in its place is a target."""

_HEX = re.compile(rf"[0-9a-fA-F]{{1,{HEIGHT_DIGITS}}}")


class EthereumStratum1(KawPow):
    """NiceHash's dialect, with the block height wherever a pool puts it.

    Pools that name it and send KawPow's jobs are spoken to in KawPow's way, job by job.
    """

    name = "ethstratum"
    title = ETHEREUM_STRATUM_1

    DIFF1 = DIFF1_FFFF

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._diff1 = self.DIFF1  # this dialect has its own, whatever the coin's is
        self._announced = self._diff1
        """Difficulty 1, until the pool sets another."""
        self._kawpows: dict[tuple[str, bytes], None] = {}

    def submit(self, solution: Solution) -> bytes:
        job = solution.job
        if (job.id, job.header_hash) in self._kawpows:
            return super().submit(solution)
        suffix = nonce_suffix(solution.nonce, job.nonces)
        return self._request("mining.submit", [self._opening.user, job.id, suffix])

    def _subscription(self) -> list[str]:
        return [self._opening.agent, ETHEREUM_STRATUM_1]

    def _is_foreign(self, params: list[Any]) -> bool:
        return False

    def _seed_in(self, params: list[Any]) -> Any:
        if _is_kawpows(params):
            return super()._seed_in(params)
        return params[1] if len(params) > 1 else None

    def _read_job(self, message: dict[str, Any], params: list[Any]) -> Job:
        if _is_kawpows(params):
            job = super()._read_job(message, params)
            self._note_kawpows(job)
            return job
        if len(params) < 4:
            raise ProtocolError(f"mining.notify brings {len(params)} values instead of 4 or more")
        name, _, header, *_ = params
        height, clean = _height_and_clean(params)
        job = self._job(
            name=fields.job_id(name),
            header=header,
            height=_height(height if _is_there(height) else message.get("height")),
            share_target=self._share_target(None),
            nonces=self._nonces or NonceSpace(),
            clean=fields.truth(clean),
        )
        self._kawpows.pop((job.id, job.header_hash), None)
        return job

    def _note_kawpows(self, job: Job) -> None:
        self._kawpows.pop((job.id, job.header_hash), None)
        self._kawpows[job.id, job.header_hash] = None
        while len(self._kawpows) > KEPT_JOBS:
            del self._kawpows[next(iter(self._kawpows))]


def nonce_suffix(nonce: int, nonces: NonceSpace) -> str:
    """Return what follows the prefix of `nonces` in the nonce's 16 hex digits."""
    return f"{nonce - nonces.first:0{nonces.free_bits // 4}x}"


def _is_kawpows(params: list[Any]) -> bool:
    """Return whether a job has a target where EthereumStratum/1.0.0 has the height."""
    return (
        len(params) >= 6
        and isinstance(params[3], str)
        and (not params[3] or len(params[3]) > HEIGHT_DIGITS + len("0x"))
    )


def _height_and_clean(params: list[Any]) -> tuple[Any, Any]:
    """Return both from a job of at least 4 values; the height, None if it is not among them, may
    stand on either side of the boolean."""
    third, fourth = params[3], params[4] if len(params) > 4 else None
    if isinstance(third, bool) or len(params) == 4:
        return fourth, third
    if isinstance(fourth, bool) or not _is_flag(third):
        return third, fourth
    return fourth, third


def _is_flag(value: Any) -> bool:
    return value is None or value in (0, 1, "0", "1", "true", "false")


def _is_there(value: Any) -> bool:
    return value is not None and value != ""


def _height(value: Any) -> int:
    """Return a height that came as a number, as decimal digits or as hex digits; digits that may
    be either are decimal. Raises `ProtocolError` where it is absent or anything else."""
    if not _is_there(value):
        raise ProtocolError(
            "mining.notify brings no block height, which decides the program; ask the pool for "
            "a port for ProgPoW, as this one's dialect is not supported"
        )
    if isinstance(value, str) and not value.isdecimal() and _HEX.fullmatch(value):
        return int(value, 16)
    return fields.block_height(value)
