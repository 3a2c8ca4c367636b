"""The first run of the miner on a card: everything that only a card can show, in nine minutes.

    python benchmarks/first_run.py RESULTS                    run the steps that RESULTS lacks
    python benchmarks/first_run.py RESULTS --wheels FOLDER    install these wheels first
    python benchmarks/first_run.py RESULTS --report           print the report again
    python benchmarks/first_run.py --list                     list the steps

Any Python from 3.11 on runs this; it needs the standard library only. Each step is a process with a
time limit, so a step that fails, hangs or is killed does not affect the others. If the card does
not compute one hash at the start, or after a step that hung or was killed, the run ends at once.
Figures are appended to RESULTS/figures.jsonl as soon as a step prints them, all output to
RESULTS/log.txt; RESULTS/report.md is written after each step. A second run with the same sources
first does the steps that are missing, then those that did not succeed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT / "benchmarks"))

from first_run_results import (  # noqa: E402
    MISSING,
    PASSED,
    SKIPPED,
    Results,
    parsed,
    table,
    write_report,
)

SECONDS = 540.0
"""Time limit of the whole run."""

GRACE = 3.0
"""Seconds for an interrupted step to end before it is killed, and again for the kernel to end it
then."""

CANNOT = 77
"""Exit code of a step that this machine cannot do; its last line is the reason."""

LATE, KILLED, ABANDONED = "out of time", "killed", "abandoned"
HUNG = (LATE, KILLED, ABANDONED)
"""Ends of a step after which the card may not work any more."""


@dataclass(frozen=True, slots=True)
class Step:
    """One process of the run. `command` may contain {device}; {seconds}, the time for measuring, a
    little less than the limit; {known}, the names of figures that are measured already, as JSON."""

    name: str
    seconds: float
    """Its time limit."""
    what: str
    command: tuple[str, ...]
    """Arguments of the Python interpreter."""
    least: float = 5.0
    """Seconds below which it is not worth starting."""
    always: bool = False
    """Whether every run begins with it, since the other steps need its files on the machine."""
    is_gate: bool = False
    """Whether no other step can succeed if it fails. It runs again after a step that hung or was
    killed."""


def _own(name: str, seconds: float, what: str, *words: str, least: float = 5.0) -> Step:
    script, *rest = words
    return Step(name, seconds, what, (f"benchmarks/{script}", *rest), least)


CHECKS, RATES = "card_checks.py", "card_rates.py"
KNOWN = ("--known", "{known}")
TIMED = ("--seconds", "{seconds}")

PLAN = (
    replace(
        _own("prepare", 60, "versions; one right hash; light caches", CHECKS, "prepare",
             "{device}"), always=True, is_gate=True),
    _own("exact", 60, "known answers of every variant, on small datasets", CHECKS, "exact",
         "{device}", *KNOWN),
    _own("epoch 0", 40, "KawPow and FiroPow on the dataset of epoch 0", CHECKS, "epochs",
         "{device}", *KNOWN),
    _own("rates", 30, "KawPow at three heights, dataset of 2 GiB", RATES, "shapes", "{device}",
         "--only-default", *TIMED, least=20),
    _own("opencl", 30, "the same heights through OpenCL, where it lists the card", RATES, "shapes",
         "{device}", "--only-default", "--opencl", *TIMED, least=20),
    _own("shapes", 80, "every launch shape that fits, and the default", RATES, "shapes",
         "{device}", *TIMED, least=35),
    _own("limits", 40, "memory, shared memory and arithmetic", "limits.py", "{device}",
         "--figures", least=10),
    _own("launches", 50, "launches that overlap and stop; the engine with many jobs", RATES,
         "launches", "{device}", *TIMED, least=25),
    _own("mine", 55, "the whole miner against the test pool, across a change of epoch", CHECKS,
         "mine", "{device}", *TIMED, least=40),
    _own("large", 40, "KawPow on a dataset of 5.8 GiB", RATES, "large", "{device}", least=20),
    _own("recover", 30, "a kernel that traps, three times", CHECKS, "recover", "{device}"),
    _own("periods", 60, "100 periods without growth of memory", CHECKS, "periods", "{device}",
         "--count", "100", least=30),
    _own("ablations", 45, "launch shapes with one field changed", RATES, "ablations", "{device}",
         *TIMED, least=25),
    _own("sanitizer", 90, "compute-sanitizer on a small dataset", CHECKS, "sanitizer", "{device}",
         least=30),
)  # fmt: skip
"""The most valuable steps first. The time that a step saves is left for the last ones."""


@dataclass
class Run:
    """Runs steps one after the other, all of them within `seconds`."""

    results: Results
    device: str
    seconds: float
    environment: Mapping[str, str]
    grace: float = GRACE

    def do(self, plan: Sequence[Step]) -> None:
        """Run the steps of `plan` that are due and fit into the time that is left; write the
        report after each."""
        end, names = monotonic() + self.seconds, [step.name for step in plan]
        first = [step for step in plan if step.always]
        gate = next((step for step in plan if step.is_gate), None)
        others = {step.name: step for step in plan if not step.always}
        for step in [*first, *map(others.__getitem__, self.results.due(list(others)))]:
            status = self._do(step, end)
            if gate is not None and step is not gate and status in HUNG:
                step, status = gate, self._do(gate, end)
            write_report(self.results, names)
            if step is gate and status != PASSED:
                say(f"{gate.name}: {status}, so no other step is started")
                return

    def _do(self, step: Step, end: float) -> str:
        """Run one step if the time until `end` suffices; return its status."""
        limit = min(step.seconds, end - monotonic() - 2 * self.grace)
        if limit < min(step.least, step.seconds):
            say(f"{step.name}: not started, {max(limit, 0):.0f} s are left")
            return MISSING
        say(f"{step.name}: {step.what}, at most {limit:.0f} s")
        self.results.log(f"== {step.name}\n")
        begun = monotonic()
        status, reason = self._end_of(step, limit)
        spent = round(monotonic() - begun, 1)
        self.results.add(step=step.name, status=status, seconds=spent, reason=reason)
        say(f"{step.name}: {status} after {spent:.1f} s" + (f": {reason}" if reason else ""))
        return status

    def start(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start Python with `words` in a new session, with all output in one pipe."""
        return subprocess.Popen(
            [sys.executable, "-u", *words], cwd=CHECKOUT, env=dict(self.environment),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def _end_of(self, step: Step, limit: float) -> tuple[str, str]:
        """Run one step; return its status and the reason."""
        known = [n for n, record in self.results.figures().items() if "problem" not in record]
        given = {
            "device": self.device, "seconds": f"{limit * 0.8:.1f}", "known": json.dumps(known),
        }  # fmt: skip
        words = [re.sub(r"\{(\w+)\}", lambda m: given[m[1]], word) for word in step.command]
        begun, process = monotonic(), self.start(words)
        last = ""
        try:
            for line in _lines(process, limit, self.grace):
                record = parsed(line)
                if "figure" in record:
                    self.results.add(step=step.name, **record)
                elif line.strip():
                    self.results.log(line + "\n")
                    last = line.strip()
        finally:
            _signal(process, signal.SIGKILL)  # also processes that the step left behind
            if process.stdout is not None:
                process.stdout.close()
        return _status(process, last, late=monotonic() - begun >= limit)


def _lines(process: subprocess.Popen[bytes], limit: float, grace: float) -> Iterator[str]:
    """Yield the lines of a process until it ends. It is interrupted after `limit` seconds, killed
    `grace` seconds later, and abandoned if it does not end then, as when a driver hangs."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    stops = [(limit, signal.SIGINT), (limit + grace, signal.SIGKILL)]
    begun, rest = monotonic(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        open_ = True
        while monotonic() - begun < limit + 2 * grace:
            ended = process.poll() is not None
            if stops and monotonic() - begun >= stops[0][0]:
                _signal(process, stops.pop(0)[1])
            chunk = b""
            # A child that it left behind may hold the pipe open, so its end is not awaited.
            if open_ and selector.select(0 if ended else 0.05):
                chunk = os.read(pipe, 1 << 16)
                open_ = bool(chunk)
            elif not open_:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
            if ended and not chunk:
                break
    yield rest.decode(errors="replace")


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _status(process: subprocess.Popen[bytes], last: str, *, late: bool) -> tuple[str, str]:
    """Return the status of a process, and the reason if its last line has one."""
    code = process.poll()
    if code is None:
        return ABANDONED, "it could not be killed"
    if code == 0:
        return PASSED, ""
    if code == CANNOT:
        return SKIPPED, last
    if late:
        return LATE, last
    if code < 0:
        return KILLED, f"by {signal.Signals(-code).name}; last line: {last}"
    return "failed", last


# Setup


def sources() -> str:
    """Return a digest of all sources that affect the measurements."""
    digest = hashlib.sha256()
    for folder in ("benchmarks", "configs", "kernels", "miner"):
        for path in sorted((CHECKOUT / folder).rglob("*.*")):
            if path.suffix in (".py", ".h", ".cl", ".cu", ".toml"):
                digest.update(f"{path.relative_to(CHECKOUT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def install(wheels: Path, site: Path) -> Step:
    """Return the step that installs the wheels of a folder into `site`, without a network."""
    pip = ("-m", "pip", "install", "--no-index", "--no-deps", "--no-compile", "--quiet",
           "--disable-pip-version-check", "--root-user-action", "ignore", "--upgrade")  # fmt: skip
    files = sorted(str(path.resolve()) for path in wheels.glob("*.whl"))
    words = (*pip, "--target", str(site), *files)
    return Step("install", 30, f"{len(files)} wheels", words, always=True)


def surroundings(scratch: Path, site: Path | None) -> dict[str, str]:
    """Return the environment of the steps: packages from `site`; cache and state in `scratch`,
    unless their variables are set."""
    paths = [str(CHECKOUT), str(site or ""), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        **{
            name: os.environ.get(name) or str(scratch / folder)
            for name, folder in (
                ("PROGPOW_MINER_CACHE", "cache"), ("PROGPOW_MINER_STATE", "state"),
            )
        },
    }  # fmt: skip


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return 0 when every step passed or was skipped."""
    parser = argparse.ArgumentParser(
        prog="first_run.py", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("results", type=Path, nargs="?", help="folder of the figures")
    parser.add_argument("--device", default="cuda:0", help="default: cuda:0")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to install first")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help=f"of the whole run; default: {SECONDS:g}"
    )
    parser.add_argument("--only", action="append", metavar="STEP", help="repeat for more")
    parser.add_argument(
        "--rehearse", action="store_true", help="datasets of a few MiB and little of everything"
    )
    parser.add_argument("--report", action="store_true", help="print the report and run nothing")
    parser.add_argument("--predictions", action="store_true", help="print the predictions")
    parser.add_argument("--list", action="store_true", help="list the steps")
    given = parser.parse_args(arguments)
    scratch = Path(tempfile.gettempdir()) / f"progpow-miner-first-run-{os.getuid()}"
    site = scratch / f"site-{sys.implementation.cache_tag}" if given.wheels else None
    plan = list(PLAN)
    if given.rehearse:  # on any machine, however busy
        plan = [
            replace(step, command=(*step.command, "--rehearse"), seconds=4 * step.seconds)
            for step in plan
        ]
    if site:
        plan.insert(0, install(given.wheels, site))
    if given.only:
        plan = [step for step in plan if step.name in given.only]
    if given.list:
        for step in plan:
            say(f"{step.name:10} {step.seconds:4.0f} s  {step.what}")
        return 0
    if given.predictions:
        say("\n".join(table({})))
        return 0
    if given.results is None:
        parser.error("name a folder for the results")
    names = [step.name for step in plan]
    about = {"sources": sources(), "device": given.device}
    results = Results.opened(given.results.resolve(), about)
    if not given.report:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the running step ends too
        results.add(run={
            "about": about, "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(), "machine": platform.platform(),
        })  # fmt: skip
        Run(results, given.device, given.seconds, surroundings(scratch, site)).do(plan)
    say(write_report(results, names))
    return int(bool(results.due(names)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
