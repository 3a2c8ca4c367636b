"""A kernel's text together with all that decides what a compiler makes of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One program to compile: `entry` is its only kernel."""

    title: str
    """What a person calls it, e.g. "kawpow search period 333 epoch 0"."""
    text: str
    entry: str
    dialect: str
    options: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hex digest of everything here that can change the compiled bytes."""
        digest = hashlib.sha256()
        for part in (self.dialect, self.entry, *self.options, self.text):
            digest.update(part.encode() + b"\0")
        return digest.hexdigest()
