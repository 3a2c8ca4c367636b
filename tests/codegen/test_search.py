from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.catalog import variants
from miner.codegen.kernel_source import (
    RESULT_SLOTS,
    KernelSource,
    buffer_shift,
    decide_conditions,
    kernel_text,
    search_source,
)
from miner.codegen.language import LANGUAGES, period_text
from miner.codegen.launch_shape import (
    BUFFER_COUNTS,
    SHAPES,
    STREAM_COUNTS,
    LaunchShape,
    shape_beside,
    shape_named,
)
from miner.errors import BadValue
from miner.progpow.program import program
from miner.progpow.variant import L1_WORDS
from tests.codegen.golden import FOLDER, golden
from tests.codegen.printed import INTRINSICS, sections
from tests.codegen.toys import NAMES

KAWPOW = variants()["kawpow"]
CHOICES = ("ABSORBS_NONCE", "BIG_ENDIAN_HASH", "READS_POSITION_OR_SEED")
"""Names in conditions of kernel files that depend on the variant."""
STRUCTURE = ("SEVERAL_LANES", "PARKED", "ORDERED", "MULTIPLIED", "DYNAMIC_SHARED")
"""Names that depend on the shape."""
EPOCH = KAWPOW.epoch(0)
PAIRS = [
    (dialect, f"{base}{split}")
    for dialect in ("opencl", "cuda")
    for base, shape in SHAPES.items()
    for split in ("", "/2", "/16")
    if dialect == "opencl" or shape.family == "lanes"
]


def structure_of(shape: LaunchShape, dialect: str) -> dict[str, bool]:
    dynamic = dialect == "cuda" and shape.shared_words * 4 > 48 * 1024
    values = (shape.lanes > 1, shape.parked, shape.ordered, shape.multiplied, dynamic)
    return dict(zip(STRUCTURE, values, strict=True))


def source_of(dialect: str, shape: str) -> KernelSource:
    return search_source(KAWPOW, 333, EPOCH, dialect, shape_named(shape))


@pytest.mark.parametrize(
    ("name", "source"), [pytest.param(n, s, id=n) for n, s in golden() if "search" in n]
)
def test_golden(name: str, source: KernelSource) -> None:
    assert source.text == (FOLDER / name).read_text(encoding="ascii"), (
        "if this change is intended: python -m tests.codegen.golden"
    )


def test_every_golden_file_is_used() -> None:
    assert {p.name for p in FOLDER.iterdir()} == {name for name, _ in golden()}


@pytest.mark.parametrize(("dialect", "shape"), PAIRS)
def test_the_same_arguments_give_the_same_source(dialect: str, shape: str) -> None:
    first = source_of(dialect, shape)
    kernel_text.cache_clear()
    program.cache_clear()
    assert source_of(dialect, shape) == first
    assert source_of(dialect, shape).sha256 == first.sha256


@pytest.mark.parametrize(("dialect", "shape"), PAIRS)
def test_streams_do_not_change_the_source(dialect: str, shape: str) -> None:
    shapes = [replace(shape_named(shape), streams=count) for count in STREAM_COUNTS]
    first, second = (search_source(KAWPOW, 333, EPOCH, dialect, one) for one in shapes)
    assert (first.text, first.sha256) == (second.text, second.sha256)
    assert shapes[0] != shapes[1]
    assert shapes[0].compiled == shapes[1].compiled


@pytest.mark.parametrize(
    ("name", "meant", "streams", "buffers"),
    [
        ("gpu", "gpu", 2, 1),
        ("gpu@2", "gpu", 2, 1),
        ("gpu@1", "gpu@1", 1, 1),
        ("gpu-amd@1/4", "gpu-amd@1/4", 1, 4),
        ("cpu", "cpu", 1, 1),
        ("cpu@1/2", "cpu/2", 1, 2),
        ("cpu@2", "cpu@2", 2, 1),
    ],
)
def test_a_name_sets_streams_and_buffers(name: str, meant: str, streams: int, buffers: int) -> None:
    shape = shape_named(name)
    assert (shape.name, shape.streams, shape.buffers) == (meant, streams, buffers)
    assert shape_named(shape.name) == shape
    assert shape.split(8).split(buffers) == shape


def test_a_number_of_streams_alone_means_the_own_shape() -> None:
    own = shape_named("gpu-amd/2")
    assert shape_beside("@1", own) == shape_named("gpu-amd@1")
    assert shape_beside("@2", shape_named("gpu-amd@1")) == shape_named("gpu-amd")
    assert shape_beside("gpu-128", own) == shape_named("gpu-128")
    with pytest.raises(BadValue, match="'gpu-amd@3' is not one of"):
        shape_beside("@3", own)


@pytest.mark.parametrize(("dialect", "shape"), PAIRS)
def test_lines_name_files_of_the_tree_or_generated_ones(dialect: str, shape: str) -> None:
    family = shape_named(shape).family
    names = [name for name, _ in sections(source_of(dialect, shape).text)]
    assert names == [
        "generated/constants.h",
        f"kernels/preludes/{dialect}.h",
        *(f"kernels/{file}" for file in LANGUAGES[dialect].exchange_of(shape_named(shape)).files),
        f"kernels/{family}.h",
        "kernels/keccak.h",
        "kernels/mix.h",
        "generated/period.h",
        f"kernels/search_{family}.h",
    ]


@pytest.mark.parametrize(("dialect", "shape"), PAIRS)
def test_kernel_files_are_included_without_the_choices_of_other_variants(
    dialect: str, shape: str
) -> None:
    for name, text in sections(source_of(dialect, shape).text):
        if name.startswith("kernels/"):
            file = kernel_text(name.removeprefix("kernels/"))
            of_shape = structure_of(shape_named(shape), dialect)
            assert text == decide_conditions(file, dict.fromkeys(CHOICES, False) | of_shape)


def test_only_conditions_with_a_given_name_are_decided() -> None:
    text = "#if A\na\n#if N == 1\nan\n#else\nam\n#endif\n#else\nb\n#endif\n#ifdef A\nc\n#endif\n"
    assert decide_conditions(text, {}) == text
    assert decide_conditions(text, {"A": True}) == (
        "a\n#if N == 1\nan\n#else\nam\n#endif\n#ifdef A\nc\n#endif\n"
    )
    assert decide_conditions(text, {"A": False}) == "b\n#ifdef A\nc\n#endif\n"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dialect", "shape"), [("cuda", "gpu"), ("opencl", "cpu")])
def test_every_choice_is_resolved(name: str, dialect: str, shape: str) -> None:
    variant = variants()[name]
    text = search_source(variant, 5, variant.epoch(0), dialect, shape_named(shape)).text
    assert not [choice for choice in (*CHOICES, *STRUCTURE) if f"#if {choice}" in text]
    assert ("kernels/late_merge.h" in text) == (variant.choices.rotation == "operand")


@pytest.mark.parametrize(("dialect", "shape"), PAIRS)
def test_intrinsics_occur_in_preludes_only(dialect: str, shape: str) -> None:
    for name, text in sections(source_of(dialect, shape).text):
        if name.startswith("kernels/preludes/"):
            assert INTRINSICS.search(text)
        else:
            assert not INTRINSICS.search(text), name


@pytest.mark.parametrize("base", ["gpu", "cpu", "cpu-1"])
def test_one_buffer_has_no_select(base: str) -> None:
    parts = dict(sections(source_of("opencl", base).text))
    assert "BUFFER_SHIFT" not in parts["generated/constants.h"]
    assert "BUFFER_MASK" not in parts["generated/constants.h"]
    assert "#define BUFFERS 1\n" in parts["generated/constants.h"]
    assert "#define DATASET DATASET_BUFFER(0)\n" in parts["generated/constants.h"]
    assert "dataset1" not in source_of("opencl", base).text


@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_variant_and_epoch_are_constants(name: str) -> None:
    variant = variants()[name]
    epoch = variant.epoch(1)
    text = search_source(variant, 5, epoch, "cuda", shape_named("gpu/2")).text
    constants = dict(sections(text))["generated/constants.h"]
    shift = buffer_shift(epoch.entries, 2)
    for key, value in (
        ("GROUP_SIZE", 256),
        ("L1_WORDS", L1_WORDS),
        ("RESULT_SLOTS", RESULT_SLOTS),
        ("REGISTERS", variant.registers),
        ("DAG_LOOPS", variant.dag_loops),
        ("ENTRIES", epoch.entries),
        ("BUFFER_SHIFT", shift),
        ("BUFFER_MASK", (1 << shift) - 1),
    ):
        assert f"#define {key} {value}u\n" in constants
    first = variant.final_padding_at
    assert f"#define ABSORBS_DIGEST {int(variant.absorbs == 'digest')}\n" in constants
    for i, word in enumerate(variant.initial_padding):
        assert f" s[{10 + i}] = {word}u;" in constants
    for i, word in enumerate(variant.final_padding):
        assert f" s[{first + i}] = {word}u;" in constants
    assert f"DO({variant.registers - 1})" in constants
    assert f"DO({variant.registers})" not in constants
    body = period_text(program(variant, 5), SHAPES["gpu"])
    assert dict(sections(text))["generated/period.h"] == body


def test_the_hash_depends_on_all_that_is_compiled() -> None:
    other = variants()["progpow-0.9.3"]
    gpu = shape_named("gpu")
    sources = [
        search_source(KAWPOW, 333, EPOCH, "cuda", gpu),
        search_source(KAWPOW, 334, EPOCH, "cuda", gpu),
        search_source(KAWPOW, 333, KAWPOW.epoch(1), "cuda", gpu),
        search_source(KAWPOW, 333, EPOCH, "opencl", gpu),
        search_source(KAWPOW, 333, EPOCH, "cuda", gpu.split(2)),
        search_source(KAWPOW, 333, EPOCH, "cuda", shape_named("gpu-128")),
        search_source(other, 333, EPOCH, "cuda", gpu),
    ]
    assert len({source.sha256 for source in sources}) == len(sources)
    base = sources[0]
    assert replace(base, title="another").sha256 == base.sha256
    assert replace(base, options=("-G",)).sha256 != base.sha256
    assert base.title == "kawpow search period 333 epoch 0 shape gpu"
    assert base.entry == "search"


@given(st.integers(1, 2**30), st.sampled_from(BUFFER_COUNTS))
def test_buffers_hold_all_entries_and_no_smaller_power_does(entries: int, buffers: int) -> None:
    shift = buffer_shift(entries, buffers)
    assert buffers << shift >= entries
    assert 256 << shift >= 4 * L1_WORDS, "the L1 cache is copied from the first buffer"
    assert 256 << shift == 4 * L1_WORDS or buffers << (shift - 1) < entries


@pytest.mark.parametrize("buffers", BUFFER_COUNTS[1:])
def test_each_buffer_is_selected_by_its_number(buffers: int) -> None:
    constants = dict(sections(source_of("opencl", f"gpu/{buffers}").text))["generated/constants.h"]
    (text,) = re.findall(r"#define BUFFER\(number\) (.*)\n", constants)
    for number in range(buffers):
        left = text.replace("(number)", str(number)).replace("u ?", " ?")
        while found := re.search(r"\((\d+) > (\d+) \? (\w+) : (\w+)\)", left):
            chosen = found[3] if int(found[1]) > int(found[2]) else found[4]
            left = left.replace(found[0], chosen)
        assert left == f"dataset{number}"
    listed = ", ".join(f"DATASET_BUFFER({number})" for number in range(buffers))
    assert f"#define DATASET {listed}\n" in constants


def test_unknown_names_and_unsupported_shapes_are_errors() -> None:
    with pytest.raises(BadValue, match=r"^shape: 'cpu' needs 16-word vectors, cuda has none$"):
        source_of("cuda", "cpu")
    with pytest.raises(BadValue, match=r"^dialect: 'metal' is not one of opencl, cuda$"):
        source_of("metal", "gpu")
    with pytest.raises(
        BadValue, match=r"^shape: 'gpu/3' is not one of gpu, .* with /2, /4, /8 or /16$"
    ):
        shape_named("gpu/3")
    for unknown in ("gpu@3", "gpu@1@2", "gpu/2@1", "@1"):
        with pytest.raises(
            BadValue, match=r"^shape: '.*' is not one of gpu, .* @1 or @2, and with"
        ):
            shape_named(unknown)
    with pytest.raises(BadValue, match=r"^shape: 'tpu' is not one of "):
        shape_named("tpu")
    with pytest.raises(BadValue, match=r"^buffers: 3 is not one of 1, 2, 4, 8, 16$"):
        shape_named("gpu").split(3)
