"""Help is quick: it loads no compiler, no driver and no framework."""

from __future__ import annotations

import pytest

from miner import __version__
from miner.cli import cli
from tests.cli.running import python, run

HEAVY = {"numba", "numpy", "pydantic", "aiohttp", "pyopencl", "pycuda", "rich", "llvmlite"}
PRINT_MODULES = """
import sys
sys.argv[0] = "progpow-miner"
from miner.cli import main
try:
    main()
finally:
    print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("command", ["", *cli.commands])
def test_help_loads_nothing_heavy(command: str) -> None:
    ran = python("-c", PRINT_MODULES, *command.split(), "--help")
    assert ran.returncode == 0, ran.stderr
    text, _, loaded = ran.stdout.partition("loaded: ")
    assert "Usage: progpow-miner" in text
    needed = {"pydantic"} if command == "mine" else set()  # its flags come from the settings
    assert HEAVY & set(loaded.split()) == needed
    assert "click" in loaded.split()


def test_the_module_is_the_command() -> None:
    ran = python("-m", "miner", "--help")
    assert ran.returncode == 0
    assert ran.stdout == run("--help").out
    assert "Exit codes: 0 success" in ran.stdout


def test_every_command_has_its_line_and_every_option_its_words() -> None:
    assert set(cli.commands) >= {
        "mine", "pool", "devices", "variants", "hash", "kernel", "selftest", "bench", "cache",
    }  # fmt: skip
    listed = run("--help").out
    for name, command in cli.commands.items():
        assert name in listed
        assert run(name, "-h").out.startswith(f"Usage: progpow-miner {name} ")
        assert command.help


def test_the_version() -> None:
    for flag in ("-V", "--version"):
        ran = run(flag)
        assert (ran.code, ran.out) == (0, f"progpow-miner, version {__version__}\n")


def test_a_reader_that_leaves_early_sees_no_traceback() -> None:
    ran = python(
        "-c",
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-m', 'miner', 'kernel', '-a', 'kawpow',"
        " '--height', '5'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "p.stdout.close()\n"
        "print(p.stderr.read().decode(), p.wait())",
    )
    assert ran.stdout == " 0\n"
