"""Resolves settings to a `RunConfig`: chooses devices, parses pool addresses, reads secrets."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from miner.api.api_server import ApiOptions
from miner.catalog import Coin, coin_called, find_coin
from miner.devices.device_names import matches
from miner.devices.selection import ChosenDevices, ListedDevice, choose_devices
from miner.devices.tuning import Tuning, tuning_of
from miner.errors import ConfigError
from miner.ledger import LEDGER_FILE
from miner.net.address import DEFAULT_PASSWORD, PoolUrl
from miner.net.socks import parse_proxy
from miner.net.tls import parse_fingerprint, tls_context
from miner.pool.pool_addresses import (
    NODE,
    PASSWORD_VARIABLE,
    Scheme,
    choose_protocol,
    parse_pool_url,
)
from miner.resources import state_directory, variable
from miner.run.run_config import LedgerConfig, LiveConfig, LogConfig, ReloadedConfig, RunConfig
from miner.safe_text import without_wallets
from miner.settings import Loaded, PoolSettings, Settings, listen_address
from miner.settings.environment import COOKIE_VARIABLE
from miner.settings.secrets import api_token, expand_home, read_secret, secret_file_warnings
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


def resolve_settings(load: Callable[[], Loaded]) -> RunConfig:
    """Return the configuration of a run; `load` loads the settings, now and at each reload.

    Raises `UsageError` or `NoUsableDevice`.
    """
    return _Resolver(load).resolve()


class _Resolver:
    """Resolves settings at the start; `reload` resolves them again for the same devices."""

    def __init__(self, load: Callable[[], Loaded]) -> None:
        self._load = load
        self._coin: Coin | None = None
        self._devices: Sequence[ListedDevice] = ()

    def resolve(self) -> RunConfig:
        loaded = self._load()
        settings = loaded.settings
        self._coin = coin = chosen_coin(settings)
        variant = chosen_variant(coin.variant if coin else settings.variant or "")
        pools = pool_urls(settings.pools, coin)
        wanted, log = settings.devices, settings.log
        chosen = choose_devices(wanted.backend, wanted.use, variant, wanted.exclude)
        self._devices = chosen.use
        tunings = _tunings(settings, self._devices)
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
            coin=coin.symbol if coin else "",
            tunings=tunings,
            park_hung=wanted.on_hang == "park",
            api=_api(loaded, token),
            ethminer=listen_address(settings.api.ethminer),
            sgminer=listen_address(settings.api.sgminer),
            log=LogConfig(
                log.console, _home(log.file), log.format, log.max_megabytes << 20, log.keep
            ),
            ledger=_ledger(settings),
            secrets=_secrets(pools, token),
            wallets=_wallets(pools),
            private_files=_private_files(loaded),
            notes=tuple(_notes(settings, pools, chosen)),
            reloader=self,
            fixed=_fixed(settings, tunings),
        )

    def reload(self) -> ReloadedConfig:
        settings = self._load().settings
        pools = pool_urls(settings.pools, self._coin)
        tunings = _tunings(settings, self._devices)
        return ReloadedConfig(
            _live(settings, pools, tunings),
            _fixed(settings, tunings),
            _secrets(pools, api_token(settings.api)),
            _wallets(pools),
        )


def chosen_coin(settings: Settings) -> Coin | None:
    """Return the coin, which `variant` may name too; None if only the variant is known."""
    return find_coin(settings.coin) if settings.coin else coin_called(settings.variant or "")


def pool_urls(pools: Sequence[PoolSettings], coin: Coin | None) -> tuple[PoolUrl, ...]:
    """Return the addresses of `pools`, their CA files checked; raises `ConfigError`."""
    urls = tuple(pool_url(pool, coin) for pool in pools)
    for url in urls:
        if url.ca_file is not None:  # without one there is nothing to check, and it takes long
            tls_context(url)
    return urls


def pool_url(pool: PoolSettings, coin: Coin | None = None) -> PoolUrl:
    """Return the address of one pool for mining `coin`.

    Raises `ConfigError` for settings that contradict each other.
    """
    url, reward = _address(pool)
    protocol = choose_protocol(
        pool.protocol, Scheme(url.protocol, url.transport), coin.protocol if coin else None
    )
    if protocol == NODE and coin and coin.node is None:
        raise ConfigError(
            f"{url.label}: {coin.name} is mined over Stratum only, with a pool or with a node that "
            "has a Stratum port; write stratum+tcp://host:port"
        )
    if pool.tls_fingerprint is not None and not url.transport.has_tls:
        raise ConfigError(f"{url.label}: a fingerprint needs TLS; write stratum+tls:// or https://")
    if pool.cookie_file is not None and not url.transport.is_http:
        raise ConfigError(f"{url.label}: a cookie file belongs to a node, reached over http://")
    return replace(
        url,
        protocol=protocol,
        reward=reward,
        tls_insecure=pool.tls_insecure,
        ca_file=expand_home(pool.tls_ca_file, "CA file"),
        tls_fingerprint=parse_fingerprint(pool.tls_fingerprint) if pool.tls_fingerprint else None,
        proxy=pool.proxy,
        cookie_file=_cookie_file(pool, url) if url.transport.is_http else None,
    )


def _address(pool: PoolSettings) -> tuple[PoolUrl, str]:
    """Return the parsed URL and, for a node, the address that block rewards go to."""
    password = None
    if pool.password_file is not None:
        password = read_secret(pool.password_file, "password file")
    elif "password" in pool.model_fields_set:
        password = pool.password.get_secret_value()
    fallback = variable(PASSWORD_VARIABLE) or DEFAULT_PASSWORD
    try:
        url = parse_pool_url(pool.url, pool.user or None, password, pool.worker, fallback)
        if pool.proxy is not None:
            parse_proxy(pool.proxy)
    except ConfigError as error:
        raise ConfigError(without_wallets(str(error))) from error
    if url.transport.is_http and "@" in pool.url:
        # The login in the URL is the node's RPC login; `user` is the reward's address.
        return parse_pool_url(pool.url, None, password, None, fallback), pool.user
    return url, ""


def _cookie_file(pool: PoolSettings, url: PoolUrl) -> str | None:
    if pool.cookie_file is not None:
        return expand_home(pool.cookie_file, "cookie file")
    cookie = variable(COOKIE_VARIABLE)
    has_login = url.user and url.password != DEFAULT_PASSWORD  # else the user is an address
    return expand_home(Path(cookie), "cookie file") if cookie and not has_login else None


def _tunings(settings: Settings, devices: Sequence[ListedDevice]) -> dict[str, Tuning]:
    base, blocks = settings.devices.base(), settings.devices.blocks()
    return {d.info.name: tuning_of(d.info, d.index, blocks, base) for d in devices}


def _live(
    settings: Settings, pools: tuple[PoolUrl, ...], tunings: Mapping[str, Tuning]
) -> LiveConfig:
    heat = {name: tuning.limits for name, tuning in tunings.items()}
    return LiveConfig(pools, settings.limits.limits(), heat, Level[settings.log.level.upper()])


def _fixed(settings: Settings, tunings: Mapping[str, Tuning]) -> dict[str, object]:
    """Return the settings that a reload does not apply, by key."""
    fixed: dict[str, object] = {
        key_name((*place, name)): value
        for place, values in tables(settings)
        if not any(place[: len(live)] == live for live in LIVE_TABLES)
        for name, value in values.items()
        if key_name((*place, name)) not in LIVE_KEYS
    }
    for name, tuning in tunings.items():
        fixed[f"devices.tune of {name}"] = (tuning.shape, tuning.launch_seconds)
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


def _secrets(pools: Sequence[PoolUrl], token: str | None) -> tuple[str, ...]:
    texts = [token or ""]
    for url in pools:
        texts += [url.password, url.path.strip("/")]
        texts.append(parse_proxy(url.proxy).password if url.proxy is not None else "")
    return tuple(dict.fromkeys(filter(None, texts)))


def _wallets(pools: Sequence[PoolUrl]) -> tuple[str, ...]:
    """Return accounts and reward addresses, without workers: a rig is often named like one."""
    texts = [url.reward for url in pools]
    for url in pools:
        texts += re.split(r"[.:/]", url.user.rpartition(".")[0] or url.user)
    return tuple(dict.fromkeys(filter(None, texts)))


def _notes(
    settings: Settings,
    pools: Sequence[PoolUrl],
    chosen: ChosenDevices,
) -> Iterator[tuple[str, str]]:
    """Yield (topic, sentence) pairs to show before the run begins."""
    # On cards of other vendors a missing CUDA backend is not worth a note at each start.
    vendors = {device.info.vendor for device in chosen.use if device.info.kind == "gpu"}
    shown = [] if vendors and "nvidia" not in vendors else chosen.missing
    for sentence in [
        *shown,
        *(f"{absent}; mining with the devices found" for absent in chosen.absent),
        *secret_file_warnings(settings),
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
