"""Help texts, which are printed without slow imports."""

from __future__ import annotations

import click
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
def test_help_imports_no_slow_libraries(command: str) -> None:
    ran = python("-c", PRINT_MODULES, *command.split(), "--help")
    assert ran.returncode == 0, ran.stderr
    text, _, loaded = ran.stdout.partition("loaded: ")
    assert "Usage: progpow-miner" in text
    needed = {"pydantic"} if command == "mine" else set()  # its flags come from the settings
    assert HEAVY & set(loaded.split()) == needed
    assert "click" in loaded.split()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--version"], "progpow-miner, version"),
        (["nosuch"], "No such command"),
        (["mine", "--bogus"], "No such option"),
        (["-a", "kawpow", "--donate-level", "1"], "this miner takes no fee"),
        (["mine", "-a", "kawpow"], "pools: is missing"),
        (["mine", "-a", "nope", "-o", "h:1", "-u", "w"], "variant 'nope' is not known"),
        (["mine", "-a", "kawpow", "-o", "h", "-u", "w"], "pool 'h' has no port"),
    ],
)
def test_mistakes_are_reported_before_slow_libraries_are_imported(
    arguments: list[str], sentence: str
) -> None:
    ran = python("-c", PRINT_MODULES, *arguments)
    assert sentence in ran.stdout + ran.stderr
    loaded = set(ran.stdout.partition("loaded: ")[2].split())
    assert "click" in loaded
    assert not (HEAVY - {"pydantic"}) & loaded


def test_python_m_miner_is_the_command() -> None:
    ran = python("-m", "miner", "--help")
    assert ran.returncode == 0
    assert ran.stdout == run("--help").out
    assert "Exit codes: 0 success" in ran.stdout


def test_every_command_and_option_has_a_help_text() -> None:
    listed = run("--help").out
    for name, command in cli.commands.items():
        assert name in listed
        assert run(name, "-h").out.startswith(f"Usage: progpow-miner {name} ")
        assert command.help
        context = click.Context(command)
        options = [p for p in command.get_params(context) if isinstance(p, click.Option)]
        assert [option.name for option in options if not option.help] == []


def test_the_version() -> None:
    for flag in ("-V", "--version"):
        ran = run(flag)
        assert (ran.code, ran.out) == (0, f"progpow-miner, version {__version__}\n")


def test_no_traceback_when_the_reader_leaves_early() -> None:
    ran = python(
        "-c",
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-m', 'miner', 'kernel', '-a', 'kawpow',"
        " '--height', '5'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "p.stdout.close()\n"
        "print(p.stderr.read().decode(), p.wait())",
    )
    assert ran.stdout == " 0\n"
