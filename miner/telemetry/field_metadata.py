"""Metadata of snapshot fields, from which the API, Prometheus and the JSON log show them.

A field is described where it is declared:

    fan: float | None = described(
        "Fan speed", "percent", Metric("device_fan_ratio"), log=True, default=None
    )
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True)
class Metric:
    """How Prometheus shows a field: as a histogram if its value is a `Histogram`, as a counter if
    `name` ends in `_total`, else as a gauge. Fields of the same `name` share one metric."""

    name: str
    """Without the prefix progpow_miner_; its unit is the base unit of the field's."""
    help: str = ""
    """Empty: the field's own."""
    label: str = ""
    """Name of the label that distinguishes the fields of one metric, the members of an enum or the
    items of a text that is a list."""
    value: str = ""
    """Value of that label, where the field is one of several."""


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a field for the API, Prometheus and the JSON log."""

    help: str
    """A phrase without a full stop and without the unit."""
    unit: str
    """As people write it: "°C", "W", "percent", "MHz", "bytes", "seconds"; empty without one."""
    metric: Metric | None
    """None: no metric for Prometheus."""
    api: bool
    """Part of the API's JSON."""
    log: bool
    """Part of the JSON log's status."""
    sentence: bool
    """A text for people, in which the API hides paths."""

    @property
    def sentence_with_unit(self) -> str:
        """Return the help with the unit, as in "Power drawn (W).\""""
        return f"{self.help} ({self.unit})." if self.unit else f"{self.help}."


def described(
    help: str,
    unit: str = "",
    metric: Metric | None = None,
    *,
    api: bool = True,
    log: bool = False,
    sentence: bool = False,
    **options: Any,
) -> Any:
    """Return a dataclass field with a `Description`; `options` are those of `field`."""
    metadata = {_KEY: Description(help, unit, metric, api, log, sentence)}
    return dataclasses.field(metadata=metadata, **options)


_KEY = "description"


def descriptions(source: type[Any]) -> Iterator[tuple[str, Description]]:
    """Yield (name, description) of each described field of the dataclass `source`, in order."""
    for field in fields(source):
        if _KEY in field.metadata:
            yield field.name, field.metadata[_KEY]


def label_of(member: Enum) -> str:
    """Return the name of `member` in JSON and in labels."""
    return member.name.lower()
