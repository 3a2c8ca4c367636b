"""Which device's driver or launch shape ended the miner, and what follows from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource
from miner.codegen.launch_shape import LaunchShape, shape_named
from miner.devices import crash_record, trial_results
from miner.devices.crash_record import CrashRecord
from miner.devices.driver_history import (
    count_crashes,
    count_hang,
    crash_problem,
    crashed_shapes,
)
from miner.devices.opencl import OPENCL
from miner.devices.selection import ListedDevice, tried
from miner.devices.trial_results import TrialResults
from miner.devices.trials import Trials
from miner.work import DeviceInfo
from tests.devices.infos import info_of
from tests.fakes.device import DeviceScript, FakeDevice, FakeImage, Ticks
from tests.fakes.variants import KAWPOW

CHECKOUT = Path(__file__).parents[2]
CARD, OTHER = info_of("opencl:0.0"), info_of("opencl:0.1")

RUN = """
import ctypes, os, signal, sys, threading
from miner.devices.crash_record import CrashRecord
from tests.devices.test_driver_history import CARD, OTHER
record = CrashRecord()
entered = threading.Event()
def other():
    with record.call(OTHER, "{other}"):
        entered.set()
        threading.Event().wait()
threading.Thread(target=other, daemon=True).start()
entered.wait()
with record.call(CARD, "{call}"):
    {end}
"""
SEGFAULT = "ctypes.string_at(0)"
EXIT = "ctypes.CDLL(None)._exit(8)"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    monkeypatch.delenv("PYTHONFAULTHANDLER", raising=False)


def run(end: str, call: str, other: str) -> None:
    """Have a process end in the call of one card, while another card is in a call too."""
    end_process(RUN.format(end=end, call=call, other=other))


def end_process(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert done.returncode, done.stderr


@pytest.mark.parametrize("call", ["opening", "searching"])
def test_a_crash_counts_against_the_device_whose_thread_crashed(call: str) -> None:
    results = TrialResults()
    run(SEGFAULT, call, "building a kernel")
    (crash,) = count_crashes(results)
    assert str(crash) == f"an earlier run ended while opencl:0.0 was {call}"
    assert crash.count == 1
    assert count_crashes(results) == []
    assert crash_problem(results, CARD) is None
    run(SEGFAULT, call, "building a kernel")
    assert [crash.count for crash in count_crashes(results)] == [2]
    assert crash_problem(results, CARD) == f"its driver ended the miner 2 times, last while {call}"
    assert crash_problem(results, OTHER) is None


@pytest.mark.parametrize(
    ("call", "other", "suspects"),
    [
        ("opening", "searching", ["opencl:0.0"]),
        ("searching", "opening", ["opencl:0.1"]),
        ("opening", "opening", []),
        ("searching", "searching", []),
        ("", "", []),
    ],
)
def test_an_exit_counts_only_against_the_one_device_in_a_rare_call(
    call: str, other: str, suspects: list[str]
) -> None:
    run(EXIT, call, other)
    assert [crash.device for crash in count_crashes(TrialResults())] == suspects


def test_a_device_that_crashed_twice_is_left_out_until_retry_or_boot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def good(*_: object) -> dict[str, object]:
        return {"problem": None}

    monkeypatch.setattr("miner.devices.trials.ask_child", good)
    listed = ListedDevice(CARD, OPENCL)

    def problem() -> str | None:
        return tried([listed], KAWPOW, Trials())[0].info.unusable

    results = TrialResults()
    for count in (1, 2):
        results.keep(f"{count} opening", "crashes", repr(CARD))
        assert (problem() is None) is (count == 1)
    assert str(problem()).startswith(
        "its driver ended the miner 2 times, last while opening; it is"
    )
    monkeypatch.setattr(trial_results, "boot_id", lambda: "another boot")
    assert problem() is None
    monkeypatch.undo()


def test_an_orderly_end_and_a_running_process_count_nothing(tmp_path: Path) -> None:
    record = CrashRecord()
    with record.call(CARD, "opening"):
        assert count_crashes(TrialResults()) == [], "its process has locked the file"
        record.close()
        assert list((tmp_path / "driver-calls").iterdir()) == []
    record.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 70000, b"[" * 3000, b"\xff\n" * 2000])
def test_a_damaged_record_counts_nothing(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "driver-calls"
    folder.mkdir()
    (folder / "x.calls").write_bytes(content)
    assert count_crashes(TrialResults()) == []
    assert list(folder.iterdir()) == []


def test_a_crash_before_the_boot_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run(SEGFAULT, "opening", "opening")
    monkeypatch.setattr(crash_record, "boot_id", lambda: "another boot")
    assert count_crashes(TrialResults()) == []


def test_on_windows_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pwrite")
    record = CrashRecord()
    with record.call(CARD, "opening"):
        pass
    record.close()
    assert not (tmp_path / "driver-calls").exists()


def test_without_a_writable_cache_nothing_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path / "file"))
    record = CrashRecord()
    with record.call(CARD, "opening"):
        pass
    record.close()
    assert count_crashes(TrialResults()) == []


class Card(FakeDevice):
    """Calls `leave` in the build or the load of one shape."""

    tried = call = ""
    leave: Callable[[], object] = staticmethod(lambda: None)

    def take_shape(self, shape: LaunchShape) -> None:
        self.shape = shape

    def build(self, source: KernelSource) -> FakeImage:
        self._enter("building a kernel", source)
        return super().build(source)

    def load(self, image: FakeImage) -> FakeImage:
        self._enter("loading a kernel", image.source)
        return super().load(image)

    def _enter(self, call: str, source: KernelSource) -> None:
        if (call, source.shape) == (self.call, self.tried):
            self.leave()


@dataclass
class Opening:
    card: Card
    info: DeviceInfo = CARD

    def open(self) -> Card:
        return self.card


def search(device: Card, shape: str) -> None:
    """Have the card search in `shape`."""
    title = f"kawpow search period 0 epoch 0 shape {shape}"
    device.take_shape(shape_named(shape))
    device.load(device.build(KernelSource(title, title, "search", "opencl", ())))


@pytest.fixture
def record(_cache: None) -> Iterator[CrashRecord]:
    with closing(CrashRecord()) as record:
        yield record


def end_on_trial(
    record: CrashRecord,
    call: str,
    leave: Callable[[], object],
    own: str | None = None,
    tried: str = "gpu-amd",
    info: DeviceInfo = CARD,
) -> None:
    """Have a card search in its own shape, then try another; `leave` in its `call`."""
    card = Card(info, DeviceScript(), Ticks())
    card.tried, card.call, card.leave = tried, call, leave  # type: ignore[method-assign]
    device = record.watched(Opening(card, info), KAWPOW, own).open()  # type: ignore[arg-type]
    for shape in ("gpu", tried):
        search(device, shape)  # type: ignore[arg-type]
    if call == "searching":
        leave()


class Left(Exception):
    """In place of the end of the process."""


def leave(cache: Path) -> None:
    """Keep the record as it is now, as that of an ended process."""
    (path,) = (cache / "driver-calls").glob("*.calls")
    content = path.read_bytes()
    path.unlink()
    path.with_name("ended.calls").write_bytes(content)
    raise Left


@pytest.mark.parametrize("call", ["building a kernel", "loading a kernel", "searching"])
def test_the_end_of_a_trial_counts_against_the_launch_shape(
    call: str, tmp_path: Path, record: CrashRecord
) -> None:
    with pytest.raises(Left):
        end_on_trial(record, call, lambda: leave(tmp_path))
    results = TrialResults()
    (crash,) = count_crashes(results)
    assert str(crash) == (
        f"an earlier run ended while opencl:0.0 was {call} in the launch shape gpu-amd; it is not "
        "tried again on this model"
    )
    equal = replace(CARD, name="opencl:0.7", pci="0000:07:00.0", uuid="another")
    crashed = crashed_shapes(results, equal, KAWPOW, ["gpu", "gpu-128", "gpu-amd", "gpu-amd/2"])
    assert list(crashed) == ["gpu-amd", "gpu-amd/2"]
    assert f"ended the miner while {call}" in crashed["gpu-amd"]


def test_the_own_shape_on_one_stream_is_left_out_by_both_of_its_names(
    tmp_path: Path, record: CrashRecord
) -> None:
    with pytest.raises(Left):
        end_on_trial(record, "loading a kernel", lambda: leave(tmp_path), tried="gpu@1")
    results = TrialResults()
    assert [crash.shape for crash in count_crashes(results)] == ["gpu@1"]
    assert list(crashed_shapes(results, CARD, KAWPOW, ["gpu", "gpu@1", "@1"])) == ["gpu@1", "@1"]


def test_a_crash_of_a_trial_is_never_one_of_the_device() -> None:
    results = TrialResults()
    for _ in range(2):
        end_process(
            "import ctypes\n"
            "from tests.devices.test_driver_history import CrashRecord, end_on_trial\n"
            "end_on_trial(CrashRecord(), 'loading a kernel', lambda: ctypes.string_at(0))\n"
        )
        assert [crash.shape for crash in count_crashes(results)] == ["gpu-amd"]
    assert crash_problem(results, CARD) is None


@pytest.mark.parametrize(("own", "settled"), [("gpu-amd/2", ""), (None, "gpu-amd")])
def test_a_shape_that_the_device_has_mined_in_is_not_on_trial(
    own: str | None, settled: str, tmp_path: Path, record: CrashRecord
) -> None:
    if settled:
        record.settle(CARD.name, settled)
    with pytest.raises(Left):
        end_on_trial(record, "loading a kernel", lambda: leave(tmp_path), own)
    (crash,) = count_crashes(TrialResults())
    assert (crash.shape, crash.count) == (None, 1)


def test_every_shape_that_was_on_trial_counts_if_the_cause_is_unknown(
    tmp_path: Path, record: CrashRecord
) -> None:
    other = replace(OTHER, model="another model")
    end_on_trial(record, "", os.getpid, tried="gpu-128", info=other)
    with pytest.raises(Left):
        end_on_trial(record, "searching", lambda: leave(tmp_path))
    results = TrialResults()
    assert {c.shape for c in count_crashes(results)} == {"gpu-128", "gpu-amd"}
    names = ["gpu", "gpu-128", "gpu-amd"]
    assert list(crashed_shapes(results, other, KAWPOW, names)) == ["gpu-128"]
    assert list(crashed_shapes(results, CARD, KAWPOW, names)) == ["gpu-amd"]


def kill(cache: Path, fault: bytes = b"") -> list[str | None]:
    """Return the shapes that count for the record that `leave` kept; `fault` is the handler's
    text."""
    path = cache / "driver-calls" / "ended.calls"
    path.write_bytes(path.read_bytes().ljust(crash_record.ROWS * crash_record.ROW_BYTES) + fault)
    return [crash.shape for crash in count_crashes(TrialResults())]


ABORTED = b"Fatal Python error: Aborted\n\n"


@pytest.mark.parametrize(
    ("fault", "call", "shapes"),
    [
        (b"", "searching", []),
        (b"", "building a kernel", ["gpu-amd"]),
        (ABORTED, "searching", ["gpu-amd"]),
    ],
)
def test_a_shape_that_has_searched_before_is_left_out_after_two_crashes(
    fault: bytes, call: str, shapes: list[str], tmp_path: Path
) -> None:
    for count in (1, 2):
        with closing(CrashRecord()) as record:
            card = Card(CARD, DeviceScript(), Ticks())
            device = record.watched(Opening(card), KAWPOW).open()  # type: ignore[arg-type]
            for shape in ("gpu-amd", "gpu"):
                search(device, shape)  # type: ignore[arg-type]
            card.tried, card.call, card.leave = "gpu-amd", call, lambda: leave(tmp_path)  # type: ignore[method-assign]
            with suppress(Left):
                search(device, "gpu-amd")  # type: ignore[arg-type]
                leave(tmp_path)
            assert kill(tmp_path, fault) == shapes
        crashed = crashed_shapes(TrialResults(), CARD, KAWPOW, ["gpu-amd"])
        assert list(crashed) == (shapes if count == 2 else [])


def test_a_chosen_shape_is_not_suspected_even_before_its_next_kernel(
    tmp_path: Path, record: CrashRecord
) -> None:
    end_on_trial(record, "", os.getpid)
    record.settle(CARD.name, "gpu-amd")
    with pytest.raises(Left):
        leave(tmp_path)
    assert kill(tmp_path, ABORTED) == []


def test_a_call_that_began_before_the_choice_does_not_put_the_shape_on_trial_again(
    tmp_path: Path, record: CrashRecord
) -> None:
    end_on_trial(record, "loading a kernel", lambda: record.settle(CARD.name, "gpu-amd"))
    with pytest.raises(Left):
        leave(tmp_path)
    assert kill(tmp_path) == []


@pytest.mark.parametrize("tried", ["gpu-amd", "gpu"])
def test_a_hang_counts_against_the_shape_that_is_on_trial(tried: str, record: CrashRecord) -> None:
    end_on_trial(record, "", os.getpid, tried=tried)
    results = TrialResults()
    count_hang(results, record, CARD.name)
    count_hang(results, record, OTHER.name)
    crashed = crashed_shapes(results, CARD, KAWPOW, ["gpu", "gpu-amd"])
    assert list(crashed) == ["gpu-amd"] * (tried == "gpu-amd")
    assert not record.trials or "a driver call did not return" in crashed["gpu-amd"]


def test_a_hang_does_not_count_against_a_shape_once_it_is_chosen(record: CrashRecord) -> None:
    end_on_trial(record, "", os.getpid)
    record.settle(CARD.name, "gpu-amd")
    results = TrialResults()
    count_hang(results, record, CARD.name)
    assert not crashed_shapes(results, CARD, KAWPOW, ["gpu-amd"])


@pytest.mark.parametrize(
    "trial",
    [
        1,
        "gpu",
        [],
        [[]],
        [1, 2],
        [[], []],
        [["opencl"], ["gpu"]],
        [[[]] * 5, ["gpu"]],
        [["opencl", "model", "driver", 8, "kawpow"], [[]], False],
        [["opencl", "model", "driver", 8, "kawpow"], ["gpu"]],
        [["opencl", "model", "driver", 8, "kawpow"], ["gpu"], None],
    ],
)
def test_a_damaged_trial_in_a_record_blames_nothing(
    trial: object, tmp_path: Path, record: CrashRecord
) -> None:
    record._write(1, [repr(CARD), CARD.name, 1, "searching", trial])
    with pytest.raises(Left):
        leave(tmp_path)
    assert kill(tmp_path) == []


def test_a_crashed_shape_is_left_out_until_another_driver_or_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: CrashRecord
) -> None:
    with pytest.raises(Left):
        end_on_trial(record, "searching", lambda: leave(tmp_path))
    results = TrialResults()
    count_crashes(results)

    def crashed(info: DeviceInfo = CARD, variant: str = "kawpow") -> bool:
        return bool(crashed_shapes(results, info, variants()[variant], ["gpu-amd"]))

    assert crashed()
    assert not crashed(replace(CARD, driver="a newer one"))
    assert not crashed(replace(CARD, model="another model"))
    assert not crashed(variant="firopow")
    monkeypatch.setattr(trial_results, "boot_id", lambda: "another boot")
    assert crashed(), "compilers make the same mistake after a reboot"
    Trials().forget()
    assert not crashed()
