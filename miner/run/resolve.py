"""Resolves settings to a `RunConfig`: chooses devices, parses pool addresses, reads secrets."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from miner.api.api_server import ApiOptions
from miner.catalog import find_variant
from miner.devices.device_names import matches
from miner.devices.driver_history import crashed_shapes
from miner.devices.selection import ChosenDevices, ListedDevice, choose_devices
from miner.devices.trial_results import TrialResults
from miner.devices.trials import TrialReports
from miner.devices.tuned_shapes import TunedShape, TunedShapes, shapes_to_try
from miner.devices.tuning import Tuning, tuning_of
from miner.ledger import LEDGER_FILE
from miner.net.address import PoolUrl
from miner.resources import state_directory
from miner.run.check_settings import unused_api_settings
from miner.run.resolve_pools import (
    chosen_coin,
    login_notes,
    pool_urls,
    secrets_of,
    wallet_notes,
    wallets_of,
)
from miner.run.run_config import LedgerConfig, LiveConfig, LogConfig, ReloadedConfig, RunConfig
from miner.settings.field_types import listen_address
from miner.settings.loading import Loaded
from miner.settings.model import Settings
from miner.settings.secrets import api_token, expand_home, file_to_write, secret_file_warnings
from miner.settings.toml_lines import key_name
from miner.settings.toml_text import tables
from miner.stratum.difficulty import DIFF1_BY_DIGITS
from miner.telemetry import Level
from miner.verify import chosen_variant

LIVE_TABLES = (("pools",), ("limits",), ("devices", "tune"))
"""Tables that a reload applies; of the last, only the temperatures."""

LIVE_KEYS = (
    "log.level",
    "devices.temperature_stop",
    "devices.temperature_start",
    "devices.memory_temperature_stop",
    "devices.memory_temperature_start",
)
"""Further keys that a reload applies."""


def resolve_settings(load: Callable[[], Loaded], reports: TrialReports | None = None) -> RunConfig:
    """Return the configuration of a run; `load` loads the settings, now and at each reload.

    Raises `UsageError` or `NoUsableDevice`.
    """
    return _Resolver(load).resolve(reports)


class _Resolver:
    """Resolves settings at the start; `reload` resolves them again for the same devices."""

    def __init__(self, load: Callable[[], Loaded]) -> None:
        self._load = load
        self._devices: Sequence[ListedDevice] = ()
        self._tuned: Mapping[str, TunedShape] = {}
        self._results = TrialResults()

    def resolve(self, reports: TrialReports | None) -> RunConfig:
        loaded = self._load()
        settings = loaded.settings
        coin = chosen_coin(settings)
        variant = chosen_variant(coin.variant if coin else settings.variant or "")
        pools = pool_urls(settings.pools, coin)
        wanted, log = settings.devices, settings.log
        chosen = choose_devices(
            wanted.backend, wanted.use, variant, wanted.exclude, reports=reports
        )
        self._devices = chosen.use
        self._variant = variant
        self._tuned = self._tuned_shapes()
        tunings = self._tunings(settings)
        token = api_token(settings.api)
        return RunConfig(
            variant,
            self._devices,
            _live(settings, pools, tunings),
            diff1=DIFF1_BY_DIGITS[coin.difficulty_one if coin else None],
            shares=settings.shares,
            give_up=settings.give_up,
            report_hashrate=settings.report_hashrate,
            record=_home(settings.record),
            node_kind=coin.node if coin else None,
            rig=settings.rig or platform.node(),
            coin=coin,
            tunings=tunings,
            park_hung=wanted.on_hang == "park",
            api=_api(loaded, token),
            address_file=_home(settings.api.address_file),
            ethminer=listen_address(settings.api.ethminer),
            sgminer=listen_address(settings.api.sgminer),
            log=LogConfig(
                log.console, file_to_write(log.file), log.format, log.max_megabytes << 20, log.keep
            ),
            ledger=_ledger(settings),
            secrets=secrets_of(pools, token),
            wallets=wallets_of(pools),
            private_files=_private_files(loaded),
            devices_expected=chosen.expected,
            devices_missing=tuple(_missing(chosen)),
            notes=(*_notes(settings, pools, chosen), *self._shape_notes(tunings)),
            reloader=self,
            fixed=_fixed(settings, tunings, token),
            digest=loaded.raw.digest,
        )

    def reload(self) -> ReloadedConfig:
        loaded = self._load()
        settings = loaded.settings
        coin = chosen_coin(settings)
        find_variant(coin.variant if coin else settings.variant or "")
        pools = pool_urls(settings.pools, coin)
        tunings = self._tunings(settings)
        token = api_token(settings.api)
        return ReloadedConfig(
            _live(settings, pools, tunings),
            _fixed(settings, tunings, token),
            secrets_of(pools, token),
            wallets_of(pools),
            loaded.raw.digest,
            _private_files(loaded),
            (*login_notes(settings.pools), *wallet_notes(pools, coin, settings.variant)),
        )

    def _tunings(self, settings: Settings) -> dict[str, Tuning]:
        """Return the tuning of each device; a shape that `tune` chose applies where none is set."""
        base, blocks = settings.devices.base(), settings.devices.blocks()
        tunings = {}
        for device in self._devices:
            info = device.info
            tuning, tuned = tuning_of(info, device.index, blocks, base), self._tuned.get(info.name)
            if tuning.shape is None:
                if settings.devices.autotune:
                    tuning = replace(tuning, autotune=self._shapes_to_try(device))
                tuning = replace(tuning, shape=tuned.shape if tuned is not None else None)
            tunings[info.name] = tuning
        return tunings

    def _shapes_to_try(self, device: ListedDevice) -> tuple[str, ...]:
        names = shapes_to_try(device.info, device.backend)
        crashed = crashed_shapes(self._results, device.info, self._variant, names)
        return tuple(name for name in names if name not in crashed)

    def _tuned_shapes(self) -> dict[str, TunedShape]:
        """Return the shapes that `tune` chose, by device name, without those that crashed later."""
        kept, found = TunedShapes(), {}
        for device in self._devices:
            info, tuned = device.info, kept.get(device.info, device.backend, self._variant)
            if tuned is not None and not crashed_shapes(
                self._results, info, self._variant, [tuned.shape]
            ):
                found[info.name] = tuned
        return found

    def _shape_notes(self, tunings: Mapping[str, Tuning]) -> Iterator[tuple[str, str]]:
        for name, tuned in self._tuned.items():
            if tunings[name].shape == tuned.shape:
                yield "device", f"{name}: {tuned.sentence}"


def _live(
    settings: Settings, pools: tuple[PoolUrl, ...], tunings: Mapping[str, Tuning]
) -> LiveConfig:
    heat = {name: tuning.limits for name, tuning in tunings.items()}
    return LiveConfig(pools, settings.limits.limits(), heat, Level[settings.log.level.upper()])


def _fixed(
    settings: Settings, tunings: Mapping[str, Tuning], token: str | None
) -> dict[str, object]:
    """Return the settings that a reload does not apply, by key."""
    fixed: dict[str, object] = {
        key_name((*place, name)): value
        for place, values in tables(settings)
        if not any(place[: len(live)] == live for live in LIVE_TABLES)
        for name, value in values.items()
        if key_name((*place, name)) not in LIVE_KEYS
    }
    if settings.api.token_file is not None:
        fixed["the token in api.token_file"] = token
    for name, tuning in tunings.items():
        fixed[f"devices.tune of {name}"] = (
            tuning.shape, tuning.launch_seconds, tuning.datasets
        )  # fmt: skip
    return fixed


def _api(loaded: Loaded, token: str | None) -> ApiOptions | None:
    api = loaded.settings.api
    address = listen_address(api.listen)
    if address is None:
        return None
    explicit = loaded.origin(("api", "listen")).kind != "default"
    return ApiOptions(*address, explicit, token, api.hosts, api.panels)


def _ledger(settings: Settings) -> LedgerConfig | None:
    ledger = settings.ledger
    if not ledger.enabled:
        return None
    path = _home(ledger.file) or state_directory() / LEDGER_FILE
    required = ledger.file is not None
    return LedgerConfig(path, ledger.max_megabytes << 20, ledger.max_days, required)


def _home(path: Path | None) -> Path | None:
    expanded = expand_home(path, "file")
    return Path(expanded) if expanded is not None else None


def _private_files(loaded: Loaded) -> tuple[Path, ...]:
    paths = (loaded.raw.path, *(pool.password_file for pool in loaded.settings.pools))
    return tuple(path for path in paths if path is not None)


def _missing(chosen: ChosenDevices) -> Iterator[str]:
    """Yield a sentence for each expected device that does not mine."""
    used = {device.hardware for device in chosen.use}
    for device in chosen.unusable:
        if device.hardware not in used:
            yield f"{device.info.name}: {device.info.unusable}"
    yield from chosen.absent


def _notes(
    settings: Settings, pools: Sequence[PoolUrl], chosen: ChosenDevices
) -> Iterator[tuple[str, str]]:
    """Yield (topic, sentence) pairs to show before the run begins."""
    # On cards of other vendors a missing CUDA backend is not worth a note at each start.
    vendors = {device.info.vendor for device in chosen.use if device.info.kind == "gpu"}
    shown = [] if vendors and "nvidia" not in vendors else chosen.problems
    for sentence in [
        *shown,
        *(f"{absent}; mining with the devices found" for absent in chosen.absent),
        *secret_file_warnings(settings),
        *login_notes(settings.pools),
        *wallet_notes(pools, chosen_coin(settings), settings.variant),
        *unused_api_settings(settings.api),
        *_unmatched(settings, [*chosen.use, *chosen.unusable]),
    ]:
        yield "note", sentence
    for device in chosen.unusable:
        yield "note", f"{device.info.name} is not used: {device.info.unusable}"
    for device in chosen.use:
        yield "device", f"{device.info.name} {device.info.model}, {device.info.driver}"
    for url in pools:
        if url.tls_insecure and url.transport.has_tls:
            text = "the certificate is not verified, so anyone in between can take your shares"
            yield "note", f"{url.label}: {text}"


def _unmatched(settings: Settings, devices: Sequence[ListedDevice]) -> Iterator[str]:
    for pattern, _ in settings.devices.blocks():
        if not any(matches(device.info, device.index, pattern) for device in devices):
            yield f"[[devices.tune]] {pattern!r} matches none of the devices"
