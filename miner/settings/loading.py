"""Loading settings: the sources are merged, then validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from miner.errors import ConfigError
from miner.settings.messages import error_messages
from miner.settings.model import Settings
from miner.settings.sources import Origin, RawSettings, merge_sources
from miner.settings.toml_lines import Place

_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """Valid settings, with the origin of each value."""

    settings: Settings
    raw: RawSettings

    def origin(self, place: Place) -> Origin:
        """Return where the value at `place` came from."""
        return self.raw.origin(place)


def examine(
    path: Path | None,
    flags: Mapping[str, Any] = _EMPTY,
    environ: Mapping[str, str] = _EMPTY,
) -> tuple[Loaded | None, list[str]]:
    """Return (settings, []) or (None, a message for each mistake); see `load`."""
    try:
        raw = merge_sources(path, flags, environ)
    except ConfigError as error:
        return None, [str(error)]
    try:
        settings = Settings.model_validate(raw.values)
    except ValidationError as error:
        return None, raw.problems + error_messages(error, raw)
    return (None, raw.problems) if raw.problems else (Loaded(settings, raw), [])


def load(
    path: Path | None,
    flags: Mapping[str, Any] = _EMPTY,
    environ: Mapping[str, str] = _EMPTY,
) -> Loaded:
    """Load the settings file at `path`, if any, with `environ` and then `flags` overriding it.

    `flags` has the form of a settings file; None means not given. Raises `ConfigError` for the
    first mistake.
    """
    loaded, problems = examine(path, flags, environ)
    if loaded is None:
        raise ConfigError(problems[0])
    return loaded
