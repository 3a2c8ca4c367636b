"""Sentences of the miner as a stranger may read them: without the paths of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import PlainSerializer, SerializationInfo

PATH = "(path)"

# No number, as in "1.0.0 and /2.0.0"; else up to what cannot be a path's in a sentence.
_ABSOLUTE = r"(?<![\w/\\.<>)\]])(?:~[\w.-]*/|[A-Za-z]:[/\\]|/)(?![\d.]+(?![\w/\\-]))"
_BEGINS, _GOES_ON = r"[^\s:;,()'\"/\\]", r"[^\s:;,()'\"]*"


class Paths:
    """Replaces files and folders by "(path)": absolute ones up to the next blank or mark, and those
    that are `known` whatever they look like, with what lies in them.

    A known name without a folder and a dot is left: it could be any word.
    """

    def __init__(self, known: Iterable[str | Path] = ()) -> None:
        found: set[str] = set()
        for path in map(Path, known):
            whole = path.absolute()
            if whole != Path(whole.anchor):
                found.add(str(whole))
                found.update([str(path)] if len(path.parts) > 1 or "." in path.name else [])
        # Of what begins at one place the first is taken, hence the longest.
        words = "|".join(map(re.escape, sorted(found, key=lambda word: (-len(word), word))))
        literal = rf"(?<![\w/\\.~-])(?:{words}){_GOES_ON}|" if words else ""
        self._any = re.compile(f"{literal}{_ABSOLUTE}{_BEGINS}{_GOES_ON}")

    def __call__(self, text: str) -> str:
        """Return `text` without them; addresses of pools stay."""
        return self._any.sub(PATH, text)


_NONE_KNOWN = Paths()


def _told(text: str, info: SerializationInfo) -> str:
    return (info.context if isinstance(info.context, Paths) else _NONE_KNOWN)(text)


Words = Annotated[str, PlainSerializer(_told)]
"""A sentence in an answer, written without the `Paths` that are the context of the writing. Console
and log tell the same with its paths."""
