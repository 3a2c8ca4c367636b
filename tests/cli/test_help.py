"""Help texts, which are printed without slow imports."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from miner import __version__
from miner.cli import GROUPS, cli
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


def test_a_command_imports_no_other_command() -> None:
    code = PRINT_MODULES.replace('name.partition(".")[0]', "name")
    loaded = python("-c", code, "pool", "--help").stdout.partition("loaded: ")[2].split()
    of_cli = {name for name in loaded if name.startswith("miner.cli.")}
    shared = {
        f"miner.cli.{name}" for name in ("completion", "foreign_flags", "options", "other_miners")
    }
    assert of_cli == shared | {"miner.cli.pool"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--version"], "progpow-miner, version"),
        (["nosuch"], "No such command"),
        (["mine", "--bogus"], "No such option"),
        (["-a", "kawpow", "--pl", "150"], "this miner never sets clocks"),
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


def test_the_help_lists_each_command_once() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(cli.commands)


def commands() -> Iterator[list[str]]:
    for name, command in cli.commands.items():
        yield [name]
        if isinstance(command, click.Group):
            yield from ([name, inner] for inner in command.commands)


def test_help_fits_into_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in ([], *commands()):
        lines = run(*arguments, "--help").out.splitlines()
        assert [line for line in lines if len(line) > 80] == []
        assert [line for line in lines[1:] if line.endswith("...")] == [], "a text is cut"
        assert not re.search(r"\b(FLOAT|INTEGER)\b", "\n".join(lines)), "types of a programmer"


def test_examples_in_the_help_are_accepted() -> None:
    parent = cli.make_context("progpow-miner", ["help"])
    seen = set()
    for arguments in ([], *commands()):
        for line in run(*arguments, "--help").out.splitlines():
            if not line.startswith("    progpow-miner "):
                continue
            name, *rest = shlex.split(line.partition(" > ")[0])[1:]
            if name.startswith("-"):
                name, rest = "mine", [name, *rest]
            cli.commands[name].make_context(name, rest, parent)
            seen.add(name)
    assert seen >= {"mine", "demo", "doctor", "shares", "bench", "tune", "probe", "kernel"}


def test_help_of_a_command_inside_a_command() -> None:
    assert run("help", "config", "init") == run("config", "init", "--help")
    ran = run("help", "mine", "x")
    assert (ran.code, ran.err.splitlines()[-1]) == (2, "Error: mine has no subcommands")


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
