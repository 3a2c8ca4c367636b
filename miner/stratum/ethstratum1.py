"""EthereumStratum/1.0.0 (NiceHash)."""

from __future__ import annotations

import re
from typing import Any

from cachetools import FIFOCache

from miner.errors import ProtocolError
from miner.stratum import wire_format
from miner.stratum.dialect import Dialect
from miner.stratum.difficulty import DIFF1_FFFF, difficulty_from_target, target_from_difficulty
from miner.stratum.extremes import ACCOUNT, ANYTHING, SUFFIX, Extremes
from miner.stratum.kawpow import (
    ETHEREUM_STRATUM_1,
    KAWPOW_STRATUM,
    KawPowClient,
    KawPowPool,
)
from miner.stratum.opening import Opening
from miner.stratum.pool_side import PoolContext, extranonce
from miner.stratum.share_rules import OTHER, Claim, ClientEvent, Offer, Refusal, RequestId
from miner.stratum.wire_format import params_of
from miner.work import Job, NonceSpace, Solution

KEPT_JOBS = 256
"""Newest jobs in KawPow's form whose shares are submitted in KawPow's form."""

HEIGHT_DIGITS = 16
"""Most digits of a height; a longer string in its place is a target."""

_HEX = re.compile(rf"[0-9a-fA-F]{{1,{HEIGHT_DIGITS}}}")


class EthereumStratum1Client(KawPowClient):
    """The client's side, with the block height wherever a pool puts it.

    Some pools name this dialect but send jobs in KawPow's form; shares of such a job are submitted
    in KawPow's form, too.
    """

    def __init__(self, dialect: Dialect, opening: Opening) -> None:
        super().__init__(dialect, opening)
        self._diff1 = dialect.diff1  # the dialect defines it, not the coin
        self._announced = self._diff1  # difficulty 1 until the pool sets another
        self._kawpow_jobs: FIFOCache[tuple[str, bytes], None] = FIFOCache(KEPT_JOBS)
        """(id, header hash) of jobs in KawPow's form."""

    def submit(self, solution: Solution) -> bytes:
        job = solution.job
        if (job.id, job.header_hash) in self._kawpow_jobs:
            return super().submit(solution)
        suffix = nonce_suffix(solution.nonce, job.nonces)
        return self._request("mining.submit", [self._opening.user, job.id, suffix])

    def _subscription(self) -> list[str]:
        return [self._opening.agent, ETHEREUM_STRATUM_1]

    def _other_dialect_of(self, params: list[Any]) -> str:
        # Many KawPow pools ignore the version in mining.subscribe.
        foreign = not self._names_ethstratum and _is_kawpow_job(params)
        return KAWPOW_STRATUM if foreign and self._opening.is_uncertain else ""

    def _read_job(self, work: dict[str, Any]) -> Job:
        params = params_of(work)
        if _is_kawpow_job(params):
            job = super()._read_job(work)
            self._kawpow_jobs[job.id, job.header_hash] = None
            return job
        if len(params) < 4:
            raise ProtocolError(f"mining.notify has {len(params)} parameters instead of 4 or more")
        name, seed, header, *_ = params
        height, clean = _height_and_clean(params)
        job = self._job(
            name=wire_format.job_id(name),
            header=header,
            height=_height(height if _is_given(height) else work.get("height")),
            share_target=self._share_target(None),
            nonces=self._nonces or NonceSpace(),
            seed=seed,
            clean=wire_format.truth(clean),
        )
        self._kawpow_jobs.pop((job.id, job.header_hash), None)
        return job


def nonce_suffix(nonce: int, nonces: NonceSpace) -> str:
    """Return the hex digits of `nonce` after the prefix of `nonces`."""
    return f"{nonce - nonces.first:0{nonces.free_bits // 4}x}"


def _is_kawpow_job(params: list[Any]) -> bool:
    """Return whether a job has a target where EthereumStratum/1.0.0 has the height."""
    return (
        len(params) >= 6
        and isinstance(params[3], str)
        and (not params[3] or len(params[3]) > HEIGHT_DIGITS + len("0x"))
    )


def _height_and_clean(params: list[Any]) -> tuple[Any, Any]:
    """Return height and clean flag of a job with at least 4 parameters, in either order; the
    height is None if absent."""
    third, fourth = params[3], params[4] if len(params) > 4 else None
    if isinstance(third, bool) or len(params) == 4:
        return fourth, third
    if isinstance(fourth, bool) or not _is_flag(third):
        return third, fourth
    return fourth, third


def _is_flag(value: Any) -> bool:
    return value is None or value in (0, 1, "0", "1", "true", "false")


def _is_given(value: Any) -> bool:
    return value is not None and value != ""


def _height(value: Any) -> int:
    """Return a height given as a number, decimal digits or hex digits (ambiguous digits are
    decimal). Raises `ProtocolError` if it is absent or has another form."""
    if not _is_given(value):
        raise ProtocolError(
            "mining.notify has no block height, which ProgPoW needs; this pool's dialect is not "
            "supported, ask the pool for a ProgPoW port"
        )
    if isinstance(value, str) and not value.isdecimal() and _HEX.fullmatch(value):
        return int(value, 16)
    return wire_format.block_height(value)


class EthereumStratum1Pool(KawPowPool):
    """The test pool's side, with the height beside the parameters, like open-etc-pool."""

    def __init__(self, dialect: Dialect, context: PoolContext) -> None:
        super().__init__(dialect, context)
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
        if params[1:2] != [ETHEREUM_STRATUM_1]:
            text = f"unsupported stratum version: the second parameter must be {ETHEREUM_STRATUM_1}"
            self.refuse(request_id, Refusal(OTHER, text))
            return
        super()._subscribe(request_id, params)

    def _subscription(self, digits: str) -> list[Any]:
        return [["mining.notify", digits or "0", ETHEREUM_STRATUM_1], digits]

    def _target(self, wanted: int) -> int:
        return target_from_difficulty(self._difficulty(wanted), self.dialect.diff1)

    def _difficulty(self, target: int) -> float:
        return float(difficulty_from_target(target, self.dialect.diff1))

    def _claim(self, params: list[Any]) -> Claim | Refusal:
        """Read [worker, job id, nonce after the extranonce as hex digits]."""
        if len(params) < 3 or not all(isinstance(param, str) for param in params[:3]):
            return Refusal(OTHER, "a share is [worker, job, nonce after the extranonce]")
        worker, key, suffix = params[:3]
        offer = self._find(key)
        return suffix_claim(worker, offer, suffix, self._current())

    def _send_job(self, key: str, offer: Offer, clean: bool) -> None:
        template = offer.template
        difficulty = self._difficulty(offer.share_target)
        if difficulty != self._difficulty_sent:
            self._difficulty_sent = difficulty
            self._call("mining.set_difficulty", [difficulty])
        params = [key, template.seed_hash.hex(), template.header_hash.hex(), clean]
        self._call("mining.notify", params, height=str(template.height))


def suffix_claim(worker: str, offer: Offer | None, suffix: str, current: Offer) -> Claim | Refusal:
    """Return the claim of a nonce given without its prefix; for an unknown job, `current` has
    the expected size."""
    nonces = (offer or current).nonces
    size = nonces.free_bits // 8
    if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", suffix):
        text = f"incorrect size of nonce, must be {size} bytes after {extranonce(nonces)!r}"
        return Refusal(OTHER, text)
    return Claim(worker, offer, nonces.first + int(suffix, 16))


ETHSTRATUM1 = Dialect(
    name="ethstratum",
    title=ETHEREUM_STRATUM_1,
    client=EthereumStratum1Client,
    pool=EthereumStratum1Pool,
    schemes=("nicehash", "ethnh", "stratum2"),
    logins=frozenset({"mining.authorize"}),
    shares=frozenset({"mining.submit"}),
    hashrate_reports=frozenset({"eth_submitHashrate"}),
    extras=frozenset({"mining.extranonce.subscribe"}),
    first_method="mining.subscribe",
    version=ETHEREUM_STRATUM_1,
    diff1=DIFF1_FFFF,
    nodes_speak_getwork=True,
    extremes=Extremes(
        order=("mining.subscribe", "mining.authorize"),
        methods=frozenset({"mining.submit"}),
        params={
            "mining.subscribe": (ANYTHING, re.escape(ETHEREUM_STRATUM_1)),
            "mining.authorize": (ACCOUNT, ANYTHING),
            "mining.submit": (ACCOUNT, ANYTHING, SUFFIX),
        },
    ),
)
