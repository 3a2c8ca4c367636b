"""What the settings come to on this machine: devices chosen, pools looked up, secrets read."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from miner.api.api_server import ApiOptions
from miner.catalog import Coin, find_coin
from miner.devices.registry import Listed, choose_devices
from miner.devices.selection import Tuning, matches, tuning_of
from miner.errors import ConfigError
from miner.net.pool_url import DEFAULT_PASSWORD, PoolUrl
from miner.net.socks import parse_proxy
from miner.net.tls import parse_fingerprint, tls_context
from miner.pool.pool_addresses import NODE, PASSWORD_VARIABLE, Scheme, parse_pool_url, protocol_of
from miner.resources import state_directory
from miner.run.run_config import Address, LedgerPlan, Live, LogPlan, Mining, Read
from miner.safe_text import without_wallets
from miner.sensors.heat import HeatLimits
from miner.settings import Loaded, PoolSettings, Settings, listen_address
from miner.settings.environment import COOKIE_VARIABLE
from miner.settings.messages import key_name
from miner.settings.secrets import api_token, expand_home, read_secret, secret_file_warnings
from miner.settings.toml_text import tables
from miner.stratum.difficulty import DIFF1_BY_DIGITS
from miner.telemetry import Level
from miner.verify import chosen_variant

LEDGER_FILE = "ledger.sqlite"

LIVE_TABLES = (("pools",), ("limits",), ("devices", "tune"))
"""Tables that may change while the miner runs; of the last the temperatures."""

LIVE_KEYS = (
    "log.level",
    "devices.temperature_stop",
    "devices.temperature_start",
    "devices.memory_temperature_stop",
    "devices.memory_temperature_start",
)

_SHORTEST_SECRET = 6
"""Characters; hiding a shorter text would make every line unreadable, and protect nothing."""

_SHORTEST_WALLET = 20


def mining_of(read: Callable[[], Loaded]) -> Mining:
    """Return what a run needs to be told; `read` loads the settings, now and whenever they are to
    be read again.

    Raises `UsageError` or `NoUsableDevice`.
    """
    loaded = read()
    settings = loaded.settings
    coin = find_coin(settings.coin) if settings.coin else None
    variant = chosen_variant(coin.variant if coin else settings.variant or "")
    pools = _pools(settings, coin)
    wanted, log = settings.devices, settings.log
    use, out, missing = choose_devices(wanted.backend, wanted.use, variant, wanted.exclude)
    tunings = _tunings(settings, use)
    token = api_token(settings.api)

    def again() -> Read:
        new = read().settings
        pools, tunings = _pools(new, coin), _tunings(new, use)
        return Read(
            _live(new, pools, tunings),
            _fixed(new, tunings),
            _secrets(pools, api_token(new.api)),
            _wallets(pools),
        )

    return Mining(
        variant,
        use,
        _live(settings, pools, tunings),
        DIFF1_BY_DIGITS[coin.difficulty_one if coin else None],
        settings.shares,
        settings.give_up,
        report_hashrate=settings.report_hashrate,
        record=_home(settings.record),
        node=coin.node if coin else None,
        rig=settings.rig or platform.node(),
        coin=coin.symbol if coin else "",
        tunings=tunings,
        park_hung=wanted.on_hang == "park",
        api=_api(loaded, token),
        ethminer=_address(settings.api.ethminer),
        sgminer=_address(settings.api.sgminer),
        log=LogPlan(log.console, _home(log.file), log.format, log.max_megabytes << 20, log.keep),
        ledger=_ledger(settings),
        secrets=_secrets(pools, token),
        wallets=_wallets(pools),
        files=_files(loaded),
        notes=tuple(_notes(settings, pools, use, out, missing)),
        read=again,
        fixed=_fixed(settings, tunings),
    )


def pool_url(pool: PoolSettings, coin: Coin | None = None) -> PoolUrl:
    """Return the address that the settings of a pool name, for mining `coin`.

    Raises `ConfigError` for what does not go together.
    """
    password = None
    if pool.password_file is not None:
        password = read_secret(pool.password_file, "password file")
    elif "password" in pool.model_fields_set:
        password = pool.password.get_secret_value()
    fallback = os.environ.get(PASSWORD_VARIABLE) or DEFAULT_PASSWORD
    try:
        url = parse_pool_url(pool.url, pool.user or None, password, pool.worker, fallback)
        if pool.proxy is not None:
            parse_proxy(pool.proxy)
    except ConfigError as error:
        raise ConfigError(without_wallets(str(error))) from error
    reward = ""
    if url.transport.is_http and "@" in pool.url:
        # The login in a node's address is the node's own; the user is who is paid.
        reward = pool.user
        url = parse_pool_url(pool.url, None, password, None, fallback)
    protocol = protocol_of(
        pool.protocol, Scheme(url.protocol, url.transport), coin.protocol if coin else None
    )
    if protocol == NODE and coin and coin.node is None:
        raise ConfigError(
            f"{url.label}: {coin.name} is mined over Stratum only, with a pool or with a node that "
            "speaks it itself; write stratum+tcp://host:port"
        )
    if pool.tls_fingerprint is not None and not url.transport.has_tls:
        raise ConfigError(
            f"{url.label}: there is no certificate to pin without TLS; write stratum+tls:// or "
            "https://"
        )
    if pool.cookie_file is not None and not url.transport.is_http:
        raise ConfigError(f"{url.label}: a cookie file belongs to a node, reached over http://")
    cookie_file = expand_home(pool.cookie_file, "cookie file")
    has_login = "@" in pool.url or pool.user or cookie_file
    variable = os.environ.get(COOKIE_VARIABLE)
    if url.transport.is_http and not has_login and variable:
        cookie_file = expand_home(Path(variable), "cookie file")
    return replace(
        url,
        protocol=protocol,
        reward=reward,
        tls_insecure=pool.tls_insecure,
        ca_file=expand_home(pool.tls_ca_file, "CA file"),
        tls_fingerprint=parse_fingerprint(pool.tls_fingerprint) if pool.tls_fingerprint else None,
        proxy=pool.proxy,
        cookie_file=cookie_file,
    )


def _files(loaded: Loaded) -> tuple[Path, ...]:
    named = (loaded.raw.path, *(pool.password_file for pool in loaded.settings.pools))
    return tuple(path for path in named if path is not None)


def _pools(settings: Settings, coin: Coin | None) -> tuple[PoolUrl, ...]:
    pools = tuple(pool_url(pool, coin) for pool in settings.pools)
    for url in pools:
        if url.ca_file is not None:  # only that can be wrong, and the system's take long to read
            tls_context(url)
    return pools


def _tunings(settings: Settings, devices: Sequence[Listed]) -> dict[str, Tuning]:
    base, blocks = settings.devices.base(), settings.devices.blocks()
    return {d.info.name: tuning_of(d.info, d.index, blocks, base) for d in devices}


def _live(settings: Settings, pools: tuple[PoolUrl, ...], tunings: Mapping[str, Tuning]) -> Live:
    heat = {
        name: HeatLimits(
            tuning.temperature_stop,
            tuning.temperature_start,
            tuning.memory_temperature_stop,
            tuning.memory_temperature_start,
        )
        for name, tuning in tunings.items()
    }
    return Live(pools, settings.limits.limits(), heat, Level[settings.log.level.upper()])


def _fixed(settings: Settings, tunings: Mapping[str, Tuning]) -> dict[str, object]:
    """Return what a running miner keeps as it is, by its key."""
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
    asked_for = loaded.origin(("api", "listen")).kind != "default"
    return ApiOptions(*address, asked_for, token, api.hosts, api.panels)


def _address(listen: str) -> Address | None:
    address = listen_address(listen)
    return Address(*address) if address is not None else None


def _ledger(settings: Settings) -> LedgerPlan | None:
    wanted = settings.ledger
    if not wanted.enabled:
        return None
    path = _home(wanted.file) or state_directory() / LEDGER_FILE
    asked_for = wanted.file is not None
    return LedgerPlan(path, wanted.max_megabytes << 20, wanted.max_days, asked_for)


def _home(path: Path | None) -> Path | None:
    whole = expand_home(path, "file")
    return Path(whole) if whole is not None else None


def _secrets(pools: Sequence[PoolUrl], token: str | None) -> tuple[str, ...]:
    texts = [token or ""]
    for url in pools:
        texts += [url.password, url.path.strip("/")]
        texts.append(parse_proxy(url.proxy).password if url.proxy is not None else "")
    return tuple(dict.fromkeys(text for text in texts if len(text) >= _SHORTEST_SECRET))


def _wallets(pools: Sequence[PoolUrl]) -> tuple[str, ...]:
    texts = [part for url in pools for part in (*url.user.split("."), url.reward)]
    return tuple(dict.fromkeys(text for text in texts if len(text) >= _SHORTEST_WALLET))


def _notes(
    settings: Settings,
    pools: Sequence[PoolUrl],
    use: Sequence[Listed],
    out: Sequence[Listed],
    missing: Sequence[str],
) -> Iterator[tuple[str, str]]:
    """Yield topics and sentences: what a person should know before the run begins."""
    # Who mines on another vendor's cards has no use for being told of CUDA at each start.
    vendors = {one.info.vendor for one in use if one.info.kind == "gpu"}
    told = [] if vendors and "nvidia" not in vendors else missing
    for sentence in [*told, *secret_file_warnings(settings), *_unmatched(settings, [*use, *out])]:
        yield "note", sentence
    for left in out:
        yield "note", f"{left.info.name} is not used: {left.info.unusable}"
    for found in use:
        yield "device", f"{found.info.name} {found.info.model}, {found.info.driver}"
    for url in pools:
        if url.tls_insecure and url.transport.has_tls:
            what = "its certificate is not checked, so that anyone in between can take your shares"
            yield "note", f"{url.label}: {what}"


def _unmatched(settings: Settings, devices: Sequence[Listed]) -> Iterator[str]:
    for name, _ in settings.devices.blocks():
        if not any(matches(d.info, d.index, name) for d in devices):
            yield f"[[devices.tune]] {name!r} matches none of the devices"
