from __future__ import annotations

from dataclasses import replace

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import (
    KernelSource,
    dataset_source,
    group_size,
    kernel_text,
    nodes_per_group,
)
from miner.codegen.language import LANGUAGES
from miner.codegen.launch_shape import SHAPES, LaunchShape, shape_named
from miner.errors import BadValue
from tests.codegen.golden import FOLDER, golden
from tests.codegen.printed import INTRINSICS, sections
from tests.codegen.toys import NAMES

EPOCH = variants()["kawpow"].epoch(0)
PAIRS = [
    (dialect, name)
    for dialect in ("opencl", "cuda")
    for name, shape in SHAPES.items()
    if dialect == "opencl" or shape.family == "lanes"
]


@pytest.mark.parametrize(
    ("name", "source"), [pytest.param(n, s, id=n) for n, s in golden() if "dataset" in n]
)
def test_golden(name: str, source: KernelSource) -> None:
    assert source.text == (FOLDER / name).read_text(encoding="ascii"), (
        "if this change is intended: python -m tests.codegen.golden"
    )


@pytest.mark.parametrize(("dialect", "shape"), PAIRS)
def test_parts(dialect: str, shape: str) -> None:
    source = dataset_source(EPOCH, dialect, shape_named(shape))
    family = shape_named(shape).family
    parts = sections(source.text)
    assert [name for name, _ in parts] == [
        "generated/constants.h",
        f"kernels/preludes/{dialect}.h",
        *(f"kernels/{file}" for file in LANGUAGES[dialect].exchange_of(shape_named(shape)).files),
        "kernels/keccak.h",
        f"kernels/dataset_{family}.h",
    ]
    for name, text in parts[1:]:
        assert text == kernel_text(name.removeprefix("kernels/"))
        assert bool(INTRINSICS.search(text)) == name.startswith("kernels/preludes/")
    constants = parts[0][1]
    assert f"#define LIGHT_ITEMS {EPOCH.light_items}u\n" in constants
    assert f"#define PARENTS {EPOCH.parents}u\n" in constants
    assert source == dataset_source(EPOCH, dialect, shape_named(shape))
    assert source.entry == "dataset"


@pytest.mark.parametrize("name", NAMES)
def test_the_source_depends_on_light_cache_and_parents_only(name: str) -> None:
    gpu = shape_named("gpu")
    epoch = variants()[name].epoch(3)
    source = dataset_source(epoch, "cuda", gpu)
    larger = replace(epoch, dataset_items=epoch.dataset_items * 2 + 1)
    assert dataset_source(larger, "cuda", gpu).sha256 == source.sha256
    assert dataset_source(epoch, "cuda", gpu.split(4)).sha256 == source.sha256
    other = variants()[name].epoch(4)
    assert dataset_source(other, "cuda", gpu).sha256 != source.sha256
    doubled = replace(epoch, parents=epoch.parents * 2)
    assert dataset_source(doubled, "cuda", gpu).sha256 != source.sha256


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda s: s.name)
def test_a_group_computes_whole_nodes(shape: LaunchShape) -> None:
    lanes = shape.family == "lanes"
    assert group_size(shape) == (nodes_per_group(shape) * 4 if lanes else 1)


def test_cuda_has_no_vectors() -> None:
    with pytest.raises(BadValue, match=r"^shape: 'cpu' needs 16-word vectors"):
        dataset_source(EPOCH, "cuda", shape_named("cpu"))
