"""A driver's objects are released only while none of its builds runs; the driver is a stand-in
whose compiler holds a lock that releases need."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from miner.codegen.launch_shape import shape_named
from miner.devices.opencl.opencl_device import OpenClDevice
from miner.devices.opencl.opencl_drivers import DriverObjects
from miner.engine.programs import KEPT, Programs
from miner.engine.threads import WorkPool
from miner.errors import BuildFailed
from miner.work import NonceRange
from tests.fakes.device import TOY, WAIT, info_of, job_at, search_source


class Driver:
    """Records what was released, and each release that had to wait for a build."""

    def __init__(self) -> None:
        self.compiling = 0
        self.started = threading.Semaphore(0)
        self.gate: threading.Event | None = None
        self.made: list[str] = []
        self.released: list[str] = []
        self.blocked: list[str] = []
        self.early: list[str] = []
        """Events that were dropped before what they stand for was done."""
        self.broken: set[str] = set()

    def compile(self) -> None:
        self.compiling += 1
        self.started.release()
        if self.gate is not None:
            assert self.gate.wait(WAIT)
        self.compiling -= 1

    def of(self, kind: str) -> list[str]:
        return [name for name in self.released if name.startswith(kind)]


class FakeClError(Exception):
    code = -11


def fake_cl(driver: Driver) -> ModuleType:
    class Thing:
        def __init__(self, *arguments: object, **options: object) -> None:
            self.name = f"{type(self).__name__} {len(driver.made)}"
            driver.made.append(self.name)
            self.arguments = arguments

        def __del__(self) -> None:
            if driver.compiling:
                driver.blocked.append(self.name)
            driver.released.append(self.name)

    class Context(Thing):
        pass

    class Buffer(Thing):
        pass

    class CommandQueue(Thing):
        finished = 0
        context = None

        def finish(self) -> None:
            self.finished += 1

        def flush(self) -> None:
            pass

    class Program(Thing):
        def build(self, options: list[str]) -> None:
            driver.compile()
            if self.arguments[1] in driver.broken:
                raise FakeClError("it does not compile")

    class Kernel(Thing):
        num_args = 7

        def set_scalar_arg_dtypes(self, types: list[object]) -> None:
            assert len(types) == self.num_args

        def set_args(self, *arguments: object) -> None:
            pass

    class Event:
        done = False

        def __init__(self, what: str) -> None:
            self.what = what

        def wait(self) -> None:
            for event in pending:
                event.done = True
            pending.clear()

        def __del__(self) -> None:
            if not self.done:
                driver.early.append(self.what)

    pending: list[Any] = []

    def enqueue_copy(queue: object, to: object, of: object, **options: object) -> Event:
        event = Event(f"copy {len(pending)}")
        pending.append(event)
        return event

    module = ModuleType("fake_cl")
    flags = SimpleNamespace(READ_ONLY=1, READ_WRITE=2, USE_HOST_PTR=4, COPY_HOST_PTR=8)
    module.__dict__.update(
        Error=FakeClError, MemoryError=MemoryError, LogicError=FakeClError,
        RuntimeError=FakeClError, mem_flags=flags, Context=Context, Buffer=Buffer,
        CommandQueue=CommandQueue, Program=Program, Kernel=Kernel, enqueue_copy=enqueue_copy,
        enqueue_fill_buffer=lambda *_: None, enqueue_nd_range_kernel=lambda *_: None,
    )  # fmt: skip
    return module


class Bench:
    """A driver, its release list, and devices on it."""

    def __init__(self) -> None:
        self.driver = Driver()
        self.objects = DriverObjects()
        self.cl = fake_cl(self.driver)

    def device(self, number: int = 0) -> OpenClDevice:
        card = SimpleNamespace(
            name="Fake", platform=SimpleNamespace(name="Fake"), host_unified_memory=number % 2
        )
        return OpenClDevice(self.cl, info_of(f"opencl:0.{number}"), card, self.objects)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    gc.collect()
    assert bench.driver.blocked == []


def test_images_of_past_periods_are_released_between_builds(bench: Bench) -> None:
    devices = [bench.device(number) for number in range(2)]
    with WorkPool("build", 2) as builds:
        programs = Programs(search_source, builds)
        for period in range(3 * KEPT):
            images = [programs.search_image(one, job_at(3 * period)) for one in devices]
            for device, image in zip(devices, images, strict=True):
                device.load(image.result(WAIT))
    assert len(bench.driver.of("Program")) >= 2 * KEPT
    assert len(bench.driver.of("Kernel")) >= 2 * KEPT


def test_a_kernel_dropped_during_a_build_is_released_after_it(bench: Bench) -> None:
    one, other = bench.device(0), bench.device(1)
    source = search_source(TOY, 0, TOY.epoch_at(0), "opencl", one.shape)
    image = one.build(source)
    kernel = one.load(image)
    driver = bench.driver
    driver.gate = threading.Event()
    with WorkPool("build", 1) as builds:
        assert driver.started.acquire(timeout=WAIT)
        building = builds.submit(other.build, source)
        assert driver.started.acquire(timeout=WAIT)
        del kernel, image
        one.close()
        del one
        gc.collect()
        assert driver.released == [], "no thread waits for the compiler"
        driver.gate.set()
        building.result(WAIT)
    kinds = sorted({name.split()[0] for name in driver.released})
    assert kinds == ["Buffer", "CommandQueue", "Context", "Kernel", "Program"]


def test_a_dataset_is_freed_and_allocated_while_no_build_runs(bench: Bench) -> None:
    device, driver = bench.device(), bench.driver
    source = search_source(TOY, 0, TOY.epoch_at(0), "opencl", device.shape)
    driver.gate = threading.Event()
    with WorkPool("build", 2) as builds:
        building = builds.submit(device.build, source)
        assert driver.started.acquire(timeout=WAIT)
        entered = threading.Event()

        def allocate() -> None:
            with bench.objects.alone():
                assert driver.compiling == 0
                entered.set()

        allocating = builds.submit(allocate)
        assert not entered.is_set()
        driver.gate.set()
        building.result(WAIT)
        allocating.result(WAIT)


def test_no_build_starts_before_a_waiting_allocation_is_done() -> None:
    objects = DriverObjects()
    order: list[str] = []
    waiting, finish = threading.Event(), threading.Event()

    def first_build() -> None:
        with objects.building():
            waiting.set()
            assert finish.wait(WAIT)

    def allocation() -> None:
        with objects.alone():
            order.append("allocation")

    def later_build() -> None:
        with objects.building():
            order.append("build")

    with WorkPool("build", 3) as pool:
        running = pool.submit(first_build)
        assert waiting.wait(WAIT)
        allocating = pool.submit(allocation)
        while not objects._waiting:
            os.sched_yield()
        building = pool.submit(later_build)
        finish.set()
        for future in (running, allocating, building):
            future.result(WAIT)
    assert order == ["allocation", "build"]


def test_a_program_that_does_not_compile_is_released_between_builds(bench: Bench) -> None:
    device = bench.device()
    source = search_source(TOY, 0, TOY.epoch_at(0), "opencl", device.shape)
    bench.driver.broken.add(source.text)
    with pytest.raises(BuildFailed) as failure:
        device.build(source)
    gc.collect()
    assert bench.driver.released == [], "the error's traceback still refers to the owner"
    del failure
    gc.collect()
    bench.objects.release_if_idle()
    assert len(bench.driver.of("Program")) == 1


class Queued:
    """Holds back the driver's calls."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def submit(self, func: Callable[[], object]) -> None:
        self.calls.append(func)


@pytest.mark.parametrize("number", [0, 1], ids=["own memory", "memory of the host"])
def test_stopping_a_launch_makes_no_call_of_the_driver_in_its_thread(
    bench: Bench, number: int
) -> None:
    device = bench.device(number)
    source = search_source(TOY, 0, TOY.epoch_at(0), "opencl", device.shape)
    kernel = device.load(device.build(source))
    device._selected = SimpleNamespace(buffers=[])  # type: ignore[assignment]
    launch = device.launch(kernel, job_at(), NonceRange(0, device.round_up(1)))
    filled: list[int] = []
    bench.cl.enqueue_fill_buffer = lambda queue, buffer, value, *_: filled.append(int(value))
    later = Queued()
    launch.stop(later)
    assert filled == []
    if number:
        assert later.calls == []
        assert launch.slot.shared_stop is not None
        assert launch.slot.shared_stop[0] == launch.number
    else:
        later.calls.pop()()
        assert filled == [launch.number]
        device.close()
        launch.stop(later)
        later.calls.pop()()
        assert filled == [launch.number], "the device is closed"
    launch.event.wait()
    bench.objects.release_if_idle()


def test_starting_a_launch_does_not_wait_for_the_one_before(bench: Bench) -> None:
    """The destructor of a copy's event waits for the copy, which waits for the launch before."""
    device = bench.device()
    source = search_source(TOY, 0, TOY.epoch_at(0), "opencl", device.shape)
    kernel = device.load(device.build(source))
    device._selected = SimpleNamespace(buffers=[])  # type: ignore[assignment]
    span = NonceRange(0, device.round_up(1))
    launches = [device.launch(kernel, job_at(), span) for _ in range(2)]
    assert bench.driver.early == []
    for launch in launches:
        launch.event.wait()
    del launches, launch
    assert bench.driver.early == []


@pytest.mark.parametrize(("shape", "queues"), [("gpu", 2), ("gpu@1", 1), ("cpu", 1)])
def test_launches_alternate_between_the_queues_of_the_shape(
    bench: Bench, shape: str, queues: int
) -> None:
    device = bench.device()
    used: list[object] = []
    bench.cl.enqueue_nd_range_kernel = lambda queue, *_: used.append(queue)
    source = search_source(TOY, 0, TOY.epoch_at(0), "opencl", device.shape)
    kernel = device.load(device.build(source))
    device._shape = shape_named(shape)
    device._selected = SimpleNamespace(buffers=[])  # type: ignore[assignment]
    for _ in range(2):
        first, second = (
            device.launch(kernel, job_at(), NonceRange(0, device.round_up(1))) for _ in range(2)
        )
        assert first.slot is not second.slot
        first.event.wait()
        second.event.wait()
    assert used[:2] == used[2:]
    assert len({id(queue) for queue in used}) == queues
    used.clear()
