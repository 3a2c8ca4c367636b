"""The HiveOS package, used as HiveOS's scripts do, in a root without Python."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import termios
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.harness.child import captured
from tests.packaging.conftest import ON_THE_REFERENCE_DEVICE, Answers, free_port
from tests.packaging.standin import inside

PACKAGE = Path("hive/miners/custom/progpow-miner")
LOG = Path("var/log/miner/custom/progpow-miner/miner.log")

STATS = {"hs": [1.5], "hs_units": "khs", "temp": [60], "bus_numbers": [10], "ar": [3, 1]}

# Variables that HiveOS sets, but does not export, before it sources a package's scripts.
AGENT = """
MINER_DIR=/hive/miners/custom
CUSTOM_MINER=progpow-miner
. $MINER_DIR/$CUSTOM_MINER/h-manifest.conf
"""
CONFIGURE = "\n. $MINER_DIR/$CUSTOM_MINER/h-config.sh\n"
ASK = "\n. $MINER_DIR/$CUSTOM_MINER/h-stats.sh\n"
SHOW = '\nprintf \'%s\\n\' "$khs" "$stats"\n'


# HiveOS starts the miner in a loop, in a screen with this variable. A stop creates the file, types
# ^C, and kills what is left after 15 s; the loop ends if ^C killed what it waits for.
LOOP = f"""
export MINER_STOP=/tmp/MINER_STOP
while true; do
	echo >>/tmp/starts
	/{PACKAGE}/h-run.sh
	sleep 3
done
"""
LAUNCHER = PACKAGE / "progpow-miner"
IDLE = """#!/bin/sh
here=${0%/*}
exec "$here/python/bin/progpow-miner" -Ic '
import os, signal

def end(number, frame):
    # Not print: the signal may interrupt the one below.
    os.write(1, f"stopped by {signal.Signals(number).name}\\n".encode())
    os._exit(0)

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
print("mining", flush=True)
signal.pause()
'
"""


@pytest.fixture
def fresh(rig: Path) -> Iterator[Path]:
    """The rig without the settings, lock and log of other tests, where sleep takes no time."""
    (rig / "usr/bin/sleep").write_text('#!/bin/sh\necho "$1" >>/tmp/slept\n', encoding="utf-8")
    (rig / "usr/bin/sleep").chmod(0o755)
    launcher = (rig / LAUNCHER).read_bytes()
    yield rig
    (rig / LAUNCHER).write_bytes(launcher)
    for left in (*(rig / PACKAGE).glob("config.toml*"), *(rig / "tmp").iterdir()):
        left.unlink()
    shutil.rmtree(rig / "var/log/miner", ignore_errors=True)


def reset_signals() -> None:
    """Undo what a test run in the background inherits: a shell cannot trap ignored signals."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def screen(root: Path, script: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `script` in a terminal, whose other end is the number returned."""
    end, terminal = pty.openpty()

    def own_terminal() -> None:
        reset_signals()
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    run = subprocess.Popen(
        inside(root, "bash", "-c", script),
        stdin=terminal, stdout=terminal, stderr=terminal,
        preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(terminal)
    try:
        yield run, end
    finally:
        for number in session(run.pid):  # the miner is in a process group of its own
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        run.wait()
        os.close(end)


def session(leader: int) -> list[int]:
    """Return the numbers of the processes in the session of `leader`."""
    found = []
    for number in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        with suppress(ProcessLookupError):
            if os.getsid(number) == leader:
                found.append(number)
    return found


def shown_until(end: int, word: str) -> str:
    """Return what the terminal showed up to `word`, or to its end."""
    shown = b""
    while word.encode() not in shown or not word:
        try:
            read = os.read(end, 4096)
        except OSError:
            read = b""
        if not read:
            break
        shown += read
    return shown.decode()


def shell(root: Path, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return captured(inside(root, "bash", *options, "-c", script), timeout=300)


def test_the_root_has_no_other_python(fresh: Path) -> None:
    found = [p for p in fresh.rglob("*") if re.fullmatch(r"(lib)?python3?[\d.]*(so.*)?", p.name)]
    assert all(p.is_relative_to(fresh / PACKAGE) for p in found)
    done = shell(fresh, "python3 --version || /hive/miners/custom/progpow-miner/progpow-miner -V")
    assert "command not found" in done.stderr
    assert "progpow-miner, version" in done.stdout


def test_the_packaged_miner_hashes(fresh: Path) -> None:
    done = shell(fresh, f"/{PACKAGE}/progpow-miner selftest --variant kawpow -d ref")
    assert done.returncode == 0, done.stderr
    assert "known answers" in done.stdout


def test_the_flight_sheet_becomes_settings(fresh: Path) -> None:
    sheet = r"""
CUSTOM_ALGO=kawpow
CUSTOM_URL='stratum+tcp://a.example:1
stratum+ssl://b.example:2'
CUSTOM_TEMPLATE='WAL"LET\$(id)`id`'
CUSTOM_PASS=$'p"\n[api]'
WORKER_NAME='rig 1'
CUSTOM_USER_CONFIG='give_up = 600'
"""
    done = shell(fresh, AGENT + sheet + CONFIGURE + "echo still here")
    assert (done.stdout, done.stderr) == ("still here\n", "")
    found = tomllib.loads((fresh / PACKAGE / "config.toml").read_text(encoding="utf-8"))
    assert found["rig"] == "rig 1"
    assert found["log"]["file"] == f"/{LOG}"
    assert [(p["url"], p["user"], p["password"]) for p in found["pools"]] == [
        ("stratum+tcp://a.example:1", 'WAL"LET\\$(id)`id`', 'p"\n[api]'),
        ("stratum+ssl://b.example:2", 'WAL"LET\\$(id)`id`', 'p"\n[api]'),
    ]


def test_an_invalid_sheet_is_reported_at_each_start(fresh: Path) -> None:
    done = shell(fresh, AGENT + "CUSTOM_ALGO=\nCUSTOM_URL=a:1\n" + CONFIGURE + "echo still here")
    assert done.stdout == "still here\n"
    assert done.stderr.startswith("progpow-miner: no algorithm is chosen")
    for _ in range(2):
        again = shell(fresh, f"/{PACKAGE}/h-run.sh")
        assert again.returncode == 2
        assert done.stderr in again.stdout
    assert (fresh / LOG).read_text(encoding="utf-8").count(done.stderr) == 2
    assert (fresh / "tmp/slept").read_text(encoding="utf-8").split() == ["30", "30"]


def test_a_corrected_sheet_has_no_reason(fresh: Path) -> None:
    shell(fresh, AGENT + "CUSTOM_ALGO=\nCUSTOM_URL=a:1\n" + CONFIGURE)
    assert (fresh / PACKAGE / "config.toml.reason").read_text(encoding="utf-8")
    assert shell(fresh, AGENT + "CUSTOM_ALGO=kawpow\nCUSTOM_URL=a:1\n" + CONFIGURE).stderr == ""
    assert (fresh / PACKAGE / "config.toml.reason").read_text(encoding="utf-8") == ""


def test_the_log_is_not_one_that_hiveos_moves_or_truncates(fresh: Path) -> None:
    """It moves CUSTOM_LOG_BASENAME.log at each start and keeps five of them."""
    done = shell(fresh, AGENT + 'echo "$CUSTOM_LOG_BASENAME"')
    base = Path(done.stdout.strip())
    assert fresh / LOG == fresh / base.relative_to("/") / "miner.log"


def test_repeated_failures_do_not_fill_the_disk(fresh: Path) -> None:
    log = fresh / LOG
    log.parent.mkdir(parents=True)
    for size in (20_000_001, 10):
        with log.open("wb") as file:
            file.truncate(size)
        assert shell(fresh, f"/{PACKAGE}/h-run.sh").returncode == 2
        assert log.with_name(log.name + ".1").stat().st_size == 20_000_001
    assert 10 < log.stat().st_size < 1000


def holders(path: Path) -> set[str]:
    """Return the names of the programs that have the file open."""
    found = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if descriptor.samefile(path):
                found.add(Path(os.readlink(descriptor.parents[1] / "exe")).name)
    return found


def listening_on(root: Path, port: int) -> None:
    config = root / PACKAGE / "config.toml"
    config.write_text(f'[api]\nlisten = "0.0.0.0:{port}"\n', encoding="utf-8")


def test_the_agent_gets_the_statistics(fresh: Path, miner: Answers) -> None:
    listening_on(fresh, miner.port)
    miner.give("/hiveos", {"khs": 1.5, "stats": STATS})
    done = shell(fresh, AGENT + ASK + SHOW)
    assert done.stderr == ""
    khs, stats = done.stdout.splitlines()
    assert khs == "1.5"
    assert json.loads(stats) == STATS


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"[]", b"not JSON", b'{"khs": "1", "stats": {}}', b'{"khs": 1, "stats": null}'],
)
def test_no_hashrate_without_a_valid_answer(
    fresh: Path, miner: Answers, answer: bytes | None
) -> None:
    listening_on(fresh, miner.port)
    if answer is not None:
        miner.by_path["/hiveos"] = answer
    # The values of the last call must not be reported again.
    done = shell(fresh, AGENT + "khs=7\nstats=old\n" + ASK + SHOW)
    assert (done.stdout, done.stderr) == ("0\nnull\n", "")


def test_no_hashrate_when_the_miner_is_down(fresh: Path) -> None:
    listening_on(fresh, free_port())
    done = shell(fresh, AGENT + ASK + SHOW)
    assert (done.stdout, done.stderr) == ("0\nnull\n", "")


def test_sourcing_sets_no_other_variables(fresh: Path, miner: Answers) -> None:
    listening_on(fresh, miner.port)
    miner.give("/hiveos", {"khs": 1.5, "stats": STATS})
    kept = "PWD MINER_DIR CUSTOM_MINER CUSTOM_NAME CUSTOM_CONFIG_FILENAME CUSTOM_LOG_BASENAME"
    state = f'for n in {kept} here config answer; do echo "$n=${{!n:-}}"; done; set +o; shopt\n'
    done = shell(fresh, AGENT + "here=1\nanswer=2\n{ " + state + "} >/tmp/before\n" + ASK
                 + "{ " + state + "} >/tmp/after\n")  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    before = (fresh / "tmp/before").read_text(encoding="utf-8")
    assert (fresh / "tmp/after").read_text(encoding="utf-8") == before
    assert "here=1\n" in before


def test_invalid_settings_keep_the_exit_code_and_message(fresh: Path) -> None:
    (fresh / PACKAGE / "config.toml").write_text("variant = 7\n", encoding="utf-8")
    done = shell(fresh, f"/{PACKAGE}/h-run.sh")
    assert done.returncode == 2
    assert "config.toml: pools: is missing" in done.stderr
    assert (fresh / LOG).read_text(encoding="utf-8") == done.stderr


def test_one_foreground_miner_that_stops_in_order(fresh: Path, pool_url: str) -> None:
    """With the real miner on the reference device and the test pool."""
    own = f'[api]\nlisten = "127.0.0.1:{free_port()}"\n{ON_THE_REFERENCE_DEVICE}'
    sheet = (
        f"CUSTOM_ALGO=kawpow CUSTOM_URL={pool_url} CUSTOM_TEMPLATE=w\nCUSTOM_USER_CONFIG='{own}'"
    )
    assert shell(fresh, AGENT + sheet + CONFIGURE).stderr == ""
    with screen(fresh, LOOP) as (run, end):
        shown = shown_until(end, "accepted 1")  # a status may come first: "accepted 0"

        khs, stats = shell(fresh, AGENT + ASK + SHOW).stdout.splitlines()
        told = json.loads(stats)
        assert float(khs) > 0
        assert told["hs_units"] == "khs"
        assert len(told["hs"]) == len(told["bus_numbers"]) == 1
        assert told["bus_numbers"] == [None], "the CPU has no bus"
        assert told["ar"][0] >= 1
        assert told["algo"] == "kawpow"

        # Otherwise the lock would outlive the miner.
        assert holders(fresh / PACKAGE / "config.toml.lock") == {"bash", "progpow-miner"}
        assert "tee" in holders(fresh / LOG)
        second = shell(fresh, f"/{PACKAGE}/h-run.sh")
        assert second.returncode == 1
        assert "is already running" in second.stdout

        (fresh / "tmp/MINER_STOP").touch()
        os.write(end, b"\x03")
        shown += shown_until(end, "")
        assert run.wait() == -signal.SIGINT
    assert (fresh / "tmp/starts").read_text(encoding="utf-8") == "\n", shown
    assert "shares accepted" in shown
    assert "\x1b" not in shown, "HiveOS records the screen for `miner log`"
    assert "accepted" in (fresh / LOG).read_text(encoding="utf-8")


@pytest.fixture
def idle(fresh: Path) -> Path:
    """The rig with a program in place of the miner that ends in order at any signal."""
    (fresh / LAUNCHER).write_text(IDLE, encoding="utf-8")
    (fresh / PACKAGE / "config.toml").touch()
    return fresh


def test_a_stop_by_hand_also_ends_the_loop(idle: Path) -> None:
    with screen(idle, LOOP) as (run, end):
        shown_until(end, "mining")
        os.write(end, b"\x03")
        assert "stopped by SIGINT" in shown_until(end, "")
        assert run.wait() == -signal.SIGINT
    assert (idle / "tmp/starts").read_text(encoding="utf-8") == "\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_reach_the_miner_whose_exit_code_is_kept(idle: Path, name: str) -> None:
    run = subprocess.Popen(
        inside(idle, f"/{PACKAGE}/h-run.sh"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=reset_signals,
    )  # fmt: skip
    assert run.stdout
    assert run.stdout.readline() == b"mining\n"
    run.send_signal(signal.Signals[name])
    printed, _ = run.communicate()
    assert (run.returncode, printed) == (0, f"stopped by {name}\n".encode())


@pytest.mark.parametrize(
    ("code", "pauses"), [(0, []), (1, []), (2, ["30"]), (3, []), (4, ["30"]), (5, [])]
)
def test_a_restart_that_cannot_help_is_delayed(idle: Path, code: int, pauses: list[str]) -> None:
    (idle / LAUNCHER).write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
    assert shell(idle, f"/{PACKAGE}/h-run.sh").returncode == code
    slept = idle / "tmp/slept"
    assert (slept.read_text(encoding="utf-8").split() if slept.exists() else []) == pauses


def test_the_pause_ends_with_a_stop(idle: Path) -> None:
    (idle / LAUNCHER).write_text("#!/bin/sh\nexit 2\n", encoding="utf-8")
    # A pause without end.
    (idle / "usr/bin/sleep").write_text("#!/bin/sh\nexec cat /dev/zero >/dev/null\n", "utf-8")
    with screen(idle, LOOP) as (run, end):
        shown_until(end, "correct the flight sheet")
        os.write(end, b"\x03")
        assert run.wait() == -signal.SIGINT
