"""No password, token or whole wallet gets through, whatever embeds it and however it is written."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.console import Redactor
from miner.console.redaction import HIDDEN, SHORTEST_SECRET, shortened

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


WRITINGS: list[Callable[[str], str]] = [
    str,
    quoted,
    lambda s: quoted(quoted(s)),
    lambda s: quote_plus(s, errors="surrogatepass"),
    percent_all,
    escaped_all,
    lambda s: json.dumps(s)[1:-1],
    lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    lambda s: json.dumps(json.dumps(s))[3:-3],
    lambda s: repr(s)[1:-1],
    lambda s: ascii(s)[1:-1],
    lambda s: repr(s.encode("utf-8", "surrogatepass"))[2:-1],
    str.upper,
    str.lower,
]
NAMES = [
    "plain", "percent", "percent twice", "form", "percent all", "escaped all", "JSON", "JSON UTF-8",
    "JSON in JSON", "repr", "ascii", "bytes", "upper", "lower",
]  # fmt: skip


def canaries(text: str) -> st.SearchStrategy[str]:
    """`text` with each of its characters written in some way."""
    ways: list[Callable[[str], str]] = [str, percent_all, escaped_all]
    return st.lists(st.sampled_from(ways), min_size=len(text), max_size=len(text)).map(
        lambda chosen: "".join(way(c) for way, c in zip(chosen, text, strict=True))
    )


@pytest.mark.parametrize("writing", WRITINGS, ids=NAMES)
@given(secret=SECRETS.filter(lambda s: s.lower() == s.upper() or s.isascii()), a=AROUND, b=AROUND)
def test_no_secret_gets_through_however_it_is_written(
    writing: Callable[[str], str], secret: str, a: str, b: str
) -> None:
    canary = writing(secret)
    told = Redactor([secret])(a + canary + b)
    if canary not in a + HIDDEN + b:
        assert canary not in told
    assert HIDDEN in told


@given(st.data(), SECRETS.filter(lambda s: "\\" not in s), AROUND, AROUND)
def test_not_even_written_in_several_ways_at_once(
    data: st.DataObject, secret: str, a: str, b: str
) -> None:
    canary = data.draw(canaries(secret))
    told = Redactor([secret])(a + canary + b)
    assert HIDDEN in told
    if canary not in a + HIDDEN + b:
        assert canary not in told


@given(st.lists(WALLETS, min_size=1, max_size=4), AROUND, AROUND, st.data())
def test_no_whole_wallet_gets_through(
    wallets: list[str], a: str, b: str, data: st.DataObject
) -> None:
    wallet = data.draw(st.sampled_from(wallets))
    told = Redactor([], wallets)(f"{a}{wallet}{b}")
    assert wallet not in told
    assert "…" in told


@given(st.text())
def test_other_text_comes_back_as_it_is(text: str) -> None:
    assert Redactor()(text) == text
    assert Redactor(["x"], ["alice"])(text) == text
    assert Redactor(["\N{SNOWMAN}-never-drawn"], [WALLET])(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
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
def test_what_is_told(text: str, told: str) -> None:
    redact = Redactor(["hunter22", 'p@ss"word'], [WALLET, ETHER])
    assert redact(text) == told
    assert redact(told) == told


def test_the_longest_is_taken_first() -> None:
    redact = Redactor(["token", "token-of-the-api"], [WALLET, f"{WALLET}more"])
    assert redact("token-of-the-api and token") == "(hidden) and (hidden)"
    assert redact(f"{WALLET}more") == "RXk3p…more"


def test_a_secret_that_holds_a_wallet_is_hidden_whole() -> None:
    assert Redactor([f"{WALLET}:x"], [WALLET])(f"user {WALLET}:x") == "user (hidden)"
    assert Redactor([WALLET], [WALLET])(WALLET) == HIDDEN
    assert Redactor(["RXk3p"], [WALLET])(WALLET) == "(hidden)…9abc"


def test_a_password_that_was_encoded_in_a_url_is_known_as_it_is_meant() -> None:
    redact = Redactor(["p%40ss%3Aword"])
    assert redact("p@ss:word, p%40ss%3Aword") == "(hidden), (hidden)"


def test_a_hostile_text_takes_no_time_to_speak_of() -> None:
    redact = Redactor(["a\\b\\\\c-secret", "%%%%%%%%", "\\\\\\\\\\\\\\\\"], [WALLET])
    for text in ("\\" * 2000, "%25" * 2000, "a\\" * 2000, "\\u005c" * 1000, WALLET[:-1] * 60):
        assert redact(text + "!").endswith("!")


def test_short_names_stay() -> None:
    assert shortened("alice") == "alice"
    assert Redactor([], ["alice"])("alice.rig1") == "alice.rig1"
