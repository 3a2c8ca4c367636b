"""The panels that ask over HTTP: their paths, and the JSON of the smallest, HiveOS and mmpOS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from miner.api.context import ApiContext
from miner.panels import panel_figures as figures
from miner.panels import trex, xmrig
from miner.telemetry import DeviceSnapshot, Snapshot


def hiveos(snapshot: Snapshot) -> dict[str, Any]:
    """Return `{"khs": …, "stats": {…}}`, the two variables that a stats script of HiveOS sets.

    Rates are in kH/s, temperatures in °C, fans in percent, power in W, uptime in seconds; unknown
    values are null. Bus numbers are decimal, null for a CPU. `ar` has accepted, rejected and
    invalid shares, and the invalid ones of each card as in "0;1".
    """
    devices = snapshot.devices
    total = figures.count_shares(snapshot.shares)
    invalid = ";".join(str(figures.count_shares(device.shares).invalid) for device in devices)
    khs = _khs(figures.reported_rate(snapshot.hashrate))
    return {
        "khs": khs,
        "stats": {
            "hs": [_khs(figures.reported_rate(device.hashrate)) for device in devices],
            "hs_units": "khs",
            "total_khs": khs,
            "temp": [figures.rounded_int(device.reading.temperature) for device in devices],
            "fan": [figures.rounded_int(device.reading.fan) for device in devices],
            "power": [figures.rounded_int(device.reading.power) for device in devices],
            "uptime": int(snapshot.uptime),
            "ver": snapshot.about.version,
            "ar": [total.accepted, total.rejected, total.invalid, invalid],
            "algo": figures.algorithm_name(snapshot.about),
            "bus_numbers": [figures.bus_number(device.info.pci) for device in devices],
        },
    }


def mmpos(snapshot: Snapshot) -> dict[str, Any]:
    """Return rates in kH/s and shares of each card, in the order of the cards.

    `busid` is decimal, "cpu" for a CPU, null for a card with an unknown bus. `air` has accepted,
    invalid and rejected shares, in another order than HiveOS.
    """
    total = figures.count_shares(snapshot.shares)
    each = [figures.count_shares(device.shares) for device in snapshot.devices]
    return {
        "busid": [_mmpos_bus(device) for device in snapshot.devices],
        "hash": [_khs(figures.reported_rate(device.hashrate)) for device in snapshot.devices],
        "units": "khs",
        "air": [total.accepted, total.invalid, total.rejected],
        "shares": {
            "accepted": [counts.accepted for counts in each],
            "rejected": [counts.rejected for counts in each],
            "invalid": [counts.invalid for counts in each],
        },
        "miner_name": figures.PROGRAM,
        "miner_version": snapshot.about.version,
    }


def _mmpos_bus(device: DeviceSnapshot) -> int | str | None:
    return "cpu" if device.info.kind == "cpu" else figures.bus_number(device.info.pci)


def _khs(rate: float) -> float:
    return round(rate / figures.KILO, 3)


Renderer = Callable[[Snapshot], Any]

RENDERERS: dict[str, Renderer] = {
    "/summary": trex.summary,
    "/2/summary": xmrig.summary,
    "/1/summary": xmrig.summary,
    "/api.json": xmrig.summary,
    "/2/backends": xmrig.backends,
    "/mmpos": mmpos,
    "/hiveos": hiveos,
}
"""The function that makes the JSON of each path."""


def routes(context: ApiContext) -> list[web.RouteDef]:
    """Return the routes; each answers GET with JSON.

    Clients cannot write, not even with the token: T-Rex and xmrig let panels replace the whole
    configuration.
    """
    return [web.get(path, _handler(context, renderer)) for path, renderer in RENDERERS.items()]


def _handler(context: ApiContext, renderer: Renderer) -> Callable[[web.Request], Any]:
    def text(snapshot: Snapshot) -> str:
        return figures.compact_json(renderer(snapshot))

    async def respond(request: web.Request) -> web.Response:
        return web.json_response(
            text=context.snapshots.render(text), headers={"Cache-Control": "no-store"}
        )

    return respond
