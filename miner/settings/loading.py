"""Settings as they are loaded: validated, with where each value came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from miner.errors import ConfigError
from miner.settings.messages import complaints
from miner.settings.model import Settings
from miner.settings.sources import Gathered, Origin, gather
from miner.settings.toml_lines import Place

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """Valid settings."""

    settings: Settings
    gathered: Gathered

    def origin(self, place: Place) -> Origin:
        """Return where the value at `place` came from."""
        return self.gathered.origin(place)


def examine(
    path: Path | None,
    flags: Mapping[str, Any] = _NOTHING,
    environ: Mapping[str, str] = _NOTHING,
) -> tuple[Loaded | None, list[str]]:
    """Return the settings, or None with a sentence for each mistake."""
    try:
        gathered = gather(path, flags, environ)
    except ConfigError as error:
        return None, [str(error)]
    problems = list(gathered.problems)
    try:
        settings = Settings.model_validate(gathered.values)
    except ValidationError as error:
        return None, problems + complaints(error, gathered)
    return (None, problems) if problems else (Loaded(settings, gathered), [])


def load(
    path: Path | None,
    flags: Mapping[str, Any] = _NOTHING,
    environ: Mapping[str, str] = _NOTHING,
) -> Loaded:
    """Return the settings of the file at `path`, where one is given, under those of the
    environment, under those of `flags`: a mapping of the file's own form, in which None means that
    the flag was not given. Raises `ConfigError` with the first mistake.
    """
    loaded, problems = examine(path, flags, environ)
    if loaded is None:
        raise ConfigError(problems[0])
    return loaded


def load_settings(path: Path | None, flags: Mapping[str, Any]) -> Settings:
    """Return the settings of `load` without any environment."""
    return load(path, flags).settings
