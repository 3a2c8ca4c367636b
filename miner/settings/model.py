"""The settings: each key once, with its type, default, description and command-line flag.

The flags of `mine`, the environment variables, the JSON Schema, a new settings file and
docs/settings.md are derived from this model.
"""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from miner.attribute_docs import add_descriptions
from miner.devices.tuning import PARTS, TemperatureLimits, Tuning, start_for
from miner.errors import BadValue
from miner.net.address import HostPort, Timeouts, exposure_problem
from miner.settings.field_types import (
    BackendName,
    Celsius,
    FilePath,
    Flag,
    HostNames,
    Listen,
    MaybeEmpty,
    NoPlaceholder,
    Seconds,
    ShapeName,
    Text,
    Texts,
    conflict,
    listen_address,
    token_problem,
)

_TIMEOUTS = Timeouts()

MOST_MEGABYTES, MOST_DAYS = 10**9, 10**9
"""More than any disk or miner lasts; SQLite's numbers end at 2**63."""

MOST_KEPT = 10_000
"""Rotated log files; each rotation looks for all of them."""


class _Model(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra=add_descriptions,
        defer_build=True,  # the flags need no validators, which take long to build
    )


class PoolSettings(_Model):
    """Pools, in order of preference: if the first fails, the others are tried."""

    url: Annotated[
        Text,
        NoPlaceholder,
        Flag("-o", "--url", metavar="URL", repeatable=True),
    ] = Field(repr=False, examples=["stratum+tcp://pool.example:3333"])
    """Pool address, as in `stratum+tcp://host:port`; may contain `user:password@`."""
    user: Annotated[MaybeEmpty, NoPlaceholder, Flag("-u", "--user", repeatable=True)] = Field(
        default="", repr=False, examples=["YOUR_WALLET"]
    )
    """Wallet address or account, often `WALLET.worker`; may be part of `url` instead."""
    password: Annotated[SecretStr, Flag("-p", "--pass", "--password", repeatable=True)] = Field(
        default=SecretStr("x"), examples=["x"]
    )
    """Pool password; most pools ignore it."""
    worker: Annotated[Text | None, Flag("-w", "--worker")] = Field(default=None, examples=["rig1"])
    """Worker name, appended to the user after a dot, unless the user ends in it."""
    tls_insecure: Annotated[bool, Flag("--tls-insecure")] = False
    """Accept any TLS certificate. An attacker on the path can then take your shares."""
    tls_ca_file: Annotated[FilePath | None, Flag("--tls-ca-file", metavar="FILE")] = Field(
        default=None, examples=["/etc/ssl/my-pool.pem"]
    )
    """PEM file of certificates to trust in addition to the system's."""
    tls_fingerprint: Annotated[Text | None, Flag("--tls-fingerprint", metavar="HEX")] = Field(
        default=None, examples=["00112233445566778899aabbccddeeff" * 2]
    )
    """SHA-256 of the pool's certificate in hex; no other certificate is accepted."""
    protocol: Annotated[Text | None, Flag("--protocol", metavar="NAME")] = Field(
        default=None, examples=["auto"]
    )
    """Protocol of the pool, or "auto" to detect it. Default: from the URL's scheme, else from the
    coin, else detected."""
    proxy: Annotated[Text | None, Flag("--proxy", metavar="URL")] = Field(
        default=None, repr=False, examples=["socks5://127.0.0.1:1080"]
    )
    """SOCKS5 proxy: `socks5://[user:password@]host:port`."""
    password_file: FilePath | None = Field(default=None, examples=["/etc/progpow-miner/password"])
    """File whose first line is the password; replaces `password`."""
    cookie_file: Annotated[FilePath | None, Flag("--cookie-file", metavar="FILE")] = Field(
        default=None, examples=["/home/you/.raven/.cookie"]
    )
    """File with a node's RPC user and password, usually `.cookie` in its data folder."""

    @model_validator(mode="after")
    def _one_address_and_user(self) -> Self:
        from miner.pool.pool_addresses import PLAIN, SCHEMES  # slow to import

        scheme = SCHEMES.get(self.url.partition("://")[0].lower(), PLAIN)
        if not self.user and "@" not in self.url and not scheme.transport.is_http:
            raise ValueError("needs a user: give user, -u WALLET.worker or user@ in url")
        if "," in self.url.rpartition("@")[2]:
            raise ValueError("url: contains a comma; give each pool its own [[pools]] or -o")
        return self

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password_file is not None and "password" in self.model_fields_set:
            raise ValueError("give either password or password_file")
        return self


class _Temperatures(_Model):
    temperature_stop: Annotated[Celsius | None, Flag("--temp-stop", metavar="CELSIUS")] = Field(
        default=None, examples=[85]
    )
    """Core temperature (°C) at which a device pauses. Default: no limit."""
    temperature_start: Annotated[Celsius | None, Flag("--temp-start", metavar="CELSIUS")] = Field(
        default=None, examples=[70]
    )
    """Core temperature (°C) at or below which it resumes. Default: 15 below the stop."""
    memory_temperature_stop: Celsius | None = Field(default=None, examples=[100])
    """Memory temperature (°C) at which a device pauses, if it has such a sensor. Default: no
    limit."""
    memory_temperature_start: Celsius | None = Field(default=None, examples=[85])
    """Memory temperature (°C) at or below which it resumes. Default: 15 below the stop."""

    @model_validator(mode="after")
    def _start_below_stop(self) -> Self:
        for part in PARTS:
            stop = getattr(self, f"{part}temperature_stop")
            start = getattr(self, f"{part}temperature_start")
            try:
                # A start without a stop is fine here: the stop may come from another table.
                start_for(part, stop, start if stop is not None else None)
            except BadValue as error:
                raise ValueError(str(error)) from error
        return self

    def limits(self) -> TemperatureLimits:
        """Return the four keys as the sensors take them."""
        return TemperatureLimits(**self.model_dump(include=set(_Temperatures.model_fields)))


class TuneSettings(_Temperatures):
    """Settings for the devices that match. If several blocks set a key for one device, the last
    one wins."""

    match: Text = Field(examples=["*3070*"])
    """Name or pattern of the devices, in the same forms as in `use`."""
    shape: ShapeName | None = Field(default=None, examples=["gpu-128"])
    """Launch shape. Default: chosen for the device."""
    launch_seconds: Annotated[float, Field(ge=0.01, le=1, allow_inf_nan=False)] | None = Field(
        default=None, examples=[0.1]
    )
    """Target duration of one launch in seconds. Default: 0.1."""
    datasets: Annotated[int, Field(ge=1)] | None = Field(default=None, examples=[1])
    """Most datasets (DAGs) that a device keeps in memory. Default: as many as fit."""

    def tuning(self) -> Tuning:
        """Return these settings as the engine takes them."""
        return Tuning(self.shape, self.launch_seconds, self.limits(), self.datasets)


class DeviceSettings(_Temperatures):
    """Which devices mine, and their temperature limits."""

    use: Annotated[
        Annotated[Texts, Field(min_length=1)] | None, Flag("-d", "--devices", metavar="NAME,...")
    ] = Field(default=None, examples=[["0000:01:00.0", "*3070*"]])
    """Devices to use, in this order: names or indexes as `progpow-miner devices` prints them, PCI
    addresses, UUIDs, patterns of the model, "nvidia", "amd", "intel" or "cpu". Default: every
    usable GPU."""
    exclude: Texts = ()
    """Devices not to use, in the same forms."""
    backend: Annotated[BackendName, Flag("--backend")] = "auto"
    """Interface through which devices are used; "auto" tries all, "cpu" means the CPU through the
    best one."""
    on_hang: Literal["exit", "park"] = "exit"
    """Reaction to a driver call that does not return: "exit" submits the found shares and exits
    with code 5; "park" keeps mining on the other devices."""
    datasets_on_disk: bool = False
    """Whether datasets (DAGs) are kept in the cache directory, up to 2 GiB or one, and read at the
    next start. For CPU devices: a GPU computes one faster than most disks read it."""
    autotune: Annotated[bool, Flag("--autotune")] = False
    """Compare launch shapes while mining, and use the fastest from then on. Not for devices with a
    `shape` under `tune`."""
    tune: Annotated[tuple[TuneSettings, ...], Field(strict=False)] = ()
    """Settings for some devices."""

    def base(self) -> Tuning:
        """Return the settings of every device, without the blocks of `tune`."""
        return Tuning(limits=self.limits(), datasets_on_disk=self.datasets_on_disk)

    def blocks(self) -> list[tuple[str, Tuning]]:
        """Return the blocks of `tune` in order, each as (device name or pattern, tuning)."""
        return [(block.match, block.tuning()) for block in self.tune]


class ApiSettings(_Model):
    """The HTTP API: dashboard, metrics, health checks and the APIs of other miners."""

    listen: Annotated[Listen, Flag("--api", metavar="HOST:PORT|off")] = "127.0.0.1:4067"
    """Address of the API and dashboard, as host:port; "" or "off" disables them."""
    token: SecretStr | None = Field(default=None, examples=["a-long-random-text"])
    """Token for requests that change something, and required if other machines can connect: then
    16 or more characters. Printable ASCII without blanks."""
    token_file: Annotated[FilePath | None, Flag("--api-token-file", metavar="FILE")] = Field(
        default=None, examples=["/etc/progpow-miner/token"]
    )
    """File whose first line is the API token; replaces `token`."""
    hosts: HostNames = Field(default=(), examples=[["rig1.lan"]])
    """Host names under which browsers may open the API, besides localhost and IP addresses."""
    ethminer: Listen = Field(default="", examples=["127.0.0.1:3333"])
    """Address of a JSON-RPC server over TCP that is compatible with ethminer; "" disables it."""
    sgminer: Listen = Field(default="", examples=["127.0.0.1:4028"])
    """Address of a TCP server that is compatible with sgminer's API; "" disables it."""
    address_file: FilePath | None = Field(default=None, examples=["/run/progpow-miner/address"])
    """File in which a run writes the API's address, or "off"; the command `health` reads it if this
    is an environment variable. Default: none."""
    panels: bool = False
    """Serve the APIs of T-Rex, xmrig, mmpOS and HiveOS on the HTTP address too."""

    @model_validator(mode="after")
    def _token_where_needed(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("give either token or token_file")
        has_token = self.token is not None or self.token_file is not None
        for name, address in self.addresses().items():
            if problem := exposure_problem(name, address, has_token=has_token):
                raise ValueError(problem)
        if self.token is not None:
            problem = token_problem(self.token.get_secret_value().strip(), self.is_reachable())
            if problem is not None:
                raise ValueError(f"token {problem}")
        return self

    @model_validator(mode="after")
    def _different_addresses(self) -> Self:
        for (name, one), (other_name, other) in combinations(self.addresses().items(), 2):
            if conflict(one, other):
                raise ValueError(
                    f"{other_name} = {str(other)!r} is taken by {name} = {str(one)!r}: give one "
                    "of them another port"
                )
        return self

    def addresses(self) -> dict[str, HostPort]:
        """Return the addresses to listen on by key, without those that are off."""
        listens = {"listen": self.listen, "ethminer": self.ethminer, "sgminer": self.sgminer}
        addresses = ((name, listen_address(text)) for name, text in listens.items())
        return {name: address for name, address in addresses if address is not None}

    def is_reachable(self) -> bool:
        """Whether other machines can connect to one of the addresses."""
        return not all(address.is_loopback for address in self.addresses().values())


class LogSettings(_Model):
    """Console output and log file."""

    console: Annotated[Literal["auto", "plain", "live", "json"], Flag("--console")] = "auto"
    """Console output; "auto" is live in a terminal and plain otherwise."""
    level: Annotated[Literal["debug", "info", "warning", "error"], Flag("--log-level")] = "info"
    """Lowest level of the messages that are shown and logged."""
    file: Annotated[FilePath | None, Flag("-l", "--log-file", metavar="FILE")] = Field(
        default=None, examples=["/var/log/progpow-miner.log"]
    )
    """Log file, which is rotated. Default: none."""
    format: Literal["text", "json"] = "text"
    """Format of the log file: text, or one JSON object per line."""
    max_megabytes: Annotated[int, Field(ge=1, le=MOST_MEGABYTES)] = 10
    """Size in MiB at which the log file is rotated."""
    keep: Annotated[int, Field(ge=0, le=MOST_KEPT)] = 5
    """Number of rotated log files to keep."""


class LedgerSettings(_Model):
    """The ledger: a local record of every share."""

    enabled: Annotated[
        bool, Flag("--no-ledger", off="Keep no record of shares on this machine.")
    ] = True
    """Record every share in the ledger."""
    file: FilePath | None = Field(default=None, examples=["/var/lib/progpow-miner/ledger.sqlite"])
    """Ledger file. Default: `ledger.sqlite` in the state folder."""
    max_megabytes: Annotated[int, Field(ge=1, le=MOST_MEGABYTES)] = 64
    """Size limit in MiB; beyond it the oldest shares are deleted."""
    max_days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = 90
    """Age in days at which shares are deleted."""


class LimitSettings(_Model):
    """Timeouts of pool connections, in seconds; 3 or more."""

    connect: Seconds = _TIMEOUTS.connect
    """Timeout for name lookup, proxy, TCP connection and TLS handshake together."""
    login: Seconds = _TIMEOUTS.login
    """Timeout for the pool to accept the login."""
    answer: Seconds = _TIMEOUTS.answer
    """Timeout for the pool's answer to a share."""
    silence: Seconds = _TIMEOUTS.silence
    """Reconnect when the pool has sent no new job for this long."""

    def limits(self) -> Timeouts:
        """Return these settings as the pool connections take them."""
        return Timeouts(self.connect, self.login, self.answer, self.silence)


class Settings(_Model):
    """Algorithm, rig and when to stop."""

    variant: Annotated[Text | None, Flag("-a", "--algo", "--variant", metavar="NAME|FILE")] = Field(
        default=None, examples=["kawpow"]
    )
    """ProgPoW variant: its name, an alias or a file that defines one; or a coin, by symbol or
    name."""
    coin: Annotated[Text | None, Flag("--coin", metavar="SYMBOL")] = Field(
        default=None, examples=["RVN"]
    )
    """Coin, by symbol or name: it selects variant and protocol, in place of `variant`."""
    rig: Annotated[MaybeEmpty, Flag("--rig", metavar="NAME")] = ""
    """Name of this rig on the dashboard, in the API and in metrics. Default: the host name."""
    shares: Annotated[Annotated[int, Field(ge=1)] | None, Flag("--shares", metavar="COUNT")] = (
        Field(default=None, examples=[100])
    )
    """Stop after this many accepted shares. Default: no limit."""
    give_up: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
        Flag("--give-up", metavar="SECONDS"),
    ] = Field(default=None, examples=[600])
    """Stop after this many seconds without a pool. Default: no limit."""
    report_hashrate: Annotated[bool, Flag("-R", "--report-hashrate")] = False
    """Report the hashrate to pools that accept such reports."""
    record: Annotated[FilePath | None, Flag("--record", metavar="FILE")] = Field(
        default=None, examples=["session.jsonl"]
    )
    """File to record the pool connections in, for the command `replay`. Default: none."""
    pools: Annotated[tuple[PoolSettings, ...], Field(strict=False, min_length=1)]
    """The pools, in order of preference."""
    devices: DeviceSettings = Field(default_factory=DeviceSettings)
    """Which devices mine."""
    api: ApiSettings = Field(default_factory=ApiSettings)
    """The HTTP API."""
    log: LogSettings = Field(default_factory=LogSettings)
    """Console output and log file."""
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    """The record of shares."""
    limits: LimitSettings = Field(default_factory=LimitSettings)
    """Timeouts of pool connections."""

    @model_validator(mode="after")
    def _one_algorithm(self) -> Self:
        if self.variant is None and self.coin is None:
            raise ValueError(
                'what to mine is missing: give coin, as in coin = "RVN" or --coin RVN, or variant'
            )
        if self.variant is not None and self.coin is not None:
            raise ValueError("give either variant or coin")
        return self
