"""Text made safe to show: secrets hidden, wallets shortened, foreign text on one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import category
from urllib.parse import unquote

HIDDEN = "(hidden)"

SHORTEST_SECRET = 4
"""Characters of the shortest secret that is hidden. Pools take "x" as a password; hiding such a
word would mangle every line and protect nothing."""

SHORTEST_WALLET = 12
"""Characters of the shortest wallet that is shortened. A shorter one is an account name, and its
short form would be as long."""

TEXT_LIMIT = 200
"""Characters that are kept of a text from a pool or node."""

_HEAD, _TAIL = 5, 4

_HOST_AND_PORT = re.compile(r"\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}|[A-Za-z0-9_.-]+:[0-9]{1,5}")
_SCHEME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]{0,31}")
_LONG_WORD = re.compile(r"[A-Za-z0-9]{20,}")
_USER_SEPARATOR = re.compile(r"([./+@:])")

_ESCAPED_IN_JSON = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"} | {c: c for c in "\"'/"}
_HTML_NAMES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
_ESCAPE = r"\\{1,8}"
"""Pattern of what begins an escape: each quoting of a quoted text doubles its backslashes."""


class Redactor:
    """Replaces secrets by "(hidden)" and wallets by their ends, as in "RXXXX…9abc", in any text.

    Matches them in upper and lower case, percent-encoded, and escaped as in JSON, Python or HTML,
    wholly or in part. Secrets shorter than `SHORTEST_SECRET` and wallets shorter than
    `SHORTEST_WALLET` stay. Pass wallets without the worker.
    """

    def __init__(self, secrets: Iterable[str] = (), wallets: Iterable[str] = ()) -> None:
        self._secrets: tuple[str, ...] = ()
        self._wallets: tuple[str, ...] = ()
        self.add(secrets, wallets)

    def add(self, secrets: Iterable[str], wallets: Iterable[str]) -> None:
        """Hide these from now on, too."""
        self._secrets = tuple(dict.fromkeys((*self._secrets, *secrets)))
        self._wallets = tuple(dict.fromkeys((*self._wallets, *wallets)))
        # A secret that is percent-encoded in a URL may be shown decoded.
        written = (*self._secrets, *map(unquote, self._secrets))
        hidden = {secret for secret in written if len(secret) >= SHORTEST_SECRET}
        shorten = {wallet for wallet in self._wallets if len(wallet) >= SHORTEST_WALLET} - hidden
        # The first alternative that matches wins, so the longest comes first.
        words = sorted(hidden | shorten, key=lambda word: (-len(word), word))
        self._any = _any_of(words)
        self._any_secret = _any_of([word for word in words if word in hidden])
        self._is_wallet = [word in shorten for word in words]

    def redact(self, text: str) -> str:
        """Return `text` without secrets and whole wallets, otherwise unchanged."""
        return self._any.sub(self._replacement, text) if self._any else text

    def one_line(self, text: str) -> str:
        """Return `text` redacted and made `printable`."""
        redacted = self.redact(text)
        if redacted.isprintable():
            return redacted
        # Invisible characters may have split a secret.
        return self.redact(printable(redacted))

    def _replacement(self, found: re.Match[str]) -> str:
        if not self._is_wallet[(found.lastindex or 1) - 1]:
            return HIDDEN
        ends = shortened(found[0])
        return self._any_secret.sub(HIDDEN, ends) if self._any_secret else ends


def shortened(wallet: str) -> str:
    """Return the ends of `wallet`, as in "RXXXX…9abc"; a short name is returned unchanged."""
    if len(wallet) < SHORTEST_WALLET:
        return wallet
    return f"{wallet[:_HEAD]}…{wallet[-_TAIL:]}"


def shortened_user(user: str) -> str:
    """Return `user` with its wallet shortened and its worker whole, as in "RXXXX…9abc.rig1"."""
    return "".join(map(shortened, _USER_SEPARATOR.split(user)))


def without_wallets(sentence: str) -> str:
    """Return `sentence` with long words shortened: a wallet may stand where a host belongs."""
    return _LONG_WORD.sub(lambda word: shortened(word[0]), sentence)


def without_login(url: str) -> str:
    """Return scheme, host and port of `url`; login and path may hold secrets.

    A text that is not clearly an address is hidden as a whole.
    """
    scheme, separator, rest = url.strip().rpartition("://")
    authority, _, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    if "@" in path:  # the slash was part of a login
        return HIDDEN
    if not _HOST_AND_PORT.fullmatch(host) or (separator and not _SCHEME.fullmatch(scheme)):
        return HIDDEN
    return f"{scheme}://{host}" if separator else host


def printable(text: str) -> str:
    """Return `text` with each whitespace character as a blank, without control characters and
    others that cannot be seen."""
    if text.isprintable():
        return text
    visible = (" " if c.isspace() else c for c in text if c.isspace() or category(c)[0] != "C")
    return "".join(visible)


def short_line(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return foreign text on one line: `printable`, each run of blanks as one, at most `limit`
    characters."""
    # A hostile text may be megabytes of blanks: look at its beginning only.
    line = " ".join(printable(text[: 8 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _any_of(words: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern with one group for each word; None for no words."""
    parts = [f"({_pattern(word)})" for word in words]
    return re.compile("|".join(parts), re.IGNORECASE | re.DOTALL) if parts else None


def _pattern(word: str) -> str:
    """Return the pattern of `word` with each character plain, encoded or escaped."""
    runs = re.findall(r"\\+|[^\\]", word)
    return "".join(
        _backslash_pattern(len(run)) if run[0] == "\\" else _character_pattern(run) for run in runs
    )


def _character_pattern(character: str) -> str:
    ways = [re.escape(character), _percent_encoded(character), *_numeric_escapes(character)]
    if letter := _ESCAPED_IN_JSON.get(character):
        ways.append(_ESCAPE + re.escape(letter))
    if character == " ":
        ways.append(r"\+")
    if name := _HTML_NAMES.get(character):
        ways.append(f"&(?:{name}|#0*{ord(character)}|#x0*{ord(character):x});")
    return f"(?:{'|'.join(ways)})"


def _backslash_pattern(count: int) -> str:
    """Return the pattern of a run of backslashes; one pattern for each backslash would make the
    time to match exponential."""
    each = "|".join([_percent_encoded("\\"), *_numeric_escapes("\\")])
    return rf"(?:\\{{{count},{8 * count}}}|(?:{each}){{{count}}})"


def _percent_encoded(character: str) -> str:
    return _bytes_pattern(r"%(?:25)*", character)


def _numeric_escapes(character: str) -> tuple[str, str, str]:
    r"""Return the patterns of \uXXXX, of \xXX for each byte, and of Python's \xXX or \UXXXXXXXX."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    json = "".join(f"{_ESCAPE}u{units[i : i + 4]}" for i in range(0, len(units), 4))
    return (
        json,
        _bytes_pattern(f"{_ESCAPE}x", character),
        rf"{_ESCAPE}(?:x|U0*){ord(character):02x}",
    )


def _bytes_pattern(mark: str, character: str) -> str:
    return "".join(f"{mark}{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
