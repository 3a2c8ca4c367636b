"""The snapshot as a table of a given width and height, for the live view.

It is not a `rich.table.Table`, which can neither leave out columns by rank nor put a line across
all columns between two rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

from miner.console.plain import device_sensors
from miner.formatting import (
    format_difficulty,
    format_efficiency,
    format_hashrate,
    format_milliseconds,
    format_uptime,
)
from miner.safe_text import Redactor
from miner.telemetry import WINDOWS, DeviceSnapshot, DeviceState, PoolState, Snapshot, Tally

NARROW = 62
"""Width below which a device has several lines in place of a row."""

_COLUMN_RANKS = {
    "device": 0, "model": 6, "10 s": 0, "60 s": 2, "15 min": 4, "A": 1, "R": 1, "I": 1, "T": 2,
    "P": 3, "F": 5, "E": 3,
}  # fmt: skip
"""The columns in order. Where room is short, high ranks are left out first; rank 0 always stays."""

_LEFT_ALIGNED = ("device", "model")

_GAP = "  "
_UNKNOWN = "-"
_MODEL_WIDTH = 24

_STYLES = {
    DeviceState.PAUSED: "yellow",
    DeviceState.RESTING: "yellow",
    DeviceState.PARKED: "bold red",
    DeviceState.HUNG: "bold red",
}

Piece = tuple[str, str]
"""A text and its style."""


def draw_table(snapshot: Snapshot, width: int, height: int, redactor: Redactor) -> Text:
    """Return at most `height` lines of at most `width` cells, redacted."""
    lines = [Text("─" * width, "dim")]
    for group in (
        _title_pieces(snapshot),
        _hashrate_pieces(snapshot),
        _share_pieces(snapshot.shares),
        _pool_pieces(snapshot),
        _job_pieces(snapshot),
    ):
        lines += _flow([(redactor.one_line(text), style) for text, style in group], width)
    draw_devices = _blocks if width < NARROW else _rows
    lines += draw_devices(snapshot.devices, width, redactor)
    if len(lines) > height:
        kept = max(0, height - 1)
        more = f"… {len(lines) - kept} more lines"
        lines = [*lines[:kept], Text(more, "dim")][:height]
    return Text("\n", no_wrap=True, overflow="crop", end="").join(
        _cut(line, width) for line in lines
    )


def _title_pieces(snapshot: Snapshot) -> list[Piece]:
    about = snapshot.about
    names = (f"progpow-miner {about.version}".strip(), about.rig, about.algorithm, about.coin)
    pieces = [(name, "bold" if not index else "") for index, name in enumerate(names) if name]
    return [*pieces, (f"up {format_uptime(snapshot.uptime)}", "")]


def _hashrate_pieces(snapshot: Snapshot) -> list[Piece]:
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


def _share_pieces(tally: Tally) -> list[Piece]:
    return [
        (f"accepted {tally.accepted}", "green" if tally.accepted else ""),
        (f"rejected {tally.rejected}", _style_of(tally.rejected, "yellow")),
        (f"stale {tally.stale}", _style_of(tally.stale, "yellow")),
        (f"invalid {tally.invalid}", _style_of(tally.invalid, "red")),
        (f"lost {tally.lost}", _style_of(tally.lost, "yellow")),
        (f"hardware {tally.hardware}", _style_of(tally.hardware, "red")),
    ]


def _style_of(count: int, style: str) -> str:
    return style if count else "dim"


def _pool_pieces(snapshot: Snapshot) -> list[Piece]:
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


def _job_pieces(snapshot: Snapshot) -> list[Piece]:
    pieces = []
    if (job := snapshot.job) and job.wait_reason is not None:
        pieces.append((job.wait_reason, "yellow"))
    elif job:
        pieces += [
            (f"difficulty {format_difficulty(job.difficulty)}", ""),
            (f"epoch {job.epoch.number}", ""),
            (f"period {job.period}", ""),
            (f"height {job.height}", ""),
        ]
    else:
        pieces.append(("no job: devices idle", "yellow"))
    if snapshot.best:
        pieces.append((f"best {format_difficulty(snapshot.best[0].difficulty)}", ""))
    pieces.append((f"effort {snapshot.luck.effort:.0%}", ""))
    if snapshot.light:
        pieces.append((snapshot.light, "cyan"))
    return pieces


def _rows(devices: Sequence[DeviceSnapshot], width: int, redactor: Redactor) -> list[Text]:
    """Return the table of devices, with a line below each device that is not searching."""
    cells = [_cells(device, redactor) for device in devices]
    widths = {
        title: max(map(cell_len, (title, *(row[title][0] for row in cells))))
        for title in _COLUMN_RANKS
    }
    titles = _fitting(widths, width)
    lines = [_row({title: (title, "dim") for title in titles}, widths, titles)]
    for device, row in zip(devices, cells, strict=True):
        lines.append(_row(row, widths, titles))
        lines += _activity(device, redactor)
    return lines


def _blocks(devices: Sequence[DeviceSnapshot], width: int, redactor: Redactor) -> list[Text]:
    """Return several lines for each device."""
    lines = []
    for device in devices:
        cells = _cells(device, redactor)
        lines += _flow([cells["device"], cells["10 s"]], width)
        counts = [(f"{letter}{cells[letter][0]}", cells[letter][1]) for letter in "ARI"]
        sensors = [(f"{letter}:{value}", "") for letter, value in device_sensors(device).items()]
        for pieces in (counts, sensors):
            lines += [Text.assemble("  ", line) for line in _flow(pieces, width - 2, " ")]
        lines += _activity(device, redactor)
    return lines


def _cells(device: DeviceSnapshot, redactor: Redactor) -> dict[str, Piece]:
    """Return the cells of `device` by the titles of their columns."""
    hashrate, age, shares = device.hashrate, device.mining_seconds, device.shares
    # The hashrate of a window that is not full would repeat that of the shorter one.
    minute = format_hashrate(hashrate.minute) if age > WINDOWS[0] else _UNKNOWN
    quarter_hour = format_hashrate(hashrate.quarter_hour) if age > WINDOWS[1] else _UNKNOWN
    sensors = device_sensors(device)
    return {
        "device": (redactor.one_line(device.name), "bold"),
        "model": (_short_model(redactor.one_line(device.info.model)), ""),
        "10 s": (format_hashrate(hashrate.ten_seconds), "bold cyan"),
        "60 s": (minute, ""),
        "15 min": (quarter_hour, ""),
        "A": (str(shares.accepted), "green"),
        "R": (str(shares.not_accepted), _style_of(shares.not_accepted, "yellow")),
        "I": (str(shares.hardware), _style_of(shares.hardware, "red")),
        **{letter: (sensors.get(letter, _UNKNOWN), "") for letter in "TPFE"},
    }


def _short_model(name: str) -> str:
    for vendor in ("NVIDIA ", "AMD "):
        name = name.removeprefix(vendor)
    return name if len(name) <= _MODEL_WIDTH else name[: _MODEL_WIDTH - 1] + "…"


def _fitting(widths: Mapping[str, int], width: int) -> list[str]:
    """Return the titles of the columns that fit into `width`, in their order."""
    room, kept = width, set()
    for title in sorted(_COLUMN_RANKS, key=_COLUMN_RANKS.__getitem__):
        needed = widths[title] + len(_GAP)
        if _COLUMN_RANKS[title] == 0 or needed <= room:
            kept.add(title)
            room -= needed
    return [title for title in _COLUMN_RANKS if title in kept]


def _row(cells: Mapping[str, Piece], widths: Mapping[str, int], titles: Sequence[str]) -> Text:
    line = Text()
    for title in titles:
        text, style = cells[title]
        padding = " " * (widths[title] - cell_len(text))
        line.append(_GAP if line else "")
        line.append(text + padding if title in _LEFT_ALIGNED else padding + text, style)
    return line


def _activity(device: DeviceSnapshot, redactor: Redactor) -> list[Text]:
    if device.state is DeviceState.SEARCHING:
        return []
    return [Text(f"  {redactor.one_line(device.doing)}", _STYLES.get(device.state, "cyan"))]


def _flow(pieces: Iterable[Piece], width: int, gap: str = _GAP) -> list[Text]:
    """Return the pieces in lines; none is split between lines."""
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
