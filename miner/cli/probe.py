"""The command `probe`: a pool's dialect and requirements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from miner.cli.completion import complete_value
from miner.cli.options import JSON_OPTION, Seconds, print_json, variant_option
from miner.formatting import format_difficulty

if TYPE_CHECKING:
    from miner.catalog import Coin
    from miner.net.address import PoolUrl
    from miner.progpow.variant import Variant
    from miner.stratum.probing import ProbeResult

DEFAULT_USER = "probe"


@click.command()
@click.argument("url")
@click.option("-u", "--user", help="Wallet or WALLET.worker. Default: probe.")
@click.option("-p", "--pass", "--password", "password", help="Pool password. Default: x.")
@variant_option("Variant whose epochs are shown. Default: kawpow.")
@click.option(
    "--coin",
    metavar="SYMBOL",
    help="Coin, which selects variant and protocol.",
    shell_complete=complete_value,
)
@click.option(
    "--protocol",
    metavar="NAME",
    help='Try only this dialect, or all with "auto". Default: as in mine.',
    shell_complete=complete_value,
)
@click.option(
    "--seconds",
    type=Seconds(1, 600),
    default=20,
    show_default=True,
    metavar="SECONDS",
    help="Time limit.",
)
@click.option("--tls-insecure", is_flag=True, help="Accept any TLS certificate.")
@click.option(
    "--tls-ca-file",
    metavar="FILE",
    help="PEM file of certificates to trust in addition to the system's.",
)
@click.option(
    "--tls-fingerprint",
    metavar="HEX",
    help="SHA-256 of the pool's certificate in hex; no other is accepted.",
)
@click.option("--proxy", metavar="URL", help="SOCKS5 proxy: socks5://[user:password@]host:port.")
@JSON_OPTION
def probe(
    url: str,
    user: str | None,
    password: str | None,
    variant: str | None,
    coin: str | None,
    protocol: str | None,
    seconds: float,
    tls_insecure: bool,
    tls_ca_file: str | None,
    tls_fingerprint: str | None,
    proxy: str | None,
    as_json: bool,
) -> None:
    """Report what a pool speaks and requires, before you mine on it.

    \b
    Examples:
      progpow-miner probe pool.example:3333 -u WALLET.rig1 --coin RVN
      progpow-miner probe stratum+tls://pool.example:3334 --json
    """
    import asyncio
    from dataclasses import replace

    from miner import USER_AGENT
    from miner.catalog import find_coin
    from miner.clock import SystemClock
    from miner.net.dial import NetworkDial
    from miner.net.socks import parse_proxy
    from miner.net.tls import parse_fingerprint
    from miner.progpow.keccak import seed_hash
    from miner.stratum.dialects import DIALECTS
    from miner.stratum.difficulty import DIFF1_BY_DIGITS
    from miner.stratum.probing import ProbeRequest
    from miner.stratum.probing import probe as probe_pool
    from miner.verify import chosen_variant

    if variant and coin:
        raise click.UsageError("give -a or --coin, not both")
    chosen_coin = find_coin(coin) if coin else None
    chosen = chosen_variant(chosen_coin.variant if chosen_coin else variant or "kawpow")
    address, dialect = _address(url, user, password, protocol, chosen_coin)
    if tls_fingerprint and not address.transport.has_tls:
        raise click.UsageError(f"--tls-fingerprint: {address.label} is reached without TLS")
    if proxy:
        parse_proxy(proxy)
    address = replace(
        address,
        tls_insecure=tls_insecure,
        ca_file=tls_ca_file,
        tls_fingerprint=parse_fingerprint(tls_fingerprint) if tls_fingerprint else None,
        proxy=proxy,
    )
    notes = []
    if not address.user:
        address = replace(address, user=DEFAULT_USER)
        notes.append(f'no user given: logged in as "{DEFAULT_USER}"')
    if not variant and not chosen_coin:
        notes.append("no variant given: the epoch is kawpow's")
    diff1 = DIFF1_BY_DIGITS[chosen_coin.difficulty_one if chosen_coin else None]
    request = ProbeRequest(
        address, chosen, USER_AGENT, seconds,
        [dialect] if dialect else list(DIALECTS), seed_hash, diff1,
    )  # fmt: skip
    result = asyncio.run(probe_pool(request, NetworkDial(), SystemClock()))
    if as_json:
        print_json(_as_object(result, notes, chosen))
    else:
        _print_result(result, notes, chosen)


def _address(
    text: str, user: str | None, password: str | None, protocol: str | None, coin: Coin | None
) -> tuple[PoolUrl, str | None]:
    """Return the pool's address and the dialect, None if it is to be detected; raises
    `ConfigError`."""
    from miner.errors import ConfigError
    from miner.net.address import DEFAULT_PASSWORD, PASSWORD_VARIABLE
    from miner.pool.pool_addresses import Scheme, choose_protocol, parse_pool_url
    from miner.resources import variable

    fallback = variable(PASSWORD_VARIABLE) or DEFAULT_PASSWORD
    url = parse_pool_url(text, user, password, fallback=fallback)
    if url.transport.is_http:
        raise ConfigError(
            f"{url.label}: is the address of a node, and only pools can be probed; write "
            "stratum+tcp://host:port"
        )
    scheme = Scheme(url.protocol, url.transport)
    return url, choose_protocol(protocol, scheme, coin.protocol if coin else None)


def _as_object(result: ProbeResult, notes: list[str], variant: Variant) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        **asdict(result), "seed": result.seed.value, "variant": variant.name, "notes": notes,
    }  # fmt: skip


def _print_result(result: ProbeResult, notes: list[str], variant: Variant) -> None:
    unknown = "unknown"
    rows = [("pool", result.url)]
    rows += [("tls", result.tls or "none")]
    rows += [("not", f"{name}: {reason}") for name, reason in result.misfits.items()]
    rows += [("speaks", f"{result.title} (--protocol {result.protocol})")]
    if result.latency_ms is not None:
        rows += [("answer", f"after {result.latency_ms:g} ms")]
    login = {True: "accepted", None: "not answered"}
    rows += [("login", login.get(result.accepted, f"refused: {result.refusal}"))]
    nonces = unknown
    if result.free_bits is not None:
        nonces = f"extranonce of {result.extranonce_bytes} bytes, {result.free_bits} bits free"
    rows += [("nonces", nonces)]
    share = unknown
    if result.expected_hashes is not None:
        share = f"difficulty {format_difficulty(result.expected_hashes)}"
    rows += [("share", share)]
    block = unknown
    if result.height is not None:
        block = f"height {result.height}, epoch {result.epoch} of {variant.name}"
    rows += [("block", block)]
    rows += [("seed", {"absent": unknown}.get(result.seed.value, result.seed.value))]
    rows += [("quirk", text) for text in result.quirks]
    rows += [("note", text) for text in notes]
    for key, text in rows:
        click.echo(f"{key:<8} {text}")
