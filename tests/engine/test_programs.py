from __future__ import annotations

import concurrent.futures
import threading
from dataclasses import replace

import pytest

from miner.codegen.launch_shape import shape_named
from miner.devices.device import filler_source
from miner.engine.programs import KEPT, Programs, next_program
from miner.engine.threads import WorkPool
from miner.errors import BuildFailed
from miner.progpow.variant import Clamp, Span
from tests.fakes.device import TOY, WAIT, Orders, fake_device, job_at, search_source

MIDDLE = replace(TOY, period=10, spans=(Span(0, 25),))
"""An epoch ends in the middle of a period."""


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
def test_what_comes_next_is_the_lower_of_period_and_epoch(variant, height, period, epoch):
    following = next_program(job_at(height, variant=variant))
    assert following is not None
    assert (following[0], following[1].number) == (period, epoch)


def test_an_epoch_that_the_pool_says_otherwise_is_kept():
    following = next_program(job_at(7499, epoch=TOY.epoch(9)))
    assert following is not None
    assert following[1].number == 9


def test_nothing_follows_the_last_height():
    assert next_program(job_at(2**63 - 1, variant=replace(TOY, period=1))) is None


def test_the_next_program_is_built_once_ahead_with_its_own_epoch(programs):
    device = fake_device()
    job = job_at(7499)
    programs.request(device, job).result(WAIT)
    programs.prebuild(device, job)
    image = programs.request(device, job_at(7500)).result(WAIT)
    assert image.source.text == "period 2500 epoch 1"
    assert device.orders.built == ["period 2499 epoch 0", "period 2500 epoch 1"]


def test_what_fills_datasets_and_what_searches_do_not_drive_each_other_out(programs):
    device = fake_device()
    filler = programs.filler(device, TOY.epoch_at(0)).result(WAIT)
    for period in range(2 * KEPT):
        programs.request(device, job_at(3 * period)).result(WAIT)
    assert programs.filler(device, TOY.epoch_at(0)).result(WAIT) is filler
    assert len(device.orders.built) == 2 * KEPT


def test_what_fills_the_next_epoch_is_built_before_it_comes(programs):
    device = fake_device()
    programs.prebuild(device, job_at(7490))
    programs.request(device, job_at(0)).result(WAIT)
    assert device.orders.fillers == []
    programs.prebuild(device, job_at(7499))
    programs.request(device, job_at(3)).result(WAIT)  # after it, in the only thread
    assert [source.title for source in device.orders.fillers] == [
        filler_source(device, TOY.epoch(1)).title
    ]


def test_what_is_discarded_is_built_anew_and_kept_nowhere(programs):
    device = fake_device()
    epoch = TOY.epoch_at(0)
    filler = programs.filler(device, epoch).result(WAIT)
    image = programs.request(device, job_at(0)).result(WAIT)
    programs.discard(device, filler)
    programs.discard(device, image)
    assert device.orders.discarded == [filler, image]
    assert programs.filler(device, epoch).result(WAIT) is not filler
    assert programs.request(device, job_at(0)).result(WAIT) is not image


def test_requests_of_one_program_share_a_build(programs):
    device = fake_device(Orders(build_gate=threading.Event()))
    futures = [programs.request(device, job_at(0, header=n)) for n in range(3)]
    device.orders.build_gate.set()
    assert len({id(f.result(WAIT)) for f in futures}) == 1
    assert len(device.orders.built) == 1


def test_devices_share_images_only_when_they_say_so(programs):
    sharing = [fake_device(Orders(shares_images=True), f"fake:{n}") for n in range(2)]
    alone = [fake_device(Orders(), f"fake:{n}") for n in range(2, 4)]
    images = [programs.request(d, job_at()).result(WAIT) for d in (*sharing, *alone)]
    assert images[0] is images[1]
    assert len({id(image) for image in images}) == 3


def test_the_neighbouring_periods_are_kept(programs):
    device = fake_device()
    for period in (4, 5, 6, 5, 4, 6):
        programs.request(device, job_at(period * 3)).result(WAIT)
    assert len(device.orders.built) == 3
    for period in (7, 8, 9, 4):
        programs.request(device, job_at(period * 3)).result(WAIT)
    assert len(device.orders.built) == 7


def test_a_failed_build_is_told_then_tried_again(programs):
    device = fake_device(Orders(fail_build=1))
    with pytest.raises(BuildFailed):
        programs.request(device, job_at()).result(WAIT)
    assert programs.request(device, job_at()).result(WAIT) is not None


def test_a_discarded_or_forgotten_image_is_built_anew(programs):
    device = fake_device()
    epoch = TOY.epoch_at(0)
    programs.filler(device, epoch).result(WAIT)
    programs.discard(device, programs.request(device, job_at()).result(WAIT))
    programs.request(device, job_at()).result(WAIT)
    programs.forget(device)
    programs.request(device, job_at()).result(WAIT)
    programs.filler(device, epoch).result(WAIT)
    assert len(device.orders.built) == 3
    assert len(device.orders.fillers) == 2


def test_what_another_card_builds_anew_is_not_thrown_away(programs):
    """Both found the same image wrong; the first has it built already."""
    one, two = (fake_device(Orders(shares_images=True), f"fake:{n}") for n in range(2))
    wrong = programs.request(one, job_at()).result(WAIT)
    programs.discard(one, wrong)
    anew = programs.request(one, job_at())
    programs.discard(two, wrong)
    assert programs.request(two, job_at()) is anew
    assert (one.orders.discarded, two.orders.discarded) == ([wrong], [wrong])


def test_shapes_do_not_drive_each_other_out(programs):
    devices = [fake_device(Orders(shares_images=True), f"fake:{n}") for n in range(3)]
    for device, shape in zip(devices, ("gpu", "gpu-128", "gpu/2"), strict=True):
        device.shape = shape_named(shape)
    for period in range(4):
        for device in devices:
            job = job_at(3 * period)
            programs.request(device, job).result(WAIT)
            programs.prebuild(device, job)
    built = sum(len(device.orders.built) for device in devices)
    for device in devices:
        programs.request(device, job_at(12)).result(WAIT)
    assert built <= sum(len(device.orders.built) for device in devices) == 3 * 5


def test_one_text_is_one_image_whatever_its_epoch_is_called():
    def same_text(variant, period, epoch, dialect, shape):
        return replace(search_source(variant, 1, TOY.epoch(1), dialect, shape), title=str(epoch))

    with WorkPool("build", 1) as pool:
        programs = Programs(same_text, pool)
        device = fake_device()
        first, second = (programs.request(device, job_at(h)).result(WAIT) for h in (0, 9000))
        assert first is second
        assert len(device.orders.built) == 1
        programs.discard(device, first)
        assert programs.request(device, job_at(9000)).result(WAIT) is not first


class Gate(threading.Event):
    """A gate that tells when somebody stands at it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.reached.set()
        return super().wait(timeout)


def test_what_nobody_waits_for_any_more_is_not_built_before_what_is_wanted(programs):
    gate = Gate()
    device = fake_device(Orders(build_gate=gate))
    futures = [programs.request(device, job_at())]
    assert gate.reached.wait(WAIT)
    futures += [programs.request(device, job_at(period * 3)) for period in range(1, 20)]
    gate.set()
    assert futures[-1].result(WAIT).source.text == "period 19 epoch 0"
    assert len(device.orders.built) == 1 + KEPT
    assert [future.cancelled() for future in futures].count(True) == 20 - 1 - KEPT


def test_a_build_that_goes_on_is_waited_for_though_its_image_is_kept_no_more(programs, monkeypatch):
    gate = Gate()
    device = fake_device(Orders(build_gate=gate))
    first = programs.request(device, job_at())
    assert gate.reached.wait(WAIT)
    for period in range(1, 9):
        programs.request(device, job_at(period * 3))
    real = concurrent.futures.wait

    def wait(running, timeout):
        gate.set()
        return real(running, timeout)

    monkeypatch.setattr(concurrent.futures, "wait", wait)
    programs.forget(device)
    assert first.done()
    assert device.orders.built == ["period 0 epoch 0"]
