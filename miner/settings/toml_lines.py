"""The line of each key in a TOML text, which tomllib does not report."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence

Place = tuple[str | int, ...]
"""The path of a value: keys of tables and positions in lists, from 0."""


def key_name(place: Sequence[int | str]) -> str:
    """Return `place` as messages name it: "pools[1].url" for the first pool's URL."""
    return "".join(f"[{p + 1}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")


_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:\'{0,2})'
    r'|"(?:\\.|[^"\\])*"|\'[^\']*\'',
    re.DOTALL,
)
_OTHER_VALUE = re.compile(r"[^,\]}\n#]*")


def key_lines(text: str) -> Mapping[Place, int]:
    """Return the line (from 1) of each table, key and list element of `text`, which must be valid
    TOML."""
    return _Scanner(text).lines()


class _Scanner:
    """Reads a text once; each method advances `_at` past what it has read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line, self._counted = 1, 0
        self._found: dict[Place, int] = {}
        self._elements: dict[Place, int] = {}
        """Number of tables so far of each [[array of tables]]."""

    def lines(self) -> Mapping[Place, int]:
        table: Place = ()
        self._skip()
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._array_header()
            elif self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip()
        return self._found

    def _array_header(self) -> Place:
        line = self._line_here()
        self._at += 2
        *parents, last = self._keys()
        self._skip_to("]]")
        place = (*self._resolved((), parents), last)
        count = self._elements.get(place, 0)
        self._elements[place] = count + 1
        self._record(place, line)
        self._record((*place, count), line)
        return (*place, count)

    def _header(self) -> Place:
        line = self._line_here()
        self._at += 1
        place = self._resolved((), self._keys())
        self._skip_to("]")
        for length in range(1, len(place) + 1):
            self._record(place[:length], line)
        return place

    def _resolved(self, place: Place, keys: list[str]) -> Place:
        """Return the place of `keys` under `place`; a key of an array of tables means its last
        table."""
        for key in keys:
            place = (*place, key)
            if place in self._elements:
                place = (*place, self._elements[place] - 1)
        return place

    def _pair(self, table: Place) -> None:
        line = self._line_here()
        place = table
        for key in self._keys():
            place = (*place, key)
            self._record(place, line)
        self._skip_to("=")
        self._skip()
        self._value(place)

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip()
            match = _KEY.match(self._text, self._at)
            if match is None:
                return keys
            self._at = match.end()
            keys.append(_unquoted(match[0]))
            self._skip()
            if not self._text.startswith(".", self._at):
                return keys
            self._at += 1

    def _value(self, place: Place) -> None:
        opening = self._text[self._at : self._at + 1]
        if opening == "[":
            self._list(place)
        elif opening == "{":
            self._inline_table(place)
        else:
            pattern = _STRING if opening in ('"', "'") else _OTHER_VALUE
            match = pattern.match(self._text, self._at)
            self._at = match.end() if match else len(self._text)

    def _list(self, place: Place) -> None:
        self._at += 1
        index = 0
        self._skip()
        while not self._text.startswith("]", self._at) and self._at < len(self._text):
            self._record((*place, index), self._line_here())
            self._value((*place, index))
            index += 1
            self._skip(",")
        self._at += 1

    def _inline_table(self, place: Place) -> None:
        self._at += 1
        self._skip()
        while not self._text.startswith("}", self._at) and self._at < len(self._text):
            self._pair(place)
            self._skip(",")
        self._at += 1

    def _skip(self, also: str = "") -> None:
        """Skip blanks and comments, and one `also` among them."""
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at
        if also and self._text.startswith(also, self._at):
            self._at += len(also)
            self._skip()

    def _skip_to(self, sign: str) -> None:
        at = self._text.find(sign, self._at)
        self._at = len(self._text) if at < 0 else at + len(sign)

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _record(self, place: Place, line: int) -> None:
        self._found.setdefault(place, line)


def _unquoted(key: str) -> str:
    return key if key[0] not in "\"'" else next(iter(tomllib.loads(f"{key} = 0")))
