"""Launch shapes that are compared while mining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from miner.codegen.kernel_source import KernelSource
from miner.codegen.launch_shape import LaunchShape
from miner.devices import crash_record, driver_history
from miner.devices.crash_record import SEARCHING, CrashRecord
from miner.devices.device import Device, Image
from miner.devices.tuned_shapes import TunedShape
from miner.devices.tuning import Tuning
from miner.engine import autotune
from miner.engine.programs import Programs
from miner.engine.shape_choice import MeasuredShape, ShapeChoice
from miner.errors import BuildFailed, DeviceError
from miner.telemetry.events import DeviceFault, ShapeChosen, ShapeLeftOut
from miner.work import DeviceInfo, Job, NonceRange
from tests.engine.rig import Rig
from tests.fakes.device import DeviceScript, FakeDevice, Ticks, job_at, search_source
from tests.fakes.variants import KAWPOW

EVERY_HASH = 2**256 - 1


@dataclass
class Shapes(DeviceScript):
    """A device whose speed depends on its launch shape."""

    speeds: dict[str, float] = field(default_factory=lambda: {"gpu": 2000.0})
    """Hashes per second of each shape that it has."""
    uncompilable: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    """Shapes whose searches fail."""
    refused: set[str] = field(default_factory=set)
    """Shapes whose proofs fail."""
    breaks: bool = False
    """Whether every call fails between such a failure and the next opening."""
    searched: list[tuple[str, Job, NonceRange]] = field(default_factory=list)
    proved: set[tuple[str, int]] = field(default_factory=set)
    """Shape and period of the kernels that were proved."""

    taken: list[str] = field(default_factory=list)
    compiled: list[str] = field(default_factory=list)
    """Shapes of the search kernels that were built."""
    watch: Callable[[str], None] = lambda shape: None
    """Called before each launch."""


class _Opener:
    def __init__(self, script: Shapes, clock: Ticks) -> None:
        self.script, self.clock = script, clock

    def open(self, info: DeviceInfo) -> FakeDevice:
        return _Device(info, self.script, self.clock)


class _Device(FakeDevice):
    script: Shapes
    broken = False

    def check(self) -> None:
        if self.broken:
            raise DeviceError(f"{self.info.name}: it failed before")

    def fail(self) -> None:
        self.broken = self.script.breaks
        raise DeviceError(f"{self.info.name}: the driver refuses the launch")

    def take_shape(self, shape: LaunchShape) -> None:
        self.check()
        if shape.name not in self.script.speeds:
            raise BuildFailed(f"{self.info.name}: it cannot have this shape")
        self.shape = shape
        self.script.taken.append(shape.name)

    def build(self, source: KernelSource):  # type: ignore[no-untyped-def]
        shape = source.title.rpartition(" ")[2]
        if source.entry == "search":
            self.script.compiled.append(shape)
        if shape in self.script.uncompilable:
            raise BuildFailed(f"{self.info.name}: it does not compile")
        image = super().build(source)
        return (
            replace(image, wrong=shape in self.script.wrong) if source.entry == "search" else image
        )

    def unload(self, kernel) -> None:  # type: ignore[no-untyped-def]
        self.check()
        super().unload(kernel)

    def launch(self, kernel, job: Job, span: NonceRange):  # type: ignore[no-untyped-def]
        self.check()
        shape, script = self.shape.name, self.script
        script.watch(shape)
        assert kernel.source.title.endswith(f" {shape.partition('@')[0]}")
        pending = super().launch(kernel, job, span)
        seconds = span.count / script.speeds[shape]
        if job.target == EVERY_HASH:
            script.proved.add((shape, job.period))
            return _Timed(self, pending, seconds, fails=shape in script.refused)
        assert (shape, job.period) in script.proved
        script.searched.append((shape, job, span))
        return _Timed(self, pending, seconds, fails=shape in script.failing)


class _Timed:
    def __init__(self, device: _Device, pending, seconds: float, fails: bool) -> None:  # type: ignore[no-untyped-def]
        self._device, self._clock = device, device.clock
        self._pending, self._seconds, self._fails = pending, seconds, fails

    def stop(self, calls: object) -> None:
        self._pending.stop(calls)

    def wait(self):  # type: ignore[no-untyped-def]
        before = self._clock.seconds
        result = self._pending.wait()
        self._clock.seconds = before + self._seconds
        if self._fails:
            self._device.fail()
        return result


def shaped_source(variant, period, epoch, dialect, shape) -> KernelSource:  # type: ignore[no-untyped-def]
    source = search_source(variant, period, epoch, dialect, shape)
    return replace(source, title=f"{source.title} shape {shape.name}")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "TURN_SECONDS", 0.5)
    monkeypatch.setattr(autotune, "ROUNDS_OF_PROGRAM", 100)


OpenerType = Callable[[Shapes, Ticks], Any]


@asynccontextmanager
async def mining(  # type: ignore[no-untyped-def]
    *scripts: Shapes, names: Sequence[str], opener: OpenerType = _Opener
):
    rig = Rig(*scripts)
    rig.opener, rig.search_source = opener, shaped_source  # type: ignore[assignment]
    rig.tunings = {f"fake:{n}": Tuning(autotune=tuple(names)) for n in range(len(scripts))}
    async with rig.running(job_at(0)):
        yield rig


async def chosen(script: Shapes, *names: str) -> tuple[Rig, ShapeChosen]:
    """Mine until a shape is chosen and was used; return the event."""
    async with mining(script, names=names) as rig:
        await rig.until(lambda: rig.of(ShapeChosen))
        (event,) = rig.of(ShapeChosen)
        count = len(script.searched)
        await rig.until_launched(script, lambda: len(script.searched) > count + 5)
        assert {shape for shape, _, _ in script.searched[count + 2 :]} == {event.shape}
    assert len(rig.of(ShapeChosen)) == 1
    assert script.loaded <= 4, "this and the next period's kernels, of two shapes"
    return rig, event


async def test_the_fastest_shape_is_chosen_and_used_from_then_on() -> None:
    script = Shapes(speeds={"gpu": 2000.0, "gpu-128": 2200.0, "gpu-subgroups": 2100.0})
    _, event = await chosen(script, "gpu", "gpu-128", "gpu-subgroups")
    assert (event.shape, event.default) == ("gpu-128", "gpu")
    assert 1.05 < event.low <= event.ratio <= event.high < 1.15
    assert script.taken.count("gpu-subgroups") == autotune.ROUNDS


async def test_the_own_shape_on_one_stream_is_compared_without_another_build() -> None:
    script = Shapes(speeds={"gpu": 2000.0, "gpu@1": 2200.0})
    rig, event = await chosen(script, "@1")
    assert (event.shape, event.default) == ("gpu@1", "gpu")
    assert not rig.of(ShapeLeftOut)
    assert len(script.built) == len(set(script.built))


async def test_a_build_that_another_device_cancels_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cancelled: list[Future[Image]] = []

    def search_image(
        self: Programs, device: Device, job: Job, shape: LaunchShape | None = None
    ) -> Future[Image]:
        build = original(self, device, job, shape)
        if shape is None or cancelled:
            return build
        cancelled.append(Future())
        cancelled[0].cancel()
        return cancelled[0]

    original = Programs.search_image
    monkeypatch.setattr(Programs, "search_image", search_image)
    script = Shapes(speeds={"gpu": 2000.0, "gpu-128": 2200.0})
    _, event = await chosen(script, "gpu-128")
    assert event.shape == "gpu-128"
    assert cancelled


async def test_a_trial_searches_the_job_and_costs_no_share() -> None:
    script = Shapes(speeds={"gpu": 2000.0, "gpu-128": 1900.0})
    async with mining(script, names=["gpu-128"]) as rig:
        await rig.until(lambda: script.taken.count("gpu-128") >= 2 and len(rig.solutions) > 50)
    found = {solution.nonce for solution in rig.solutions}
    shares = dict.fromkeys(script.speeds, 0)
    ends = 0
    for shape, _, span in sorted(script.searched, key=lambda one: one[2].first):
        assert span.first >= ends, "a nonce is searched once"
        ends = span.first + span.count
        shares[shape] += sum(span.first <= nonce < ends for nonce in found)
    assert all(shares.values())
    assert not rig.of(DeviceFault)


async def test_a_shape_that_loses_each_round_is_left_out_early() -> None:
    script = Shapes(speeds={"gpu": 2000.0, "gpu-128": 1900.0})
    _, event = await chosen(script, "gpu-128")
    assert (event.shape, event.ratio) == ("gpu", 1.0)
    assert script.taken.count("gpu-128") == autotune.HOPELESS_ROUNDS


@pytest.mark.parametrize("how", ["uncompilable", "wrong", "impossible"])
async def test_a_refused_shape_is_left_out_and_mining_continues(how: str) -> None:
    speeds = {"gpu": 2000.0, "gpu-128": 2200.0, "gpu-amd": 9000.0}
    script = Shapes(speeds=speeds)
    if how == "impossible":
        del speeds["gpu-amd"]
    else:
        getattr(script, how).add("gpu-amd")
    rig, event = await chosen(script, "gpu-amd", "gpu-128")
    assert event.shape == "gpu-128"
    assert [e.shape for e in rig.of(ShapeLeftOut)] == ["gpu-amd"]
    assert "gpu-amd" not in {shape for shape, _, _ in script.searched}
    assert not rig.of(DeviceFault)
    assert script.opened == 1


@pytest.mark.parametrize("breaks", [False, True])
@pytest.mark.parametrize("how", ["refused", "failing"])
async def test_a_shape_on_which_the_device_fails_is_not_tried_again(how: str, breaks: bool) -> None:
    speeds = {"gpu": 2000.0, "gpu-128": 2200.0, "gpu-amd": 9000.0}
    script = Shapes(speeds=speeds, breaks=breaks)
    getattr(script, how).add("gpu-amd")
    rig, event = await chosen(script, "gpu-amd", "gpu-128")
    assert event.shape == "gpu-128"
    (left_out,) = rig.of(ShapeLeftOut)
    assert "the driver refuses the launch" in left_out.reason
    assert script.taken.count("gpu-amd") == 1
    reopened = how == "failing" or breaks
    assert script.opened == 1 + reopened
    assert len(rig.of(DeviceFault)) == reopened


async def test_another_period_ends_a_turn_and_begins_in_the_own_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(autotune, "TURN_SECONDS", 30.0)
    script = Shapes(speeds={"gpu": 2000.0, "gpu-128": 2200.0})
    async with mining(script, names=["gpu-128"]) as rig:
        for period in range(1, 4):
            await rig.until_launched(
                script, lambda: script.searched and script.searched[-1][0] == "gpu-128"
            )
            rig.engine.work_on(job_at(3 * period))
            await rig.until_launched(script, lambda p=period: script.searched[-1][1].period == p)
        first = {job.period: shape for shape, job, _ in reversed(script.searched)}
    assert set(first.values()) == {"gpu"}


def equal_cards(count: int, monkeypatch: pytest.MonkeyPatch) -> list[Shapes]:
    """Return cards among which gpu-128 is chosen: with one clock for all their rates are random."""

    def choice(trials: Sequence[MeasuredShape]) -> TunedShape:
        best = "gpu-128" if "gpu-128" in [trial.name for trial in trials] else "gpu"
        return TunedShape(best, "gpu", 1.1, 1.0, 1.2)

    monkeypatch.setattr(autotune, "choice", choice)
    monkeypatch.setattr(autotune, "HOPELESS_ROUNDS", 1000)
    return [Shapes(speeds={"gpu": 2000.0, "gpu-128": 2200.0}) for _ in range(count)]


async def test_one_of_equal_devices_compares_and_all_use_the_fastest_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = equal_cards(4, monkeypatch)
    async with mining(*cards, names=["gpu-128"]) as rig:
        await rig.until(lambda: len(rig.of(ShapeChosen)) == len(cards))
        counts = [len(card.searched) for card in cards]
        for card, count in zip(cards, counts, strict=True):
            await rig.until_launched(card, lambda c=card, n=count: len(c.searched) > n + 5)
            assert {shape for shape, _, _ in card.searched[count + 2 :]} == {"gpu-128"}
    chosen = rig.of(ShapeChosen)
    assert {event.device for event in chosen} == {f"fake:{n}" for n in range(len(cards))}
    assert len({replace(event, device="") for event in chosen}) == 1
    compared = [card for card in cards if card.taken.count("gpu-128") >= autotune.ROUNDS]
    assert len(compared) == 1
    assert not rig.of(DeviceFault)


async def test_equal_devices_build_the_kernels_of_a_trial_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = equal_cards(4, monkeypatch)
    for card in cards:
        card.speeds["gpu-amd"] = 2000.0
    async with mining(*cards, names=["gpu-128", "gpu-amd"]) as rig:
        await rig.until(lambda: any(card.taken.count("gpu-128") >= 3 for card in cards))
        built = [shape for card in cards for shape in card.compiled if shape != "gpu"]
    assert sorted(built) == ["gpu-128", "gpu-amd"]


@pytest.mark.parametrize("how", ["fails", "is paused", "lacks memory", "computes wrong hashes"])
async def test_another_device_compares_the_shapes_if_the_first_one_stops(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = equal_cards(2, monkeypatch)
    async with mining(*cards, names=["gpu-128"]) as rig:
        await rig.until(lambda: any(card.taken for card in cards))
        (first,) = [n for n, card in enumerate(cards) if card.taken]
        if how == "fails":
            cards[first].failure = DeviceError("it is broken")
        elif how == "lacks memory":
            cards[first].no_memory = 10**9
            rig.engine.work_on(job_at(7500))
        elif how == "computes wrong hashes":
            cards[first].wrong.add("gpu")
            rig.engine.work_on(job_at(12))
        else:
            rig.engine.pause(f"fake:{first}", "a test", "a reason")
        await rig.until(lambda: rig.of(ShapeChosen, f"fake:{1 - first}"))
    assert not rig.of(ShapeChosen, f"fake:{first}")


async def test_a_device_keeps_its_own_shape_where_that_of_an_equal_one_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = equal_cards(2, monkeypatch)
    async with mining(*cards, names=["gpu-128"]) as rig:
        await rig.until(lambda: any(card.taken for card in cards))
        (other,) = [n for n, card in enumerate(cards) if not card.taken]
        cards[other].wrong.add("gpu-128")
        await rig.until(lambda: rig.of(ShapeLeftOut, f"fake:{other}"))
        count = len(cards[other].searched)
        await rig.until_launched(cards[other], lambda: len(cards[other].searched) > count + 5)
    assert {shape for shape, _, _ in cards[other].searched} == {"gpu"}
    assert [event.device for event in rig.of(ShapeChosen)] == [f"fake:{1 - other}"]


async def test_a_choice_that_is_known_when_a_round_begins_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = Shapes(speeds={"gpu": 2000.0, "gpu-128": 2200.0})
    chosen: list[ShapeChoice] = []

    def claim(choice: ShapeChoice, device: object) -> bool:
        if card.taken:  # an equal device, which is paused at the end of its last round, chooses
            choice.best = TunedShape("gpu", "gpu", 1.0, 1.0, 1.0)
            chosen.append(choice)
        return True

    monkeypatch.setattr(ShapeChoice, "claim", claim)
    async with mining(card, names=["gpu-128"]) as rig:
        await rig.until(lambda: chosen)
        count = len(card.searched)
        await rig.until_launched(card, lambda: len(card.searched) > count + 5)
    assert {shape for shape, _, _ in card.searched[count + 2 :]} == {"gpu"}


@dataclass
class _Listed:
    """A device before its opening."""

    info: DeviceInfo
    opener: _Opener

    def open(self) -> FakeDevice:
        return self.opener.open(self.info)


async def test_a_crash_counts_against_a_shape_on_trial_and_a_kill_only_in_its_first_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    record = CrashRecord()
    (path,) = (tmp_path / "driver-calls").iterdir()
    seen: list[tuple[str, list[str], list[str]]] = []

    def suspects(content: bytes) -> list[str]:
        calls = driver_history._suspects(content)
        return [c.trial.names[0] for c in calls if c.trial and c.what == SEARCHING]

    def watch(shape: str) -> None:
        content = path.read_bytes().ljust(crash_record.ROWS * crash_record.ROW_BYTES)
        seen.append((shape, suspects(content + b"Fatal Python error: Aborted"), suspects(content)))

    class Recorded(_Opener):
        def open(self, info: DeviceInfo) -> FakeDevice:
            listed = _Listed(info, _Opener(self.script, self.clock))
            return record.watched(listed, KAWPOW).open()  # type: ignore[arg-type, return-value]

    script = Shapes(speeds={"gpu": 2000.0, "gpu-128": 1900.0}, watch=watch)
    async with mining(script, names=["gpu-128"], opener=Recorded) as rig:
        await rig.until(lambda: rig.of(ShapeChosen))
    record.close()
    assert {shape for shape, _, _ in seen} == {"gpu", "gpu-128"}
    wrong = [one for one in seen if one[1] != [one[0]] * (one[0] == "gpu-128")]
    assert not wrong
    killed = [bool(shapes) for shape, _, shapes in seen if shape == "gpu-128"]
    assert killed == sorted(killed, reverse=True), "only its first turn"
    assert killed[0]
    assert not killed[-1]
