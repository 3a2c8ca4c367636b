"""Every view of a running miner read at one time, as facts that can be held against each other."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from miner.ledger import Filter, LedgerReader
from miner.work import Outcome

RIG = "the rig"
REFUSED = ("stale", "low_difficulty", "duplicate", "invalid", "unauthorized")
"""The outcomes that panels call rejected."""

OUTCOMES = ("accepted", *REFUSED, "not_sent", "lost")
PHRASES = {outcome.phrase: outcome.value for outcome in Outcome}
"""What a person reads, to what every other view calls it."""

PANELS = ("/summary", "/2/summary", "/mmpos", "/hiveos")
MOST_ROWS = 1000
"""Of the ledger, in one answer of the API."""


@dataclass(frozen=True)
class Fact:
    """What one view says of one thing."""

    view: str
    of: str
    """A device's name, or the rig."""
    what: str
    value: float


@dataclass(frozen=True)
class Ports:
    """Where a miner answers on loopback."""

    http: int
    ethminer: int
    sgminer: int
    token: str

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http}{path}"

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def disagreements(facts: Iterable[Fact]) -> list[str]:
    """Return a sentence for each thing of which two views say something else."""
    said: dict[tuple[str, str], dict[float, list[str]]] = defaultdict(lambda: defaultdict(list))
    for fact in facts:
        said[fact.of, fact.what][fact.value].append(fact.view)
    return [
        f"{of}, {what}: " + "; ".join(f"{value:g} in {', '.join(v)}" for value, v in values.items())
        for (of, what), values in said.items()
        if len(values) > 1
    ]


async def answer(session: aiohttp.ClientSession, ports: Ports, path: str) -> bytes:
    async with session.get(ports.url(path)) as response:
        assert response.status == 200, (path, response.status)
        return await response.read()


async def status(session: aiohttp.ClientSession, ports: Ports) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await answer(session, ports, "/api/v1/status"))
    return found


async def post(session: aiohttp.ClientSession, ports: Ports, path: str) -> dict[str, Any]:
    async with session.post(ports.url(path), headers=ports.bearer) as response:
        assert response.status == 200, (path, await response.text())
        found: dict[str, Any] = await response.json()
        return found


async def streamed(session: aiohttp.ClientSession, ports: Ports) -> dict[str, Any]:
    """Return the first status that the stream of events brings."""
    async with session.get(ports.url("/api/v1/stream")) as response:
        kind = b""
        async for line in response.content:
            if line.startswith(b"event:"):
                kind = line.partition(b":")[2].strip()
            elif line.startswith(b"data:") and kind == b"status":
                found: dict[str, Any] = json.loads(line.partition(b":")[2])
                return found
    raise AssertionError("the stream ended without a status")


async def rpc(port: int, method: str) -> Any:
    """Ask ethminer's port."""
    request = json.dumps({"id": 1, "jsonrpc": "2.0", "method": method}).encode() + b"\n"
    return json.loads(await _exchanged(port, request, b"\n"))["result"]


async def sgminer(port: int, command: str) -> dict[str, Any]:
    """Ask sgminer's port."""
    request = json.dumps({"command": command}).encode()
    found: dict[str, Any] = json.loads((await _exchanged(port, request, b"\0"))[:-1])
    return found


async def _exchanged(port: int, request: bytes, end: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    found = await reader.readuntil(end)
    writer.close()
    await writer.wait_closed()
    return found


async def read_all(session: aiohttp.ClientSession, ports: Ports, ledger: Path) -> list[Fact]:
    """Read every view that can be asked, and the ledger's file."""
    whole = await status(session, ports)
    names = [device["name"] for device in whole["devices"]]
    labels = {device["pci"] or device["name"]: device["name"] for device in whole["devices"]}
    facts = [*of_status("status", whole)]
    facts += of_status("stream", await streamed(session, ports))
    devices = json.loads(await answer(session, ports, "/api/v1/devices"))
    facts += [fact for one in devices for fact in _of_device("devices", one)]
    pools = json.loads(await answer(session, ports, "/api/v1/pools"))
    facts += _outcomes("pools", RIG, _summed(pool["shares"]["outcomes"] for pool in pools))
    facts += of_metrics((await answer(session, ports, "/metrics")).decode(), labels)
    panels = {path: json.loads(await answer(session, ports, path)) for path in PANELS}
    facts += of_trex(panels["/summary"], names)
    facts += of_xmrig(panels["/2/summary"])
    facts += of_mmpos(panels["/mmpos"], names)
    facts += of_hiveos(panels["/hiveos"], names)
    facts += of_getstat1(await rpc(ports.ethminer, "miner_getstat1"))
    facts += of_getstatdetail(await rpc(ports.ethminer, "miner_getstatdetail"), names)
    summary, devs = [await sgminer(ports.sgminer, command) for command in ("summary", "devs")]
    facts += of_sgminer(RIG, summary["SUMMARY"][0])
    facts += [fact for one in devs["DEVS"] for fact in of_sgminer(names[one["GPU"]], one)]
    rows = json.loads(await answer(session, ports, f"/api/v1/shares?limit={MOST_ROWS}"))["shares"]
    if len(rows) < MOST_ROWS:
        facts += of_rows(rows, names)
    return facts + await asyncio.to_thread(lambda: list(of_ledger(ledger, names)))


def of_status(view: str, whole: Mapping[str, Any]) -> Iterator[Fact]:
    """Read a status of the API."""
    yield from _of_device(view, {**whole, "name": RIG})
    yield Fact(view, RIG, "megahashes", round(whole["tried"] / 1e6, 4))
    for device in whole["devices"]:
        yield from _of_device(view, device)
        yield Fact(view, device["name"], "megahashes", round(device["tried"] / 1e6, 4))


def of_line(view: str, status: Mapping[str, Any]) -> Iterator[Fact]:
    """Read a status that the console or the log wrote as JSON."""
    for one in ({**status, "name": RIG}, *status["devices"]):
        yield Fact(view, one["name"], "faults", one["faults"])
        yield from _sums(view, one["name"], one["shares"])


def of_entries(view: str, entries: Iterable[Mapping[str, Any]]) -> Iterator[Fact]:
    """Count the shares of which a log in JSON tells."""
    told: dict[str, float] = defaultdict(float)
    for entry in entries:
        if entry["topic"] == "share" and entry["level"] != "debug":
            said = next(phrase for phrase in PHRASES if entry["text"].startswith(phrase))
            more = re.search(r"\(repeated (once|\d+ times)\)$", entry["text"])
            told[PHRASES[said]] += int(more[1].split()[0].replace("once", "1")) if more else 1
    yield from _outcomes(view, RIG, told)


def of_summary(view: str, lines: Iterable[str]) -> Iterator[Fact]:
    """Read the lines that end a run."""
    first, second = lines
    counted, _, others = first.partition(" shares accepted, not accepted: ")
    told = {PHRASES[said]: int(n) for n, said in re.findall(r"(\d+) ([^,]+)", others)}
    yield from _outcomes(view, RIG, {"accepted": int(counted), **told})
    yield Fact(view, RIG, "tried", int(second.partition(" hashes")[0].replace(",", "")))
    yield Fact(view, RIG, "faults", int(second.rpartition("; ")[2].partition(" ")[0]))


def of_metrics(text: str, labels: Mapping[str, str]) -> Iterator[Fact]:
    names = {
        "progpow_miner_hashes_total": "tried",
        "progpow_miner_shares_found_total": "found",
        "progpow_miner_device_faults_total": "faults",
    }
    sums: dict[str, float] = defaultdict(float)
    shares: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            device = labels.get(sample.labels.get("device", ""), "")
            if what := names.get(sample.name):
                yield Fact("metrics", device, what, sample.value)
                sums[what] += sample.value
            elif sample.name == "progpow_miner_shares_total":
                for of in (device, RIG):
                    shares[of][sample.labels["outcome"]] += sample.value
    for what, value in sums.items():
        yield Fact("metrics", RIG, what, value)
    for of, counts in shares.items():
        yield Fact("metrics", of, "hardware", counts.pop("hardware"))
        yield from _outcomes("metrics", of, counts)


def of_trex(told: Mapping[str, Any], names: list[str]) -> Iterator[Fact]:
    for of, one in ((RIG, told), *zip(names, told["stat_by_gpu"], strict=True)):
        counts = (one["accepted_count"], one["rejected_count"], one["invalid_count"])
        yield from _panel("/summary", of, *counts)


def of_xmrig(told: Mapping[str, Any]) -> Iterator[Fact]:
    results = told["results"]
    yield Fact("/2/summary", RIG, "accepted", results["shares_good"])
    yield Fact("/2/summary", RIG, "refused", results["shares_total"] - results["shares_good"])


def of_mmpos(told: Mapping[str, Any], names: list[str]) -> Iterator[Fact]:
    accepted, invalid, rejected = told["air"]
    yield from _panel("/mmpos", RIG, accepted, rejected, invalid)
    columns = [told["shares"][key] for key in ("accepted", "rejected", "invalid")]
    for of, *counts in zip(names, *columns, strict=True):
        yield from _panel("/mmpos", of, *counts)


def of_hiveos(told: Mapping[str, Any], names: list[str]) -> Iterator[Fact]:
    accepted, rejected, invalid, each = told["stats"]["ar"]
    yield from _panel("/hiveos", RIG, accepted, rejected, invalid)
    for of, count in zip(names, each.split(";"), strict=True):
        yield Fact("/hiveos", of, "hardware", int(count))


def of_getstat1(told: list[str]) -> Iterator[Fact]:
    _, accepted, rejected = told[2].split(";")
    yield from _panel("getstat1", RIG, int(accepted), int(rejected), int(told[8].split(";")[0]))


def of_getstatdetail(told: Mapping[str, Any], names: list[str]) -> Iterator[Fact]:
    yield from _panel("getstatdetail", RIG, *told["mining"]["shares"][:3])
    for of, one in zip(names, told["devices"], strict=True):
        yield from _panel("getstatdetail", of, *one["mining"]["shares"][:3])


def of_sgminer(of: str, row: Mapping[str, Any]) -> Iterator[Fact]:
    yield from _panel("sgminer", of, row["Accepted"], row["Rejected"], row["Hardware Errors"])
    yield Fact("sgminer", of, "megahashes", row["Total MH"])
    if of == RIG:
        yield Fact("sgminer", of, "not_sent", row["Stale"])
        yield Fact("sgminer", of, "lost", row["Remote Failures"])


def of_rows(rows: Iterable[Mapping[str, Any]], names: list[str]) -> Iterator[Fact]:
    """Read the ledger's rows as the API gives them."""
    counts: dict[str, dict[str, float]] = {name: defaultdict(float) for name in (RIG, *names)}
    for row in rows:
        for of in (RIG, row["device"]):
            counts[of][row["outcome"]] += 1
    yield from _of_counts("shares", counts)


def of_ledger(path: Path, names: list[str]) -> Iterator[Fact]:
    """Read the sums of the newest run in the ledger's file; blocks."""
    counts: dict[str, dict[str, float]] = {name: defaultdict(float) for name in (RIG, *names)}
    found: dict[str, int] = dict.fromkeys(counts, 0)
    for total in LedgerReader(path).sums(Filter(run="last"), by=("device", "outcome")):
        device, outcome = map(str, total.group)
        for of in (RIG, device):
            counts[of][outcome] += total.shares
            found[of] += total.found
    yield from _of_counts("ledger", counts)
    for of, number in found.items():
        yield Fact("ledger", of, "found", number)


def _of_counts(view: str, counts: Mapping[str, dict[str, float]]) -> Iterator[Fact]:
    for of, told in counts.items():
        yield Fact(view, of, "hardware", told.pop("hardware", 0))
        yield from _outcomes(view, of, told)


def _of_device(view: str, one: Mapping[str, Any]) -> Iterator[Fact]:
    of = one["name"]
    for what in ("tried", "found", "faults"):
        yield Fact(view, of, what, one[what])
    yield from _sums(view, of, one["shares"])
    yield from _outcomes(view, of, one["shares"]["outcomes"])


def _sums(view: str, of: str, shares: Mapping[str, Any]) -> Iterator[Fact]:
    """Read the classes into which the API puts shares."""
    for what in ("accepted", "hardware", "invalid"):
        yield Fact(view, of, what, shares[what])
    yield Fact(view, of, "lost", shares["lost"])
    yield Fact(view, of, "late", shares["stale"])
    yield Fact(view, of, "otherwise refused", shares["rejected"])


def _outcomes(view: str, of: str, told: Mapping[str, float]) -> Iterator[Fact]:
    """Read shares by their outcome, and sort them as the others do."""
    strange = set(told) - set(OUTCOMES)
    yield Fact(view, of, "without a known outcome", sum(told[word] for word in strange))
    for word in OUTCOMES:
        yield Fact(view, of, word, told.get(word, 0))
    yield Fact(view, of, "refused", sum(told.get(word, 0) for word in REFUSED))
    yield Fact(view, of, "late", told.get("stale", 0) + told.get("not_sent", 0))
    other = ("low_difficulty", "duplicate", "unauthorized")
    yield Fact(view, of, "otherwise refused", sum(told.get(word, 0) for word in other))


def _panel(view: str, of: str, accepted: int, refused: int, hardware: int) -> Iterator[Fact]:
    yield Fact(view, of, "accepted", accepted)
    yield Fact(view, of, "refused", refused)
    yield Fact(view, of, "hardware", hardware)


def _summed(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for counts in each:
        for word, count in counts.items():
            total[word] += count
    return dict(total)
