"""Sentences of the miner as a stranger may read them: without the paths of this machine."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

PATH = "(path)"

# After a blank it goes on where the next word has a slash, too: folders have blanks in their names.
_ROOTED = (
    r"(?<![\w/\\:.<>)\]])(?:~[\w.-]*|[A-Za-z]:)?[/\\][\w.~-](?:[^\s:;,()'\"]|[ ](?=[^\s:;]*[/\\]))*"
)
# What begins nowhere is known by what stands around it.
_NAMED = r"(?<=\bfile )(?!of\b|is\b|to\b)\S[^:]*(?=: )"
_PATHS = re.compile(f"{_NAMED}|{_ROOTED}")


def without_paths(text: str) -> str:
    """Return `text` with "(path)" for each file and folder; addresses of pools stay."""
    return _PATHS.sub(PATH, text)


Words = Annotated[str, AfterValidator(without_paths)]
"""A sentence in an answer. Console and log tell the same with its paths."""
