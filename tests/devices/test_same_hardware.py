"""Hardware that several platforms show."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.devices.same_hardware import first_entries
from miner.work import DeviceInfo
from tests.devices.infos import CARD, info_of


@pytest.mark.parametrize(
    ("other", "wanted"),
    [
        ({"name": "cuda:0"}, True),
        ({"name": "opencl:0.0"}, True),
        ({"name": "opencl:1.1"}, False),
        ({"name": "cuda:0", "uuid": "GPU-00AA-FF", "pci": None}, True),
        ({"name": "cuda:0", "uuid": "MIG-1"}, False),
        ({"name": "cuda:0", "uuid": None}, True),
        ({"name": "opencl:2.0", "uuid": "an own one of the platform"}, True),
        ({"name": "cuda:0", "uuid": None, "pci": "0000:0b:00.0"}, False),
        ({"name": "cuda:0", "uuid": None, "pci": None}, True),
        ({"name": "cuda:0", "uuid": None, "pci": None, "units": 7777}, False),
        ({"name": "cuda:0", "uuid": None, "pci": None, "kind": "cpu"}, False),
        ({"name": "cuda:0", "uuid": None, "pci": None, "memory": 1 << 20}, False),
        ({"name": "cuda:0", "uuid": None, "pci": None, "model": "NVIDIA RTX 3080"}, False),
        ({"name": "cuda:0", "uuid": "GPU-1", "pci": None}, False),
    ],
)
def test_two_platforms_may_show_the_same_card(other: dict[str, Any], wanted: bool) -> None:
    facts = {"backend": other["name"].partition(":")[0]} | other
    seen = replace(CARD, **facts)
    assert first_entries([CARD, seen]) == ({seen.name: CARD.name} if wanted else {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("AMD EPYC", "cpu-haswell-AMD EPYC"),
        ("Intel(R) Core(TM) i7-8700 CPU @ 3.20GHz", "pthread-Intel(R) Core(TM) i7-8700"),
        ("AMD Radeon RX 6800 (gfx1030)", "AMD Radeon RX 6800 (radeonsi, navi21, LLVM 15.0.6)"),
        ("AMD Ryzen 7 5800X 8-Core Processor", "AMD Ryzen 7 5800X"),
    ],
)
def test_each_platform_decorates_the_model_in_its_own_way(one: str, other: str) -> None:
    a, b = (
        info_of(f"opencl:{n}.0", model=model, memory=8 << 30)
        for n, model in enumerate((one, other))
    )
    assert first_entries([a, replace(b, memory=6 << 30)]) == {"opencl:1.0": "opencl:0.0"}


def test_platforms_may_report_any_part_of_the_hosts_memory_for_its_cpu() -> None:
    intel = info_of("opencl:0.0", "cpu", model="AMD EPYC", memory=24 << 30)
    pocl = info_of("opencl:1.0", "cpu", model="pthread-skylake-avx512-AMD EPYC", memory=14 << 30)
    assert first_entries([intel, pocl]) == {"opencl:1.0": "opencl:0.0"}
    gpus = [replace(info, kind="gpu") for info in (intel, pocl)]
    assert first_entries(gpus) == {}


def test_equal_cards_are_matched_one_by_one() -> None:
    def card(name: str, pci: str | None = None) -> DeviceInfo:
        return info_of(name, model="AMD Radeon RX 580", pci=pci)

    found = [
        card("opencl:0.0", "0000:01:00.0"), card("opencl:0.1", "0000:02:00.0"),
        card("opencl:1.0", "0000:02:00.0"), card("opencl:1.1", "0000:01:00.0"),
        card("opencl:2.0"), card("opencl:2.1"), card("opencl:2.2"),
    ]  # fmt: skip
    assert first_entries(found) == {
        "opencl:1.0": "opencl:0.1", "opencl:1.1": "opencl:0.0",
        "opencl:2.0": "opencl:0.0", "opencl:2.1": "opencl:0.1",
    }  # fmt: skip


A = {"model": "AMD Radeon RX 580"}
B = {"model": "Radeon RX 580 Series", "units": 9}
"""Two names of one card, which a platform each has."""
BUS_1, BUS_2 = "0000:01:00.0", "0000:02:00.0"


@pytest.mark.parametrize(
    ("cards", "first"),
    [
        (
            [("opencl:0.0", A), ("opencl:1.0", A | {"pci": BUS_1}), ("opencl:2.0", {"pci": BUS_1})],
            {"opencl:1.0": "opencl:0.0", "opencl:2.0": "opencl:0.0"},
        ),
        (
            [("cuda:0", {"uuid": "GPU-1"}), ("opencl:0.0", B | {"pci": BUS_1}),
             ("opencl:1.0", {"uuid": "GPU-1", "pci": BUS_1})],
            {"opencl:0.0": "cuda:0", "opencl:1.0": "cuda:0"},
        ),
        (
            [("cuda:0", A | {"uuid": "GPU-1"}), ("cuda:1", A | {"uuid": "GPU-2"}),
             ("opencl:0.0", A | {"pci": BUS_2}), ("opencl:0.1", A | {"pci": BUS_1}),
             ("opencl:1.0", A | {"uuid": "GPU-1", "pci": BUS_1}),
             ("opencl:1.1", A | {"uuid": "GPU-2", "pci": BUS_2})],
            {"opencl:0.0": "cuda:1", "opencl:0.1": "cuda:0", "opencl:1.0": "cuda:0",
             "opencl:1.1": "cuda:1"},
        ),
        (
            [("opencl:0.0", A), ("opencl:0.1", A), ("opencl:1.0", A), ("opencl:1.1", A)],
            {"opencl:1.0": "opencl:0.0", "opencl:1.1": "opencl:0.1"},
        ),
        (
            [("opencl:0.0", A), ("opencl:1.0", A | {"pci": BUS_1}),
             ("opencl:2.0", A | {"pci": BUS_2})],
            {"opencl:1.0": "opencl:0.0"},
        ),
    ],
    ids=["equal, then by address", "by what a third one adds", "twins in another order",
         "twins without addresses", "two cards, one of them also without address"],
)  # fmt: skip
def test_what_one_platform_reports_identifies_the_entries_of_the_others(
    cards: list[tuple[str, dict[str, Any]]], first: dict[str, str]
) -> None:
    assert first_entries([info_of(name, **facts) for name, facts in cards]) == first


@given(st.data())
def test_a_card_is_used_once_whatever_the_platforms_report_of_it(data: st.DataObject) -> None:
    models = data.draw(st.lists(st.sampled_from("AB"), min_size=1, max_size=4))
    found, card_of = [], {}
    for platform in range(data.draw(st.integers(1, 4))):
        has_address, has_uuid = data.draw(st.booleans()), data.draw(st.booleans())
        listed = data.draw(st.lists(st.sampled_from(range(len(models))), unique=True))
        for number, card in enumerate(listed):
            info = info_of(
                f"opencl:{platform}.{number}",
                model=models[card],
                pci=f"0000:0{card}:00.1" if has_address else None,
                uuid=f"GPU-{card}" if has_uuid else None,
            )
            found.append(info)
            card_of[info.name] = card
    first = first_entries(found)
    assert not set(first.values()) & set(first), "the first entry of a card is not another's"
    for a, b in combinations(found, 2):
        same = first.get(a.name, a.name) == first.get(b.name, b.name)
        assert not (same and a.name[:9] == b.name[:9]), "a platform lists a card once"
        if (a.pci and b.pci) or (a.uuid and b.uuid):
            assert same == (card_of[a.name] == card_of[b.name])


def test_the_reference_is_not_another_view_of_the_cpu() -> None:
    ref = info_of("ref", "cpu", model="CPU reference, one core")
    assert first_entries([info_of("opencl:0.0", "cpu", model="AMD EPYC"), ref]) == {}
