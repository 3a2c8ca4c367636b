"""The shipped variants and coins, and how a name finds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from pathlib import Path

from miner.errors import BadValue, BadVariant, UsageError, did_you_mean
from miner.progpow.variant import Variant
from miner.resources import data_directory
from miner.variant_file import ConfigTable, load_variant, read_toml
from miner.wallets import KINDS, AddressForm


@lru_cache(maxsize=1)
def variants() -> Mapping[str, Variant]:
    """Return the shipped variants by name, in the order of their names."""
    found: dict[str, Variant] = {}
    for path in sorted((data_directory("configs") / "variants").glob("*.toml")):
        variant = load_variant(path)
        found[variant.name] = variant
    return found


def find_variant(name: str) -> Variant:
    """Return the variant with the name, alias (ignoring case) or file path `name`, or that of the
    coin `name`.

    Raises `UsageError` with the nearest names.
    """
    if name.endswith(".toml") or "/" in name:
        try:
            return load_variant(Path(name).expanduser())
        except (RuntimeError, ValueError) as error:  # "~unknown-user/x.toml", or a NUL
            raise BadValue("variant", f"{name!r} is not a path: {error}") from error
    wanted = name.lower()
    for variant in variants().values():
        if wanted == variant.name or wanted in variant.aliases:
            return variant
    if (coin := coin_called(name)) is not None:
        return variants()[coin.variant]
    names = [n for v in variants().values() for n in (v.name, *v.aliases)]
    names += [n.lower() for coin in coins().values() for n in (coin.symbol, coin.name)]
    raise UsageError(
        f"variant {name!r} is not known{did_you_mean(wanted, names)}; known are "
        f"{', '.join(variants())}, or the path of a variant file"
    )


@dataclass(frozen=True, slots=True)
class ChainReference:
    """A block of a coin's main chain, from which the height at any time is estimated."""

    height: int
    time: float
    """UNIX seconds, to the day."""
    block_seconds: int


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin: its variant, its names and how it is mined."""

    symbol: str
    name: str
    variant: str
    protocol: str
    difficulty_one: str | None
    """Digits of the target of difficulty 1 after its leading zeros: "ff" or "ffff"; None: the
    dialect defines it. Only the dialect kawpow uses it."""
    node: str | None
    """Kind of its node (`NODE_KIND_NAMES`); None: it is mined over Stratum only."""
    chain: ChainReference | None = None
    """None: heights are not compared with its chain."""
    addresses: tuple[AddressForm, ...] = ()
    """Forms of its addresses, from its node's source; empty: not known."""


DIFFICULTY_ONES = ("ff", "ffff")
NODE_KIND_NAMES = ("pprpc", "firo", "veil", "submitblock", "getwork", "sero")


@lru_cache(maxsize=1)
def coins() -> Mapping[str, Coin]:
    """Return the shipped coins by symbol."""
    found: dict[str, Coin] = {}
    for path in sorted((data_directory("configs") / "coins").glob("*.toml")):
        table = ConfigTable(path, read_toml(path))
        coin = Coin(
            symbol=table.get("symbol", str),
            name=table.get("name", str),
            variant=table.get("variant", str),
            protocol=table.get("protocol", str),
            difficulty_one=table.choice("difficulty_one", DIFFICULTY_ONES, "") or None,
            node=table.choice("node", NODE_KIND_NAMES, "") or None,
            chain=_chain(table.table("reference")) if table.has("reference") else None,
            addresses=tuple(_address_form(row) for row in table.tables("addresses")),
        )
        table.finish()
        found[coin.symbol] = coin
    return found


def _chain(table: ConfigTable) -> ChainReference:
    day = datetime.combine(table.get("date", date), time(), UTC)
    chain = ChainReference(
        table.get("height", int), day.timestamp(), table.get("block_seconds", int)
    )
    table.finish()
    if chain.height < 0 or chain.block_seconds < 1:
        raise BadVariant(f"{table.where('')}: needs a height of 0 or more, block_seconds above 0")
    return chain


def _address_form(table: ConfigTable) -> AddressForm:
    form = AddressForm(table.choice("kind", tuple(KINDS)), table.strings("prefixes"))
    table.finish()
    return form


def usual_height(name: str, variant: Variant) -> int:
    """Return a height of the main chain of the coin `name`, or else of a coin that is mined with
    `variant`; 0 if none is known."""
    named = coin_called(name)
    mined = [named] if named else [c for c in coins().values() if c.variant == variant.name]
    return next((coin.chain.height for coin in mined if coin.chain is not None), 0)


def coin_called(name: str) -> Coin | None:
    """Return the coin with that symbol or name, ignoring case; None for the name of a variant."""
    return None if name.lower() in variants() else _coin(name)


def find_coin(name: str) -> Coin:
    """Return the coin with that symbol or name, ignoring case; raises `UsageError`."""
    if (coin := _coin(name)) is not None:
        return coin
    is_variant = any(name.lower() in (v.name, *v.aliases) for v in variants().values())
    hint = " (it is a variant: give it as variant, with -a)"
    if not is_variant:
        names = (n for coin in coins().values() for n in (coin.symbol, coin.name))
        hint = did_you_mean(name, names)
    raise UsageError(f"coin {name!r} is not known{hint}; known are {', '.join(coins())}")


def _coin(name: str) -> Coin | None:
    wanted = name.lower()
    return next((c for c in coins().values() if wanted in (c.symbol.lower(), c.name.lower())), None)
