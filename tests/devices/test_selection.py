"""Finding devices, and choosing those to mine on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from miner.catalog import variants
from miner.devices import registry
from miner.devices.backend import Backend
from miner.devices.device import Device
from miner.devices.reference.reference_device import ReferenceDevice
from miner.devices.selection import choose_devices, device_called, find_devices, shape_on
from miner.errors import BackendUnavailable, BuildFailed, ConfigError, DeviceError, NoUsableDevice
from miner.work import DeviceInfo
from tests.devices.infos import info_of

KAWPOW = variants()["kawpow"]


class WrongDataset(ReferenceDevice):
    def read_nodes(self, first: int, count: int) -> Any:
        return np.zeros((count, 16), np.uint32)


class Unbuildable(ReferenceDevice):
    def build(self, source: object) -> Any:
        raise BuildFailed(f"{self.info.name}: it does not compile; log and source: /a/log")


class Machine:
    """Backends whose devices are classes of a test; text in place of one is why it fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.classes: dict[str, type[ReferenceDevice] | str] = {}
        self.opened: list[str] = []
        self.closed: list[str] = []
        self._monkeypatch = monkeypatch

    def has(self, **backends: list[DeviceInfo] | str) -> None:
        """Install the backends in this order of preference."""
        rows = {name: MachineBackend(name, found, self) for name, found in backends.items()}
        self._monkeypatch.setattr(registry, "BACKENDS", rows)

    def names(self, names: Sequence[str] | None = None, backend: str = "auto") -> list[str]:
        return [f.info.name for f in choose_devices(backend, names, KAWPOW).use]


class MachineBackend(Backend):
    def __init__(self, name: str, found: list[DeviceInfo] | str, machine: Machine) -> None:
        super().__init__(name, "", "", dialect=None if name == "ref" else name)
        object.__setattr__(self, "found", found)
        object.__setattr__(self, "machine", machine)

    def devices(self) -> Sequence[DeviceInfo]:
        if isinstance(self.found, str):
            raise BackendUnavailable(self.found)
        return self.found

    def open(self, info: DeviceInfo) -> Device:
        machine = self.machine
        machine.opened.append(info.name)
        opened = machine.classes.get(info.name, ReferenceDevice)
        if isinstance(opened, str):
            raise DeviceError(f"{info.name}: {opened}")

        class Closing(opened):
            def close(self) -> None:
                machine.closed.append(info.name)
                super().close()

        return Closing(info)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


REF = info_of("ref", "cpu")
CPU = info_of("opencl:1.0", "cpu")
FIRST = info_of("opencl:0.0", pci="0000:01:00.0")
SECOND = info_of("opencl:0.1", pci="0000:02:00.0")


def test_by_default_every_usable_gpu_is_used_and_no_cpu(machine: Machine) -> None:
    machine.has(opencl=[CPU, FIRST, SECOND], ref=[REF])
    assert machine.names() == ["opencl:0.0", "opencl:0.1"]
    assert set(machine.opened) == {"opencl:0.0", "opencl:0.1"}
    assert machine.closed == machine.opened


def test_without_a_gpu_no_cpu_is_used_unless_it_is_asked_for(machine: Machine) -> None:
    machine.has(cuda="no NVIDIA driver", ref=[REF], opencl=[CPU])
    for names in (None, ["*"], ["opencl:*"]):
        with pytest.raises(NoUsableDevice) as caught:
            machine.names(names)
        assert caught.value.exit_code == 3
        assert machine.opened == []
        if names is None:
            assert str(caught.value) == (
                "no usable GPU: cuda: no NVIDIA driver; opencl: no GPU, only the CPU Model of "
                "opencl:1.0; to mine on the CPU, add --backend cpu"
            )
    with pytest.raises(NoUsableDevice, match="no usable GPU: "):
        machine.names(backend="opencl")


@pytest.mark.parametrize(
    ("names", "backend"),
    [(None, "cpu"), (["cpu"], "auto"), (["CPU"], "cpu"), (["*opencl:1.0*"], "auto")],
)
def test_a_cpu_that_is_asked_for_is_used_once_through_the_best_backend(
    machine: Machine, names: list[str] | None, backend: str
) -> None:
    machine.has(ref=[REF], opencl=[FIRST, CPU])
    assert machine.names(names, backend) == ["opencl:1.0"]
    machine.classes["opencl:1.0"] = Unbuildable
    if names != ["*opencl:1.0*"]:
        assert machine.names(names, backend) == ["ref"]


def test_llvmpipe_is_not_the_best_platform_of_a_cpu(machine: Machine) -> None:
    llvmpipe = info_of("opencl:0.0", "cpu", model="llvmpipe (LLVM 15.0.6, 256 bits)")
    machine.has(opencl=[llvmpipe, CPU], ref=[REF])
    assert machine.names(["cpu"]) == ["opencl:1.0"]
    machine.has(opencl=[llvmpipe], ref=[REF])
    assert machine.names(["cpu"]) == ["opencl:0.0"]


def test_the_cpu_may_mine_beside_the_gpus(machine: Machine) -> None:
    machine.has(opencl=[CPU, FIRST], ref=[REF])
    assert machine.names(["cpu", "*"]) == ["opencl:1.0", "opencl:0.0"]
    assert choose_devices("auto", ["*", "cpu"], KAWPOW, ["cpu:"]).use[0].info.name == "opencl:0.0"
    with pytest.raises(ConfigError, match="'cpu' is both wanted and excluded"):
        choose_devices("auto", ["cpu"], KAWPOW, ["cpu"])


def test_a_cpu_is_a_fallback_only_where_the_caller_allows_it(machine: Machine) -> None:
    machine.has(opencl=[CPU], ref=[REF])
    chosen = choose_devices("auto", None, KAWPOW, cpu_allowed=True)
    assert [f.info.name for f in chosen.use] == ["opencl:1.0"]
    machine.has(opencl=[CPU, FIRST], ref=[REF])
    chosen = choose_devices("auto", None, KAWPOW, cpu_allowed=True)
    assert [f.info.name for f in chosen.use] == ["opencl:0.0"]


def test_without_a_gpu_an_accelerator_is_used(machine: Machine) -> None:
    machine.has(opencl=[CPU, info_of("opencl:2.0", "accelerator")], ref=[REF])
    assert machine.names() == ["opencl:2.0"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("the driver is broken", "opencl:0.0: the driver is broken"),
        (WrongDataset, "dataset nodes 0 to 255 are wrong"),
        (Unbuildable, "opencl:0.0: it does not compile; log and source: /a/log"),
    ],
)
def test_an_unusable_device_is_left_out_with_its_reason(
    machine: Machine, kind: Any, reason: str
) -> None:
    machine.has(opencl=[FIRST, SECOND, CPU], ref=[REF])
    machine.classes["opencl:0.0"] = kind
    use, out, missing, absent, expected = choose_devices("auto", None, KAWPOW)
    assert [f.info.name for f in use] == ["opencl:0.1"]
    assert [(f.info.name, f.info.unusable) for f in out] == [("opencl:0.0", reason)]
    assert missing == absent == []
    assert expected == 2


def test_a_device_that_its_driver_reports_unusable_is_not_opened(machine: Machine) -> None:
    machine.has(opencl=[replace(FIRST, unusable="it is switched off"), SECOND], ref=[REF])
    assert machine.names() == ["opencl:0.1"]
    assert machine.opened == ["opencl:0.1"]


def test_a_missing_backend_is_reported_and_the_others_are_used(machine: Machine) -> None:
    machine.has(opencl="no OpenCL platform", ref=[REF])
    use, out, missing, absent, _ = choose_devices("cpu", None, KAWPOW)
    assert [f.info.name for f in use] == ["ref"]
    assert not out
    assert missing == ["opencl: no OpenCL platform"]
    assert not absent


def test_no_usable_device_lists_every_reason(machine: Machine) -> None:
    machine.has(cuda="no NVIDIA driver", opencl=[FIRST, SECOND])
    machine.classes.update({"opencl:0.0": "it is broken", "opencl:0.1": WrongDataset})
    with pytest.raises(NoUsableDevice) as caught:
        machine.names()
    assert str(caught.value) == (
        "no usable GPU: opencl:0.0: opencl:0.0: it is broken; opencl:0.1: dataset nodes 0 to 255 "
        "are wrong; cuda: no NVIDIA driver; to mine on the CPU, add --backend cpu"
    )
    assert caught.value.exit_code == 3
    machine.has(opencl=[])
    with pytest.raises(NoUsableDevice, match=r"^no usable GPU: none found; to mine on"):
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
def test_each_name_selects_its_device_once(
    machine: Machine, names: list[str], wanted: list[str]
) -> None:
    machine.has(opencl=[CPU, FIRST, SECOND], ref=[REF])
    assert machine.names(names) == wanted
    assert sorted(machine.closed) == sorted(wanted)


@pytest.mark.parametrize("name", ["opencl:9.9", "4", "-1", "", "None", "0000:03:00.0"])
def test_an_unknown_name_lists_the_known_names(machine: Machine, name: str) -> None:
    machine.has(opencl=[CPU, FIRST], ref=[REF])
    with pytest.raises(NoUsableDevice) as caught:
        machine.names([name])
    known = "opencl:1.0, opencl:0.0, ref"
    assert str(caught.value) == f"no usable device: unknown device {name!r}; found: {known}"
    assert caught.value.exit_code == 3


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
        (["*3080*", "*"], ["cuda:1", "cuda:0"]),
        (["opencl:0.0"], ["opencl:0.0"]),
        (["opencl:0.0", "cuda:0"], ["opencl:0.0", "cuda:0"]),
        (["opencl:*", "02:00.0"], ["opencl:0.0", "cuda:1"]),
        (["1"], ["cuda:1"]),
        (["2"], ["opencl:0.0"]),
        (None, ["cuda:0", "cuda:1"]),
    ],
)
def test_a_card_is_used_once_through_the_first_backend(
    machine: Machine, names: list[str] | None, wanted: list[str]
) -> None:
    machine.has(cuda=[TWIN, OTHER], opencl=[SLOW], ref=[REF])
    assert machine.names(names) == wanted


def test_a_card_is_used_through_the_second_backend_when_the_first_fails(machine: Machine) -> None:
    machine.has(cuda=[TWIN, OTHER], opencl=[SLOW], ref=[REF])
    machine.classes["cuda:0"] = "the driver is broken"
    assert machine.names() == ["opencl:0.0", "cuda:1"]
    assert machine.names(["*3070*"]) == ["opencl:0.0"]


def test_a_card_hidden_in_one_backend_is_hidden_in_all(machine: Machine) -> None:
    hidden = replace(TWIN, unusable="NVIDIA_VISIBLE_DEVICES does not list this card")
    machine.has(cuda=[hidden, OTHER], opencl=[SLOW], ref=[REF])
    use, out, *_ = choose_devices("auto", None, KAWPOW)
    assert [f.info.name for f in use] == ["cuda:1"]
    assert {f.info.unusable for f in out} == {hidden.unusable}
    assert machine.opened == ["cuda:1"]
    with pytest.raises(NoUsableDevice, match="NVIDIA_VISIBLE_DEVICES does not list this card"):
        choose_devices("auto", ["opencl:0.0"], KAWPOW)


def test_an_excluded_device_is_not_opened(machine: Machine) -> None:
    machine.has(cuda=[TWIN, OTHER], opencl=[SLOW], ref=[REF])
    for names, exclude, wanted in (
        (None, ["01:00.0"], ["cuda:1"]),
        (["*"], ["*3070*", "ref"], ["cuda:1"]),
        (["1", "0"], ["*9999*"], ["cuda:1", "cuda:0"]),
        (["*"], ["0"], ["cuda:1", "opencl:0.0"]),
    ):
        machine.opened.clear()
        use, out, *_ = choose_devices("auto", names, KAWPOW, exclude)
        assert ([f.info.name for f in use], out) == (wanted, [])
        assert sorted(machine.opened) == sorted(wanted)


@pytest.mark.parametrize(
    ("names", "exclude", "used", "absent"),
    [
        (["*3090*", "cuda:1"], [], ["cuda:1"], ["*3090*"]),
        (["0", "5", "03:00.0"], [], ["cuda:0"], ["5", "03:00.0"]),
        (None, ["cuda:2", "cuda:0", "*9999*"], ["cuda:1"], ["cuda:2"]),
    ],
)
def test_an_absent_device_does_not_stop_the_others(
    machine: Machine,
    names: list[str] | None,
    exclude: list[str],
    used: list[str],
    absent: list[str],
) -> None:
    machine.has(cuda=[TWIN, OTHER], opencl="no OpenCL platform")
    chosen = choose_devices("auto", names, KAWPOW, exclude)
    assert [f.info.name for f in chosen.use] == used
    found = "found: cuda:0, cuda:1"
    assert chosen.absent == [f"unknown device {name!r}; {found}" for name in absent]


def test_without_any_of_the_named_devices_each_reason_is_listed(machine: Machine) -> None:
    machine.has(cuda=[TWIN], opencl="no OpenCL platform")
    machine.classes["cuda:0"] = "it is broken"
    with pytest.raises(NoUsableDevice) as caught:
        machine.names(["cuda:0", "*3080*"])
    assert str(caught.value) == (
        "no usable device: cuda:0: cuda:0: it is broken; unknown device '*3080*'; found: cuda:0; "
        "opencl: no OpenCL platform"
    )


def test_a_device_that_is_wanted_and_excluded_is_a_mistake(machine: Machine) -> None:
    machine.has(cuda=[TWIN, OTHER])
    with pytest.raises(ConfigError, match=r"^device '0' is both wanted and excluded; name it once"):
        choose_devices("auto", ["0"], KAWPOW, ["cuda:*"])


def test_excluding_every_device_leaves_no_usable_device(machine: Machine) -> None:
    machine.has(cuda=[TWIN])
    with pytest.raises(NoUsableDevice, match=r"^no usable GPU: none found; to mine on"):
        choose_devices("auto", None, KAWPOW, ["*"])


def test_a_pattern_selects_the_cards_that_work(machine: Machine) -> None:
    machine.has(cuda=[TWIN, OTHER])
    machine.classes["cuda:0"] = "it is broken"
    use, out, *_ = choose_devices("auto", ["*rtx*"], KAWPOW)
    assert ([f.info.name for f in use], [f.info.name for f in out]) == (["cuda:1"], ["cuda:0"])
    machine.classes["cuda:1"] = "it is broken too"
    with pytest.raises(NoUsableDevice, match=r"cuda:0: it is broken; .*it is broken too$"):
        choose_devices("auto", ["*rtx*"], KAWPOW)


def test_devices_are_numbered_across_backends(machine: Machine) -> None:
    machine.has(cuda=[TWIN, OTHER], opencl="no platform", ref=[REF])
    assert [(f.info.name, f.index) for f in find_devices()[0]] == [
        ("cuda:0", 0), ("cuda:1", 1), ("ref", 2),
    ]  # fmt: skip


def test_an_unknown_name_among_no_devices(machine: Machine) -> None:
    with pytest.raises(NoUsableDevice, match=r"found: none$"):
        device_called([], "0")


def test_a_named_device_that_is_unusable_does_not_stop_the_others(machine: Machine) -> None:
    machine.has(opencl=[FIRST, SECOND], ref=[REF])
    machine.classes["opencl:0.1"] = "it is broken"
    use, out, _, absent, _ = choose_devices("auto", ["opencl:0.0", "opencl:0.1"], KAWPOW)
    assert ([f.info.name for f in use], absent) == (["opencl:0.0"], [])
    assert [f.info.unusable for f in out] == ["opencl:0.1: it is broken"]
    with pytest.raises(NoUsableDevice, match=r"^no usable device: opencl:0\.1: .*it is broken$"):
        machine.names(["opencl:0.1"])


def test_one_backend_can_be_chosen(machine: Machine) -> None:
    machine.has(opencl=[FIRST], ref=[REF])
    assert machine.names(backend="ref") == ["ref"]
    assert machine.opened == ["ref"]


def test_an_unknown_backend_lists_the_known_backends(machine: Machine) -> None:
    machine.has(opencl=[FIRST], ref=[REF])
    with pytest.raises(BackendUnavailable, match=r"^unknown backend 'metal'; known: opencl, ref$"):
        registry.backend_named("metal")
    assert find_devices("metal")[0] == []
    with pytest.raises(NoUsableDevice, match="no usable GPU: metal: unknown backend 'metal'"):
        choose_devices("metal", None, KAWPOW)


def test_the_shape_on_a_device_has_enough_buffers_for_its_largest_allocation(
    machine: Machine,
) -> None:
    epoch = KAWPOW.epoch(0)
    size = epoch.entries * 256
    cases = ((size, 1), (size - 1, 2), (size // 2 - 1, 4), (size // 4 - 1, 8), (1, 16))
    for most, buffers in cases:
        machine.has(opencl=[replace(FIRST, largest_allocation=most)])
        _, shape = shape_on("0.0", epoch)
        assert shape.buffers == buffers
    assert len(machine.closed) == len(cases)
