"""Readers of the panels' formats, rewritten from the originals: HiveOS's stats scripts for each
miner and the filter of its agent, SimpleMining's script, mmpOS's agent.

Each gives a `Farm`: what the owner of a rig then sees. A script that cannot read an answer raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Farm:
    khs: float
    hs: list[float]
    """kH/s of each card."""
    accepted: int
    rejected: int
    invalid: int | None = None
    temp: list[int] | None = None
    fan: list[int] | None = None
    uptime: int | None = None
    bus: list[int | None] | None = None
    algo: str | None = None
    ver: str | None = None


def parse_strictly(text: str | bytes) -> Any:
    """Parse JSON as jq and agents in Go do: no NaN, no Infinity, no integers over 64 bits."""

    def refuse(word: str) -> Any:
        raise AssertionError(word)

    def int_of_64_bits(digits: str) -> int:
        assert -(2**63) <= int(digits) < 2**63, digits
        return int(digits)

    return json.loads(text, parse_constant=refuse, parse_int=int_of_64_bits)


def five_digits(value: float) -> float:
    return float(f"{value:.5g}")


def within(value: Any, low: float, high: float) -> float:
    """The rule of HiveOS's agent: a value that is not a number or outside the range is 0."""
    if isinstance(value, str):
        value = float(value)
    return value if isinstance(value, int | float) and low <= value <= high else 0


def cleaned(
    khs: Any,
    hs: Iterable[Any],
    temp: Iterable[Any],
    fan: Iterable[Any],
    accepted: Any,
    rejected: Any,
    invalid: Any = None,
    **others: Any,
) -> Farm:
    """A script's variables as HiveOS's agent filters them; raises if a count is not a number."""
    return Farm(
        khs=five_digits(within(khs, 0, 999_999_999)),
        hs=[five_digits(within(one, 0, 999_999_999)) for one in hs],
        temp=[round(within(one, -100, 200)) for one in temp],
        fan=[round(within(one, 0, 100)) for one in fan],
        accepted=int(accepted),
        rejected=int(rejected),
        invalid=None if invalid is None else int(invalid),
        **others,
    )


def hive_ethminer(line: bytes) -> Farm:
    """Reads `miner_getstat1` over TCP; nine strings, split at semicolons."""
    raw = parse_strictly(line)["result"]
    assert all(isinstance(text, str) for text in raw)
    khs, accepted, rejected = raw[2].split(";")
    heat = raw[6].split(";") if raw[6] else []
    return cleaned(
        float(khs),
        [float(one) for one in raw[3].split(";") if one],
        heat[0::2],
        heat[1::2],
        accepted,
        rejected,
        invalid=raw[8].split(";")[0],
        uptime=int(raw[1]) * 60,
        ver=raw[0],
    )


def foreman_ethminer(line: bytes) -> Farm:
    """Reads `miner_getstathr` over TCP as Foreman's agent does; minutes are a text."""
    raw = parse_strictly(line)["result"]
    numbers = [*raw["temperatures"], *raw["fanpercentages"], *raw["ethhashrates"]]
    assert all(type(value) is int for value in numbers)
    assert len(raw["temperatures"]) == len(raw["fanpercentages"]) == len(raw["ispaused"])
    return cleaned(
        raw["ethhashrate"] / 1000,
        [rate / 1000 for rate in raw["ethhashrates"]],
        raw["temperatures"],
        raw["fanpercentages"],
        raw["ethshares"],
        raw["ethrejected"],
        invalid=raw["ethinvalid"],
        uptime=int(raw["runtime"]) * 60,
        ver=raw["version"],
    )


def hive_trex(text: str | bytes) -> Farm:
    """`/summary`: rates in H/s; a card without a sensor has no such key, which jq reads as null."""
    raw = parse_strictly(text)
    gpus = raw["gpus"]
    assert all(isinstance(gpu["hashrate"], int) for gpu in gpus)
    return cleaned(
        raw["hashrate"] / 1000,
        [gpu["hashrate"] / 1000 for gpu in gpus],
        [gpu.get("temperature") for gpu in gpus],
        [gpu.get("fan_speed") for gpu in gpus],
        raw["accepted_count"],
        raw["rejected_count"],
        invalid=raw["invalid_count"],
        uptime=raw["uptime"],
        bus=[gpu.get("pci_bus") for gpu in gpus],
        algo=raw["algorithm"],
        ver=raw["version"],
    )


def hive_xmrig(text: str | bytes, backends: str | bytes = b"[]") -> Farm:
    """`/api.json`, and `/2/backends` for the cards; awk reads null as 0."""
    raw = parse_strictly(text)
    rate = raw["hashrate"]
    good = raw["results"]["shares_good"]
    assert isinstance(raw["connection"]["uptime"], int)
    cards = {card["index"]: card for one in parse_strictly(backends) for card in one["threads"]}
    health = [cards[index]["health"] for index in sorted(cards)]
    return cleaned(
        (rate["total"][0] or 0) / 1000,
        [(one[0] or 0) / 1000 for one in rate["threads"]],
        [one["temperature"] for one in health],
        [(one["fan_speed"] or [None])[0] for one in health],
        good,
        raw["results"]["shares_total"] - good,
        bus=[_hex_bus(cards[index]["bus_id"]) for index in sorted(cards)],
        algo=raw["algo"],
        ver=raw["version"],
    )


def _hex_bus(text: str | None) -> int | None:
    return int(text.split(":")[0], 16) if text else None


def hive_teamred(data: bytes) -> Farm:
    """`{"command":"summary+devs"}` on 4028; the version is the second word of a description."""
    raw = parse_strictly(data.removesuffix(b"\0"))
    summary = raw["summary"]["SUMMARY"][0]
    devs = raw["devs"]["DEVS"]
    return cleaned(
        summary["KHS 30s"],
        [dev["KHS 30s"] for dev in devs],
        [dev.get("Temperature") for dev in devs],
        [dev.get("Fan Percent") for dev in devs],
        summary["Accepted"],
        summary["Rejected"],
        invalid=summary["Hardware Errors"],
        uptime=summary["Elapsed"],
        ver=raw["summary"]["STATUS"][0]["Description"].split()[1],
    )


def hive_custom(text: str | bytes) -> Farm:
    """A custom miner's two variables, `khs` and `stats`."""
    raw = parse_strictly(text)
    stats = raw["stats"]
    unit = {"hs": 1e-3, "khs": 1.0, "mhs": 1e3, "ghs": 1e6}[stats["hs_units"]]
    size = len(stats["hs"])
    assert [len(stats[key]) for key in ("temp", "fan", "bus_numbers", "power")] == [size] * 4
    accepted, rejected, invalid, each = stats["ar"]
    assert [int(one) for one in each.split(";") if one] or size == 0
    assert sum(int(one) for one in each.split(";") if one) == invalid
    assert all(bus is None or 0 <= bus <= 255 for bus in stats["bus_numbers"])
    return cleaned(
        raw["khs"],
        [one * unit for one in stats["hs"]],
        stats["temp"],
        stats["fan"],
        accepted,
        rejected,
        invalid=invalid,
        uptime=stats["uptime"],
        bus=stats["bus_numbers"],
        algo=stats["algo"],
        ver=stats["ver"],
    )


def simple_mining(data: bytes) -> Farm:
    """SimpleMining's branch for archives named teamredminer: four joined commands, two of them
    answered by a rig with one coin; it reads "KHS 30s" only."""
    raw = parse_strictly(data.removesuffix(b"\0"))
    assert raw["summary2"].get("SUMMARY") is None
    assert raw["devs2"].get("DEVS") is None
    found = re.findall(r'"KHS 30s":\s*([0-9.eE+-]+)', data.decode())
    devs = raw["devs"]["DEVS"]
    rates = [float(one) for one in found]
    assert len(rates) == len(devs) + 1
    (summary,) = raw["summary"]["SUMMARY"]
    return Farm(
        khs=summary["KHS 30s"],
        hs=[dev["KHS 30s"] for dev in devs],
        accepted=summary["Accepted"],
        rejected=summary["Rejected"],
    )


def mmpos_agent(text: str | bytes) -> Farm:
    """`/mmpos`; as many buses as rates, and accepted, invalid, rejected in that order."""
    raw = parse_strictly(text)
    unit = {"hs": 1e-3, "khs": 1.0, "mhs": 1e3, "ghs": 1e6, "ths": 1e9}[raw["units"]]
    assert len(raw["busid"]) == len(raw["hash"])
    accepted, invalid, rejected = (int(one) for one in raw["air"])
    for name, total in (("accepted", accepted), ("invalid", invalid), ("rejected", rejected)):
        assert len(raw["shares"][name]) == len(raw["hash"])
        assert sum(raw["shares"][name]) == total
    assert raw["miner_name"]
    return Farm(
        khs=sum(raw["hash"]) * unit,
        hs=[one * unit for one in raw["hash"]],
        accepted=accepted,
        rejected=rejected,
        invalid=invalid,
        bus=[None if one == "cpu" else one for one in raw["busid"]],
        ver=raw["miner_version"],
    )


def plain(data: bytes) -> list[dict[str, str]]:
    """cgminer's plain text: sections end with "|", values with ",", a backslash escapes."""
    assert data.endswith(b"|\0")
    sections = []
    for section in re.split(r"(?<!\\)\|", data[:-1].decode())[:-1]:
        values = {}
        for pair in re.split(r"(?<!\\),", section):
            key, _, value = pair.partition("=")
            values[key] = re.sub(r"\\(.)", r"\1", value)
        sections.append(values)
    return sections
