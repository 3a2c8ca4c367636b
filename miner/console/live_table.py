"""The snapshot drawn as lines of a given width, for a terminal that is drawn anew all the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from miner.console.plain import sensors
from miner.formatting import (
    format_difficulty,
    format_efficiency,
    format_hashrate,
    format_milliseconds,
    format_uptime,
)
from miner.safe_text import Redactor
from miner.telemetry import (
    WINDOWS,
    DeviceSnapshot,
    DeviceState,
    Hashrate,
    PoolState,
    Snapshot,
    Tally,
)

NARROW = 62
"""Columns below which each device has lines of its own in place of a row."""

_GAP = "  "
_UNKNOWN = "-"
_MODEL = 24
"""Columns of a model's name at most."""

_STYLES = {
    DeviceState.PAUSED: "yellow",
    DeviceState.RESTING: "yellow",
    DeviceState.PARKED: "bold red",
    DeviceState.HUNG: "bold red",
}

Piece = tuple[str, str]
"""Text with its style."""


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    rank: int
    """0 is always there; the higher, the sooner it is left out where there is too little room."""
    cells: Sequence[Piece]
    left: bool = False

    @property
    def width(self) -> int:
        return max(map(cell_len, (self.title, *(text for text, _ in self.cells))))


def picture(snapshot: Snapshot, width: int, height: int, redactor: Redactor) -> Text:
    """Return at most `height` lines of at most `width` cells, each text redacted."""
    lines = [Text("─" * width, "dim")]
    for group in (
        _title(snapshot),
        _speed(snapshot),
        _shares(snapshot.shares),
        _pool(snapshot),
        _job(snapshot),
    ):
        lines += _flow([(redactor.one_line(text), style) for text, style in group], width)
    devices = _narrow if width < NARROW else _rows
    lines += devices(snapshot.devices, width, redactor)
    if len(lines) > height:
        kept = max(0, height - 1)
        hidden = f"… {len(lines) - kept} lines more"
        lines = [*lines[:kept], Text(hidden, "dim")][:height]
    return Text("\n", no_wrap=True, overflow="crop", end="").join(
        _cut(line, width) for line in lines
    )


def _title(snapshot: Snapshot) -> list[Piece]:
    about = snapshot.about
    names = (f"progpow-miner {about.version}".strip(), about.rig, about.algorithm, about.coin)
    pieces = [(name, "bold" if not index else "") for index, name in enumerate(names) if name]
    return [*pieces, (f"up {format_uptime(snapshot.uptime)}", "")]


def _speed(snapshot: Snapshot) -> list[Piece]:
    hashrate = snapshot.hashrate
    age = max((device.mining_seconds for device in snapshot.devices), default=0.0)
    pieces = [(format_hashrate(hashrate.ten_seconds), "bold cyan")]
    if age > WINDOWS[0]:
        pieces.append((f"60 s {format_hashrate(hashrate.minute)}", "cyan"))
    if age > WINDOWS[1]:
        pieces.append((f"15 min {format_hashrate(hashrate.quarter_hour)}", "cyan"))
    if snapshot.power is not None and snapshot.efficiency is not None:
        pieces.append((f"{snapshot.power:.0f} W", ""))
        pieces.append((format_efficiency(snapshot.efficiency), ""))
    return pieces


def _shares(tally: Tally) -> list[Piece]:
    pieces = [(f"accepted {tally.accepted}", "green" if tally.accepted else "")]
    others = (
        ("rejected", tally.rejected),
        ("stale", tally.stale),
        ("invalid", tally.invalid),
        ("lost", tally.lost),
        ("hardware", tally.hardware),
    )
    return pieces + [(f"{word} {number}", _bad(word, number)) for word, number in others]


def _bad(word: str, number: int) -> str:
    if not number:
        return "dim"
    return "red" if word in ("invalid", "hardware") else "yellow"


def _pool(snapshot: Snapshot) -> list[Piece]:
    pool = snapshot.pool
    if pool is None:
        return [("no pool yet", "yellow")]
    pieces = [(pool.label, "")]
    if pool.state is PoolState.CONNECTED:
        pieces.append(("connected", "green"))
    else:
        reason = f"{pool.state.value}: {pool.reason}" if pool.reason else pool.state.value
        pieces.append((reason, "yellow"))
    if pool.unverified:
        pieces.append(("TLS NOT VERIFIED", "bold red"))
    if pool.latency is not None:
        pieces.append((f"latency {format_milliseconds(pool.latency)}", ""))
    return pieces


def _job(snapshot: Snapshot) -> list[Piece]:
    pieces = []
    if job := snapshot.job:
        pieces += [
            (f"difficulty {format_difficulty(job.difficulty)}", ""),
            (f"epoch {job.epoch.number}", ""),
            (f"period {job.period}", ""),
            (f"height {job.height}", ""),
        ]
    else:
        pieces.append(("no job: the devices rest", "yellow"))
    if snapshot.best:
        pieces.append((f"best {format_difficulty(snapshot.best[0].difficulty)}", ""))
    pieces.append((f"effort {snapshot.luck.effort:.0%}", ""))
    if snapshot.light:
        pieces.append((snapshot.light, "cyan"))
    return pieces


def _rows(devices: Sequence[DeviceSnapshot], width: int, redactor: Redactor) -> list[Text]:
    """A row for each device, and one more where it does not search."""
    columns = _fitting(_columns(devices, redactor), width)
    lines = [_row(((c.title, "dim"), c) for c in columns)]
    for index, device in enumerate(devices):
        lines.append(_row((c.cells[index], c) for c in columns))
        lines += _doing(device, redactor)
    return lines


def _columns(devices: Sequence[DeviceSnapshot], redactor: Redactor) -> list[_Column]:
    def column(title: str, rank: int, cell: Callable[[DeviceSnapshot], Piece | str]) -> _Column:
        cells = (cell(device) for device in devices)
        return _Column(title, rank, [c if isinstance(c, tuple) else (c, "") for c in cells])

    def tally(title: str, count: Callable[[Tally], int], word: str) -> _Column:
        return column(title, 1, lambda d: (str(count(d.shares)), _bad(word, count(d.shares))))

    def sensor(title: str, rank: int, letter: str) -> _Column:
        return column(title, rank, lambda d: _letters(d).get(letter, _UNKNOWN))

    names = [(redactor.one_line(device.name), "bold") for device in devices]
    models = [(_model(redactor.one_line(device.info.model)), "") for device in devices]
    return [
        _Column("device", 0, names, left=True),
        _Column("model", 6, models, left=True),
        column("10 s", 0, lambda d: (_windows(d)[0], "bold cyan")),
        column("60 s", 2, lambda d: _windows(d)[1]),
        column("15 min", 4, lambda d: _windows(d)[2]),
        column("A", 1, lambda d: (str(d.shares.accepted), "green")),
        tally("R", lambda t: t.not_accepted, "rejected"),
        tally("I", lambda t: t.hardware, "hardware"),
        sensor("T", 2, "T"),
        sensor("P", 3, "P"),
        sensor("F", 5, "F"),
        sensor("E", 3, "E"),
    ]


def _model(name: str) -> str:
    for vendor in ("NVIDIA ", "AMD "):
        name = name.removeprefix(vendor)
    return name if len(name) <= _MODEL else name[: _MODEL - 1] + "…"


def _fitting(columns: Sequence[_Column], width: int) -> list[_Column]:
    """Return the columns for which there is room, in their order; the first ranks choose first."""
    left, kept = width, set()
    for column in sorted(columns, key=lambda column: column.rank):
        if column.rank == 0 or column.width + len(_GAP) <= left:
            kept.add(id(column))
            left -= column.width + len(_GAP)
    return [column for column in columns if id(column) in kept]


def _row(cells: Iterable[tuple[Piece, _Column]]) -> Text:
    line = Text()
    for number, ((text, style), column) in enumerate(cells):
        padding = " " * (column.width - cell_len(text))
        line.append(_GAP if number else "")
        line.append(text + padding if column.left else padding + text, style)
    return line


def _narrow(devices: Sequence[DeviceSnapshot], width: int, redactor: Redactor) -> list[Text]:
    """Lines of its own for each device."""
    lines = []
    for device in devices:
        shares = device.shares
        counts = (
            ("A", shares.accepted, "accepted"),
            ("R", shares.not_accepted, "rejected"),
            ("I", shares.hardware, "hardware"),
        )
        lines += _flow(
            [
                (redactor.one_line(device.name), "bold"),
                (format_hashrate(device.hashrate.ten_seconds), "bold cyan"),
            ],
            width,
        )
        tallies: list[Piece] = [
            (f"{letter}{n}", "green" if letter == "A" else _bad(word, n))
            for letter, n, word in counts
        ]
        known: list[Piece] = [(f"{key}:{value}", "") for key, value in _letters(device).items()]
        for pieces in (tallies, known):
            lines += [Text.assemble("  ", line) for line in _flow(pieces, width - 2, " ")]
        lines += _doing(device, redactor)
    return lines


def _doing(device: DeviceSnapshot, redactor: Redactor) -> list[Text]:
    if device.state is DeviceState.SEARCHING:
        return []
    return [Text(f"  {redactor.one_line(device.doing)}", _STYLES.get(device.state, "cyan"))]


def _windows(device: DeviceSnapshot) -> tuple[str, str, str]:
    """Return the hashrates; one that would only repeat the one before is not known yet."""
    hashrate: Hashrate = device.hashrate
    age = device.mining_seconds
    return (
        format_hashrate(hashrate.ten_seconds),
        format_hashrate(hashrate.minute) if age > WINDOWS[0] else _UNKNOWN,
        format_hashrate(hashrate.quarter_hour) if age > WINDOWS[1] else _UNKNOWN,
    )


def _letters(device: DeviceSnapshot) -> dict[str, str]:
    """Return what the sensors say by its letter."""
    told = sensors(device.reading, device.efficiency)
    return {letter: value for letter, _, value in (text.partition(":") for text in told)}


def _flow(pieces: Iterable[Piece], width: int, gap: str = _GAP) -> list[Text]:
    """Return the pieces one after the other; none is torn by the end of a line."""
    lines: list[Text] = []
    for text, style in pieces:
        if lines and lines[-1].cell_len + len(gap) + cell_len(text) <= width:
            lines[-1].append(gap)
            lines[-1].append(text, style)
        else:
            lines.append(Text.assemble((text, style)))
    return lines


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line
