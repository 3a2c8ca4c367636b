from __future__ import annotations

import concurrent.futures
import threading
from dataclasses import fields, replace

import pytest

from miner.catalog import variants
from miner.codegen import kernel_source
from miner.codegen.launch_shape import shape_named
from miner.devices.device import filler_source
from miner.engine.programs import KEPT, KEPT_EPOCHS, Programs, next_program, program_at
from miner.engine.threads import WorkPool
from miner.errors import BuildFailed
from miner.progpow.variant import Choices, Clamp, Span
from tests.fakes.device import TOY, WAIT, DeviceScript, fake_device, job_at, search_source

MIDDLE = replace(TOY, period=10, spans=(Span(0, 25),))
"""An epoch ends in the middle of a period."""


IN_PLACE = variants()["oggpow"]
"""Chooses what ProgPoW does not, everywhere."""


@pytest.fixture
def programs():
    with WorkPool("build", 1) as pool:
        yield Programs(search_source, pool)


@pytest.mark.parametrize(
    ("variant", "height", "period", "epoch"),
    [
        (TOY, 0, 1, 0),
        (TOY, 7496, 2499, 0),
        (TOY, 7499, 2500, 1),
        (MIDDLE, 15, 2, 0),
        (MIDDLE, 20, 2, 1),
        (MIDDLE, 24, 2, 1),
        (MIDDLE, 25, 3, 1),
        (MIDDLE, 40, 5, 2),
        (replace(MIDDLE, spans=(Span(0, 1000), Span(33, 100, 1))), 30, 3, 1),
        (replace(MIDDLE, clamp=Clamp(0, 0)), 24, 3, 0),
    ],
)
def test_the_next_program_is_that_of_the_next_period_or_epoch(variant, height, period, epoch):
    following = next_program(job_at(height, variant=variant))
    assert following is not None
    assert (following[0], following[1].number) == (period, epoch)


@pytest.mark.parametrize(
    "change",
    [
        *({"choices": replace(IN_PLACE.choices, **{f.name: f.default})} for f in fields(Choices)),
        {"absorbs": "header"},
        {"byte_order": "little"},
    ],
    ids=str,
)
def test_variants_that_choose_differently_have_different_programs(change):
    other, gpu, epoch = replace(IN_PLACE, **change), shape_named("gpu"), IN_PLACE.epoch(0)
    first, second = (
        kernel_source.search_source(v, 5, epoch, "cuda", gpu) for v in (IN_PLACE, other)
    )
    assert first.sha256 != second.sha256
    assert program_at(IN_PLACE, 5, epoch) != program_at(other, 5, epoch)


def test_an_epoch_set_by_the_pool_is_kept():
    following = next_program(job_at(7499, epoch=TOY.epoch(9)))
    assert following is not None
    assert following[1].number == 9


def test_there_is_no_program_after_the_last_height():
    assert next_program(job_at(2**63 - 1, variant=replace(TOY, period=1))) is None


def test_the_next_program_is_built_once_for_its_epoch(programs):
    device = fake_device()
    job = job_at(7499)
    programs.search_image(device, job).result(WAIT)
    programs.prebuild(device, job)
    image = programs.search_image(device, job_at(7500)).result(WAIT)
    assert image.source.text == "period 2500 epoch 1"
    assert device.script.built == ["period 2499 epoch 0", "period 2500 epoch 1"]


def test_dataset_programs_and_search_programs_do_not_evict_each_other(programs):
    device = fake_device()
    filler = programs.dataset_image(device, TOY.epoch_at(0)).result(WAIT)
    for period in range(2 * KEPT):
        programs.search_image(device, job_at(3 * period)).result(WAIT)
    assert programs.dataset_image(device, TOY.epoch_at(0)).result(WAIT) is filler
    assert len(device.script.built) == 2 * KEPT


def test_the_dataset_program_of_the_next_epoch_is_built_ahead(programs):
    device = fake_device()
    programs.prebuild(device, job_at(7490))
    programs.search_image(device, job_at(0)).result(WAIT)
    assert device.script.fillers == []
    programs.prebuild(device, job_at(7499))
    programs.search_image(device, job_at(3)).result(WAIT)  # after it, in the only thread
    assert [source.title for source in device.script.fillers] == [
        filler_source(device, TOY.epoch(1)).title
    ]


def test_a_discarded_image_is_built_again_and_not_kept(programs):
    device = fake_device()
    epoch = TOY.epoch_at(0)
    filler = programs.dataset_image(device, epoch).result(WAIT)
    image = programs.search_image(device, job_at(0)).result(WAIT)
    programs.discard(device, filler)
    programs.discard(device, image)
    assert device.script.discarded == [filler, image]
    assert programs.dataset_image(device, epoch).result(WAIT) is not filler
    assert programs.search_image(device, job_at(0)).result(WAIT) is not image


def test_requests_of_one_program_share_a_build(programs):
    device = fake_device(DeviceScript(build_gate=threading.Event()))
    futures = [programs.search_image(device, job_at(0, header=n)) for n in range(3)]
    device.script.build_gate.set()
    assert len({id(f.result(WAIT)) for f in futures}) == 1
    assert len(device.script.built) == 1


def test_images_are_shared_only_if_the_device_allows_it(programs):
    sharing = [fake_device(DeviceScript(shares_images=True), f"fake:{n}") for n in range(2)]
    alone = [fake_device(DeviceScript(), f"fake:{n}") for n in range(2, 4)]
    images = [programs.search_image(d, job_at()).result(WAIT) for d in (*sharing, *alone)]
    assert images[0] is images[1]
    assert len({id(image) for image in images}) == 3


def test_the_neighbouring_periods_are_kept(programs):
    device = fake_device()
    for period in (4, 5, 6, 5, 4, 6):
        programs.search_image(device, job_at(period * 3)).result(WAIT)
    assert len(device.script.built) == 3
    for period in (7, 8, 9, 4):
        programs.search_image(device, job_at(period * 3)).result(WAIT)
    assert len(device.script.built) == 7


def test_the_programs_of_alternating_epochs_are_kept(programs):
    device = fake_device()
    for _ in range(3):
        for number in range(KEPT_EPOCHS):
            job = job_at(number * 7500)
            programs.search_image(device, job).result(WAIT)
            programs.prebuild(device, job)
    programs.search_image(device, job_at(9000 * 7500)).result(WAIT)
    assert len(device.script.built) == 2 * KEPT_EPOCHS + 1


def test_a_failed_build_is_an_error_and_is_retried(programs):
    device = fake_device(DeviceScript(fail_build=1))
    with pytest.raises(BuildFailed):
        programs.search_image(device, job_at()).result(WAIT)
    assert programs.search_image(device, job_at()).result(WAIT) is not None


def test_discarded_and_forgotten_images_are_built_again(programs):
    device = fake_device()
    epoch = TOY.epoch_at(0)
    programs.dataset_image(device, epoch).result(WAIT)
    programs.discard(device, programs.search_image(device, job_at()).result(WAIT))
    programs.search_image(device, job_at()).result(WAIT)
    programs.forget(device)
    programs.search_image(device, job_at()).result(WAIT)
    programs.dataset_image(device, epoch).result(WAIT)
    assert len(device.script.built) == 3
    assert len(device.script.fillers) == 2


def test_the_new_image_of_another_card_is_not_discarded(programs):
    """Both cards found the image wrong; the first one has already had it rebuilt."""
    one, two = (fake_device(DeviceScript(shares_images=True), f"fake:{n}") for n in range(2))
    wrong = programs.search_image(one, job_at()).result(WAIT)
    programs.discard(one, wrong)
    rebuilt = programs.search_image(one, job_at())
    programs.discard(two, wrong)
    assert programs.search_image(two, job_at()) is rebuilt
    assert (one.script.discarded, two.script.discarded) == ([wrong], [wrong])


def test_shapes_do_not_evict_each_other(programs):
    devices = [fake_device(DeviceScript(shares_images=True), f"fake:{n}") for n in range(3)]
    for device, shape in zip(devices, ("gpu", "gpu-128", "gpu/2"), strict=True):
        device.shape = shape_named(shape)
    for period in range(4):
        for device in devices:
            job = job_at(3 * period)
            programs.search_image(device, job).result(WAIT)
            programs.prebuild(device, job)
    built = sum(len(device.script.built) for device in devices)
    for device in devices:
        programs.search_image(device, job_at(12)).result(WAIT)
    assert built <= sum(len(device.script.built) for device in devices) == 3 * 5


def test_equal_texts_of_two_epochs_share_an_image():
    def same_text(variant, period, epoch, dialect, shape):
        return replace(search_source(variant, 1, TOY.epoch(1), dialect, shape), title=str(epoch))

    with WorkPool("build", 1) as pool:
        programs = Programs(same_text, pool)
        device = fake_device()
        first, second = (programs.search_image(device, job_at(h)).result(WAIT) for h in (0, 9000))
        assert first is second
        assert len(device.script.built) == 1
        programs.discard(device, first)
        assert programs.search_image(device, job_at(9000)).result(WAIT) is not first


class Gate(threading.Event):
    """An event that records when a thread waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)


def test_evicted_builds_do_not_delay_new_ones(programs):
    gate = Gate()
    device = fake_device(DeviceScript(build_gate=gate))
    futures = [programs.search_image(device, job_at())]
    assert gate.reached.wait(WAIT)
    futures += [programs.search_image(device, job_at(period * 3)) for period in range(1, 20)]
    gate.set()
    assert futures[-1].result(WAIT).source.text == "period 19 epoch 0"
    assert len(device.script.built) == 1 + KEPT
    assert [future.cancelled() for future in futures].count(True) == 20 - 1 - KEPT


def test_closing_a_device_waits_for_evicted_builds(programs, monkeypatch):
    gate = Gate()
    device = fake_device(DeviceScript(build_gate=gate))
    first = programs.search_image(device, job_at())
    assert gate.reached.wait(WAIT)
    for period in range(1, 9):
        programs.search_image(device, job_at(period * 3))
    real = concurrent.futures.wait

    def wait(running, timeout):
        gate.set()
        return real(running, timeout)

    monkeypatch.setattr(concurrent.futures, "wait", wait)
    programs.forget(device)
    assert first.done()
    assert device.script.built == ["period 0 epoch 0"]
