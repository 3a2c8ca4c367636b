"""EthereumStratum/1.0.0 (NiceHash)."""

from __future__ import annotations

import re
from typing import Any

from miner.errors import ProtocolError
from miner.stratum import fields
from miner.stratum.client_side import Opening
from miner.stratum.difficulty import DIFF1_FFFF, difficulty_from_target, target_from_difficulty
from miner.stratum.kawpow import ETHEREUM_STRATUM_1, KawPowClient, KawPowPool
from miner.stratum.pool_side import PoolContext, extranonce
from miner.stratum.share_rules import OTHER, Claim, ClientEvent, Offer, Refusal, RequestId
from miner.work import Job, NonceSpace, Solution

KEPT_JOBS = 256
"""Newest jobs in KawPow's shape whose shares are known to be handed in KawPow's way."""

HEIGHT_DIGITS = 16
"""Longest height; a longer text in its place is a target."""

_HEX = re.compile(rf"[0-9a-fA-F]{{1,{HEIGHT_DIGITS}}}")


class EthereumStratum1Client(KawPowClient):
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


VERSION = "EthereumStratum/1.0.0"


class EthereumStratum1Pool(KawPowPool):
    """NiceHash's dialect, with the height beside the job as open-etc-pool puts it."""

    name = "ethstratum"

    def __init__(self, context: PoolContext) -> None:
        super().__init__(context)
        self._difficulty_sent = 0.0

    def message(
        self, request_id: RequestId, method: str, message: dict[str, Any]
    ) -> ClientEvent | None:
        if method == "mining.extranonce.subscribe":
            self._reply(request_id, True)
            return None
        return super().message(request_id, method, message)

    def refuse(self, request_id: RequestId, refusal: Refusal) -> None:
        self._send({"id": request_id, "result": None, "error": [*refusal, None]})

    def _subscribe(self, request_id: RequestId, params: list[Any]) -> None:
        if len(params) < 2 or params[1] != VERSION:
            text = f"unsupported stratum version: the second parameter must be {VERSION}"
            self.refuse(request_id, Refusal(OTHER, text))
            return
        super()._subscribe(request_id, params)

    def _subscription(self, digits: str) -> list[Any]:
        return [["mining.notify", digits or "0", VERSION], digits]

    def _target(self, wanted: int) -> int:
        return target_from_difficulty(_difficulty(wanted), DIFF1_FFFF)

    def _claim(self, params: list[Any]) -> Claim | Refusal:
        """Read [worker, job id, nonce after the extranonce as hex digits]."""
        if len(params) < 3 or not all(isinstance(param, str) for param in params[:3]):
            return Refusal(OTHER, "a share is [worker, job, nonce after the extranonce]")
        worker, key, suffix = params[:3]
        offer = self._find(key)
        return suffix_claim(worker, offer, suffix, self._current())

    def _tell(self, key: str, offer: Offer, clean: bool) -> None:
        template = offer.template
        difficulty = _difficulty(offer.share_target)
        if difficulty != self._difficulty_sent:
            self._difficulty_sent = difficulty
            self._call("mining.set_difficulty", [difficulty])
        params = [key, template.seed_hash.hex(), template.header_hash.hex(), clean]
        self._call("mining.notify", params, height=str(template.height))


def suffix_claim(worker: str, offer: Offer | None, suffix: str, current: Offer) -> Claim | Refusal:
    """Return the claim of a nonce that came without its prefix; `current` gives the size where
    the job is unknown."""
    nonces = (offer or current).nonces
    size = nonces.free_bits // 8
    if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", suffix):
        text = f"incorrect size of nonce, must be {size} bytes behind {extranonce(nonces)!r}"
        return Refusal(OTHER, text)
    return Claim(worker, offer, nonces.first + int(suffix, 16))


def _difficulty(target: int) -> float:
    return float(difficulty_from_target(target, DIFF1_FFFF))
