"""What the first run on a card needs beside the miner's commands: see first-run-on-a-gpu.sh."""

from __future__ import annotations

import argparse
import json
import platform
import re
import resource
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from miner import __version__  # noqa: E402
from miner.catalog import variants  # noqa: E402
from miner.codegen.kernel_source import search_source  # noqa: E402
from miner.devices.device import Device, fill  # noqa: E402
from miner.devices.known_answers import EVERY_NONCE, selftest  # noqa: E402
from miner.devices.registry import find_devices, named  # noqa: E402
from miner.devices.selection import are_one  # noqa: E402
from miner.errors import DeviceError, MinerError  # noqa: E402
from miner.ledger.schema import UNANSWERED  # noqa: E402
from miner.progpow.epoch import FixedSizes  # noqa: E402
from miner.progpow.hashing import Hasher, Light  # noqa: E402
from miner.progpow.light import light_cache  # noqa: E402
from miner.work import DeviceInfo, Job, NonceRange, NonceSpace, Outcome  # noqa: E402

SETTLED = 20
"""Periods after which nothing has a reason to grow any more."""

RELOADS = 10
"""A module that stays takes some 20 KiB of a card, which hands out 2 MiB at a time."""

MARGINS = {"host": 16 << 20, "card": 4 << 20}
"""Bytes that may come and go all the same; 2,000 modules that stay take ten times as much."""


HARMLESS = (Outcome.ACCEPTED.value, Outcome.STALE.value, Outcome.NOT_SENT.value, UNANSWERED)
"""Outcomes of a right share, where blocks come every two seconds and the run ends by a signal."""


def main(arguments: list[str]) -> int:
    """Do what `arguments` ask for; return an exit code."""
    parser = argparse.ArgumentParser(prog="gpu.py", description=(__doc__ or "").split(":")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    periods = commands.add_parser("periods", help="run through periods, watch memory grow")
    periods.add_argument("device")
    periods.add_argument("--count", type=int, default=200)
    twin = commands.add_parser("twin", help="name the same card in OpenCL")
    twin.add_argument("device")
    recover = commands.add_parser("recover", help="have a program trap, then use the card again")
    recover.add_argument("device")
    judge = commands.add_parser("judge", help="tell whether every share of a ledger was right")
    judge.add_argument("ledger", type=Path)
    judge.add_argument("--epochs", type=int, default=1, help="with accepted shares, at least")
    run = commands.add_parser("run", help="run a command, print it and write its report")
    run.add_argument("--out", type=Path, required=True)
    run.add_argument("--device", required=True)
    run.add_argument("--limit", type=float, required=True, help="seconds")
    run.add_argument("words", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    try:
        if given.command == "periods":
            return grow(given.device, given.count)
        if given.command == "twin":
            print(twin_of(given.device) or "")
            return 0
        if given.command == "recover":
            return recovers(given.device)
        if given.command == "judge":
            return judged(given.ledger, given.epochs)
        return reported(given.out, given.device, given.limit, given.words)
    except MinerError as error:
        print(f"gpu.py: {error}", file=sys.stderr)
        return error.exit_code


def twin_of(name: str) -> str | None:
    """Return the name under which OpenCL knows the device `name`."""
    found, _ = find_devices()
    info = named(found, name).info
    return next((f.info.name for f in found if are_one(f.info, info)), None)


def grow(name: str, count: int) -> int:
    """Search `count` periods, each with a kernel of its own, on a toy dataset; every one is held
    against the reference, then loaded `RELOADS` times more. Print the memory before and after as
    JSON; 1 where it grew, or where an NVIDIA card's cannot be seen."""
    kawpow = variants()["kawpow"].with_sizes(FixedSizes(509, 8191, 0))
    epoch = kawpow.epoch_at(0)
    light = Light.of(epoch, light_cache(epoch))
    device = named(find_devices()[0], name).open()
    try:
        for _ in fill(device, epoch, light.cache):
            pass
        states = []
        for period in range(count):
            _search(device, light, kawpow, period)
            states.append(_memory(device.info))
    finally:
        device.close()
    first, last = states[min(SETTLED, count - 1)], states[-1]
    grew = {
        key: b - a for key, a in first.items() if a is not None and (b := last[key]) is not None
    }
    seen = device.info.vendor != "nvidia" or "card" in grew
    good = seen and all(growth <= MARGINS[key] for key, growth in grew.items())
    print(json.dumps({"periods": count, "settled": first, "at the end": last, "grew": grew,
                      "good": good}))  # fmt: skip
    return 0 if good else 1


def _search(device: Device, light: Light, variant: Any, period: int) -> None:
    epoch, height = light.epoch, period * variant.period
    source = search_source(variant, period, epoch, device.dialect, device.shape)
    image = device.build(source)
    for _ in range(RELOADS):
        kernel = device.load(image)
    job = Job(0, "growth", variant, bytes(32), height, epoch, EVERY_NONCE, NonceSpace())
    found = device.launch(kernel, job, NonceRange(0, device.round_up(1))).wait()
    by_nonce = {hit.nonce: hit.final_words for hit in found.hits}
    final = Hasher.of(variant, period, light).hash(job.header_hash, 0).final_hash
    wanted = (int.from_bytes(final[:4], "little"), int.from_bytes(final[4:8], "little"))
    if by_nonce.get(0) != wanted:
        raise MinerError(f"{device.info.name}: period {period}: nonce 0 has a wrong hash")


def _memory(info: DeviceInfo) -> dict[str, int | None]:
    """Bytes: the most that this process ever had, what the card has given away."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"host": resident, "card": _used(info)}


def _used(info: DeviceInfo) -> int | None:
    if info.vendor != "nvidia" or info.pci is None:
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(info.pci.encode())
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    except Exception:  # noqa: BLE001  (a card without sensors is said to be one)
        return None


def recovers(name: str) -> int:
    """Have a program trap, close the device and open it again, thrice; print as JSON what the
    driver said, and whether the device gives the known answers each time after; 1 where not."""
    found = named(find_devices()[0], name)
    said, right = [], []
    for _ in range(3):
        device = found.open()
        try:
            right.append(selftest(device, variants()["kawpow"]).problem)
            said.append(_trapped(device))
        finally:
            device.close()
    good = all(said) and not any(right)
    print(json.dumps({"said": said, "problems after it": right, "good": good}))
    return 0 if good else 1


def _trapped(device: Device) -> str | None:
    """What the driver says of a program that ends itself; None where it says nothing."""
    kawpow = variants()["kawpow"].with_sizes(FixedSizes(509, 8191, 0))
    source = search_source(kawpow, 0, kawpow.epoch_at(0), device.dialect, device.shape)
    # Not at once, so that a compiler does not see a program without an end.
    text = source.text.replace(
        "absorb_mix(state,", "if (first == 1ull) __trap();\n    absorb_mix(state,"
    )
    epoch = kawpow.epoch_at(0)
    job = Job(0, "trap", kawpow, bytes(32), 0, epoch, EVERY_NONCE, NonceSpace())
    try:
        kernel = device.load(device.build(replace(source, text=text)))
        device.launch(kernel, job, NonceRange(1, device.round_up(1))).wait()
    except DeviceError as error:
        return str(error)
    return None


def judged(ledger: Path, epochs: int) -> int:
    """Print what became of the shares in `ledger`, by epoch; 1 where one was wrong, or where fewer
    than `epochs` have an accepted one."""
    rows = _shares(ledger)
    accepted = {row["epoch"] for row in rows if row["outcome"] == Outcome.ACCEPTED.value}
    wrong = [row for row in rows if row["outcome"] not in HARMLESS]
    good = len(accepted) >= epochs and not wrong
    print(json.dumps({"shares": rows, "epochs with accepted shares": sorted(accepted),
                      "good": good}))  # fmt: skip
    return 0 if good else 1


def _shares(ledger: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "miner", "shares", "--file", str(ledger), "--sum",
         "--by", "epoch,outcome", "--export", "json"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise MinerError(done.stderr.strip())
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return [{key: row[key] for key in ("epoch", "outcome", "shares")} for row in rows]


def reported(out: Path, name: str, limit: float, words: list[str]) -> int:
    """Run `words` for at most `limit` seconds, print what it says, and write that to `out`."""
    command = words[1:] if words[:1] == ["--"] else words
    print("$", *command, flush=True)
    began, lines = perf_counter(), []
    process = subprocess.Popen(
        ["timeout", "--signal=INT", "--kill-after=20", f"{limit:g}", *command],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line.rstrip())
    code = process.wait()
    report = {
        "command": command, "exit code": code, "seconds": round(perf_counter() - began, 1),
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "miner": __version__,
        "commit": _said(["git", "-C", str(CHECKOUT), "rev-parse", "HEAD"]),
        "machine": platform.platform(), "device": _device(name), "output": _parsed(lines),
    }  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"-> {out}", flush=True)
    return code


def _parsed(lines: list[str]) -> Any:
    """What a command printed: its JSON where it is JSON, else its lines without colours."""
    try:
        return json.loads("\n".join(lines))
    except ValueError:
        return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]


def _said(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _device(name: str) -> dict[str, Any]:
    info = named(find_devices()[0], name).info
    return {
        "name": info.name, "model": info.model, "driver": info.driver, "memory": info.memory,
        "units": info.units, "pci": info.pci,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
