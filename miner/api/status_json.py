"""The answer that tells everything at once, and its parts, field by field."""

from __future__ import annotations

from typing import Literal

from miner.api.path_redaction import Words
from miner.api.responses import OutcomeName, Response

StateName = Literal[
    "starting", "building", "ready", "searching", "waiting", "exhausted", "paused", "resting",
    "parked", "hung",
]  # fmt: skip


class HashrateAnswer(Response):
    """Nonces really tried per second."""

    ten_seconds: float
    """Over the last 10 seconds."""
    minute: float
    """Over the last 60 seconds."""
    quarter_hour: float
    """Over the last 900 seconds."""


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
    outcomes: dict[OutcomeName, int]
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


class ReadingAnswer(Response):
    """What a device's sensors say."""

    temperature: float | None
    """Of the core, °C."""
    hotspot_temperature: float | None
    """°C."""
    memory_temperature: float | None
    """°C."""
    power: float | None
    """W."""
    power_limit: float | None
    """W."""
    fan: float | None
    """Percent of its highest speed."""
    core_clock: float | None
    """MHz."""
    memory_clock: float | None
    """MHz."""
    memory_used: float | None
    """Bytes."""
    utilization: float | None
    """Percent of the time that the device was busy."""
    throttle: str | None
    """Why the card holds itself back."""


class DeviceAnswer(Response):
    """One device."""

    name: str
    """As in "cuda:0"."""
    backend: str
    model: str | None
    kind: str | None
    """"gpu", "cpu" or "accelerator"."""
    vendor: str | None
    driver: str | None
    pci: str | None
    """Address, as in "0000:01:00.0"."""
    uuid: str | None
    memory: int | None
    """Bytes."""
    units: int | None
    """Compute units or cores."""
    state: StateName
    doing: Words
    """The state in words, with what it is about."""
    progress: float | None
    """Of the dataset that is being built, 0 to 1."""
    paused: Words | None
    """Why it was told to pause."""
    parked: bool
    """It does nothing for the rest of this run."""
    hashrate: HashrateAnswer
    mining_seconds: float
    """Since its first launch began."""
    tried: int
    """Nonces."""
    found: int
    """Solutions proved."""
    shares: SharesAnswer
    faults: int
    last_fault: Words | None
    reading: ReadingAnswer
    efficiency: float | None
    """Hashes per joule over the last minute."""
    luck: LuckAnswer
    last_share_at: float | None
    """Of its newest accepted share."""
    last_difficulty: float | None
    """That its newest share reached."""
    best_difficulty: float | None
    kernels: int
    """Kernels proved."""
    datasets: int
    """Datasets proved."""


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
