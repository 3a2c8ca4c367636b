"""Secrets and whole wallets are hidden in any encoding; foreign text stays on one line."""

from __future__ import annotations

import html
import json
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.safe_text import (
    HIDDEN,
    SHORTEST_SECRET,
    SHORTEST_WALLET,
    TEXT_LIMIT,
    Redactor,
    short_line,
    shortened,
    shortened_user,
    without_wallets,
)

WALLET = "RXk3pPfZ9vJw4tQeB7uN2mLs8dCyHg9abc"
ETHER = "0x52908400098527886E0F7030069857D2E4169EE7"

SECRETS = st.text(min_size=SHORTEST_SECRET, max_size=24).filter(lambda s: s not in HIDDEN)
WALLETS = st.text(string.ascii_letters + string.digits, min_size=20, max_size=64)
AROUND = st.text(max_size=40)


def percent_all(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def escaped_all(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


ENCODINGS: list[Callable[[str], str]] = [
    str,
    quoted,
    lambda s: quoted(quoted(s)),
    lambda s: quote_plus(s, errors="surrogatepass"),
    percent_all,
    escaped_all,
    lambda s: json.dumps(s)[1:-1],
    lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    lambda s: json.dumps(json.dumps(s))[3:-3],
    html.escape,
    lambda s: "".join(f"&#{ord(c)};" if c in "&<>\"'" else c for c in s),
    lambda s: repr(s)[1:-1],
    lambda s: ascii(s)[1:-1],
    lambda s: repr(s.encode("utf-8", "surrogatepass"))[2:-1],
    str.upper,
    str.lower,
]
ENCODING_NAMES = [
    "plain", "percent", "percent twice", "form", "percent all", "escaped all", "JSON", "JSON UTF-8",
    "JSON in JSON", "HTML", "HTML in numbers", "repr", "ascii", "bytes", "upper", "lower",
]  # fmt: skip


def canaries(text: str) -> st.SearchStrategy[str]:
    """Return `text` with each character plain, percent-encoded or escaped."""
    ways: list[Callable[[str], str]] = [str, percent_all, escaped_all]
    return st.lists(st.sampled_from(ways), min_size=len(text), max_size=len(text)).map(
        lambda chosen: "".join(way(c) for way, c in zip(chosen, text, strict=True))
    )


@pytest.mark.parametrize("encode", ENCODINGS, ids=ENCODING_NAMES)
@given(secret=SECRETS.filter(lambda s: s.lower() == s.upper() or s.isascii()), a=AROUND, b=AROUND)
def test_a_secret_is_hidden_in_every_encoding(
    encode: Callable[[str], str], secret: str, a: str, b: str
) -> None:
    canary = encode(secret)
    redacted = Redactor([secret]).redact(a + canary + b)
    if canary not in a + HIDDEN + b:
        assert canary not in redacted
    assert HIDDEN in redacted


@given(st.data(), SECRETS.filter(lambda s: "\\" not in s), AROUND, AROUND)
def test_a_secret_in_a_mix_of_encodings_is_hidden(
    data: st.DataObject, secret: str, a: str, b: str
) -> None:
    canary = data.draw(canaries(secret))
    redacted = Redactor([secret]).redact(a + canary + b)
    assert HIDDEN in redacted
    if canary not in a + HIDDEN + b:
        assert canary not in redacted


@given(st.lists(WALLETS, min_size=1, max_size=4), AROUND, AROUND, st.data())
def test_wallets_are_shortened(wallets: list[str], a: str, b: str, data: st.DataObject) -> None:
    wallet = data.draw(st.sampled_from(wallets))
    redacted = Redactor([], wallets).redact(f"{a}{wallet}{b}")
    assert wallet not in redacted
    assert "…" in redacted


@given(st.text())
def test_other_text_is_unchanged(text: str) -> None:
    assert Redactor().redact(text) == text
    assert Redactor(["x"], ["alice"]).redact(text) == text
    assert Redactor(["\N{SNOWMAN}-never-drawn"], [WALLET]).redact(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"lost pool: unknown {WALLET}.rig1", "lost pool: unknown RXk3p…9abc.rig1"),
        (f"bad login {ETHER.lower()}", "bad login 0x529…9ee7"),
        ("stratum+tcp://me:hunter22@pool", "stratum+tcp://me:(hidden)@pool"),
        ("password=HUNTER22&x=1", "password=(hidden)&x=1"),
        (r'{"p":"p@ss\"word"}', r'{"p":"(hidden)"}'),
        ("p%40ss%22word", "(hidden)"),
        ("job 5a17 height 12", "job 5a17 height 12"),
    ],
)
def test_redacted_text(text: str, redacted: str) -> None:
    redactor = Redactor(["hunter22", 'p@ss"word'], [WALLET, ETHER])
    assert redactor.redact(text) == redacted
    assert redactor.redact(redacted) == redacted


def test_the_longest_match_wins() -> None:
    redactor = Redactor(["token", "token-of-the-api"], [WALLET, f"{WALLET}more"])
    assert redactor.redact("token-of-the-api and token") == "(hidden) and (hidden)"
    assert redactor.redact(f"{WALLET}more") == "RXk3p…more"


def test_a_secret_that_holds_a_wallet_is_hidden_whole() -> None:
    assert Redactor([f"{WALLET}:x"], [WALLET]).redact(f"user {WALLET}:x") == "user (hidden)"
    assert Redactor([WALLET], [WALLET]).redact(WALLET) == HIDDEN
    assert Redactor(["RXk3p"], [WALLET]).redact(WALLET) == "(hidden)…9abc"


def test_a_password_encoded_in_a_url_is_also_hidden_decoded() -> None:
    redactor = Redactor(["p%40ss%3Aword"])
    assert redactor.redact("p@ss:word, p%40ss%3Aword") == "(hidden), (hidden)"


def test_hostile_text_does_not_make_matching_slow() -> None:
    redactor = Redactor(["a\\b\\\\c-secret", "%%%%%%%%", "&&&&&&&&", "\\\\\\\\\\\\\\\\"], [WALLET])
    for text in (
        "\\" * 2000,
        "%25" * 2000,
        "&amp;" * 999,
        "a\\" * 2000,
        "\\u005c" * 1000,
        WALLET[:-1] * 60,
    ):
        assert redactor.redact(text + "!").endswith("!")


def test_short_names_are_unchanged() -> None:
    assert shortened("alice") == "alice"
    assert Redactor([], ["alice"]).redact("alice.rig1") == "alice.rig1"


@given(st.text())
def test_one_line_is_printable(text: str) -> None:
    line = Redactor().one_line(text)
    assert line.isprintable()
    assert short_line(text).isprintable()
    assert text.isprintable() <= (line == text)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a\nb", "a b"), ("\x1b[2Jwiped", "[2Jwiped"), ("\u202eback\u2028", "back "), ("°…é", "°…é")],
)
def test_control_characters_are_removed(text: str, line: str) -> None:
    assert Redactor().one_line(text) == line


@pytest.mark.parametrize("secret", ["secret", "sec\x00ret"])
def test_invisible_characters_do_not_protect_a_secret(secret: str) -> None:
    assert Redactor([secret]).one_line("a sec\x00ret") == "a (hidden)"


def test_foreign_text_has_no_runs_of_blanks_and_a_limit() -> None:
    assert short_line(" a\x1b[31m\n\tb\u202e\ud800 ") == "a[31m b"
    assert len(short_line("x" * 10_000)) == TEXT_LIMIT
    assert short_line("abcdef", 4) == "abc…"


def test_every_rule_shortens_from_the_same_length() -> None:
    name, wallet = "a" * (SHORTEST_WALLET - 1), "a" * SHORTEST_WALLET
    for shorten in (shortened, shortened_user, Redactor(wallets=[name, wallet]).redact):
        assert shorten(name) == name
        assert shorten(wallet) == "aaaaa…aaaa"


def test_a_wallet_in_place_of_a_host_is_shortened() -> None:
    assert without_wallets(f"{WALLET}: not an address") == "RXk3p…9abc: not an address"
