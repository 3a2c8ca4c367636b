"""The model of what the user asked for: each key once, with its type, default and meaning."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from miner.codegen.launch_shape import shape_named
from miner.devices.selection import PARTS, Tuning, start_of
from miner.errors import BadValue
from miner.net.address import HostPort, exposure_problem
from miner.net.dial import Timeouts
from miner.pool.pool_addresses import PLAIN, SCHEMES
from miner.settings.listen_address import (
    address_of,
    checked,
    collide,
    lets_in_others,
    token_problem,
)

PLACEHOLDER = "PUT_YOUR_WALLET_HERE"
"""Stands for the wallet in a file that `config init` wrote."""

_LIMITS = Timeouts()


def _own(text: str) -> str:
    if PLACEHOLDER in text:
        raise ValueError(f"is still the placeholder {PLACEHOLDER}; write your own wallet there")
    return text


def _shape(name: str) -> str:
    try:
        return shape_named(name).name
    except BadValue as error:
        raise ValueError(str(error).removeprefix("shape: ")) from error


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
FilePath = Annotated[Path, Field(strict=False)]
Seconds = Annotated[float, Field(ge=3, allow_inf_nan=False)]
"""A limit; a shorter one would take a busy pool for a dead one."""
Celsius = Annotated[float, Field(ge=20, le=150, allow_inf_nan=False)]
Listen = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(checked)]


class _Model(BaseModel):
    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class PoolSettings(_Model):
    """One pool; those after the first are tried in order when it fails."""

    url: Annotated[Text, AfterValidator(_own)] = Field(
        repr=False, examples=["stratum+tcp://pool.example:3333"]
    )
    """`stratum+tcp://host:port`, with or without `user:password@`."""
    user: Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_own)] = Field(
        default="", repr=False, examples=["YOUR_WALLET"]
    )
    """Wallet or account, often `WALLET.worker`; may be part of `url` instead."""
    password: SecretStr = Field(default=SecretStr("x"), examples=["x"])
    """What the pool asks for; most ask for nothing."""
    worker: Text | None = Field(default=None, examples=["rig1"])
    """Appended to the user after a dot."""
    tls_insecure: bool = False
    """Accept any certificate; whoever sits in between can then take your shares."""
    tls_ca_file: FilePath | None = Field(default=None, examples=["/etc/ssl/my-pool.pem"])
    """Certificates to trust besides the system's."""
    tls_fingerprint: Text | None = Field(
        default=None, examples=["00112233445566778899aabbccddeeff" * 2]
    )
    """SHA-256 of the pool's certificate in hex: that one is accepted, and no other."""
    protocol: Text | None = Field(default=None, examples=["auto"])
    """What the pool speaks; left out, the url's scheme says it, else the coin, else it is found
    out, as with "auto"."""
    proxy: Text | None = Field(default=None, repr=False, examples=["socks5://127.0.0.1:1080"])
    """`socks5://[user:password@]host:port` to go through."""
    password_file: FilePath | None = Field(default=None, examples=["/etc/progpow-miner/password"])
    """File whose first line is the password, in place of `password`."""
    cookie_file: FilePath | None = Field(default=None, examples=["/home/you/.raven/.cookie"])
    """File in which a node leaves its user and password, often `.cookie` in its data folder."""

    @model_validator(mode="after")
    def _has_user(self) -> Self:
        scheme = SCHEMES.get(self.url.partition("://")[0].lower(), PLAIN)
        if not self.user and "@" not in self.url and not scheme.transport.is_http:
            raise ValueError("needs a user, as its own key or as user@ in url")
        return self

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password_file is not None and "password" in self.model_fields_set:
            raise ValueError("give either password or password_file")
        return self


class _Temperatures(_Model):
    temperature_stop: Celsius | None = Field(default=None, examples=[85])
    """°C of the core at which a device rests; without it, heat stops none."""
    temperature_start: Celsius | None = Field(default=None, examples=[70])
    """°C of the core at which it goes on, or below; 15 under its stop where left out."""
    memory_temperature_stop: Celsius | None = Field(default=None, examples=[100])
    """°C of the memory at which a device rests, where the device tells it."""
    memory_temperature_start: Celsius | None = Field(default=None, examples=[85])
    """°C of the memory at which it goes on, or below; 15 under its stop where left out."""

    @model_validator(mode="after")
    def _start_below_stop(self) -> Self:
        for part in PARTS:
            stop = getattr(self, f"{part}temperature_stop")
            start = getattr(self, f"{part}temperature_start")
            try:
                # Without a stop here, the one of another table may hold.
                start_of(part, stop, start if stop is not None else None)
            except BadValue as error:
                raise ValueError(str(error)) from error
        return self


class TuneSettings(_Temperatures):
    """What is wanted of some devices; of several blocks that match one, the last wins key by
    key."""

    match: Text = Field(examples=["*3070*"])
    """The devices: names in the same forms as in `use`."""
    shape: Annotated[Text, AfterValidator(_shape)] | None = Field(
        default=None, examples=["gpu-128"]
    )
    """Launch shape; left out, the device's own."""
    launch_seconds: Annotated[float, Field(ge=0.01, le=1, allow_inf_nan=False)] | None = Field(
        default=None, examples=[0.1]
    )
    """How long one launch should take; 0.1 where left out."""

    def tuning(self) -> Tuning:
        """Return it as the devices' side takes it."""
        return Tuning(**self.model_dump(exclude={"match"}))


class DeviceSettings(_Temperatures):
    """Which devices mine, and how far they may go."""

    use: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)] | None = Field(
        default=None, examples=[["0000:01:00.0", "*3070*"]]
    )
    """Names as the command `devices` prints them, indexes as text, PCI addresses, UUIDs, or
    patterns of the model; the order is kept. Every usable device where left out."""
    exclude: Annotated[tuple[Text, ...], Field(strict=False)] = ()
    """Devices to leave alone, in the same forms."""
    backend: Literal["auto", "opencl", "cuda", "ref"] = "auto"
    """The way to reach devices."""
    on_hang: Literal["exit", "park"] = "exit"
    """When a driver call does not come back: "exit" ends the process with code 5 once all else is
    submitted; "park" lets the other devices go on."""
    tune: Annotated[tuple[TuneSettings, ...], Field(strict=False)] = ()
    """What is wanted of some devices."""

    def base(self) -> Tuning:
        """Return what is wanted of every device, before the blocks of `tune`."""
        return Tuning(**self.model_dump(include=set(_Temperatures.model_fields)))

    def blocks(self) -> list[tuple[str, Tuning]]:
        """Return `tune` as the devices' side takes it: (name, tuning), in order."""
        return [(block.match, block.tuning()) for block in self.tune]


class ApiSettings(_Model):
    """The HTTP API with dashboard, metrics and health, and what old tools may ask."""

    listen: Listen = "127.0.0.1:4067"
    """Address to listen on; "" or "off": none."""
    token: SecretStr | None = Field(default=None, examples=["a-long-random-text"])
    """Needed for whatever changes something, and for listening on more than loopback; printable
    ASCII without blanks, there of at least 16 characters."""
    token_file: FilePath | None = Field(default=None, examples=["/etc/progpow-miner/token"])
    """File whose first line is the token, in place of `token`."""
    hosts: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        default=(), examples=[["rig1.lan"]]
    )
    """Names besides localhost and literal addresses under which browsers may reach it."""
    ethminer: Listen = Field(default="", examples=["127.0.0.1:3333"])
    """Address of ethminer's JSON-RPC over TCP; off where empty."""
    sgminer: Listen = Field(default="", examples=["127.0.0.1:4028"])
    """Address of sgminer's API over TCP; off where empty."""
    panels: bool = False
    """Answer also as T-Rex, xmrig, mmpOS and HiveOS ask, on the same HTTP address."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("give either token or token_file")
        guarded = self.token is not None or self.token_file is not None
        for name, listen in self.addresses().items():
            address = address_of(listen)
            problem = (
                exposure_problem(name, HostPort(*address), has_token=guarded) if address else None
            )
            if problem is not None:
                raise ValueError(problem)
        if self.token is not None:
            problem = token_problem(self.token.get_secret_value().strip(), self.lets_in_others())
            if problem is not None:
                raise ValueError(f"token {problem}")
        return self

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for (name, listen), (other, elsewhere) in combinations(self.addresses().items(), 2):
            if collide(listen, elsewhere):
                raise ValueError(
                    f"{other} = {elsewhere!r} is taken by {name} = {listen!r}: give one of them "
                    "another port"
                )
        return self

    def addresses(self) -> dict[str, str]:
        """Return what is listened on, by key; "" is nothing."""
        return {"listen": self.listen, "ethminer": self.ethminer, "sgminer": self.sgminer}

    def lets_in_others(self) -> bool:
        """Tell whether other machines can reach any of it."""
        return any(map(lets_in_others, self.addresses().values()))


class LogSettings(_Model):
    """What is shown and written down."""

    console: Literal["auto", "plain", "live", "json"] = "auto"
    """What the terminal shows; "auto" is live in a terminal, plain otherwise."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is written."""
    file: FilePath | None = Field(default=None, examples=["/var/log/progpow-miner.log"])
    """File to write to as well; it is rotated."""
    format: Literal["text", "json"] = "text"
    """Of the file: text, or one JSON object a line."""
    max_megabytes: Annotated[int, Field(ge=1)] = 10
    """Size at which the file is rotated."""
    keep: Annotated[int, Field(ge=0)] = 5
    """Rotated files that are kept."""


class LedgerSettings(_Model):
    """The record of shares, blocks and outages on this machine."""

    enabled: bool = True
    """Keep it."""
    file: FilePath | None = Field(default=None, examples=["/var/lib/progpow-miner/ledger.sqlite"])
    """Its file; left out, `ledger.sqlite` in the state folder."""
    max_megabytes: Annotated[int, Field(ge=1)] = 64
    """The oldest goes when it would grow beyond."""
    max_days: Annotated[int, Field(ge=1)] = 90
    """What is older goes."""


class LimitSettings(_Model):
    """How long pools may take, in seconds."""

    connect: Seconds = _LIMITS.connect
    """For name, proxy, connection and TLS handshake together."""
    login: Seconds = _LIMITS.login
    """For the answers up to the accepted login."""
    answer: Seconds = _LIMITS.answer
    """For the answer to a share."""
    silence: Seconds = _LIMITS.silence
    """A pool without a new job for so long is left and connected to anew."""

    def limits(self) -> Timeouts:
        """Return them as the pool's side takes them."""
        return Timeouts(self.connect, self.login, self.answer, self.silence)


class Settings(_Model):
    """One run of the miner."""

    variant: Text | None = Field(default=None, examples=["kawpow"])
    """Variant by name, alias or file."""
    coin: Text | None = Field(default=None, examples=["RVN"])
    """Stands for a variant with its protocol; given instead of `variant`."""
    rig: Annotated[str, StringConstraints(strip_whitespace=True)] = ""
    """Name of this rig in views; the host's name where left out."""
    shares: Annotated[int, Field(ge=1)] | None = Field(default=None, examples=[100])
    """Stop after so many accepted shares."""
    give_up: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, examples=[600]
    )
    """Stop after so many seconds without a pool; never where left out."""
    report_hashrate: bool = False
    """Tell pools that take such reports how fast this rig is."""
    record: FilePath | None = Field(default=None, examples=["said.jsonl"])
    """File to write down what pools say and are told; it can be replayed."""
    pools: Annotated[tuple[PoolSettings, ...], Field(strict=False, min_length=1)]
    """The pools, in the order in which they are tried."""
    devices: DeviceSettings = DeviceSettings()
    """Which devices mine."""
    api: ApiSettings = ApiSettings()
    """The HTTP API."""
    log: LogSettings = LogSettings()
    """What is shown and written down."""
    ledger: LedgerSettings = LedgerSettings()
    """The record of shares."""
    limits: LimitSettings = LimitSettings()
    """How long pools may take."""

    @model_validator(mode="after")
    def _one_algorithm(self) -> Self:
        if (self.variant is None) == (self.coin is None):
            raise ValueError("give either variant or coin")
        return self
