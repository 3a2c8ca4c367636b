"""Removes this machine's paths from the sentences that API clients read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import PlainSerializer, SerializationInfo

REDACTED = "(path)"

# A root that is not part of a word or an URL and not followed by a number, as in "1.0.0 and
# /2.0.0"; a path ends at the next character that separates words in our sentences.
_ROOT = r"(?<![\w/\\.<>)\]])(?:~[\w.-]*/|[A-Za-z]:[/\\]|/)(?![\d.]+(?![\w/\\-]))"
_FIRST, _REST = r"[^\s:;,()'\"/\\]", r"[^\s:;,()'\"]*"


class PathRedactor:
    """Replaces paths by "(path)": absolute ones up to the next blank or punctuation mark, and the
    `known` ones however they are written, with everything inside them.

    A known name without a folder and without a dot stays: it could be any word.
    """

    def __init__(self, known: Iterable[str | Path] = ()) -> None:
        self._names: set[str] = set()
        self.add(known)

    def add(self, known: Iterable[str | Path]) -> None:
        """Replace these paths from now on, too."""
        for path in map(Path, known):
            whole = path.absolute()
            if whole != Path(whole.anchor):
                self._names.add(str(whole))
                if len(path.parts) > 1 or "." in path.name:
                    self._names.add(str(path))
        # Longest first: an alternation takes the first branch that matches.
        longest_first = sorted(self._names, key=lambda name: (-len(name), name))
        branches = "|".join(map(re.escape, longest_first))
        literal = rf"(?<![\w/\\.~-])(?:{branches}){_REST}|" if branches else ""
        self._pattern = re.compile(f"{literal}{_ROOT}{_FIRST}{_REST}")

    def __call__(self, text: str) -> str:
        """Return `text` without paths; addresses of pools stay."""
        return self._pattern.sub(REDACTED, text)


_WITHOUT_KNOWN = PathRedactor()


def _redacted(text: str, info: SerializationInfo) -> str:
    redact = info.context if isinstance(info.context, PathRedactor) else _WITHOUT_KNOWN
    return redact(text)


RedactedText = Annotated[str, PlainSerializer(_redacted)]
"""A sentence in a response, without the paths that the serialization context removes. Console and
log show the same sentence with its paths."""
