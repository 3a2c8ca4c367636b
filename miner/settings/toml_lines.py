"""The lines of a TOML text: the line of each key, which tomllib does not report, and advice for
invalid lines."""

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


def syntax_problem(text: str, error: tomllib.TOMLDecodeError) -> tuple[int, str]:
    """Return the line (from 1) of `error`, and a sentence about the mistake or its correction. It
    quotes no value of `text`, which may be a secret."""
    problem = re.sub(r" \(at .*\)$", "", str(error))
    found = re.search(r"at line (\d+)", str(error))
    lines = text.rstrip().split("\n")
    number = min(int(found[1]), len(lines)) if found else len(lines)
    line = lines[number - 1]
    if text.lstrip().startswith("{"):
        return 1, "it is JSON; `progpow-miner config init` writes an example of settings in TOML"
    for character in line.partition("#")[0].replace("\t", " "):
        if not character.isprintable():
            text = f"it contains the invisible character U+{ord(character):04X}"
            return number, f"{text}; type the line again"
    # After an error in a string, the line is that of its end or of the next key.
    if "\\" in "".join(lines[max(number - 2, 0) : number]):
        return number, f"{problem}; {BACKSLASHES}"
    if _CURLY_QUOTES & set(line):
        return number, 'write straight quotes (")'
    return number, _advice(problem, line) or problem


BACKSLASHES = (
    "write a value with backslashes in single quotes, as in 'C:\\temp\\new.txt', or double each "
    "backslash"
)

_CURLY_QUOTES = frozenset("\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb")
_PAIR = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*([=:])\s*(.*?)\s*(#.*)?")


def _advice(problem: str, line: str) -> str | None:
    """Return advice for a usual mistake, None for others; `problem` is tomllib's sentence."""
    pair = _PAIR.fullmatch(line)
    key, sign, value, _ = pair.groups() if pair else ("", "", "", "")
    match problem.split()[:2]:
        case ["Cannot", _]:
            return "a key or table occurs twice; keep one (each of several pools begins [[pools]])"
        case ["Expected", "'='"] if sign == ":":
            return f"write {key} = VALUE, with = instead of :"
        case ["Expected", "'='"] | ["Invalid", "statement" | "initial"]:
            return "a line is KEY = VALUE, [TABLE] or # COMMENT"
        case ["Unclosed", "array"]:
            return "separate the values of a list by commas, and end it with ]"
        case ["Invalid", "value"] | ["Expected", "newline"] if sign == "=":
            return _value_advice(key, value)
        case ["Illegal", "character"] | ["Unterminated", _]:
            return "a quote is not closed"
    return None


def _value_advice(key: str, value: str) -> str | None:
    if not value:
        return f"write a value after {key} ="
    if value.lower() in ("true", "false", "yes", "no", "on", "off"):
        return "write true or false, in small letters"
    if value[0] == "[":
        return f"write each text in the list {key} in quotes"
    return None if value[0] in "\"'{" else f"write the text after {key} = in quotes"
