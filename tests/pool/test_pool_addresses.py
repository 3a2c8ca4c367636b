"""Pool addresses: schemes, logins, protocols."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.errors import ConfigError, UsageError
from miner.net.address import PoolUrl, Transport
from miner.pool.pool_addresses import (
    AUTO,
    GETWORK,
    NODE,
    PLAIN,
    SCHEMES,
    Scheme,
    choose_protocol,
    find_scheme,
    known_protocols,
    parse_pool_url,
)


@pytest.mark.parametrize(
    ("scheme", "transport"),
    [
        ("", Transport.TCP),
        ("stratum+tcp://", Transport.TCP),
        ("stratum://", Transport.TCP),
        ("stratum+tls://", Transport.TLS),
        ("stratum+ssl://", Transport.TLS),
        ("stratum+tcps://", Transport.TLS),
        ("stratums://", Transport.TLS),
        ("STRATUM+SSL://", Transport.TLS),
        ("stratum+tls12://", Transport.TLS12),
        ("stratumss://", Transport.TLS12),
        ("tcp://", Transport.TCP),
        ("ssl://", Transport.TLS),
        ("SSL://", Transport.TLS),
        ("tls://", Transport.TLS),
        ("tcps://", Transport.TLS),
        ("tls12://", Transport.TLS12),
    ],
)
def test_schemes_without_a_protocol(scheme: str, transport: Transport) -> None:
    got = parse_pool_url(f"{scheme}rvn.example.com:3333", user="RWallet")
    assert got == PoolUrl("rvn.example.com", 3333, "RWallet", "x", transport)


@pytest.mark.parametrize(
    ("scheme", "protocol", "transport"),
    [
        ("stratum1+tcp", "ethproxy", Transport.TCP),
        ("stratum2+ssl", "ethstratum", Transport.TLS),
        ("stratum3+tls12", "ethstratum2", Transport.TLS12),
        ("ethproxy", "ethproxy", Transport.TCP),
        ("ethproxy+tls", "ethproxy", Transport.TLS),
        ("ethstratum+tcp", "ethstratum", Transport.TCP),
        ("ethstratum2+tcps", "ethstratum2", Transport.TLS),
        ("nicehash+tcp", "ethstratum", Transport.TCP),
        ("stratum2+tcp", "ethstratum", Transport.TCP),
        ("ethnh+ssl", "ethstratum", Transport.TLS),
        ("epic+tls", "epic", Transport.TLS),
        ("sero+tcp", "sero", Transport.TCP),
        ("zano+ssl", "zano", Transport.TLS),
        ("kawpow+tcp", "kawpow", Transport.TCP),
        ("http", None, Transport.HTTP),
        ("https", None, Transport.HTTPS),
        ("node+http", "node", Transport.HTTP),
        ("node+tcp", "node", Transport.HTTP),
        ("daemon+https", "node", Transport.HTTPS),
        ("solo", "node", Transport.HTTP),
        ("solo+tcp", "node", Transport.HTTP),
        ("getwork", "getwork", Transport.HTTP),
        ("getwork+https", "getwork", Transport.HTTPS),
    ],
)
def test_schemes_with_a_protocol(scheme: str, protocol: str | None, transport: Transport) -> None:
    got = parse_pool_url(f"{scheme}://host:1")
    assert (got.protocol, got.transport) == (protocol, transport)


def test_the_url_of_a_node_keeps_its_path_and_ignores_the_worker() -> None:
    got = parse_pool_url("http://rpc:secret@[::1]:8766/wallet/a%20b?key=SECRET", worker="rig1")
    assert (got.user, got.password, got.host) == ("rpc", "secret", "::1")
    assert got.path == "/wallet/a%20b?key=SECRET"
    assert got.label == str(got) == "http://[::1]:8766"
    assert "ecret" not in repr(got)
    assert "SECRET" not in repr(got)
    assert parse_pool_url("node+https://host:1/").label == "https://host:1"
    assert parse_pool_url("node://host:1").path == ""


@pytest.mark.parametrize("scheme", ["http", "https", "node", "getwork", "solo+tcp"])
def test_the_url_of_a_node_needs_a_port(scheme: str) -> None:
    with pytest.raises(ConfigError, match=r"no port; write http://host:port with the node's RPC"):
        parse_pool_url(f"{scheme}://127.0.0.1/")


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("ftp", "tcp://"), ("stratum+tpc", "stratum+tcp://"), ("etproxy", "ethproxy://")],
)
def test_the_error_for_an_unknown_scheme_suggests_known_ones(wrong: str, near: str) -> None:
    with pytest.raises(UsageError, match=rf"unknown scheme {re.escape(wrong)}://") as caught:
        parse_pool_url(f"{wrong}://host:1")
    assert near in str(caught.value)


def test_user_worker_and_password_in_the_address() -> None:
    got = parse_pool_url("stratum+tcp://RWallet.rig1:secret@pool.example:3333")
    assert (got.user, got.password) == ("RWallet.rig1", "secret")


def test_credentials_are_percent_decoded() -> None:
    got = parse_pool_url("stratum+tcp://me%40x.org%2Frig:a%3Ab%2F%40@pool.example:3333")
    assert (got.user, got.password) == ("me@x.org/rig", "a:b/@")


def test_a_user_beside_the_address_is_taken_literally() -> None:
    got = parse_pool_url("stratum+tcp://pool.example:3333", user="ann%40mail", password="50%25")
    assert (got.user, got.password) == ("ann%40mail", "50%25")


def test_a_path_is_appended_to_the_user() -> None:
    got = parse_pool_url("stratum+tcp://RWallet.rig1@pool.example:3333/me@x.org")
    assert got.user == "RWallet.rig1/me@x.org"
    assert parse_pool_url("pool.example:3333/", user="a").user == "a"


def test_a_worker_is_appended_to_the_user() -> None:
    for user in ("RWallet", "RWallet.rig1"):
        assert parse_pool_url("host:1", user=user, worker="rig1").user == "RWallet.rig1"
    named = parse_pool_url("ann@mail.example@host:1".replace("@", "%40", 1), worker="rig1")
    assert named.user == "ann@mail.example.rig1"
    for url, user in (("W@host:1/ann@mail.example", None), ("host:1", "W/ann@mail.example")):
        assert parse_pool_url(url, user, worker="rig1").user == "W.rig1/ann@mail.example"
    assert parse_pool_url("host:1", "W/x", worker="rig1").user == "W/x.rig1"
    with pytest.raises(ConfigError, match="worker needs a user"):
        parse_pool_url("host:1", worker="rig1")
    with pytest.raises(ConfigError, match="the worker is not up to 256 printable ASCII"):
        parse_pool_url("host:1", user="RWallet", worker="rig\t1")


def test_given_credentials_override_those_in_the_address() -> None:
    got = parse_pool_url("stratum+tcp://a:b@host:1", user="c", password="d")
    assert (got.user, got.password) == ("c", "d")
    kept = parse_pool_url("stratum+tcp://a:b@host:1", user="", password="x")
    assert (kept.user, kept.password) == ("a", "b")


def test_the_password_is_x_by_default() -> None:
    assert parse_pool_url("stratum+tcp://a@host:1").password == "x"


def test_an_ipv6_address_in_brackets() -> None:
    got = parse_pool_url("stratum+tls://a:b@[2001:DB8::1]:3333")
    assert (got.host, got.port) == ("2001:db8::1", 3333)
    assert got.label == "stratum+tls://[2001:db8::1]:3333"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no port"),
        ("host", "has no port"),
        ("host:", "not a number from 1 to 65535"),
        ("host:0", "not a number"),
        ("host:65536", "not a number"),
        ("host:٣", "not a number"),
        ("host:http", "not a number"),
        (":3333", "has no port"),
        ("ho st:1", "not a valid host name"),
        ("-x:1", "not a valid host name"),
        ("2001:db8::1:3333", "needs brackets"),
        ("[2001:db8::1]", "written as"),
        ("[nonsense]:1", "written as"),
        ("a\nb:c@host:1", "the user is not"),
        ("a.rig\x1b1:c@host:1", "the user is not"),
        ("http://host:1/a\x00", "the path is not"),
        ("a:b%00@host:1", "the password is not"),
        ("a" * 300 + "@host:1", "the user is not"),
    ],
)
def test_the_error_for_an_invalid_address_says_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_pool_url(text)


def test_no_text_form_of_a_pool_contains_its_credentials() -> None:
    pool = parse_pool_url("stratum+tcp://RWallet.rig1:secret@pool.example:3333")
    for shown in (str(pool), repr(pool), pool.label, f"{pool}"):
        assert "secret" not in shown
        assert "RWallet" not in shown
    assert str(pool) == "stratum+tcp://pool.example:3333"


@given(st.text())
def test_any_text_parses_or_raises_a_usage_error(text: str) -> None:
    try:
        parse_pool_url(text)
    except UsageError:
        return


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20))
def test_no_error_contains_a_password(password: str) -> None:
    secret = f"SECRET{password}"
    for text in (f"a:{secret}@host", f"a:{secret}@host:0", f"ftp://a:{secret}@host:1"):
        with pytest.raises(UsageError) as caught:
            parse_pool_url(text)
        assert secret not in str(caught.value)


def test_the_error_for_a_slash_in_a_password_suggests_encoding_it() -> None:
    with pytest.raises(ConfigError, match="%2F") as caught:
        parse_pool_url("stratum+tcp://user:SECRET/1@host:3333")
    assert "SECRET" not in str(caught.value)
    assert parse_pool_url("host:1/me@x.org", user="a").user == "a/me@x.org"


@pytest.mark.parametrize("scheme", ["stratum+tcp", "http"])
def test_a_password_that_begins_like_a_port(scheme: str) -> None:
    with pytest.raises(ConfigError, match="%2F") as caught:
        parse_pool_url(f"{scheme}://user:12/SECRET@host:3333")
    assert "SECRET" not in str(caught.value)
    assert parse_pool_url("u:12/s%40h:3").user == "/s@h:3"


HTTP = Scheme(None, Transport.HTTP)


def test_the_protocol_of_every_scheme_is_known() -> None:
    assert {s.protocol for s in SCHEMES.values() if s.protocol} <= set(known_protocols())


def test_a_scheme_uses_http_if_its_protocol_does() -> None:
    for name, scheme in SCHEMES.items():
        over_http = scheme.protocol in (NODE, GETWORK) or name in ("http", "https")
        assert scheme.transport.is_http is over_http
        assert find_scheme(name.upper()) is scheme


@pytest.mark.parametrize(
    ("option", "scheme", "coin", "protocol"),
    [
        (None, PLAIN, None, None),
        (None, PLAIN, "zano", "zano"),
        (None, SCHEMES["stratum+tls"], "kawpow", "kawpow"),
        (None, SCHEMES["kawpow+tcp"], "zano", "kawpow"),
        (None, SCHEMES["stratum2+tcp"], "kawpow", "ethstratum"),
        ("kawpow", SCHEMES["stratum1+tcp"], "zano", "kawpow"),
        ("KawPow", PLAIN, "zano", "kawpow"),
        (AUTO, SCHEMES["stratum1+tcp"], "zano", None),
        (None, HTTP, None, NODE),
        (None, HTTP, "kawpow", NODE),
        (None, HTTP, "sero", GETWORK),
        (None, HTTP, "ethproxy", GETWORK),
        (None, SCHEMES["node+http"], "sero", GETWORK),
        (NODE, HTTP, "sero", GETWORK),
        (None, SCHEMES["getwork"], "kawpow", GETWORK),
        (GETWORK, HTTP, "kawpow", GETWORK),
        (NODE, SCHEMES["getwork"], None, NODE),
        (AUTO, SCHEMES["getwork"], "kawpow", NODE),
        (AUTO, HTTP, "sero", GETWORK),
    ],
)
def test_the_option_overrides_the_scheme_which_overrides_the_coin(
    option: str | None, scheme: Scheme, coin: str | None, protocol: str | None
) -> None:
    assert choose_protocol(option, scheme, coin) == protocol


def test_the_error_for_an_unknown_protocol_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"did you mean kawpow\?") as caught:
        choose_protocol("kawpwo", PLAIN, None)
    assert ", ".join(known_protocols()) in str(caught.value)


@pytest.mark.parametrize(
    ("option", "scheme", "sentence"),
    [
        (NODE, PLAIN, r"'node' does not run over tcp; write .* http://host:port"),
        (GETWORK, SCHEMES["stratums"], r"'getwork' does not run over tls; write .* http://"),
        ("kawpow", HTTP, r"'kawpow' does not run over http; write .* stratum\+tcp://host:port"),
    ],
)
def test_a_protocol_over_the_wrong_transport(option: str, scheme: Scheme, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        choose_protocol(option, scheme, None)
