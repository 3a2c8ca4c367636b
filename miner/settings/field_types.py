"""Annotations of the settings' fields: types of values, command-line flags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from miner.codegen.launch_shape import shape_named
from miner.devices.registry import BACKENDS
from miner.errors import BadValue
from miner.settings.listen_address import check_listen

PLACEHOLDER = "PUT_YOUR_WALLET_HERE"
"""The wallet in a file that `config init` wrote; a file that still contains it is rejected."""


class Flag:
    """The command-line flag of a setting: metadata in the annotation of its field."""

    def __init__(
        self, *names: str, metavar: str | None = None, repeatable: bool = False, off: str = ""
    ) -> None:
        self.names = names
        """All spellings; messages name the first."""
        self.metavar = metavar
        self.repeatable = repeatable
        """Whether each use of the flag adds a pool."""
        self.off = off
        """Help of a flag that turns the setting off; "" if the flag sets or turns it on."""


def _reject_placeholder(text: str) -> str:
    if PLACEHOLDER in text:
        raise ValueError(f"is still the placeholder {PLACEHOLDER}; write your own wallet there")
    return text


def _known_shape(name: str) -> str:
    try:
        return shape_named(name).name
    except BadValue as error:
        raise ValueError(str(error).removeprefix("shape: ")) from error


NoPlaceholder = AfterValidator(_reject_placeholder)
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
MaybeEmpty = Annotated[str, StringConstraints(strip_whitespace=True)]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
ShapeName = Annotated[Text, AfterValidator(_known_shape)]
FilePath = Annotated[Path, Field(strict=False)]
Seconds = Annotated[float, Field(ge=3, allow_inf_nan=False)]
"""A timeout; a shorter one would take a busy pool for a dead one."""
Celsius = Annotated[float, Field(ge=20, le=150, allow_inf_nan=False)]
Listen = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(check_listen)]
if TYPE_CHECKING:
    BackendName = str
else:
    BackendName = Literal[("auto", *BACKENDS)]
