"""How the process ends: with unusable output streams, and with threads that still run."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.cli.running import CHECKOUT, python, run, toy_file
from tests.harness.child import captured

FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is missing")


def shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = " ".join(arguments)
    return captured(
        ["/bin/sh", "-c", f"exec {sys.executable} -m miner {words} {redirection}"],
        cwd=CHECKOUT, timeout=300,
    )  # fmt: skip


def mining(folder: Path) -> tuple[str, ...]:
    """Return the arguments of a run that gives up after 0.1 s."""
    return (
        "mine", "-a", str(toy_file(folder)), "--backend", "ref", "--api", "off", "--no-ledger",
        "-o", "stratum+tcp://127.0.0.1:9", "-u", "w", "--give-up", "0.1",
    )  # fmt: skip


def with_ledger(arguments: tuple[str, ...]) -> list[str]:
    return [word for word in arguments if word != "--no-ledger"]


def test_an_unusable_ledger_that_was_named_prevents_the_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(f'[ledger]\nfile = "{tmp_path}"\n')
    ran = python("-m", "miner", *with_ledger(mining(tmp_path)), "-c", str(path))
    assert ran.returncode == 2
    assert ran.stderr == (
        f"progpow-miner: share ledger {tmp_path} cannot be written: Is a directory; name "
        "another file\n"
    )


def test_an_unusable_default_ledger_is_reported_and_does_not_stop_mining(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    monkeypatch.setenv("PROGPOW_MINER_STATE", str(tmp_path))
    ran = python("-m", "miner", *with_ledger(mining(tmp_path)))
    assert ran.returncode == 4
    assert ran.stdout.count("cannot be written: Is a directory") == 1


def test_an_unusable_log_file_prevents_the_start(tmp_path: Path) -> None:
    ran = python("-m", "miner", *mining(tmp_path), "-l", str(tmp_path))
    assert ran.returncode == 2
    assert ran.stderr == (
        f"progpow-miner: {tmp_path}: is a folder; name a file in it for the log\n"
    )


@needs_full
def test_a_full_disk_is_reported_in_one_sentence() -> None:
    ran = shell(f"> {FULL}", "config", "init", "-")
    assert ran.returncode == 1
    assert ran.stderr == ("progpow-miner: the output cannot be written: No space left on device\n")


@needs_full
def test_mining_continues_when_the_output_is_full(tmp_path: Path) -> None:
    ran = shell(f"> {FULL}", *mining(tmp_path))
    assert ran.returncode == 4
    assert ran.stderr.startswith("progpow-miner: no pool for 0.1 s")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("redirection", [">&-", "<&- >&-"])
def test_mining_works_with_closed_streams(tmp_path: Path, redirection: str) -> None:
    ran = shell(redirection, *mining(tmp_path))
    assert ran.returncode == 4
    assert ran.stderr.startswith("progpow-miner: no pool for 0.1 s")


@pytest.mark.parametrize("redirection", ["2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_an_unusable_error_stream_keeps_the_exit_code(tmp_path: Path, redirection: str) -> None:
    ran = shell(redirection, *mining(tmp_path))
    assert ran.returncode == 4
    assert "Traceback" not in ran.stdout


@needs_full
@pytest.mark.parametrize(
    ("redirection", "arguments", "code"),
    [
        ("2>/dev/full", "hash", 2),
        ("2>/dev/full", "health --url http://127.0.0.1:1", 1),
        ("2>/dev/full", "shares --file none", 2),
        (">/dev/full 2>&1", "config schema", 1),
        (">/dev/full 2>&1", "variants", 1),
    ],
)
def test_full_streams_keep_the_exit_code(redirection: str, arguments: str, code: int) -> None:
    assert shell(redirection, arguments).returncode == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["variants"], 0),
        (["config", "check", "/nonexistent/rig.toml", "--json"], 2),
    ],
)
def test_a_reader_that_left_early_changes_no_result(arguments: list[str], code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "miner", *arguments], stdout=writer, stderr=subprocess.PIPE,
        text=True, cwd=CHECKOUT, timeout=300, check=False,
    )  # fmt: skip
    os.close(writer)
    assert ran.returncode == code
    assert "Traceback" not in ran.stderr


COMPILING = """
import sys, threading
from miner import cli
from miner.engine import threads
threads.CLOSE_SECONDS = 0.01
@cli.cli.command()
def compile():
    with threads.WorkPool("build", 1) as builds:
        builds.submit(threading.Event().wait)
    print("done")
sys.argv = ["progpow-miner", "compile"]
cli.main()
"""


def test_exit_does_not_wait_for_a_compiler_thread() -> None:
    ran = python("-c", COMPILING)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")


WITH_DRIVER = """
import ctypes, sys
import pyopencl
from miner import cli
libc = ctypes.CDLL(None)
libc.__cxa_atexit(ctypes.cast(libc._exit, ctypes.c_void_p), 7, None)
sys.argv = ["progpow-miner", "variants"]
cli.main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="registers the exit handler with glibc")
def test_the_exit_handler_of_a_driver_changes_no_exit_code() -> None:
    ran = python("-c", WITH_DRIVER)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "kawpow" in ran.stdout


PRINTING_DRIVER = """
import os, sys
from miner import cli
from miner.devices.reference import reference_device
launch = reference_device.ReferenceDevice.launch
def printing(*arguments):
    os.write(1, b"from the driver\\n")
    os.system("echo from a compiler")
    return launch(*arguments)
reference_device.ReferenceDevice.launch = printing
sys.argv[0] = "progpow-miner"
cli.main()
"""


@pytest.mark.parametrize("command", ["selftest", "mine"])
def test_json_is_not_disturbed_by_what_a_driver_prints(tmp_path: Path, command: str) -> None:
    arguments = [*mining(tmp_path), "--console", "json"]
    if command == "selftest":
        arguments = ["selftest", "-a", str(toy_file(tmp_path)), "-d", "ref", "--json"]
    ran = python("-c", PRINTING_DRIVER, *arguments)
    assert ran.returncode == (4 if command == "mine" else 0), ran.stderr
    for text in ran.stdout.splitlines() if command == "mine" else [ran.stdout]:
        assert json.loads(text)
    assert {"from the driver", "from a compiler"} <= set(ran.stderr.splitlines())


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="/dev/stdout is missing")
def test_a_log_file_that_is_the_output_stays_there(tmp_path: Path) -> None:
    arguments = [*mining(tmp_path), "--console", "json", "-l", "/dev/stdout"]
    ran = python("-c", PRINTING_DRIVER, *arguments)
    assert ran.returncode == 4
    assert "from the driver" in ran.stdout
    assert "from the driver" not in ran.stderr


STARTING = """
import os, signal, sys, threading
from miner import cli
from miner.run import resolve
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
def resolve_settings(read, reports):
    print("looking for devices", flush=True)
    os.kill(os.getpid(), signal.{signal})
    threading.Event().wait(20)  # like a driver that compiles
    print("mining")
resolve.resolve_settings = resolve_settings
sys.argv = ["progpow-miner", "mine", "-a", "kawpow", "-o", "127.0.0.1:9", "-u", "w"]
cli.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_during_the_start_exits_at_once(name: str) -> None:
    ran = python("-c", STARTING.format(signal=name))
    assert ran.returncode == 130
    first, last = ran.stdout.splitlines()
    start = r"[\d-]{10} [\d:]{8} start     progpow-miner \S+, kawpow, 127\.0\.0\.1:9; "
    assert re.fullmatch(f"{start}looking for devices", first)
    assert last == "looking for devices"
    assert ran.stderr == "progpow-miner: stopped at once\n"


@pytest.mark.parametrize("encoding", ["iso8859-9", "utf-8:strict"])
def test_characters_that_the_output_cannot_encode_are_escaped(
    tmp_path: Path, encoding: str
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.toml"))
    user = "RXi5TW6tSrKWqzDgCHKMCTKyPTPXqYbRYS"
    path.write_text(f'coin = "RVN"\n[[pools]]\nurl = "h:1"\nuser = "{user}"\n')
    ran = subprocess.run(
        [sys.executable, "-m", "miner", "config", "show", path], capture_output=True,
        cwd=CHECKOUT, env={**os.environ, "PYTHONIOENCODING": encoding}, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"\\udcff.toml line 4" in ran.stdout
    assert user.encode() not in ran.stdout


FINALIZER = """
import sys, threading
from miner import cli
class Interrupted:
    def __del__(self):
        raise KeyboardInterrupt
@cli.cli.command()
def finalize():
    Interrupted()
    threading.Event().wait(60)
sys.argv = ["progpow-miner", "finalize"]
cli.main()
"""


def test_an_interrupt_within_a_finalizer_is_not_lost() -> None:
    ran = python("-c", FINALIZER)
    assert (ran.returncode, ran.stdout, ran.stderr.strip()) == (130, "", "")


@pytest.mark.parametrize("columns", ["0", "-1", "²", "9" * 30])
def test_a_window_without_a_width_is_not_believed(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert run("--version").code == 0
    assert 0 < Console(file=io.StringIO()).width < 10_000


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path, redirection: str) -> None:
    program = (
        "import os, sys; from miner import cli; cli._open_closed_streams(); "
        "n = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY); os.write(n, b'%d' % n); "
        "sys.stdin.read(); print('x'); print('x', file=sys.stderr)"
    )
    ran = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -c "$1" "$2" {redirection}', sys.executable, program,
         tmp_path / "opened"],
        stdin=subprocess.DEVNULL, capture_output=True, cwd=CHECKOUT, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr.strip(b"x\n")) == (0, b"")
    assert int((tmp_path / "opened").read_bytes()) > 2


def test_an_output_beyond_the_limit_of_files_is_reported_in_one_sentence(tmp_path: Path) -> None:
    ran = captured(
        ["/bin/sh", "-c", f"ulimit -f 1; exec {sys.executable} -m miner config schema > schema"],
        cwd=tmp_path,
        env={
            **os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "",
        },
    )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr == "progpow-miner: the output cannot be written: File too large\n"
