"""A variant, read from its TOML file and checked."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from miner.errors import BadVariant, ConfigError, did_you_mean, not_one_of
from miner.progpow.epoch import DATASET_ITEM_BYTES
from miner.progpow.variant import (
    DAG_LOADS,
    L1_BYTES,
    MATH_OPERATIONS,
    Absorbed,
    ByteOrder,
    Choices,
    Clamp,
    FixedSizes,
    Growth,
    KnownAnswer,
    Scale,
    Span,
    Variant,
)
from miner.resources import parse_toml, read_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
Record = TypeVar("Record", bound="DataclassInstance")


class ConfigTable:
    """A TOML table. Its errors name file and key; `finish` reports keys that were not read."""

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

    def choice(self, key: str, known: Sequence[str], default: str | None = None) -> Any:
        """Return one of `known`, or `default`, without which the key is required."""
        value = self.get(key, str, default)
        if self.has(key) and value not in known:
            raise BadVariant(f"{self.where(key)}: {not_one_of(value, known)}")
        return value

    def choices(self, record: type[Record]) -> Record:
        """Return a `record`, a dataclass of literals with defaults, filled from this table."""
        kinds, defaults = get_type_hints(record), record()
        return record(
            **{key: self.choice(key, get_args(kinds[key]), getattr(defaults, key)) for key in kinds}
        )

    def table(self, key: str) -> ConfigTable:
        return ConfigTable(self._path, self.get(key, dict), f"{self._name}{key}.")

    def tables(self, key: str) -> Iterator[ConfigTable]:
        for i, row in enumerate(self.get(key, list, [])):
            if not isinstance(row, dict):
                raise BadVariant(f"{self.where(key)}: entry {i + 1} is not a table")
            yield ConfigTable(self._path, row, f"{self._name}{key}[{i + 1}].")

    def integers(self, record: type[Record]) -> Record:
        """Return a `record`, a dataclass of integers, filled from this table."""
        values = {}
        for field in dataclasses.fields(record):
            optional = field.default is not dataclasses.MISSING
            values[field.name] = self.get(field.name, int, field.default if optional else None)
        return record(**values)

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.get(key, list, [])
        if not all(isinstance(v, str) for v in values):
            raise BadVariant(f"{self.where(key)}: every entry must be a string")
        return tuple(values)

    def words(self, key: str) -> tuple[int, ...]:
        """Return words, given as integers or as text with one word per ASCII letter."""
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
            known = sorted(self._read)
            hint = did_you_mean(unknown[0], known) or f" (known: {', '.join(known)})"
            raise BadVariant(f"{self.where(unknown[0])}: unknown key{hint}")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file; raises `ConfigError`, which names it."""
    try:
        return parse_toml(read_text(path, str(path)), str(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error


def load_variant(path: Path) -> Variant:
    """Return the variant in the TOML file `path`, without running its known answers.

    Raises `BadVariant` or `ConfigError`, naming file and key.
    """
    root = ConfigTable(path, read_toml(path))
    program, keccak = root.table("program"), root.table("keccak")
    epoch, light, dataset = root.table("epoch"), root.table("light"), root.table("dataset")
    table = program.strings("math_table") if program.has("math_table") else MATH_OPERATIONS
    variant = Variant(
        name=root.get("name", str),
        title=root.get("title", str, ""),
        aliases=root.strings("aliases"),
        algorithm=root.get("algorithm", str, ""),
        sources=root.strings("sources"),
        period=program.get("period", int),
        registers=program.get("registers", int),
        cache_reads=program.get("cache_reads", int),
        math_operations=program.get("math_operations", int),
        dag_loops=program.get("dag_loops", int),
        math_table=table,
        choices=program.choices(Choices),
        absorbs=keccak.choice("absorbs", get_args(Absorbed)),
        initial_padding=keccak.words("initial"),
        final_padding=keccak.words("final"),
        byte_order=keccak.choice("byte_order", get_args(ByteOrder), "little"),
        spans=_spans(epoch),
        clamp=_optional(epoch, "clamp", Clamp),
        scale=_optional(epoch, "scale", Scale),
        light=light.integers(Growth),
        dataset=dataset.integers(Growth),
        parents=dataset.get("parents", int),
        fixed=_optional(root, "sizes", FixedSizes),
        known_answers=tuple(_known_answer(t) for t in root.tables("known_answers")),
    )
    try:
        check_variant(variant)
    except BadVariant as error:
        raise BadVariant(f"{path}: {error}") from error
    if not variant.known_answers:
        raise BadVariant(f"{root.where('known_answers')}: needs at least one known answer")
    for one in (program, keccak, epoch, light, dataset, root):
        one.finish()
    return variant


def _spans(epoch: ConfigTable) -> tuple[Span, ...]:
    if epoch.has("length") == epoch.has("spans"):
        raise BadVariant(f"{epoch.where('length')}: give either length or spans")
    if epoch.has("length"):
        return (Span(0, epoch.get("length", int)),)
    return tuple(_complete(row, Span) for row in epoch.tables("spans"))


def _optional(parent: ConfigTable, key: str, record: type[Record]) -> Record | None:
    return _complete(parent.table(key), record) if parent.has(key) else None


def _complete(table: ConfigTable, record: type[Record]) -> Record:
    value = table.integers(record)
    table.finish()
    return value


def _known_answer(table: ConfigTable) -> KnownAnswer:
    answer = KnownAnswer(
        table.integers(FixedSizes), table.get("height", int), table.hash32("header_hash"),
        table.nonce("nonce"), table.hash32("mix_hash"), table.hash32("final_hash"),
    )  # fmt: skip
    table.finish()
    return answer


def check_variant(v: Variant) -> None:
    """Raise `BadVariant`, naming the key, where a number of `v` is impossible."""

    def need(holds: bool, key: str, problem: str) -> None:
        if not holds:
            raise BadVariant(f"variant {v.name!r}: {key}: {problem}")

    def need_range(key: str, value: int, least: int, most: int) -> None:
        need(least <= value <= most, key, f"{value} is outside {least} to {most}")

    need_range("program.period", v.period, 1, 1_000_000)
    # An in-place program writes the entry's words to the registers of the same numbers.
    least = DAG_LOADS if v.choices.scheme == "in-place" else 2
    need_range("program.registers", v.registers, least, 64)
    need_range("program.cache_reads", v.cache_reads, 0, 64)
    need_range("program.math_operations", v.math_operations, 0, 64)
    need_range("program.dag_loops", v.dag_loops, 1, 1024)
    every = f"must name each of {', '.join(MATH_OPERATIONS)} once"
    need(sorted(v.math_table) == sorted(MATH_OPERATIONS), "program.math_table", every)
    count = len(v.initial_padding)
    need(count == 15, "keccak.initial", f"needs 15 words (10 to 24 of the state), has {count}")
    wanted = 25 - v.final_padding_at
    problem = f"needs {wanted} words when absorbs is {v.absorbs!r}, has {len(v.final_padding)}"
    need(len(v.final_padding) == wanted, "keccak.final", problem)
    for key, words in (("keccak.initial", v.initial_padding), ("keccak.final", v.final_padding)):
        need(all(0 <= w < 2**32 for w in words), key, "every word must fit 32 bits")
    for key, growth, least in (("light", v.light, 1024), ("dataset", v.dataset, L1_BYTES * 2)):
        fits = least <= growth.initial <= 2**40 and 0 <= growth.growth <= 2**36
        need(fits, key, f"initial must be {least} to 2**40 bytes and growth 0 to 2**36")
    fits = v.parents % 16 == 0 and 16 <= v.parents <= 4096
    need(fits, "dataset.parents", f"{v.parents} is not a multiple of 16 from 16 to 4096")
    starts = [span.from_height for span in v.spans]
    need(starts[:1] == [0], "epoch.spans", "the first span must start at height 0")
    rising = starts == sorted(set(starts))
    need(rising, "epoch.spans", "from_height must grow from span to span")
    need(all(s.length >= 1 for s in v.spans), "epoch.spans", "length must be at least 1")
    need(all(s.first_epoch >= 0 for s in v.spans), "epoch.spans", "first_epoch is below 0")
    if (clamp := v.clamp) is not None:
        problem = f"to ({clamp.to}) must lie in 0 to above ({clamp.above})"
        need(0 <= clamp.to <= clamp.above, "epoch.clamp", problem)
    if v.scale is not None:
        need(v.scale.from_epoch >= 0, "epoch.scale", "from_epoch is below 0")
        need(1 <= v.scale.factor <= 64, "epoch.scale", "factor is outside 1 to 64")
    if (fixed := v.fixed) is not None:
        need(17 <= fixed.light_items < 2**31, "sizes.light_items", "is outside 17 to 2**31")
        least = L1_BYTES // DATASET_ITEM_BYTES
        fits = least <= fixed.dataset_items < 2**31
        need(fits, "sizes.dataset_items", f"is outside {least} to 2**31")
        need(0 <= fixed.seed_epoch <= 100_000, "sizes.seed_epoch", "is outside 0 to 100000")
