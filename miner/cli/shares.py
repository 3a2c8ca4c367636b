"""The command `shares`: the shares in the ledger, listed, summed or exported."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from miner.cli.options import UserPath
from miner.formatting import format_difficulty, format_milliseconds
from miner.safe_text import printable

if TYPE_CHECKING:
    from miner.ledger import Filter, LedgerReader, ShareRecord, Sum

DEFAULT_LIMIT = 20

DEFAULT_BY = "device,outcome"

NUMBERS = frozenset(
    {"height", "shares", "accepted", "blocks", "work", "best", "asked", "reached", "answer"}
)
"""Columns that are aligned to the right."""

MAX_WIDTHS = {"found": 10, "first": 10, "last": 10, "pool": 20, "outcome": 11, "text": 24}
"""Columns that are wrapped in a terminal, with their widths in characters."""

OPTIONAL = ("nonce", "first", "asked", "blocks", "last", "answer", "work")
"""Columns that are left out, in this order, while the terminal is too narrow."""

CELL_LIMIT = 72
"""Characters of a cell in a terminal; elsewhere cells are not cut."""

COUNT = click.IntRange(1, 2**63 - 1)
"""A number that SQLite takes."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.command()
@click.option("--sum", "summed", is_flag=True, help="Print sums instead of single shares.")
@click.option(
    "--by",
    metavar="NAMES",
    help="Group the sums by: run, day, hour, device, pci, uuid, pool, algorithm, job, height, "
    f"epoch, period, outcome. Default: {DEFAULT_BY}.",
)
@click.option("--best", type=COUNT, metavar="N", help="Only the N best shares.")
@click.option(
    "--limit",
    type=COUNT,
    metavar="N",
    help=f"Only the N newest shares. Default: {DEFAULT_LIMIT}; with --export all.",
)
@click.option(
    "--since",
    metavar="TIME",
    help="Found after this time: 90s, 30m, 1h, 2d or 1w ago, or an ISO date and time.",
)
@click.option("--until", metavar="TIME", help="Found before this time, in the same forms.")
@click.option(
    "-d",
    "--device",
    metavar="NAME",
    help="Only of this device: name, PCI address, UUID or pattern of the name.",
)
@click.option("--pool", metavar="TEXT", help="Only of pools whose address contains TEXT.")
@click.option("-a", "--algorithm", metavar="NAME", help="Only of this variant.")
@click.option(
    "--outcome",
    metavar="NAME",
    multiple=True,
    help="Only with this outcome, such as accepted, stale or hardware. Repeat for more.",
)
@click.option("--blocks", is_flag=True, help="Only shares that are blocks, as far as known.")
@click.option(
    "--run", default="all", show_default=True, metavar="last|ID|all", help="Only of this run."
)
@click.option(
    "--export",
    "form",
    type=click.Choice(["csv", "json", "jsonl"]),
    help="Print in this format, for programs.",
)
@click.option("--json", "form", flag_value="json", help="The same as --export json.")
@click.option(
    "--file",
    "path",
    type=UserPath(path_type=Path),
    metavar="FILE",
    help="Ledger to read. Default: ledger.sqlite in the state folder.",
)
def shares(
    summed: bool,
    by: str | None,
    best: int | None,
    limit: int | None,
    since: str | None,
    until: str | None,
    device: str | None,
    pool: str | None,
    algorithm: str | None,
    outcome: tuple[str, ...],
    blocks: bool,
    run: str,
    form: str | None,
    path: Path | None,
) -> None:
    """List, sum or export the shares in the ledger.

    \b
    Examples:
      progpow-miner shares --since 1d --outcome stale --outcome invalid
      progpow-miner shares --sum --by day,device
      progpow-miner shares --best 10
      progpow-miner shares --export csv > shares.csv
    """
    from miner.ledger import LEDGER_FILE, Filter, LedgerReader
    from miner.resources import state_directory

    summed = summed or by is not None
    if summed and best is not None:
        raise click.UsageError(f"give {'--by' if by else '--sum'} or --best, not both")
    if limit is not None and (summed or best is not None):
        raise click.UsageError("--limit cannot be combined with --sum, --by or --best")
    reader = LedgerReader(path or state_directory() / LEDGER_FILE)
    wanted = Filter(
        run=None if run == "all" else run,
        device=_check_device(device),
        pool=pool,
        algorithm=algorithm,
        outcome=tuple(_outcome(word) for word in outcome),
        since=_timestamp("since", since),
        until=_timestamp("until", until),
        blocks=blocks,
    )
    if summed:
        words = re.split(r"[\s,]+", DEFAULT_BY if by is None else by)
        names = tuple(name for name in words if name)
        _show_sums(reader.sums(wanted, names), names, form)
    elif form is not None:
        _export_shares(reader, wanted, best, limit, form)
    elif best is not None:
        _show_shares(reader.best(best, wanted))
    else:
        _show_shares(reader.shares(wanted, limit or DEFAULT_LIMIT)[::-1])


def _check_device(device: str | None) -> str | None:
    """Return `device`; raises `BadValue` for an index, which changes between runs."""
    from miner.errors import BadValue

    if device is not None and device.strip().isdecimal():
        raise BadValue(
            "--device",
            f"{device.strip()} is an index, which the ledger does not know; give a name such as "
            "cuda:0, a PCI address or a UUID",
        )
    return device


def _outcome(word: str) -> str:
    from miner.errors import BadValue, not_one_of
    from miner.ledger import OUTCOMES

    name = "_".join(word.lower().split())
    if name not in OUTCOMES:
        raise BadValue("--outcome", not_one_of(word, OUTCOMES))
    return name


def _timestamp(flag: str, text: str | None) -> float | None:
    """Return `text` as UNIX time; a time without a zone is local."""
    from miner.errors import BadValue

    if text is None:
        return None
    now = datetime.now().timestamp()
    if ago := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)([smhdw])", text.strip()):
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadValue(
            f"--{flag}", f"{text!r} is neither a duration such as 90s, 30m, 1h or 2d nor a time "
            "such as 2026-05-01 or 2026-05-01T12:00"
        ) from None  # fmt: skip


def _export_shares(
    reader: LedgerReader, wanted: Filter, best: int | None, limit: int | None, form: str
) -> None:
    from miner.ledger.share_record import SHARE_NAMES, exported, share_record

    if best is not None:
        found: Iterable[ShareRecord] = reader.best(best, wanted)
    elif limit is not None:
        found = reader.shares(wanted, limit)[::-1]
    else:
        found = reader.each(wanted)
    rest = iter(found)
    first = tuple(islice(rest, 1))  # read first: if it fails, nothing is printed
    records = map(share_record, chain(first, rest))
    for text in exported(records, SHARE_NAMES, form):
        click.echo(text, nl=False)


def _show_sums(sums: Sequence[Sum], by: Sequence[str], form: str | None) -> None:
    from miner.ledger.share_record import exported, sum_names, sum_record

    if form is not None:
        records = (sum_record(s, by) for s in sums)
        for text in exported(records, sum_names(by), form):
            click.echo(text, nl=False)
        return
    heads = (*by, "shares", "accepted", "blocks", "work", "best", "answer", "first", "last")
    rows = [
        (
            *("" if value is None else str(value) for value in s.group),
            str(s.shares), str(s.accepted), str(s.blocks), _difficulty(s.work), _difficulty(s.best),
            _milliseconds(s.answer_seconds), _local(s.first), _local(s.last),
        )
        for s in sums
    ]  # fmt: skip
    _table(heads, rows)


def _show_shares(found: Sequence[ShareRecord]) -> None:
    heads = ("found", "device", "pool", "height", "nonce", "asked", "reached", "answer",
             "outcome", "text")  # fmt: skip
    rows = [
        (
            _local(share.found_at), share.device, share.pool, str(share.height), share.nonce,
            _difficulty(share.difficulty_asked), _difficulty(share.difficulty_reached),
            _milliseconds(share.answer_seconds),
            f"{share.outcome}, block" if share.is_block else share.outcome, share.text,
        )
        for share in found
    ]  # fmt: skip
    _table(heads, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: with rich in a terminal, else as columns with spaces between."""
    if not rows:
        click.echo("no shares")
        return
    rows = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(heads, rows)
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (
            cell.rjust(width) if head in NUMBERS else cell.ljust(width)
            for head, cell, width in zip(heads, row, widths, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _print_rich(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = {
        head: min(MAX_WIDTHS.get(head, CELL_LIMIT), max(map(len, column)))
        for head, *column in zip(heads, *([heads, *rows]), strict=True)
    }
    for head in OPTIONAL:
        if sum(widths.values()) + 2 * len(widths) + 1 > console.width:
            widths.pop(head, None)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
    for head, width in widths.items():
        side: Literal["left", "right"] = "right" if head in NUMBERS else "left"
        table.add_column(head, justify=side, overflow="fold", min_width=width)
    for row in rows:
        cells = (cell for head, cell in zip(heads, row, strict=True) if head in widths)
        table.add_row(*(Text(_cut(cell)) for cell in cells))
    console.print(table)


def _cut(cell: str) -> str:
    return cell if len(cell) <= CELL_LIMIT else f"{cell[: CELL_LIMIT - 1]}…"


def _local(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def _difficulty(hashes: float | None) -> str:
    return "" if hashes is None else format_difficulty(hashes)


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else format_milliseconds(seconds)
