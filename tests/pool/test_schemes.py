from __future__ import annotations

import pytest

from miner.errors import ConfigError
from miner.net.pool_url import Transport
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
)

HTTP = Scheme(None, Transport.HTTP)


def test_every_protocol_of_a_scheme_is_known() -> None:
    assert {s.protocol for s in SCHEMES.values() if s.protocol} <= set(known_protocols())


def test_a_scheme_goes_over_http_where_its_protocol_does() -> None:
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
def test_an_option_goes_before_the_scheme_before_the_coin(
    option: str | None, scheme: Scheme, coin: str | None, protocol: str | None
) -> None:
    assert choose_protocol(option, scheme, coin) == protocol


def test_an_unknown_protocol_names_the_known_ones() -> None:
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
def test_a_protocol_with_another_ones_transport(option: str, scheme: Scheme, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        choose_protocol(option, scheme, None)
