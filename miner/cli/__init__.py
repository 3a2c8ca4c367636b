"""The command `progpow-miner`."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from importlib import import_module
from io import TextIOWrapper
from itertools import chain
from threading import Timer, get_ident

import click

from miner import __version__
from miner.cli.completion import VARIABLE
from miner.cli.foreign_flags import flags_by_name
from miner.cli.options import discard_output
from miner.cli.other_miners import OTHER_DASHES
from miner.errors import DeviceHung, MinerError, nearest, not_one_of
from miner.signals import handled, redirect_to_null, stray_ignored

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""

REPEAT_SECONDS = 0.05
"""Time after which an interrupt is repeated, so that the finalizer that dropped it has ended."""

_OUTPUT_FAILED = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EAGAIN, errno.ECONNRESET
)  # fmt: skip
"""Errors of writing to a full disk, beyond a limit, to a terminal or socket that is gone."""

_CLICK_NUMBER = re.compile(r"is not a valid (integer|float)( range)?")
_CLICK_RANGE = re.compile(r"is not in the range (?:(\S+)(<=?))?x(?:([<>]=?)(\S+))?\.")
_CLICK_CHOICE = re.compile(r"'(.*)' is not one of ('.*')\.", re.DOTALL)

_PORT = re.compile(r":[0-9]+/?$")

GROUPS = {
    "Mining": ("mine", "demo", "config", "doctor", "devices", "health", "shares"),
    "Speed and correctness": ("bench", "tune", "selftest"),
    "Pools": ("probe", "pool", "replay"),
    "Algorithms": ("variants", "hash", "kernel"),
    "This program": ("cache", "completion", "help"),
}
"""The commands, as the help lists them. Each but `help` is in the module of this package that has
its name."""


class _LazyCommands(MutableMapping[str, click.Command]):
    """The commands by name, each imported when it is needed: importing all of them is slow."""

    def __init__(self) -> None:
        names = chain.from_iterable(GROUPS.values())
        self._commands: dict[str, click.Command | None] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> click.Command:
        command = self._commands[name]
        if command is None:
            found = vars(import_module(f"miner.cli.{name}")).values()
            named = [c for c in found if isinstance(c, click.Command) and c.name == name]
            assert named, f"miner/cli/{name}.py has no command {name!r}"
            command = self._commands[name] = named[0]
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)


class _Commands(click.Group):
    """Runs `mine` if the command line begins with one of its flags or with a settings file."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        widest = max(map(len, self.commands))
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (f"{name:<{widest}}", self.commands[name].get_short_help_str(80))
                        for name in names
                    ]
                )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        while args and not args[0].strip():  # of an unset variable in a script
            args = args[1:]
        first = args[0] if args else ""
        own = {name for p in self.get_params(ctx) for name in p.opts}
        is_flag = first[:1] in ("-", *OTHER_DASHES) and first not in own
        is_file = first.endswith(".toml") or os.path.isfile(first)
        is_file = is_file or _PORT.search(first) is not None  # `mine` explains where a pool belongs
        if is_flag or (is_file and first not in self.commands):
            args = ["mine", *args]
        try:
            return super().parse_args(ctx, args)
        except BrokenPipeError:
            discard_output()
            ctx.exit(0)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of the output left early, as `head` does
            discard_output()
            return 0


@click.group(
    cls=_Commands,
    commands=_LazyCommands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="progpow-miner")
def cli() -> None:
    """GPU miner for the ProgPoW family, without a developer fee.

    A command line that begins with a flag or with a settings file (FILE.toml) means "mine".

    \b
    Examples:
      progpow-miner --coin RVN -o stratum+tcp://pool.example:3333 -u WALLET.rig1
      progpow-miner demo
      progpow-miner doctor
      progpow-miner help mine

    Exit codes: 0 success or orderly stop, 1 check failed, 2 usage or configuration error,
    3 no usable device, 4 every pool refused, 5 device hung, 130 stopped at once.
    """


@cli.command("help")
@click.argument("names", nargs=-1, metavar="[COMMAND]")
@click.pass_context
def help_command(context: click.Context, names: tuple[str, ...]) -> None:
    """Print the help of a command, as in `help config init`."""
    found: click.Command = cli
    own = context.find_root()
    for name in names:
        if not isinstance(found, click.Group):
            raise click.UsageError(f"{own.info_name} has no subcommands")
        _, inner, _ = found.resolve_command(own, [name])
        assert inner is not None
        found, own = inner, click.Context(inner, own, name)
    click.echo(found.get_help(own))


def main() -> None:
    """Run the command line; an error that a user can cause is reported in one sentence."""
    _open_closed_streams()
    _forget_empty_window()
    code = _run()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # at exit Python would flush again, and fail again
            redirect_to_null(stream.fileno())
    if code == DeviceHung.exit_code or _threads_left() or _drivers_loaded():
        # sys.exit would wait for threads in drivers and compilers, and run the drivers' exit
        # handlers, which can crash, hang, or end the process with another code.
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    """Run the command and report its error; return the exit code."""
    try:
        with (
            handled("SIGTERM", signal.default_int_handler), stray_ignored(), _interrupts_repeated()
        ):  # fmt: skip
            code = cli.main(_arguments(), standalone_mode=False, prog_name="progpow-miner",
                            complete_var=VARIABLE)  # fmt: skip
    except click.ClickException as error:
        _suggest(error)
        text = _CLICK_RANGE.sub(_plain_range, _CLICK_NUMBER.sub(_plain_number, error.message))
        vars(error)["message"] = _CLICK_CHOICE.sub(_with_suggestion, text)
        with suppress(OSError):  # the terminal may be gone
            error.show()
        return error.exit_code
    except MinerError as error:
        return _report(error)
    except BaseExceptionGroup as group:
        ours, others = group.split(MinerError)
        if others is not None or ours is None:
            raise
        return _report(_first(ours))
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        if error.errno not in _OUTPUT_FAILED or error.filename is not None:
            raise
        discard_output()
        with suppress(OSError):
            click.echo(f"progpow-miner: the output cannot be written: {error.strerror}", err=True)
        return 1
    return code if isinstance(code, int) else 0


@contextmanager
def _interrupts_repeated() -> Iterator[None]:
    """Interrupt the command again if Python drops the exception of a signal, as it does within
    finalizers."""
    before = sys.unraisablehook
    timers: list[Timer] = []

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt) or not hasattr(signal, "pthread_kill"):
            before(lost)
            return
        # A signal, since `interrupt_main` does not end a call that blocks.
        again = Timer(REPEAT_SECONDS, signal.pthread_kill, (get_ident(), signal.SIGTERM))
        again.daemon = True
        timers.append(again)
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        sys.unraisablehook = before


def _suggest(error: click.ClickException) -> None:
    """Suggest one name where click suggests several, and flags of other miners to `mine`."""
    match error:
        case click.NoSuchOption(option_name=name, ctx=click.Context() as context):
            known = {name for p in context.command.get_params(context) for name in p.opts}
            if context.command.name == "mine":
                known |= flags_by_name().keys()
                if sys.argv[1:2] != ["mine"]:  # it was left out, so --version may be meant
                    known |= {name for p in cli.params for name in p.opts}
            near = nearest(f"--{name.strip('-')}", (one for one in known if one.startswith("--")))
        case click.NoSuchCommand(command_name=name, possibilities=known):
            near = nearest(name, known or ())
        case _:
            return
    vars(error)["possibilities"] = [near] if near else []


def _with_suggestion(found: re.Match[str]) -> str:
    from miner.safe_text import short_line

    choices = re.findall("'([^']*)'", found[2])
    return f"{not_one_of(short_line(found[1]), choices)}."


def _plain_number(found: re.Match[str]) -> str:
    return "is not a whole number" if found[1] == "integer" else "is not a number"


def _plain_range(found: re.Match[str]) -> str:
    low, low_sign, high_sign, high = found.groups()
    if low is None and high_sign.startswith(">"):
        return f"is too small: it must be {high} or more."
    return f"must be {'above' if low_sign == '<' else 'at least'} {low} and at most {high}."


def _arguments() -> list[str]:
    """Return the arguments without the carriage returns that scripts edited on Windows add."""
    return [argument.rstrip("\r") for argument in sys.argv[1:] if argument != "\r"]


def _open_closed_streams() -> None:
    """Replace streams that are closed, as by `>&-`, with the null device, and characters that the
    output's encoding lacks with escapes.

    Otherwise the next file or socket would take the number of a closed stream, and get what
    drivers print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _forget_empty_window() -> None:
    """Remove sizes of the terminal that are not positive from the environment: in a window of no
    width, tables would be empty."""
    for name in ("COLUMNS", "LINES"):
        if not re.fullmatch("0*[1-9][0-9]{0,4}", os.environ.get(name, "")):
            os.environ.pop(name, None)


def _report(error: MinerError) -> int:
    with suppress(OSError):
        click.echo(f"progpow-miner: {error}", err=True)
    return error.exit_code


def _threads_left() -> bool:
    threads = sys.modules.get("miner.engine.threads")  # not loaded: no threads
    return threads is not None and threads.work_left()


def _drivers_loaded() -> bool:
    return not {"pyopencl", "pycuda"}.isdisjoint(sys.modules)


def _first(group: BaseExceptionGroup[MinerError]) -> MinerError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
