"""Completion in a shell."""

from __future__ import annotations

import sys

import pytest
from click.shell_completion import BashComplete

from miner.catalog import coins, variants
from miner.cli import cli
from miner.cli.completion import PROGRAM, VALUES, VARIABLE
from miner.pool.pool_addresses import known_protocols
from tests.cli.running import run
from tests.harness.child import captured

pytestmark = pytest.mark.usefixtures("only_ref")


def completed(*words: str) -> list[str]:
    """Return what a shell offers for the last of `words`."""
    *before, last = words
    offered = BashComplete(cli, {}, PROGRAM, VARIABLE).get_completions(before, last)
    return [item.value for item in offered]


def test_commands_and_flags() -> None:
    assert completed("de") == ["demo", "devices"]
    assert "--coin" in completed("mine", "--c")
    assert "--coin" in completed("-a", "kawpow", "--c")


def test_values() -> None:
    with_algorithm = (
        "mine",
        "bench",
        "hash",
        "kernel",
        "pool",
        "probe",
        "replay",
        "selftest",
        "tune",
    )
    for words in (("-a", ""), *((command, "-a", "") for command in with_algorithm)):
        assert completed(*words) == [*variants(), *coins()]
    assert completed("mine", "--coin", "rv") == ["RVN"]
    assert completed("mine", "--protocol", "") == list(known_protocols())
    assert completed("bench", "-d", "r") == ["ref"]
    assert completed("mine", "-d", "cuda:0,r") == ["cuda:0,ref"]


def test_every_flag_with_values_is_a_flag_of_mine_or_of_bench() -> None:
    context = cli.make_context(PROGRAM, ["mine"])
    flags = {
        name
        for command in ("mine", "bench")
        for parameter in cli.commands[command].get_params(context)
        for name in parameter.opts
    }
    assert flags >= VALUES.keys()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str) -> None:
    ran = run("completion", shell)
    assert (ran.code, ran.err) == (0, "")
    assert f"{VARIABLE}={shell}_complete" in ran.out


def test_bash_accepts_its_script() -> None:
    script = run("completion", "bash").out
    done = captured(
        ["bash", "-c", f"{script}\ncomplete -p {PROGRAM}"],
        timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), sys.version
    assert PROGRAM in done.stdout
