"""Variants and coins as they are written down under `configs/`, or in a user's own file."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from miner.errors import BadVariant, ConfigError, UsageError
from miner.progpow.epoch import Clamp, FixedSizes, Growth, Scale, Span
from miner.progpow.variant import MATH_OPERATIONS, KnownAnswer, Variant
from miner.resources import data_directory

T = TypeVar("T")


class _Table:
    """A TOML table that names itself in every complaint and knows which keys were read."""

    def __init__(self, path: Path, values: Mapping[str, Any], name: str = "") -> None:
        self._path, self._values, self._name = path, values, name
        self._read: set[str] = set()

    def where(self, key: str) -> str:
        return f"{self._path}: {self._name}{key}"

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        self._read.add(key)
        value = self._values.get(key, default)
        if value is None:
            raise BadVariant(f"{self.where(key)}: is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise BadVariant(f"{self.where(key)}: {value!r} is not of type {kind.__name__}")
        return value

    def has(self, key: str) -> bool:
        return key in self._values

    def choice(self, key: str, known: Sequence[str]) -> str | None:
        """Return one of `known`; None where the key is left out."""
        value = self.get(key, str, "")
        if self.has(key) and value not in known:
            raise BadVariant(f"{self.where(key)}: {value!r} is none of {', '.join(known)}")
        return value or None

    def table(self, key: str) -> _Table:
        return _Table(self._path, self.get(key, dict), f"{self._name}{key}.")

    def tables(self, key: str) -> Iterator[_Table]:
        for i, row in enumerate(self.get(key, list, [])):
            if not isinstance(row, dict):
                raise BadVariant(f"{self.where(key)}: entry {i + 1} is not a table")
            yield _Table(self._path, row, f"{self._name}{key}[{i + 1}].")

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.get(key, list, [])
        if not all(isinstance(v, str) for v in values):
            raise BadVariant(f"{self.where(key)}: every entry must be a string")
        return tuple(values)

    def words(self, key: str) -> tuple[int, ...]:
        """Words as integers, or as text that gives one word per ASCII letter."""
        value = self._values.get(key)
        self._read.add(key)
        if isinstance(value, str) and value.isascii():
            return tuple(value.encode())
        if isinstance(value, list) and all(type(w) is int for w in value):
            return tuple(value)
        raise BadVariant(f"{self.where(key)}: must be ASCII text or a list of integers")

    def hash32(self, key: str) -> bytes:
        text = self.get(key, str)
        if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
            raise BadVariant(f"{self.where(key)}: needs 64 hex digits")
        return bytes.fromhex(text.removeprefix("0x"))

    def nonce(self, key: str) -> int:
        text = self.get(key, str)
        if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,16}", text):
            raise BadVariant(f"{self.where(key)}: needs 1 to 16 hex digits")
        return int(text, 16)

    def finish(self) -> None:
        unknown = sorted(set(self._values) - self._read)
        if unknown:
            known = ", ".join(sorted(self._read))
            raise BadVariant(f"{self.where(unknown[0])}: is no known key (known: {known})")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error


def load_variant(path: Path) -> Variant:
    """Return the variant that the TOML file at `path` writes down; its known answers are not
    run here. Raises `BadVariant` or `ConfigError`, naming file and key."""
    root = _Table(path, _read_toml(path))
    program, keccak = root.table("program"), root.table("keccak")
    epoch, light, dataset = root.table("epoch"), root.table("light"), root.table("dataset")
    absorbs = keccak.get("absorbs", str)
    if absorbs not in ("digest", "header"):
        raise BadVariant(f"{keccak.where('absorbs')}: {absorbs!r} is neither digest nor header")
    fixed = _sizes(root.table("sizes")) if root.has("sizes") else None
    try:
        variant = Variant(
            name=root.get("name", str),
            title=root.get("title", str, ""),
            aliases=root.strings("aliases"),
            sources=root.strings("sources"),
            period=program.get("period", int),
            registers=program.get("registers", int),
            cache_reads=program.get("cache_reads", int),
            math_operations=program.get("math_operations", int),
            dag_loops=program.get("dag_loops", int),
            math_table=program.strings("math_table")
            if program.has("math_table")
            else MATH_OPERATIONS,
            absorbs_digest=absorbs == "digest",
            initial_padding=keccak.words("initial"),
            final_padding=keccak.words("final"),
            spans=_spans(epoch),
            clamp=_clamp(epoch),
            scale=_scale(epoch),
            light=Growth(light.get("initial", int), light.get("growth", int)),
            dataset=Growth(dataset.get("initial", int), dataset.get("growth", int)),
            parents=dataset.get("parents", int),
            fixed=fixed,
            known_answers=tuple(_known_answer(t) for t in root.tables("known_answers")),
        )
    except BadVariant as error:
        text = str(error)
        raise BadVariant(text if text.startswith(str(path)) else f"{path}: {text}") from error
    if not variant.known_answers:
        raise BadVariant(f"{root.where('known_answers')}: needs at least one known answer")
    for table in (program, keccak, epoch, light, dataset, root):
        table.finish()
    return variant


def _spans(epoch: _Table) -> tuple[Span, ...]:
    if epoch.has("length") == epoch.has("spans"):
        raise BadVariant(f"{epoch.where('length')}: give either length or spans")
    if epoch.has("length"):
        return (Span(0, epoch.get("length", int)),)
    spans = []
    for row in epoch.tables("spans"):
        spans.append(
            Span(
                row.get("from_height", int), row.get("length", int), row.get("first_epoch", int, 0)
            )
        )
        row.finish()
    return tuple(spans)


def _clamp(epoch: _Table) -> Clamp | None:
    if not epoch.has("clamp"):
        return None
    table = epoch.table("clamp")
    clamp = Clamp(table.get("above", int), table.get("to", int))
    table.finish()
    return clamp


def _scale(epoch: _Table) -> Scale | None:
    if not epoch.has("scale"):
        return None
    table = epoch.table("scale")
    scale = Scale(table.get("from_epoch", int), table.get("factor", int))
    table.finish()
    return scale


def _sizes(table: _Table) -> FixedSizes:
    sizes = FixedSizes(
        table.get("light_items", int),
        table.get("dataset_items", int),
        table.get("seed_epoch", int, 0),
    )
    table.finish()
    return sizes


def _known_answer(table: _Table) -> KnownAnswer:
    answer = KnownAnswer(
        FixedSizes(
            table.get("light_items", int),
            table.get("dataset_items", int),
            table.get("seed_epoch", int, 0),
        ),
        table.get("height", int),
        table.hash32("header_hash"),
        table.nonce("nonce"),
        table.hash32("mix_hash"),
        table.hash32("final_hash"),
    )
    table.finish()
    return answer


@lru_cache(maxsize=1)
def variants() -> Mapping[str, Variant]:
    """Return the shipped variants by name, in the order of their names."""
    found: dict[str, Variant] = {}
    for path in sorted((data_directory("configs") / "variants").glob("*.toml")):
        variant = load_variant(path)
        found[variant.name] = variant
    return found


def find_variant(name: str) -> Variant:
    """Return the variant called `name`: a name, an alias (case is ignored), or the path of a
    file. Raises `UsageError` with the nearest names."""
    if name.endswith(".toml") or "/" in name:
        return load_variant(Path(name).expanduser())
    wanted = name.lower()
    for variant in variants().values():
        if wanted == variant.name or wanted in variant.aliases:
            return variant
    names = [n for v in variants().values() for n in (v.name, *v.aliases)]
    near = difflib.get_close_matches(wanted, names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UsageError(
        f"variant {name!r} is not known{hint}; known are {', '.join(variants())}, "
        "or the path of a variant file"
    )


@dataclass(frozen=True, slots=True)
class Coin:
    """A variant with the wire protocol and the names that go with it."""

    symbol: str
    name: str
    variant: str
    protocol: str
    difficulty_one: str | None
    """How the target of difficulty 1 goes on after its zero bits: "ff" or "ffff"; None where a
    difficulty is the number of hashes expected."""
    node: str | None
    """Kind of its node (`NODE_KIND_NAMES`); None: it is mined over Stratum only."""


DIFFICULTY_ONES = ("ff", "ffff")
NODE_KIND_NAMES = ("pprpc", "firo", "veil", "submitblock", "getwork", "sero")


@lru_cache(maxsize=1)
def coins() -> Mapping[str, Coin]:
    """Return the shipped coins by symbol."""
    found: dict[str, Coin] = {}
    for path in sorted((data_directory("configs") / "coins").glob("*.toml")):
        table = _Table(path, _read_toml(path))
        coin = Coin(
            symbol=table.get("symbol", str),
            name=table.get("name", str),
            variant=table.get("variant", str),
            protocol=table.get("protocol", str),
            difficulty_one=table.choice("difficulty_one", DIFFICULTY_ONES),
            node=table.choice("node", NODE_KIND_NAMES),
        )
        table.finish()
        found[coin.symbol] = coin
    return found


def find_coin(name: str) -> Coin:
    """Return the coin with that symbol or name, case ignored; raises `UsageError`."""
    for coin in coins().values():
        if name.lower() in (coin.symbol.lower(), coin.name.lower()):
            return coin
    raise UsageError(f"coin {name!r} is not known; known are {', '.join(coins())}")
