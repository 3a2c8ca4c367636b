"""Steps of the first run on a card (first_run.py): right results, recovery, memory."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

from first_run import CANNOT  # noqa: E402
from first_run_results import figure, problem  # noqa: E402

from miner.catalog import variants  # noqa: E402
from miner.clock import SystemClock  # noqa: E402
from miner.codegen.kernel_source import KernelSource, search_source  # noqa: E402
from miner.devices.cuda.cuda_compilers import cuda_compiler  # noqa: E402
from miner.devices.device import Device, fill, filler_source  # noqa: E402
from miner.devices.known_answers import EVERY_NONCE, selftest  # noqa: E402
from miner.devices.registry import backend_named  # noqa: E402
from miner.devices.selection import ListedDevice, device_called  # noqa: E402
from miner.errors import DeviceError, MinerError  # noqa: E402
from miner.ledger import Filter, LedgerReader  # noqa: E402
from miner.ledger.schema import UNANSWERED  # noqa: E402
from miner.progpow.epoch import Epoch  # noqa: E402
from miner.progpow.hashing import Hasher, Light  # noqa: E402
from miner.progpow.light import light_cache  # noqa: E402
from miner.progpow.variant import FixedSizes, Variant  # noqa: E402
from miner.run.bench_device import BenchDevice  # noqa: E402
from miner.run.shape_trials import HEIGHTS  # noqa: E402
from miner.sensors.sensors import open_sensors  # noqa: E402
from miner.verify import Verifier  # noqa: E402
from miner.work import DeviceInfo, Job, NonceRange, NonceSpace, Outcome  # noqa: E402

KAWPOW = variants()["kawpow"]
SMALL = FixedSizes(509, 1021, 0)
"""Sizes of a light cache and a dataset that are made at once."""

TOY = KAWPOW.with_sizes(SMALL)

LARGE_HEIGHT = 620 * 7500
"""First height of an epoch whose dataset has 5.8 GiB, so that addresses exceed 32 bits."""

PACKAGES = (
    "numpy", "numba", "pycuda", "pyopencl", "aiohttp", "pydantic", "nvidia-ml-py",
    "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12",
)  # fmt: skip

SETTLED = 20
"""Periods until memory use must be constant."""

RELOADS = 10
"""Loads per kernel: a leaked module takes about 20 KiB, and a card allocates 2 MiB at a time."""

MARGINS = {"host": 16 << 20, "card": 4 << 20}
"""Tolerated growth in bytes; 2,000 leaked modules take ten times as much."""


HARMLESS = (Outcome.ACCEPTED.value, Outcome.STALE.value, Outcome.NOT_SENT.value, UNANSWERED)
"""Outcomes of a valid share when blocks come every two seconds and a signal ends the run."""


def main(arguments: list[str]) -> int:
    """Run the command in `arguments`; return an exit code."""
    parser = argparse.ArgumentParser(prog="card_checks.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, does: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=(does.__doc__ or "").split("\n")[0])
        made.add_argument("device", help="as in cuda:0")
        made.add_argument("--rehearse", action="store_true", help="small datasets, few variants")
        made.set_defaults(does=does)
        return made

    command("prepare", prepare)
    for made in (command("exact", exact), command("epochs", epochs)):
        made.add_argument("--known", type=json.loads, default=[], help="JSON: figures to leave out")
    command("mine", mine).add_argument("--seconds", type=float, default=60.0)
    command("recover", recover)
    command("periods", periods).add_argument("--count", type=int, default=200)
    command("sanitizer", sanitizer)
    given = parser.parse_args(arguments)
    try:
        return int(given.does(given))
    except MinerError as error:
        print(f"card_checks.py: {error}", file=sys.stderr)
        return error.exit_code


def listed(name: str) -> ListedDevice:
    """Return the device `name`, as in "cuda:0", "opencl:1.0" or "ref".

    Unlike `find_devices`, this lists the devices in this process, which is quicker.
    """
    backend = backend_named(name.partition(":")[0])
    infos = backend.devices()
    return device_called([ListedDevice(one, backend, i) for i, one in enumerate(infos)], name)


def prepare(given: argparse.Namespace) -> int:
    """Report the installed versions, compute one right hash on the card, make the light caches."""
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            figure(f"package {package}", version(package))
    found = listed(given.device)
    info = found.info
    figure("card", info.model, driver=info.driver, memory=info.memory, units=info.units,
           pci=info.pci)  # fmt: skip
    if info.backend == "cuda":
        figure("compiler", cuda_compiler().name)
    begun = perf_counter()
    toy = TOY.epoch_at(0)
    Hasher(TOY, 0, Light.of(toy, light_cache(toy))).hash(bytes(32), 0)
    figure("host functions compiled", round(perf_counter() - begun, 2), "s")
    begun, device = perf_counter(), found.open()
    try:
        wrong = selftest(device, KAWPOW, 1).problem
    finally:
        device.close()
    if wrong is not None:
        print(f"the card computes no right hash: {wrong}")
        return 1
    figure("first right hash", round(perf_counter() - begun, 2), "s")
    _sensors(info)
    for height in () if given.rehearse else (0, HEIGHTS[0], LARGE_HEIGHT):
        epoch, begun = KAWPOW.epoch_at(height), perf_counter()
        Verifier().light(epoch)
        spent = round(perf_counter() - begun, 2)
        figure(f"light cache of epoch {epoch.number}", spent, "s")
    return 0


def _sensors(info: DeviceInfo) -> None:
    sensors = open_sensors([info], SystemClock())
    try:
        reading = sensors.read()[info.name]
        known = {n: v for n, v in asdict(reading).items() if isinstance(v, int | float | str)}
        figure("sensors", ", ".join(sensors.missing) or "found", "", **known)
    except Exception as error:  # noqa: BLE001  (no other step needs them)
        problem("sensors", str(error))
    finally:
        sensors.close()


def exact(given: argparse.Namespace) -> int:
    """Check every variant's known answers, on small datasets."""
    chosen = list(variants().values())
    if given.rehearse:
        chosen = [KAWPOW]
    chosen = [one for one in chosen if f"exact {one.name}" not in given.known]
    failed = False
    device = listed(given.device).open()
    try:
        build_ahead(device, _sources_of(device, chosen, 1 if given.rehearse else None))
        for variant in chosen:
            result = selftest(device, variant, 1 if given.rehearse else None)
            if result.problem is None:
                figure(f"exact {variant.name}", result.checked, "known answers")
            else:
                failed = True
                problem(f"exact {variant.name}", result.problem)
    finally:
        device.close()
    return int(failed)


def _sources_of(
    device: Device, chosen: Sequence[Variant], answers: int | None
) -> Iterator[KernelSource]:
    """Yield the programs of the known answers."""
    for variant in chosen:
        for answer in variant.known_answers[:answers]:
            toy = variant.with_sizes(answer.sizes)
            epoch = toy.epoch_at(answer.height)
            yield filler_source(device, epoch)
            period = toy.period_at(answer.height)
            yield search_source(toy, period, epoch, device.dialect, device.shape)


def build_ahead(device: Device, sources: Iterable[KernelSource]) -> None:
    """Compile `sources` for CUDA on all processors; the cache keeps them."""
    if device.dialect != "cuda":
        return
    asked, begun = {source.sha256: source for source in sources}, perf_counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool, suppress(MinerError):
        # An error comes again when the program is used.
        list(pool.map(device.build, asked.values()))
    figure(f"{len(asked)} programs compiled", round(perf_counter() - begun, 2), "s")


def epochs(given: argparse.Namespace) -> int:
    """Check KawPow and FiroPow on the whole dataset of epoch 0."""
    failed = False
    for name in ("kawpow", "firopow"):
        label = f"exact {name} epoch 0"
        if label in given.known:
            continue
        variant = variants()[name].with_sizes(SMALL) if given.rehearse else variants()[name]
        device = listed(given.device).open()
        try:
            bench = BenchDevice(device, variant, 0)
            bench.kernel(0)
            figure(label, round(bench.dataset_seconds, 2), "s for the dataset")
        except MinerError as error:
            failed = True
            problem(label, str(error))
        finally:
            device.close()
    return int(failed)


def mine(given: argparse.Namespace) -> int:
    """Mine against the test pool, with a block every two seconds across a change of epoch; check
    the outcome of every share."""
    with tempfile.TemporaryDirectory(prefix="progpow-miner-") as place:
        folder = Path(place)
        # The miner takes about half of the 18 s until the change of epoch to start.
        variant, height, difficulty = "kawpow", KAWPOW.spans[0].length - 9, 0.01
        if given.rehearse:
            from mining import write_toy

            variant, height, difficulty = str(folder / "toy.toml"), 0, 20 / 2**32
            write_toy(folder / "toy.toml", SMALL.dataset_items)
        ledger = folder / "ledger.sqlite"
        pool = subprocess.Popen(
            [sys.executable, "-u", "-m", "miner", "pool", "--listen", "127.0.0.1:0", "--variant",
             variant, "--height", str(height), "--block-time", "2", "--difficulty",
             f"{difficulty:.12f}", "--block-difficulty", "1000000"],
            cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert pool.stdout is not None
        try:
            port = pool.stdout.readline().rpartition(":")[2].strip()
            threading.Thread(target=pool.stdout.read, daemon=True).start()
            few = ("--shares", "2") if given.rehearse else ()
            miner = subprocess.Popen(
                [sys.executable, "-m", "miner", "mine", "--variant", variant, "--backend",
                 given.device.partition(":")[0], "--devices", given.device, "--url",
                 f"stratum+tcp://127.0.0.1:{port}", "--user", "bench", "--console", "plain",
                 "--api", "off", *few],
                cwd=CHECKOUT, env={**os.environ, "PROGPOW_MINER_LEDGER_FILE": str(ledger)},
            )  # fmt: skip
            with suppress(subprocess.TimeoutExpired):
                miner.wait(given.seconds)
            miner.send_signal(signal.SIGINT)
            miner.wait()
        finally:
            pool.terminate()
            pool.wait()
        return judged(ledger, 1 if given.rehearse else 2)


def sanitizer(given: argparse.Namespace) -> int:
    """Run the known answers of KawPow under compute-sanitizer."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/cuda/bin"))
    program = shutil.which("compute-sanitizer", path=places)
    if program is None:
        print("compute-sanitizer not found (part of the CUDA toolkit)")
        return CANNOT
    done = subprocess.run(
        [program, "--tool", "memcheck", "--error-exitcode", "9", sys.executable, "-m",
         "miner", "selftest", "--device", given.device, "--variant", "kawpow"],
        cwd=CHECKOUT, check=False,
    )  # fmt: skip
    figure("memory errors found by compute-sanitizer", "none" if not done.returncode else "some")
    return done.returncode


def periods(given: argparse.Namespace) -> int:
    """Search many periods and check that memory does not grow.

    The kernel of each period is loaded `RELOADS` times and compared with the reference. Fails
    also if the memory of an NVIDIA card cannot be read.
    """
    count = 2 if given.rehearse else given.count
    epoch = TOY.epoch_at(0)
    light = Light.of(epoch, light_cache(epoch))
    device = listed(given.device).open()
    try:
        for _ in fill(device, epoch, light.cache):
            pass
        build_ahead(device, (_program(device, epoch, period) for period in range(count)))
        states = []
        for period in range(count):
            _search(device, light, period)
            states.append(_memory(device.info))
    finally:
        device.close()
    first, last = states[min(SETTLED, count - 1)], states[-1]
    grew = {
        key: b - a for key, a in first.items() if a is not None and (b := last[key]) is not None
    }
    for key, growth in grew.items():
        figure(f"growth of memory of the {key}", growth / 2**20, "MiB", periods=count)
    if device.info.vendor == "nvidia" and "card" not in grew:
        print("the card's memory cannot be read")
        return int(not given.rehearse)
    return int(any(growth > MARGINS[key] for key, growth in grew.items()))


def _program(device: Device, epoch: Epoch, period: int) -> KernelSource:
    return search_source(TOY, period, epoch, device.dialect, device.shape)


def _search(device: Device, light: Light, period: int) -> None:
    epoch, height = light.epoch, period * TOY.period
    image = device.build(_program(device, epoch, period))
    for _ in range(RELOADS):
        kernel = device.load(image)
    job = Job(0, "growth", TOY, bytes(32), height, epoch, EVERY_NONCE, NonceSpace())
    found = device.launch(kernel, job, NonceRange(0, device.round_up(1))).wait()
    by_nonce = {hit.nonce: hit.final_words for hit in found.hits}
    final = Hasher(TOY, period, light).hash(job.header_hash, 0).final_hash
    wanted = (int.from_bytes(final[:4], "little"), int.from_bytes(final[4:8], "little"))
    if by_nonce.get(0) != wanted:
        raise MinerError(f"{device.info.name}: period {period}: nonce 0 has a wrong hash")


def _memory(info: DeviceInfo) -> dict[str, int | None]:
    """Return the memory of this process and the used memory of the card, in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    resident = pages * os.sysconf("SC_PAGE_SIZE")
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


def recover(given: argparse.Namespace) -> int:
    """Three times: run a kernel that traps, close the device, open it again and test it."""
    found = listed(given.device)
    if found.backend.dialect != "cuda":
        print("only CUDA has an instruction that traps")
        return CANNOT
    answers = 1 if given.rehearse else None
    for number in range(2 if given.rehearse else 3):
        device = found.open()
        try:
            wrong = selftest(device, KAWPOW, answers).problem
            if wrong is None:
                figure(f"after {number} traps", "exact")
            else:
                problem(f"after {number} traps", wrong)
                return 1
            error = _trapped(device)
        finally:
            device.close()
        if error is None:
            problem("trap", "the driver reported no error")
            return 1
        figure("trap", error)
    return 0


def _trapped(device: Device) -> str | None:
    """Return the error that the driver reports for a kernel that traps; None if it reports none."""
    source = search_source(TOY, 0, TOY.epoch_at(0), device.dialect, device.shape)
    # Conditional, so that the compiler does not remove the code after the trap.
    text = source.text.replace(
        "absorb_mix(state,", "if (first == 1ull) __trap();\n    absorb_mix(state,"
    )
    epoch = TOY.epoch_at(0)
    job = Job(0, "trap", TOY, bytes(32), 0, epoch, EVERY_NONCE, NonceSpace())
    try:
        kernel = device.load(device.build(replace(source, text=text)))
        device.launch(kernel, job, NonceRange(1, device.round_up(1))).wait()
    except DeviceError as error:
        return str(error)
    return None


def judged(ledger: Path, epochs: int) -> int:
    """Report the outcomes of the shares in `ledger`; return 1 if a share was invalid, or if fewer
    than `epochs` epochs have an accepted share."""
    accepted, wrong = set(), 0
    for one in LedgerReader(ledger).sums(Filter(run=None), ("epoch", "outcome")):
        epoch, outcome = one.group
        figure(f"shares {outcome} epoch {epoch}", one.shares, "shares")
        wrong += one.shares * (outcome not in HARMLESS)
        if one.accepted:
            accepted.add(epoch)
    figure("shares that were invalid", wrong, "shares")
    if len(accepted) < epochs:
        print(f"accepted shares in {len(accepted)} of {epochs} epochs")
    return int(bool(wrong) or len(accepted) < epochs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
