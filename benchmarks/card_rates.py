"""Steps of the first run on a card (first_run.py): hashrates, and the time of a change of job."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

from card_checks import KAWPOW, LARGE_HEIGHT, SMALL, build_ahead, listed  # noqa: E402
from first_run import CANNOT  # noqa: E402
from first_run_results import PREDICTIONS, figure, problem  # noqa: E402

from miner.clock import SystemClock  # noqa: E402
from miner.codegen.kernel_source import search_source  # noqa: E402
from miner.codegen.launch_shape import LaunchShape, shape_beside, shape_named  # noqa: E402
from miner.devices.selection import ListedDevice, device_called, find_devices  # noqa: E402
from miner.devices.tuned_shapes import shapes_to_try  # noqa: E402
from miner.engine.engine import Engine  # noqa: E402
from miner.engine.programs import Programs  # noqa: E402
from miner.engine.threads import WorkPool  # noqa: E402
from miner.errors import BadValue, DeviceError, MinerError, WrongResult  # noqa: E402
from miner.progpow.variant import Variant  # noqa: E402
from miner.run.bench_device import BenchDevice, BenchKernel  # noqa: E402
from miner.run.shape_trials import HEIGHTS  # noqa: E402
from miner.sensors.sensors import open_sensors  # noqa: E402
from miner.telemetry import Reading  # noqa: E402
from miner.telemetry.events import Event, JobTaken, Launched  # noqa: E402
from miner.telemetry.measurements import Interval, mean_reading  # noqa: E402
from miner.verify import Verifier  # noqa: E402
from miner.work import Job, NonceSpace, Solution, Verdict  # noqa: E402

MEGA = 1e6

TURN_SECONDS = 1.0
"""Longest duration of one measurement."""

FEWEST_ROUNDS = 3

ABLATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gpu", {}),
    ("gpu", {"groups": 3}),
    ("gpu", {"groups": 5}),
    ("gpu", {"groups": 6}),
    ("gpu-hbm", {}),
    ("gpu-hbm", {"parked": False}),
    ("gpu-hbm", {"multiplied": True}),
    ("gpu-hbm", {"copies": 4}),
    ("gpu-hbm", {"ordered": True}),
)
"""Shapes, each with at most one changed field. 3, 5 and 6 groups of `gpu` at once leave 80, 48 and
40 registers to each thread; its default is 64."""


def main(arguments: list[str]) -> int:
    """Run the command in `arguments`; return an exit code."""
    parser = argparse.ArgumentParser(prog="card_rates.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    does = {"shapes": shapes, "launches": launches, "large": large, "ablations": ablations}
    for name, function in does.items():
        made = commands.add_parser(name, help=(function.__doc__ or "").split("\n")[0])
        made.add_argument("device", help="as in cuda:0")
        made.add_argument("--rehearse", action="store_true", help="a small dataset")
        made.add_argument("--seconds", type=float, default=40.0, help="of this process")
        if name == "shapes":
            made.add_argument("--only-default", action="store_true", help="no other shape")
            made.add_argument("--opencl", action="store_true", help="the same card in OpenCL")
    given = parser.parse_args(arguments)
    given.end = monotonic() + given.seconds
    given.heights = HEIGHTS[:1] if given.rehearse else HEIGHTS
    try:
        return does[given.command](given)
    except MinerError as error:
        print(f"card_rates.py: {error}", file=sys.stderr)
        return error.exit_code


@dataclass(slots=True)
class Trial:
    """A kernel at one height, with its measurements."""

    label: str
    """Name of its figure, without the height."""
    kernel: BenchKernel
    rates: list[float] = field(default_factory=list)
    """H/s."""
    readings: list[Reading] = field(default_factory=list)


def shapes(given: argparse.Namespace) -> int:
    """Measure KawPow at three heights: with the default launch shape, and with each that fits."""
    device = listed(given.device)
    if given.opencl:
        twin = twin_of(given.device)
        if twin is None:
            print(f"OpenCL does not list {given.device}: the vendor's OpenCL is not installed")
            return CANNOT
        device = twin
    with opened(device, given) as (bench, read):
        own = bench.device.shape.split(1)
        default = own.name
        figure(f"dataset {device.backend.name} epoch {bench.epoch.number}",
               round(bench.dataset_seconds, 2), "s")  # fmt: skip
        names = [default]
        if not given.only_default:
            tried = shapes_to_try(device.info, device.backend)
            others = in_order(name for name in (shape_beside(one, own).name for one in tried)
                              if name != default)  # fmt: skip
            names += others[:1] if given.rehearse else others
        chosen = [shape_named(name) for name in names]
        compile_ahead(bench, [(height, shape) for shape in chosen for height in given.heights])
        word = "rate" if given.only_default else "shape"
        trials, wrong = [], False
        for name in names:
            try:
                kernels = [bench.kernel(height, shape_named(name)) for height in given.heights]
                trials += [Trial(f"{word} {device.backend.name} {name}", one) for one in kernels]
                figure(f"exact {device.backend.name} {name}", len(kernels), "programs")
            except (BadValue, DeviceError) as error:
                problem(f"exact {device.backend.name} {name}", str(error))
                wrong = wrong or isinstance(error, WrongResult)
        measure(trials, given, read)
        return int(wrong or not trials)


def compile_ahead(bench: BenchDevice, programs: Sequence[tuple[int, LaunchShape]]) -> None:
    """Compile the programs of (height, shape) before they are needed."""
    device, variant = bench.device, bench.variant
    dialect, buffers = device.dialect, device.shape.buffers
    build_ahead(
        device,
        [
            search_source(
                variant, variant.period_at(height), bench.epoch, dialect, shape.split(buffers)
            )
            for height, shape in programs
        ],
    )


def in_order(names: Iterator[str]) -> list[str]:
    """Return the shapes in the order of their predicted hashrates, those without one last."""
    rows = json.loads(PREDICTIONS.read_text(encoding="utf-8"))["figures"]
    predicted = {row["figure"]: row["predicted"] for row in rows}
    return sorted(names, key=lambda name: -predicted.get(f"shape cuda {name} mean", 0))


def measure(
    trials: Sequence[Trial],
    given: argparse.Namespace,
    read: Callable[[], Reading],
    seconds: float | None = None,
) -> None:
    """Measure `trials` alternately for `seconds` (None: until the end of the step), in at least
    `FEWEST_ROUNDS` rounds; print the figures after each round."""
    end = given.end if seconds is None else min(monotonic() + seconds, given.end)
    fewest = FEWEST_ROUNDS
    if given.rehearse:
        end, fewest = monotonic(), 1
    turn = min(TURN_SECONDS, max(end - monotonic(), 0.1) / (FEWEST_ROUNDS + 1) / len(trials))
    for trial in trials:
        trial.kernel.rates(turn, fewest=2)  # clocks settle, launches get their size
    rounds = 0
    while rounds < fewest or monotonic() + turn * len(trials) < end:
        for trial in trials:
            trial.rates.append(statistics.harmonic_mean(trial.kernel.rates(turn, fewest=2)))
            trial.readings.append(read())
        rounds += 1
        report(trials)


def report(trials: Sequence[Trial]) -> None:
    """Print each hashrate in MH/s with its interval; for each label the harmonic mean over its
    heights, and the ratio to the first label."""
    means: dict[str, list[float]] = {}
    for trial in trials:
        rate, sensors = Interval.of(trial.rates), mean_reading(trial.readings)
        means.setdefault(trial.label, []).append(rate.median / MEGA)
        figure(f"{trial.label} {trial.kernel.job.height}", rate.median / MEGA, "MH/s",
               low=rate.low / MEGA, high=rate.high / MEGA, rounds=len(trial.rates),
               **sensors)  # fmt: skip
    first = None
    for label, rates in means.items():
        mean = statistics.harmonic_mean(rates)
        first = first or mean
        figure(f"{label} mean", mean, "MH/s", ratio=mean / first)


@contextmanager
def opened(
    card: ListedDevice, given: argparse.Namespace, height: int = HEIGHTS[0]
) -> Iterator[tuple[BenchDevice, Callable[[], Reading]]]:
    """Open a device with the proved dataset of `height`; give it and a function that reads its
    sensors."""
    device = card.open()
    sensors = open_sensors([card.info], SystemClock())
    try:
        yield BenchDevice(device, variant(given), height), lambda: sensors.read()[card.info.name]
    finally:
        sensors.close()
        device.close()


def variant(given: argparse.Namespace) -> Variant:
    """Return KawPow, in a rehearsal on a small dataset."""
    return KAWPOW.with_sizes(SMALL) if given.rehearse else KAWPOW


def twin_of(name: str) -> ListedDevice | None:
    """Return the card `name` in OpenCL; None if OpenCL does not list it."""
    found, _ = find_devices()
    hardware = device_called(found, name).hardware
    views = [f for f in found if f.hardware == hardware]
    return next((f for f in views if f.backend.name == "opencl"), None)


def large(given: argparse.Namespace) -> int:
    """Measure KawPow on a dataset of 5.8 GiB."""
    device = listed(given.device)
    height = HEIGHTS[0] if given.rehearse else LARGE_HEIGHT
    with opened(device, given, height) as (bench, read):
        epoch = bench.epoch
        figure(f"dataset {device.backend.name} epoch {epoch.number}",
               round(bench.dataset_seconds, 2), "s", bytes=epoch.dataset_bytes)  # fmt: skip
        trials = [Trial(f"large {device.backend.name}", bench.kernel(height))]
        figure(f"exact {device.backend.name} {height}", 1, "programs")
        measure(trials, given, read, seconds=5.0)
    return 0


def ablations(given: argparse.Namespace) -> int:
    """Measure launch shapes with one field changed, at the average height."""
    device = listed(given.device)
    if device.backend.name != "cuda":
        print("these shapes are for CUDA")
        return CANNOT
    wrong = False
    with opened(device, given) as (bench, read):
        trials, height = [], given.heights[len(given.heights) // 2]
        chosen = ABLATIONS[:2] if given.rehearse else ABLATIONS
        changed_shapes = [replace(shape_named(name), **changes) for name, changes in chosen]
        compile_ahead(bench, [(height, shape) for shape in changed_shapes])
        for (name, changes), shape in zip(chosen, changed_shapes, strict=True):
            changed = "".join(f", {field} {value}" for field, value in changes.items())
            try:
                kernel = bench.kernel(height, shape)
                trials.append(Trial(f"ablation {name}{changed}", kernel))
            except DeviceError as error:
                problem(f"ablation {name}{changed}", str(error))
                wrong = wrong or isinstance(error, WrongResult)
        measure(trials, given, read)
    return int(wrong)


# The engine


class _Nowhere:
    """Takes no shares; none are found."""

    async def submit(self, solution: Solution) -> None:
        pass

    def on_verdict(self, verdict: Verdict) -> None:
        pass


@dataclass
class Feed:
    """Gives jobs to an engine with one device."""

    engine: Engine
    variant: Variant
    events: list[Event]
    number: int = 0

    def job(self, height: int) -> None:
        """Give the engine another job."""
        self.number += 1
        header = self.number.to_bytes(32, "big")
        epoch = self.variant.epoch_at(height)
        self.engine.work_on(
            Job(1, str(self.number), self.variant, header, height, epoch, 1, NonceSpace(7, 16))
        )

    async def watch(self, name: str, seconds: float, every: float, heights: int, at: int) -> int:
        """Give a job every `every` seconds, each `heights` further than the last one, for
        `seconds`; print the hashrate, and the times from a job to the search for it. Return the
        last height."""
        begun, first = monotonic(), len(self.events)
        while monotonic() - begun < seconds:
            at += heights
            self.job(at)
            await asyncio.sleep(every)
        spent, events = monotonic() - begun, self.events[first:]
        tried = sum(event.tried for event in events if isinstance(event, Launched))
        figure(f"engine {name}", tried / spent / MEGA, "MH/s")
        waits = sorted(1000 * event.seconds for event in events if isinstance(event, JobTaken))
        if waits:
            figure(f"job to search: {name}", statistics.median(waits), "ms", longest=waits[-1],
                   jobs=len(waits))  # fmt: skip
        return at


def launches(given: argparse.Namespace) -> int:
    """Measure the engine: hashrate, and how soon it searches for a new job."""
    device = listed(given.device)
    with opened(device, given) as (bench, _):
        kernel = bench.kernel(given.heights[0])
        overlap(kernel, 0.0 if given.rehearse else 6.0)
        stopped = stop(kernel)
    return max(stopped, asyncio.run(_launches(device, variant(given), given)))


def overlap(kernel: BenchKernel, seconds: float) -> None:
    """Measure alternately with one launch in flight and with two, for `seconds`."""
    kernel.rates(seconds / 6, fewest=2)
    end, alone, both = monotonic() + seconds, list[float](), list[float]()
    while not alone or monotonic() < end:
        begun = monotonic()
        for _ in range(3):
            kernel.search(kernel.count).wait()
        alone.append(3 * kernel.count / (monotonic() - begun))
        both.append(statistics.harmonic_mean(kernel.rates(seconds / 20, fewest=3)))
    ratio = Interval.of([two / one for one, two in zip(alone, both, strict=True)])
    figure("hashrate with 1 launch in flight", statistics.median(alone) / MEGA, "MH/s")
    figure("hashrate with 2 launches in flight", statistics.median(both) / MEGA, "MH/s")
    figure("ratio of 2 launches in flight to 1", ratio.median, "", low=ratio.low, high=ratio.high)


def stop(kernel: BenchKernel) -> int:
    """Stop a launch of two seconds after a third of one; print how long it took to end. Return 1
    if it searched everything."""
    count = kernel.at.device.round_up(20 * kernel.count)
    with ThreadPoolExecutor(1) as calls:
        pending = kernel.search(count)
        sleep(0.3)
        begun = monotonic()
        pending.stop(calls)
        found = pending.wait()
    name, spent = "end of a launch after its stop", 1000 * (monotonic() - begun)
    if found.tried == count:
        problem(name, f"it searched everything and ended after {spent:.0f} ms")
        return 1
    figure(name, spent, "ms", tried=found.tried, of=count)
    return 0


async def _launches(device: ListedDevice, chosen: Variant, given: argparse.Namespace) -> int:
    height = HEIGHTS[0] if given.rehearse else chosen.spans[0].length
    async with running(device, chosen) as feed:
        feed.job(height)
        while not any(isinstance(event, Launched) for event in feed.events):
            if monotonic() > given.end:
                print("no launch before the end of this step")
                return 1
            await asyncio.sleep(0.05)
        left = max(given.end - monotonic(), 0.0)
        part = min(left / 3, 0.3 if given.rehearse else 10.0)
        at = await feed.watch("one job", part, part, 0, height)
        at = await feed.watch("a job every 0.25 s", part, min(0.25, part / 3), 0, at)
        await feed.watch("a period every 2 s", part, min(2.0, part / 3), chosen.period, at)
    return 0


@asynccontextmanager
async def running(device: ListedDevice, chosen: Variant) -> AsyncIterator[Feed]:
    """Run the engine with one device; stop it at the end."""
    events: list[Event] = []
    with WorkPool("build", 2) as builds:
        engine = Engine(
            [device], programs=Programs(search_source, builds), prover=Verifier(), sink=_Nowhere(),
            emit=events.append, clock=SystemClock(), random=Random(1),
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            group.create_task(engine.run())
            try:
                yield Feed(engine, chosen, events)
            finally:
                engine.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
