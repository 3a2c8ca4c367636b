"""Which devices are used, by what name they are called, what is said when none is left."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from miner.catalog import variants
from miner.devices import registry
from miner.devices.device import Device, DeviceInfo
from miner.devices.reference.reference_device import ReferenceBackend, ReferenceDevice
from miner.devices.registry import backend_named, choose_devices, find_devices, named, shape_on
from miner.errors import BackendUnavailable, BuildFailed, ConfigError, DeviceError, NoUsableDevice

KAWPOW = variants()["kawpow"]


def info_of(name: str, kind: str = "gpu", **other: Any) -> DeviceInfo:
    return replace(
        ReferenceBackend().devices()[0], name=name, backend=name.partition(":")[0], kind=kind,
        **other,
    )  # fmt: skip


class Wrong(ReferenceDevice):
    """Its dataset is not the CPU's."""

    def read_nodes(self, first: int, count: int) -> Any:
        return np.zeros((count, 16), np.uint32)


class Unbuildable(ReferenceDevice):
    def build(self, source: object) -> Any:
        raise BuildFailed(f"{self.info.name}: it does not compile; log and source: /a/log")


class Machine:
    """Backends with devices that behave as they are told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.backends: dict[str, list[DeviceInfo] | str] = {}
        self.kinds: dict[str, type[ReferenceDevice] | str] = {}
        self.opened: list[str] = []
        self.closed: list[str] = []
        self._module = ModuleType("backends_of_a_test")
        self._monkeypatch = monkeypatch
        monkeypatch.setitem(sys.modules, self._module.__name__, self._module)

    def has(self, **backends: list[DeviceInfo] | str) -> None:
        """Install them, in this order of preference; text is why one is not available."""
        self.backends = backends
        for name in backends:
            setattr(self._module, name, lambda name=name: MachineBackend(self, name))
        rows = {name: f"{self._module.__name__}:{name}" for name in backends}
        self._monkeypatch.setattr(registry, "BACKENDS", rows)

    def names(self, names: Sequence[str] | None = None, backend: str = "auto") -> list[str]:
        return [f.info.name for f in choose_devices(backend, names, KAWPOW)[0]]


class MachineBackend:
    def __init__(self, machine: Machine, name: str) -> None:
        self.name, self._machine = name, machine

    def devices(self) -> Sequence[DeviceInfo]:
        rows = self._machine.backends[self.name]
        if isinstance(rows, str):
            raise BackendUnavailable(rows)
        return rows

    def open(self, info: DeviceInfo) -> Device:
        machine = self._machine
        machine.opened.append(info.name)
        kind = machine.kinds.get(info.name, ReferenceDevice)
        if isinstance(kind, str):
            raise DeviceError(f"{info.name}: {kind}")

        class Closing(kind):  # type: ignore[misc, valid-type]
            def close(self) -> None:
                machine.closed.append(info.name)
                super().close()

        device: Device = Closing(info)
        return device


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


REF = info_of("ref", "cpu")
CPU = info_of("opencl:1.0", "cpu")
FIRST = info_of("opencl:0.0", pci="0000:01:00.0")
SECOND = info_of("opencl:0.1", pci="0000:02:00.0")


def test_every_usable_gpu_is_used_and_the_cpu_left_alone(machine: Machine) -> None:
    machine.has(opencl=[CPU, FIRST, SECOND], ref=[REF])
    assert machine.names() == ["opencl:0.0", "opencl:0.1"]
    assert set(machine.opened) == {"opencl:0.0", "opencl:0.1"}
    assert machine.closed == machine.opened


def test_without_a_gpu_one_other_device_is_used_and_ref_last(machine: Machine) -> None:
    machine.has(ref=[REF], opencl=[CPU])
    assert machine.names() == ["opencl:1.0"]
    machine.has(opencl=[CPU, info_of("opencl:2.0", "accelerator")], ref=[REF])
    assert machine.names() == ["opencl:2.0"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("the driver is broken", "opencl:0.0: the driver is broken"),
        (Wrong, "dataset nodes 0 to 255 are wrong"),
        (Unbuildable, "opencl:0.0: it does not compile; log and source: /a/log"),
    ],
)
def test_an_unusable_device_falls_to_the_next(machine: Machine, kind: Any, reason: str) -> None:
    machine.has(opencl=[FIRST, SECOND, CPU], ref=[REF])
    machine.kinds["opencl:0.0"] = kind
    use, out, missing = choose_devices("auto", None, KAWPOW)
    assert [f.info.name for f in use] == ["opencl:0.1"]
    assert [(f.info.name, f.info.unusable) for f in out] == [("opencl:0.0", reason)]
    assert missing == []
    machine.kinds["opencl:0.1"] = Wrong
    assert machine.names() == ["opencl:1.0"]
    machine.kinds["opencl:1.0"] = Unbuildable
    assert machine.names() == ["ref"]


def test_what_the_driver_calls_unusable_is_not_opened(machine: Machine) -> None:
    machine.has(opencl=[replace(FIRST, unusable="it is switched off")], ref=[REF])
    assert machine.names() == ["ref"]
    assert machine.opened == ["ref"]


def test_no_platform_is_said_and_the_rest_goes_on(machine: Machine) -> None:
    machine.has(opencl="no OpenCL platform", ref=[REF])
    use, out, missing = choose_devices("auto", None, KAWPOW)
    assert [f.info.name for f in use] == ["ref"]
    assert not out
    assert missing == ["opencl: no OpenCL platform"]


def test_the_sentence_of_no_usable_device_lists_every_reason(machine: Machine) -> None:
    machine.has(cuda="no NVIDIA driver", opencl=[FIRST, SECOND])
    machine.kinds.update({"opencl:0.0": "it is broken", "opencl:0.1": Wrong})
    with pytest.raises(NoUsableDevice) as caught:
        machine.names()
    assert str(caught.value) == (
        "no usable device: opencl:0.0: opencl:0.0: it is broken; "
        "opencl:0.1: dataset nodes 0 to 255 are wrong; cuda: no NVIDIA driver"
    )
    assert caught.value.exit_code == 3
    machine.has(opencl=[])
    with pytest.raises(NoUsableDevice, match=r"^no usable device: none was found$"):
        machine.names()


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["opencl:0.1"], ["opencl:0.1"]),
        (["0.1"], ["opencl:0.1"]),
        (["0000:02:00.0"], ["opencl:0.1"]),
        (["2"], ["opencl:0.1"]),
        (["0"], ["opencl:1.0"]),
        (["ref"], ["ref"]),
        (["3"], ["ref"]),
        (["ref", "opencl:0.0"], ["ref", "opencl:0.0"]),
        (["0.0", "opencl:0.0", "1", "0000:01:00.0", "0.0"], ["opencl:0.0"]),
    ],
)
def test_a_device_is_called_by(machine: Machine, names: list[str], wanted: list[str]) -> None:
    machine.has(opencl=[CPU, FIRST, SECOND], ref=[REF])
    assert machine.names(names) == wanted
    assert sorted(machine.closed) == sorted(wanted)


@pytest.mark.parametrize("name", ["opencl:9.9", "4", "-1", "", "None", "0000:03:00.0"])
def test_an_unknown_name_lists_the_known_ones(machine: Machine, name: str) -> None:
    machine.has(opencl=[CPU, FIRST], ref=[REF])
    with pytest.raises(ConfigError) as caught:
        machine.names([name])
    assert str(caught.value) == (
        f"device {name!r} is not there; there are: opencl:1.0, opencl:0.0, ref"
    )


TWIN = info_of("cuda:0", pci="0000:01:00.0", uuid="GPU-1", model="RTX 3070")
OTHER = info_of("cuda:1", pci="0000:02:00.0", uuid="GPU-2", model="RTX 3080")
SLOW = info_of("opencl:0.0", pci="0000:01:00.0", uuid="GPU-1", model="RTX 3070")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["01:00.0"], ["cuda:0"]),
        (["gpu-2"], ["cuda:1"]),
        (["*3070*"], ["cuda:0"]),
        (["*rtx*"], ["cuda:0", "cuda:1"]),
        (["*3080*", "*"], ["cuda:1", "cuda:0", "ref"]),
        (["opencl:0.0"], ["opencl:0.0"]),
        (["opencl:0.0", "cuda:0"], ["opencl:0.0", "cuda:0"]),
        (["opencl:*", "02:00.0"], ["opencl:0.0", "cuda:1"]),
        (["1"], ["cuda:1"]),
        (["2"], ["opencl:0.0"]),
        (None, ["cuda:0", "cuda:1"]),
    ],
)
def test_hardware_is_used_once_through_the_first_backend(
    machine: Machine, names: list[str] | None, wanted: list[str]
) -> None:
    machine.has(cuda=[TWIN, OTHER], opencl=[SLOW], ref=[REF])
    assert machine.names(names) == wanted


def test_the_second_way_to_a_card_is_taken_where_the_first_does_not_work(machine: Machine) -> None:
    machine.has(cuda=[TWIN, OTHER], opencl=[SLOW], ref=[REF])
    machine.kinds["cuda:0"] = "the driver is broken"
    assert machine.names() == ["cuda:1", "opencl:0.0"]


def test_what_is_hidden_through_one_backend_is_hidden_through_all(machine: Machine) -> None:
    hidden = replace(TWIN, unusable="NVIDIA_VISIBLE_DEVICES names other cards")
    machine.has(cuda=[hidden, OTHER], opencl=[SLOW], ref=[REF])
    use, out, _ = choose_devices("auto", None, KAWPOW)
    assert [f.info.name for f in use] == ["cuda:1"]
    assert {f.info.unusable for f in out} == {hidden.unusable}
    assert machine.opened == ["cuda:1"]
    with pytest.raises(NoUsableDevice, match="NVIDIA_VISIBLE_DEVICES names other cards"):
        choose_devices("auto", ["opencl:0.0"], KAWPOW)


def test_what_is_excluded_is_not_even_opened(machine: Machine) -> None:
    machine.has(cuda=[TWIN, OTHER], opencl=[SLOW], ref=[REF])
    for names, exclude, wanted in (
        (None, ["01:00.0"], ["cuda:1"]),
        (["*"], ["*3070*", "ref"], ["cuda:1"]),
        (["1", "0"], ["*9999*"], ["cuda:1", "cuda:0"]),
        (["*"], ["0"], ["cuda:1", "opencl:0.0", "ref"]),
    ):
        machine.opened.clear()
        use, out, _ = choose_devices("auto", names, KAWPOW, exclude)
        assert ([f.info.name for f in use], out) == (wanted, [])
        assert sorted(machine.opened) == sorted(wanted)


@pytest.mark.parametrize(
    ("names", "exclude", "sentence"),
    [
        (["*3090*"], [], "device '*3090*' is not there; there are: cuda:0, cuda:1"),
        (None, ["cuda:2"], "device 'cuda:2' is not there; there are: cuda:0, cuda:1"),
        (["0"], ["cuda:*"], "device '0' is excluded, and wanted too; name it once"),
    ],
)
def test_names_that_leave_nothing(
    machine: Machine, names: list[str] | None, exclude: list[str], sentence: str
) -> None:
    machine.has(cuda=[TWIN, OTHER])
    with pytest.raises(ConfigError) as caught:
        choose_devices("auto", names, KAWPOW, exclude)
    assert str(caught.value) == sentence


def test_all_excluded_is_no_usable_device(machine: Machine) -> None:
    machine.has(cuda=[TWIN])
    with pytest.raises(NoUsableDevice, match=r"^no usable device: none was found$"):
        choose_devices("auto", None, KAWPOW, ["*"])


def test_of_a_pattern_the_cards_that_work_go_on(machine: Machine) -> None:
    machine.has(cuda=[TWIN, OTHER])
    machine.kinds["cuda:0"] = "it is broken"
    use, out, _ = choose_devices("auto", ["*rtx*"], KAWPOW)
    assert ([f.info.name for f in use], [f.info.name for f in out]) == (["cuda:1"], ["cuda:0"])
    machine.kinds["cuda:1"] = "it is broken too"
    with pytest.raises(NoUsableDevice, match=r"cuda:0: it is broken; .*it is broken too$"):
        choose_devices("auto", ["*rtx*"], KAWPOW)


def test_a_device_knows_its_place_in_the_list(machine: Machine) -> None:
    machine.has(cuda=[TWIN, OTHER], opencl="no platform", ref=[REF])
    assert [(f.info.name, f.index) for f in find_devices()[0]] == [
        ("cuda:0", 0), ("cuda:1", 1), ("ref", 2),
    ]  # fmt: skip


def test_nothing_is_known_where_nothing_is(machine: Machine) -> None:
    with pytest.raises(ConfigError, match=r"there are: none$"):
        named([], "0")


def test_a_named_device_that_cannot_be_used_is_no_silent_change(machine: Machine) -> None:
    machine.has(opencl=[FIRST, SECOND], ref=[REF])
    machine.kinds["opencl:0.1"] = "it is broken"
    with pytest.raises(NoUsableDevice, match=r"^opencl:0\.1 cannot be used: .*it is broken$"):
        machine.names(["opencl:0.0", "opencl:0.1"])


def test_a_backend_is_chosen(machine: Machine) -> None:
    machine.has(opencl=[FIRST], ref=[REF])
    assert machine.names(backend="ref") == ["ref"]
    assert machine.opened == ["ref"]


def test_an_unknown_backend_names_the_known_ones(machine: Machine) -> None:
    machine.has(opencl=[FIRST], ref=[REF])
    with pytest.raises(BackendUnavailable, match=r"'metal' is not built .* opencl, ref$"):
        backend_named("metal")
    assert find_devices("metal")[0] == []
    with pytest.raises(NoUsableDevice, match="no usable device: metal: the backend 'metal'"):
        choose_devices("metal", None, KAWPOW)


def test_the_shape_on_a_device_has_as_many_buffers_as_its_limit_asks(machine: Machine) -> None:
    epoch = KAWPOW.epoch(0)
    size = epoch.entries * 256
    for most, buffers in ((size, 1), (size - 1, 2), (size // 2 - 1, 4), (1, 4)):
        machine.has(opencl=[replace(FIRST, largest_allocation=most)])
        dialect, shape = shape_on("0.0", epoch)
        assert (dialect, shape.buffers) == ("opencl", buffers)
    assert len(machine.closed) == 4


def test_the_backends_that_are_built_in() -> None:
    assert [backend_named(name).name for name in registry.BACKENDS] == list(registry.BACKENDS)
