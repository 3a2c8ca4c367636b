"""Response models of the miner's state."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Annotated, Literal

from pydantic import BeforeValidator

from miner.api.path_redaction import RedactedText
from miner.api.responses import OutcomeName, Response, with_fields_of
from miner.telemetry import DeviceSnapshot, Hashrate, Luck, Reading, Tally
from miner.work import Outcome


@with_fields_of(Hashrate)
class HashrateAnswer(Response):
    """Nonces hashed per second."""


NullIfEmpty = BeforeValidator(lambda value: value or None)


def _by_name(outcomes: Mapping[Outcome, int]) -> dict[str, int]:
    return {outcome.value: count for outcome, count in outcomes.items()}


class SharesAnswer(Response):
    """Shares by outcome."""

    accepted: int
    rejected: int
    """Rejected as duplicates, for their difficulty or because of the account."""
    stale: int
    """Too late, as the pool reported or as the miner saw before sending."""
    invalid: int
    """Rejected as wrong."""
    lost: int
    """Sent, but never answered."""
    hardware: int
    """Hardware errors: wrong results of a device, which are not sent."""
    blocks: int
    """Accepted shares that met the block's target, as far as the pool reported it."""
    not_accepted: int
    """All shares with an outcome other than accepted."""
    outcomes: Annotated[dict[OutcomeName, int], BeforeValidator(_by_name)]
    """Counts of the outcomes that occurred."""


class BandAnswer(Response):
    """The numbers of shares, both included, that 95 % of all runs would have found."""

    low: int
    high: int


class LuckAnswer(Response):
    """Shares found compared with shares expected."""

    expected: float
    """Average number of shares that as many hashes find."""
    found: int
    effort: float
    """Work since the last share; 1 is the average cost of a share."""
    ratio: float | None
    """Found per expected; above 1 is good luck."""
    band: BandAnswer
    plausible: bool
    """Whether the number found is inside the band."""


class BestShareAnswer(Response):
    """One of the best shares of this run."""

    difficulty: float
    """Difficulty that it reached, in hashes."""
    at: float
    device: str
    pool: str
    height: int


class JobAnswer(Response):
    """The current job."""

    id: str
    height: int
    epoch: int
    period: int
    difficulty: float
    """Average number of hashes for one share."""
    other_algorithm: str | None
    """Algorithm that makes this block instead of ours, so that devices wait; null: the job is
    mined."""
    wait_reason: str | None
    """Why the job is not mined, as a sentence; null: it is mined."""
    received_at: float | None


class PoolAnswer(Response):
    """One pool that this run connected to."""

    label: str
    """Its address."""
    state: Annotated[
        Literal["connecting", "connected", "lost"], BeforeValidator(attrgetter("value"))
    ]
    active: bool
    """The newest connection is to this pool."""
    reason: Annotated[RedactedText | None, NullIfEmpty]
    """Why the connection was lost."""
    unverified: bool
    """Its certificate is not checked, as the settings request."""
    account: Annotated[str | None, NullIfEmpty]
    """The account that is mined for, its wallet shortened; null before the first login."""
    connected_at: float | None
    logins: int
    losses: int
    latency: float | None
    """Seconds from sending the last answered share to its answer."""
    mean_latency: float | None
    """Seconds."""
    shares: SharesAnswer
    last_share_at: float | None
    """Time of the newest accepted share."""
    work: float
    """Sum of the difficulties of the accepted shares, in hashes."""


@with_fields_of(Reading)
class ReadingAnswer(Response):
    """Sensor values of a device."""


@with_fields_of(
    DeviceSnapshot,
    {Hashrate: HashrateAnswer, Tally: SharesAnswer, Luck: LuckAnswer, Reading: ReadingAnswer},
)
class DeviceAnswer(Response):
    """One device."""

    name: str
    """As in "cuda:0"."""
    backend: str
    model: Annotated[str | None, NullIfEmpty]
    kind: Annotated[str | None, NullIfEmpty]
    """"gpu", "cpu" or "accelerator"."""
    vendor: Annotated[str | None, NullIfEmpty]
    driver: Annotated[str | None, NullIfEmpty]
    pci: str | None
    """PCI address, as in "0000:01:00.0"."""
    uuid: str | None
    memory: Annotated[int | None, NullIfEmpty]
    """Bytes."""
    units: Annotated[int | None, NullIfEmpty]
    """Compute units or cores."""


class HistogramAnswer(Response):
    """Counts of durations by length."""

    bounds: tuple[float, ...]
    """Seconds."""
    counts: tuple[int, ...]
    """Durations up to each bound and longer than the previous one; the last count has those longer
    than every bound."""
    total: float
    """Sum of all durations in seconds."""
    count: int
    mean: float | None
    """Seconds."""


class TimingsAnswer(Response):
    """Durations over all devices and pools."""

    share: HistogramAnswer
    """From sending a share to its answer."""
    kernel: HistogramAnswer
    """From requesting a period's kernel to its proof."""
    job: HistogramAnswer
    """From a job's arrival until a device searches for it."""
    dataset: HistogramAnswer
    """From the start of a dataset's build to its proof."""


class Status(Response):
    """The whole state of the miner."""

    rig: Annotated[str | None, NullIfEmpty]
    version: Annotated[str | None, NullIfEmpty]
    algorithm: Annotated[str | None, NullIfEmpty]
    """Name of the variant."""
    coin: Annotated[str | None, NullIfEmpty]
    """Its symbol."""
    at: float
    started_at: float
    uptime: float
    """Seconds."""
    ready: bool
    """A device is mining for a pool."""
    reasons: tuple[RedactedText, ...]
    """Why `ready` is false, as sentences."""
    degraded: tuple[RedactedText, ...]
    """Why fewer devices mine than are expected, as sentences."""
    devices_expected: int
    devices_present: int
    """Devices that are neither absent nor unusable, parked or hung."""
    hashrate: HashrateAnswer
    tried: int
    """Nonces."""
    power: float | None
    """W, the sum of all devices with a power sensor."""
    efficiency: float | None
    """Hashes per joule over the last minute; null if a device has no power sensor."""
    found: int
    """Solutions proved on the CPU."""
    shares: SharesAnswer
    faults: int
    luck: LuckAnswer
    best: tuple[BestShareAnswer, ...]
    """The best shares, best first."""
    job: JobAnswer | None
    jobs: int
    """Received in this run."""
    epochs: int
    """Changes of the epoch."""
    light: Annotated[RedactedText | None, NullIfEmpty]
    """Progress of the light cache; null when it is ready."""
    notice: Annotated[RedactedText | None, NullIfEmpty]
    """The newest message from a pool to its miners."""
    pool: PoolAnswer | None
    """The pool of the newest connection."""
    pools: tuple[PoolAnswer, ...]
    devices: tuple[DeviceAnswer, ...]
    timings: TimingsAnswer
