"""The command `progpow-miner`."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress

import click

from miner import __version__
from miner.cli.bench import bench
from miner.cli.cache import cache
from miner.cli.config import config
from miner.cli.demo import demo
from miner.cli.devices import devices
from miner.cli.hash import hash_command
from miner.cli.health import health
from miner.cli.kernel import kernel
from miner.cli.mine import mine
from miner.cli.options import to_nowhere
from miner.cli.pool import pool
from miner.cli.probe import probe
from miner.cli.replay import replay
from miner.cli.selftest import selftest_command
from miner.cli.shares import shares
from miner.cli.variants import variants_command
from miner.errors import DeviceHung, MinerError
from miner.signals import handled

INTERRUPTED = 130
"""Exit code of a run that was stopped at once."""

FULL = (errno.ENOSPC, errno.EDQUOT)


class _Commands(click.Group):
    """Commands of which a reader may leave early, as `head` does: that is no failed check."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            to_nowhere()
            return 0


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="progpow-miner")
def cli() -> None:
    """Mine the ProgPoW family on GPUs: exact, open, without a fee.

    \b
    Exit codes: 0 done or orderly stop, 1 a check failed, 2 usage or configuration,
    3 no usable device, 4 every pool refused, 5 a device hung, 130 stopped at once.
    """


for command in (
    mine, pool, demo, devices, variants_command, hash_command, kernel, selftest_command, bench,
    cache, probe, replay, config, shares, health,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Run the command line; every error a user can cause ends in one sentence."""
    _open_closed_streams()
    code = _ran()
    try:
        sys.stdout.flush()
    except OSError:
        to_nowhere()  # what a full disk did not take would be tried once more, and fail
    if code == DeviceHung.exit_code or _something_runs_on():
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)  # the interpreter would wait for a thread in a driver or a compiler
    sys.exit(code)


def _ran() -> int:
    """Return the exit code, with the sentence printed that belongs to it."""
    try:
        with handled("SIGTERM", signal.default_int_handler):
            code = cli.main(standalone_mode=False, prog_name="progpow-miner")
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MinerError as error:
        return _told(error)
    except BaseExceptionGroup as group:
        ours, others = group.split(MinerError)
        if others is not None or ours is None:
            raise
        return _told(_first(ours))
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        if error.errno not in FULL:
            raise
        to_nowhere()
        click.echo(f"progpow-miner: the output cannot be written: {error.strerror}", err=True)
        return 1
    return code if isinstance(code, int) else 0


def _open_closed_streams() -> None:
    """A service may be started without any output, as by `>&-`; it works all the same."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _told(error: MinerError) -> int:
    with suppress(OSError):  # of a terminal that is gone; the code is told all the same
        click.echo(f"progpow-miner: {error}", err=True)
    return error.exit_code


def _something_runs_on() -> bool:
    threads = sys.modules.get("miner.engine.threads")  # where it was not loaded, nothing does
    return threads is not None and threads.work_left()


def _first(group: BaseExceptionGroup[MinerError]) -> MinerError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
