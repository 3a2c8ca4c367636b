"""What nobody may read in a line: passwords, tokens, whole wallets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

HIDDEN = "(hidden)"

SHORTEST_SECRET = 4
"""Characters. Pools take "x" for a password: hiding what is shorter would tear every line, and
protect nothing."""

SHORTEST_WALLET = 12
"""Characters. What is shorter is the name of an account, and no longer than its short form."""

_HEAD, _TAIL = 5, 4
_BETWEEN_QUOTES = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"} | {c: c for c in "\"'/"}
_ESCAPE = r"\\{1,8}"
"""Where a text was quoted several times, its escapes begin with several backslashes."""


class Redactor:
    """Replaces secrets by "(hidden)" and wallets by their ends, as in "RXXXX…9abc", in any text.

    They are found in any case, also where they are percent-encoded or escaped as in JSON, wholly
    or in part. Secrets of less than `SHORTEST_SECRET` characters and wallets of less than
    `SHORTEST_WALLET` are left. A wallet is given without its worker.
    """

    def __init__(self, secrets: Iterable[str] = (), wallets: Iterable[str] = ()) -> None:
        self._given: tuple[str, ...] = ()
        self._wallets: tuple[str, ...] = ()
        self.add(secrets, wallets)

    def add(self, secrets: Iterable[str], wallets: Iterable[str]) -> None:
        """Replace these, too, from now on."""
        self._given = given = tuple(dict.fromkeys((*self._given, *secrets)))
        self._wallets = wallets = tuple(dict.fromkeys((*self._wallets, *wallets)))
        # What stands encoded in a URL may be told as it is meant.
        hidden = {s for s in (*given, *map(unquote, given)) if len(s) >= SHORTEST_SECRET}
        short = {w for w in wallets if len(w) >= SHORTEST_WALLET} - hidden
        # Of what begins at one place the first is taken, hence the longest.
        words = sorted(hidden | short, key=lambda word: (-len(word), word))
        self._any = _any_of(words)
        self._secret = _any_of([word for word in words if word in hidden])
        self._is_wallet = [word in short for word in words]

    def __call__(self, text: str) -> str:
        """Return `text` without them; what has none comes back as it is."""
        return self._any.sub(self._instead, text) if self._any else text

    def _instead(self, found: re.Match[str]) -> str:
        if not self._is_wallet[(found.lastindex or 1) - 1]:
            return HIDDEN
        ends = shortened(found[0])
        return self._secret.sub(HIDDEN, ends) if self._secret else ends


def shortened(wallet: str) -> str:
    """Return the ends of `wallet`, which tell its owner which one it is."""
    if len(wallet) < SHORTEST_WALLET:
        return wallet
    return f"{wallet[:_HEAD]}…{wallet[-_TAIL:]}"


def _any_of(words: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern with one group for each word; None for no words."""
    parts = [f"({_anyhow(word)})" for word in words]
    return re.compile("|".join(parts), re.IGNORECASE | re.DOTALL) if parts else None


def _anyhow(word: str) -> str:
    """Return a pattern of `word` with each of its characters written in any way."""
    runs = re.findall(r"\\+|[^\\]", word)
    return "".join(_backslashes(len(r)) if r[0] == "\\" else _character(r) for r in runs)


def _character(character: str) -> str:
    ways = [re.escape(character), _bytes(r"%(?:25)*", character), *_numbered(character)]
    if quoted := _BETWEEN_QUOTES.get(character):
        ways.append(_ESCAPE + re.escape(quoted))
    if character == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(ways)})"


def _backslashes(count: int) -> str:
    """Return the pattern of a run; one for each would be tried in too many ways."""
    each = "|".join([_bytes(r"%(?:25)*", "\\"), *_numbered("\\")])
    return rf"(?:\\{{{count},{8 * count}}}|(?:{each}){{{count}}})"


def _numbered(character: str) -> tuple[str, str, str]:
    """Return the patterns of escapes by number: JSON's, those of bytes, those of a character."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    json = "".join(f"{_ESCAPE}u{units[i : i + 4]}" for i in range(0, len(units), 4))
    return json, _bytes(f"{_ESCAPE}x", character), f"{_ESCAPE}(?:x|U0*){ord(character):02x}"


def _bytes(mark: str, character: str) -> str:
    return "".join(f"{mark}{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
