"""Shapes that were measured: for which devices, and until what changes."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource
from miner.codegen.launch_shape import shape_beside, shape_named
from miner.devices import tuned_shapes
from miner.devices.cuda import CUDA
from miner.devices.opencl import OPENCL
from miner.devices.reference import REFERENCE
from miner.devices.tuned_shapes import (
    SHARED_STREAM,
    ChosenBy,
    TunedShape,
    TunedShapes,
    shapes_to_try,
)
from tests.fakes.device import TOY
from tests.fakes.rig import ONE, ZERO

FASTER = TunedShape("gpu-amd", "gpu", 1.1, 1.05, 1.2)


@pytest.fixture
def kept(tmp_path: Path) -> TunedShapes:
    shapes = TunedShapes(tmp_path)
    shapes.put(ONE, OPENCL, TOY, FASTER)
    return shapes


def test_a_choice_is_found_again_and_by_equal_cards(kept: TunedShapes, tmp_path: Path) -> None:
    twin = replace(ONE, name="opencl:0.7", pci="0000:31:00.0")
    assert kept.get(ONE, OPENCL, TOY) == FASTER
    assert TunedShapes(tmp_path).get(twin, OPENCL, TOY) == FASTER


def test_a_choice_is_for_one_model_driver_and_variant(kept: TunedShapes) -> None:
    assert kept.get(replace(ONE, model="Radeon RX 6800"), OPENCL, TOY) is None
    assert kept.get(replace(ONE, driver="3600.0"), OPENCL, TOY) is None
    assert kept.get(ONE, OPENCL, replace(TOY, name="other")) is None
    assert kept.get(ZERO, CUDA, TOY) is None


def test_a_choice_ends_with_the_kernel_that_it_was_measured_with(
    kept: TunedShapes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tuned_shapes.search_source

    def changed(*arguments):  # type: ignore[no-untyped-def]
        source: KernelSource = made(*arguments)
        return replace(source, text=source.text + "\n")

    monkeypatch.setattr(tuned_shapes, "search_source", changed)
    assert kept.get(ONE, OPENCL, TOY) is None


@pytest.mark.parametrize(
    "tuned",
    [
        replace(FASTER, shape="of-a-later-version"),
        asdict(FASTER) | {"by": "of-a-later-version"},
        {"shape": "gpu"},
        "text",
    ],
)
def test_what_another_version_kept_is_ignored(
    kept: TunedShapes, tuned: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(tuned, TunedShape):
        monkeypatch.setattr(tuned_shapes, "asdict", lambda _: tuned)
    kept.put(ONE, OPENCL, TOY, tuned)  # type: ignore[arg-type]
    assert kept.get(ONE, OPENCL, TOY) is None


def test_what_was_kept_before_shapes_had_streams_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = asdict(FASTER)
    del old["by"]
    with monkeypatch.context() as before:
        before.setattr(tuned_shapes, "asdict", lambda _: old)
        before.setattr(
            tuned_shapes, "shapes_to_try",
            lambda *known: [name for name in shapes_to_try(*known) if name != SHARED_STREAM],
        )  # fmt: skip
        TunedShapes(tmp_path).put(ONE, OPENCL, TOY, FASTER)
    assert TunedShapes(tmp_path).get(ONE, OPENCL, TOY) == FASTER


@pytest.mark.parametrize("by", ChosenBy)
@pytest.mark.parametrize("shape", ["gpu-amd@1", "gpu"])
def test_a_kept_choice_names_what_it_was_chosen_by(
    tmp_path: Path, shape: str, by: ChosenBy
) -> None:
    kept = TunedShapes(tmp_path)
    kept.put(ONE, OPENCL, TOY, replace(FASTER, shape=shape, by=by))
    found = kept.get(ONE, OPENCL, TOY)
    assert found is not None
    efficient = by is ChosenBy.EFFICIENCY
    assert found.by is by
    assert found.sentence.startswith(f"launch shape {shape}, ")
    assert ("`tune --by efficiency`" in found.sentence) == efficient
    assert ("efficient" in found.sentence) == efficient


@pytest.mark.parametrize("name", variants())
def test_a_choice_can_be_kept_for_every_variant(tmp_path: Path, name: str) -> None:
    kept, variant = TunedShapes(tmp_path), variants()[name]
    assert kept.get(ONE, OPENCL, variant) is None
    kept.put(ONE, OPENCL, variant, FASTER)
    assert kept.get(ONE, OPENCL, variant) == FASTER


def test_every_device_tries_shapes_of_its_kind() -> None:
    cpu = replace(ONE, kind="cpu", vendor="amd")
    assert {shape_named(name).family for name in shapes_to_try(cpu, OPENCL)} == {"vector"}
    own = shape_named("gpu")
    for info, backend in ((ZERO, CUDA), (ONE, OPENCL), (replace(ONE, vendor="intel"), OPENCL)):
        names = shapes_to_try(info, backend)
        assert len(names) > 1
        shapes = [shape_beside(name, own) for name in names]
        assert {shape.family for shape in shapes} == {"lanes"}
        assert [shape.name for shape in shapes if shape.streams == 1] == ["gpu@1"]
    assert shapes_to_try(cpu, REFERENCE) == []
    assert "gpu-rdna" in shapes_to_try(ONE, OPENCL)
    assert "gpu-rdna" not in shapes_to_try(ZERO, CUDA)
    assert "gpu-hbm" in shapes_to_try(ZERO, CUDA)
    assert "gpu-hbm" not in shapes_to_try(replace(ZERO, backend="opencl"), OPENCL)
