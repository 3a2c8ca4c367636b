"""The answer that tells everything at once, and its parts, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator

from miner.api.derived_responses import with_fields_of
from miner.api.path_redaction import Words
from miner.api.responses import OutcomeName, Response
from miner.telemetry import DeviceSnapshot, Hashrate, Luck, Reading, Tally
from miner.work import Outcome


@with_fields_of(Hashrate)
class HashrateAnswer(Response):
    """Nonces hashed per second."""


def _by_name(outcomes: Mapping[Outcome, int]) -> dict[str, int]:
    return {outcome.value: count for outcome, count in outcomes.items()}


class SharesAnswer(Response):
    """Shares by what became of them."""

    accepted: int
    rejected: int
    """Refused for their difficulty, as duplicates, or because of the account."""
    stale: int
    """Too late, as the pool said, or as we saw and did not send them."""
    invalid: int
    """The pool calls them wrong."""
    lost: int
    """Without an answer."""
    hardware: int
    """Claims of a device that were not true; none of them was sent."""
    blocks: int
    """Accepted ones that met the block's target, as far as the pool told it."""
    not_accepted: int
    """All with a verdict but the accepted ones."""
    outcomes: Annotated[dict[OutcomeName, int], BeforeValidator(_by_name)]
    """By the verdict, those that occurred."""


class BandAnswer(Response):
    """Numbers of shares, both included, that 95 % of all runs would have found."""

    low: int
    high: int


class LuckAnswer(Response):
    """Shares found against those to be expected."""

    expected: float
    """What as many hashes bring on average."""
    found: int
    effort: float
    """Work since the last share; 1 is what a share costs on average."""
    ratio: float | None
    """Found per expected; above 1 is good luck."""
    band: BandAnswer
    plausible: bool
    """Whether the number found lies in the band."""


class BestShareAnswer(Response):
    """One of the best shares of this run."""

    difficulty: float
    """Hashes that one as good costs on average."""
    at: float
    device: str
    pool: str
    height: int


class JobAnswer(Response):
    """What the pool asks for."""

    id: str
    height: int
    epoch: int
    period: int
    difficulty: float
    """Hashes that one share costs on average."""
    received_at: float | None


class PoolAnswer(Response):
    """One pool that was connected to in this run."""

    label: str
    """Its address."""
    state: Literal["connecting", "connected", "lost"]
    active: bool
    """It is the one that was connected to last."""
    reason: Words | None
    """Why it was lost."""
    unverified: bool
    """Its certificate is not checked, because the user said so."""
    connected_at: float | None
    logins: int
    losses: int
    latency: float | None
    """Seconds from sending the newest answered share to its answer."""
    mean_latency: float | None
    """Seconds."""
    shares: SharesAnswer
    last_share_at: float | None
    """Of the newest accepted share."""
    work: float
    """Hashes that the accepted shares stand for."""


@with_fields_of(Reading)
class ReadingAnswer(Response):
    """Sensor values of a device."""


Known = BeforeValidator(lambda value: value or None)
"""Turns an empty text or number into null."""


@with_fields_of(
    DeviceSnapshot,
    {Hashrate: HashrateAnswer, Tally: SharesAnswer, Luck: LuckAnswer, Reading: ReadingAnswer},
)
class DeviceAnswer(Response):
    """One device."""

    name: str
    """As in "cuda:0"."""
    backend: str
    model: Annotated[str | None, Known]
    kind: Annotated[str | None, Known]
    """"gpu", "cpu" or "accelerator"."""
    vendor: Annotated[str | None, Known]
    driver: Annotated[str | None, Known]
    pci: str | None
    """Address, as in "0000:01:00.0"."""
    uuid: str | None
    memory: Annotated[int | None, Known]
    """Bytes."""
    units: Annotated[int | None, Known]
    """Compute units or cores."""


class HistogramAnswer(Response):
    """Durations counted by how long they lasted."""

    bounds: tuple[float, ...]
    """Seconds."""
    counts: tuple[int, ...]
    """Durations up to each bound and longer than the one before; the last count holds those
    longer than every bound."""
    total: float
    """Seconds, all together."""
    count: int
    mean: float | None
    """Seconds."""


class TimingsAnswer(Response):
    """How long things took."""

    share: HistogramAnswer
    """From sending a share to its answer."""
    kernel: HistogramAnswer
    """From wanting a period's kernel to having it proved."""
    job: HistogramAnswer
    """From a job's arrival to its first launch on a device."""
    dataset: HistogramAnswer
    """From beginning a dataset to having it proved."""


class Status(Response):
    """The whole miner at one moment."""

    rig: str | None
    version: str | None
    algorithm: str | None
    """Name of the variant."""
    coin: str | None
    """Its symbol."""
    at: float
    started_at: float
    uptime: float
    """Seconds."""
    ready: bool
    """A device searches for a pool's job."""
    reasons: tuple[Words, ...]
    """Why it is not ready, in sentences."""
    hashrate: HashrateAnswer
    tried: int
    """Nonces."""
    power: float | None
    """W of all devices that tell it."""
    efficiency: float | None
    """Hashes per joule over the last minute, where every device tells its power."""
    found: int
    """Solutions proved."""
    shares: SharesAnswer
    faults: int
    luck: LuckAnswer
    best: tuple[BestShareAnswer, ...]
    """The best shares, best first."""
    job: JobAnswer | None
    jobs: int
    """That came in this run."""
    epochs: int
    """Changes of the epoch."""
    light: Words | None
    """What happens to the light cache; null when it is ready."""
    notice: Words | None
    """The newest thing a pool wanted a person to read."""
    pool: PoolAnswer | None
    """The one that was connected to last."""
    pools: tuple[PoolAnswer, ...]
    devices: tuple[DeviceAnswer, ...]
    timings: TimingsAnswer
