"""The snapshot as a table of a given width and height, for the live view.

It is not a `rich.table.Table`, which can neither leave out columns and rows by rank nor put a line
across all columns between two rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from miner.console.plain import device_sensors, missing_devices, sensor_values
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

_COLUMN_RANKS = {
    "device": 0, "PCI": 3, "model": 4, "10 s": 0, "60 s": 6, "15 min": 8, "acc": 2, "rej": 2,
    "HW": 3, "core": 1, "fan": 5, "power": 4, "efficiency": 7,
}  # fmt: skip
"""The columns in order. Where room is short, high ranks are left out first; rank 0 always stays.

Shares accepted, shares not accepted and hardware errors have the titles acc, rej and HW.
"""

_LEFT_ALIGNED = ("device", "PCI", "model")
_SENSORS = ("core", "fan", "power", "efficiency")

_GAP = "  "
_UNKNOWN = "-"
_MODEL_WIDTH = 18

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
    lines += _device_lines(snapshot, width, height - len(lines), redactor)
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
    missing = missing_devices(snapshot)
    age = max((device.mining_seconds for device in snapshot.devices), default=0.0)
    pieces = [(format_hashrate(hashrate.ten_seconds), "bold cyan")]
    if age > WINDOWS[0]:
        pieces.append((f"60 s {format_hashrate(hashrate.minute)}", "cyan"))
    if age > WINDOWS[1]:
        pieces.append((f"15 min {format_hashrate(hashrate.quarter_hour)}", "cyan"))
    if snapshot.power is not None and snapshot.efficiency is not None:
        pieces.append((f"{snapshot.power:.0f} W", ""))
        pieces.append((format_efficiency(snapshot.efficiency), ""))
    return [*pieces, (missing, "bold red")] if missing else pieces


def _share_pieces(tally: Tally) -> list[Piece]:
    return [
        (f"accepted {tally.accepted}", "green" if tally.accepted else ""),
        (f"rejected {tally.rejected}", _style_of(tally.rejected, "yellow")),
        (f"stale {tally.stale}", _style_of(tally.stale, "yellow")),
        (f"invalid {tally.invalid}", _style_of(tally.invalid, "red")),
        (f"lost {tally.lost}", _style_of(tally.lost, "yellow")),
        (f"hardware errors {tally.hardware}", _style_of(tally.hardware, "red")),
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
    if pool.account:
        pieces.append((f"as {pool.account}", ""))
    if pool.latency is not None:
        pieces.append((f"latency {format_milliseconds(pool.latency)}", ""))
    return pieces


def _job_pieces(snapshot: Snapshot) -> list[Piece]:
    pieces = []
    if (job := snapshot.job) and job.wait_reason is not None:
        pieces.append((job.wait_reason, "yellow"))
    elif job:
        pieces += [
            (f"height {job.height}", ""),
            (f"epoch {job.epoch.number}", ""),
            (f"difficulty {format_difficulty(job.difficulty)}", ""),
        ]
    else:
        pieces.append(("no job: devices idle", "yellow"))
    if snapshot.best:
        pieces.append((f"best {format_difficulty(snapshot.best[0].difficulty)}", ""))
    pieces.append((f"effort {snapshot.luck.effort:.0%}", ""))
    if snapshot.light:
        pieces.append((snapshot.light, "cyan"))
    return pieces


def _device_lines(snapshot: Snapshot, width: int, height: int, redactor: Redactor) -> list[Text]:
    """Return the table of devices and their sum, with a line below each device that is not
    searching.

    If they do not fit into `height`, devices that are searching are left out and counted.
    """
    devices = snapshot.devices
    cells = [_cells(device, redactor) for device in devices]
    known = [title for title in _COLUMN_RANKS if any(_is_known(row[title]) for row in cells)]
    total = [_total_cells(snapshot)] if len(devices) > 1 else []
    widths = {
        title: max(cell_len(text) for text in (title, *(row[title][0] for row in cells + total)))
        for title in known
    }
    titles = _fitting(widths, width)
    head = _row({title: (title, "dim") for title in titles}, widths, titles)
    groups = [
        [_row(row, widths, titles), *_activity(device, redactor)]
        for device, row in zip(devices, cells, strict=True)
    ]
    tail = [_row(row, widths, titles) for row in total]
    room = height - 1 - len(tail)
    if sum(map(len, groups)) > room:
        count = len(groups)
        groups = _first_that_fit(groups, room - 1)
        tail.insert(0, Text(f"… {count - len(groups)} more devices", "dim"))
    return [head, *(line for group in groups for line in group), *tail]


def _first_that_fit(groups: Sequence[list[Text]], room: int) -> list[list[Text]]:
    """Return as many groups of lines as fit into `room`, in their order. Groups of several lines,
    which report a problem, are chosen first."""
    chosen = set()
    for index in sorted(range(len(groups)), key=lambda index: len(groups[index]) == 1):
        if len(groups[index]) <= room:
            chosen.add(index)
            room -= len(groups[index])
    return [group for index, group in enumerate(groups) if index in chosen]


def _cells(device: DeviceSnapshot, redactor: Redactor) -> dict[str, Piece]:
    """Return the cells of `device` by the titles of their columns."""
    sensors = device_sensors(device)
    return {
        "device": (redactor.one_line(device.name), "bold"),
        "PCI": (redactor.one_line(device.info.pci or _UNKNOWN).removeprefix("0000:"), ""),
        "model": (_short_model(redactor.one_line(device.info.model)), ""),
        **_rate_cells(device.hashrate, device.mining_seconds),
        **_count_cells(device.shares),
        **{name: (sensors.get(name, _UNKNOWN), "") for name in _SENSORS},
    }


def _total_cells(snapshot: Snapshot) -> dict[str, Piece]:
    """Return the cells of the sum of all devices; power only if that of each is known."""
    age = max(device.mining_seconds for device in snapshot.devices)
    cells: dict[str, Piece] = dict.fromkeys(_COLUMN_RANKS, ("", ""))
    if snapshot.power is not None and snapshot.efficiency is not None:
        sensors = sensor_values(power=snapshot.power, efficiency=snapshot.efficiency)
        cells |= {name: (value, "bold") for name, value in sensors.items()}
    rates, counts = _rate_cells(snapshot.hashrate, age), _count_cells(snapshot.shares)
    return cells | {"device": ("total", "bold")} | rates | counts


def _rate_cells(hashrate: Hashrate, age: float) -> dict[str, Piece]:
    # The hashrate of a window that is not full would repeat that of the shorter one.
    minute = format_hashrate(hashrate.minute) if age > WINDOWS[0] else _UNKNOWN
    quarter_hour = format_hashrate(hashrate.quarter_hour) if age > WINDOWS[1] else _UNKNOWN
    return {
        "10 s": (format_hashrate(hashrate.ten_seconds), "bold cyan"),
        "60 s": (minute, ""),
        "15 min": (quarter_hour, ""),
    }


def _count_cells(shares: Tally) -> dict[str, Piece]:
    return {
        "acc": (str(shares.accepted), "green"),
        "rej": (str(shares.not_accepted), _style_of(shares.not_accepted, "yellow")),
        "HW": (str(shares.hardware), _style_of(shares.hardware, "red")),
    }


def _is_known(cell: Piece) -> bool:
    return cell[0] != _UNKNOWN


def _short_model(name: str) -> str:
    for word in ("NVIDIA ", "AMD ", "GeForce ", "Radeon "):
        name = name.removeprefix(word)
    return name if cell_len(name) <= _MODEL_WIDTH else set_cell_size(name, _MODEL_WIDTH - 1) + "…"


def _fitting(widths: Mapping[str, int], width: int) -> list[str]:
    """Return the titles of the columns that fit into `width`, in their order."""
    room, kept = width + len(_GAP), set()
    for title in sorted(widths, key=_COLUMN_RANKS.__getitem__):
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
    line.rstrip()
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
