"""Checks for the first run on a card, beside the miner's commands: see first-run-on-a-gpu.sh."""

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
from miner.devices.selection import device_called, find_devices  # noqa: E402
from miner.errors import DeviceError, MinerError  # noqa: E402
from miner.ledger.schema import UNANSWERED  # noqa: E402
from miner.progpow.hashing import Hasher, Light  # noqa: E402
from miner.progpow.light import light_cache  # noqa: E402
from miner.progpow.variant import FixedSizes  # noqa: E402
from miner.work import DeviceInfo, Job, NonceRange, NonceSpace, Outcome  # noqa: E402

SETTLED = 20
"""Periods until memory use must be constant."""

RELOADS = 10
"""Loads per kernel: a leaked module takes about 20 KiB, and a card allocates 2 MiB at a time."""

MARGINS = {"host": 16 << 20, "card": 4 << 20}
"""Bytes of growth that are tolerated; 2,000 leaked modules take ten times as much."""


HARMLESS = (Outcome.ACCEPTED.value, Outcome.STALE.value, Outcome.NOT_SENT.value, UNANSWERED)
"""Outcomes of a valid share when blocks come every two seconds and a signal ends the run."""


def main(arguments: list[str]) -> int:
    """Run the command in `arguments`; return an exit code."""
    parser = argparse.ArgumentParser(prog="gpu.py", description=(__doc__ or "").split(":")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    periods = commands.add_parser(
        "periods", help="search many periods and check that memory does not grow"
    )
    periods.add_argument("device")
    periods.add_argument("--count", type=int, default=200)
    twin = commands.add_parser("twin", help="print the name of the same card in OpenCL")
    twin.add_argument("device")
    recover = commands.add_parser(
        "recover", help="run a kernel that traps, then use the card again"
    )
    recover.add_argument("device")
    judge = commands.add_parser("judge", help="check that every share of a ledger was valid")
    judge.add_argument("ledger", type=Path)
    judge.add_argument(
        "--epochs", type=int, default=1, help="least number of epochs with accepted shares"
    )
    run = commands.add_parser("run", help="run a command and write its report")
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
    """Return the OpenCL name of the device `name`; None if OpenCL does not list it."""
    found, _ = find_devices()
    one = device_called(found, name)
    views = [f.info.name for f in found if f.hardware == one.hardware and f is not one]
    return next((view for view in views if view.startswith("opencl:")), None)


def grow(name: str, count: int) -> int:
    """Search `count` periods on a toy dataset, each with its kernel; compare each kernel with the
    reference and load it `RELOADS` times more.

    Print the memory before and after as JSON. Return 1 if it grew, or if the memory of an NVIDIA
    card cannot be read.
    """
    kawpow = variants()["kawpow"].with_sizes(FixedSizes(509, 8191, 0))
    epoch = kawpow.epoch_at(0)
    light = Light.of(epoch, light_cache(epoch))
    device = device_called(find_devices()[0], name).open()
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
    final = Hasher(variant, period, light).hash(job.header_hash, 0).final_hash
    wanted = (int.from_bytes(final[:4], "little"), int.from_bytes(final[4:8], "little"))
    if by_nonce.get(0) != wanted:
        raise MinerError(f"{device.info.name}: period {period}: nonce 0 has a wrong hash")


def _memory(info: DeviceInfo) -> dict[str, int | None]:
    """Return bytes: the peak of this process, the used memory of the card."""
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
    except Exception:  # noqa: BLE001  (the caller reports a card without sensors)
        return None


def recovers(name: str) -> int:
    """Three times: run a kernel that traps, close the device, open it again.

    Print the driver's errors and the results of the self-tests as JSON; return 1 if one failed.
    """
    found = device_called(find_devices()[0], name)
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
    """Return the error of the driver for a kernel that traps; None if there is no error."""
    kawpow = variants()["kawpow"].with_sizes(FixedSizes(509, 8191, 0))
    source = search_source(kawpow, 0, kawpow.epoch_at(0), device.dialect, device.shape)
    # Conditional, so that the compiler does not remove the code after the trap.
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
    """Print the outcomes of the shares in `ledger` by epoch; return 1 if a share was invalid, or if
    fewer than `epochs` epochs have an accepted share."""
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
    """Run the command `words` for at most `limit` seconds; write its output to `out`, too."""
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
    """Return the output of a command: the JSON document, or the lines without colour codes."""
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
    info = device_called(find_devices()[0], name).info
    return {
        "name": info.name, "model": info.model, "driver": info.driver, "memory": info.memory,
        "units": info.units, "pci": info.pci,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
