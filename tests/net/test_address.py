"""Parsing and formatting of host and port, and which addresses need a token."""

from __future__ import annotations

import errno
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.errors import AddressTaken, ConfigError
from miner.net.address import (
    HostPort,
    check_exposure,
    listen_error,
    listen_problem,
    parse_host_port,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Pool.Example:3333", HostPort("pool.example", 3333)),
        ("127.0.0.1:1", HostPort("127.0.0.1", 1)),
        ("[2001:DB8::1]:65535", HostPort("2001:db8::1", 65535)),
    ],
)
def test_host_and_port(text: str, address: HostPort) -> None:
    assert parse_host_port(text) == address
    assert str(address) == text.lower()


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("[FE80::1%enP2p1s0]:1", "fe80::1%enP2p1s0"),
        ("[fe80::1%25enP2p1s0]:1", "fe80::1%enP2p1s0"),
        ("[fe80::1%25]:1", "fe80::1%25"),
        ("[fe80::1%3]:1", "fe80::1%3"),
    ],
)
def test_the_interface_of_an_ipv6_address_keeps_its_case(text: str, host: str) -> None:
    assert parse_host_port(text) == HostPort(host, 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "proxy '' has no port; write host:port"),
        ("host", "proxy 'host' has no port; write host:port"),
        ("ho st:1", "proxy 'ho st' is not a valid host name"),
        ("::1:1", r"proxy: an IPv6 address needs brackets: \[address\]:port"),
        ("[::1]", r"proxy: an IPv6 address is written as \[address\]:port"),
        ("host:0", "proxy host: the port is not a number from 1 to 65535"),
        ("host:65536", "proxy host: the port is not a number from 1 to 65535"),
    ],
)
def test_the_error_for_an_invalid_address_says_what_to_write(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^{problem}$"):
        parse_host_port(text, "proxy")


def test_an_address_to_listen_on_may_have_port_0() -> None:
    assert parse_host_port("127.0.0.1:0", lowest_port=0).port == 0


@given(st.ip_addresses().map(str), st.integers(1, 65535))
def test_a_formatted_address_parses_to_itself(host: str, port: int) -> None:
    address = HostPort(host, port)
    assert parse_host_port(str(address)) == address


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False),
     ("192.168.1.7", False), ("rig.lan", False)],
)  # fmt: skip
def test_only_a_loopback_address_needs_no_token(host: str, loopback: bool) -> None:
    address = HostPort(host, 4067)
    assert address.is_loopback is loopback
    check_exposure("listen", address, has_token=True)
    if loopback:
        check_exposure("listen", address, has_token=False)
    else:
        with pytest.raises(ConfigError, match=r"^\[api\] listen = .* lets other machines in"):
            check_exposure("listen", address, has_token=False)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OSError(errno.EADDRINUSE, "x: in use"), "another program uses it, perhaps another miner"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "this machine does not have this address"),
        (OSError(errno.EACCES, "x"), "ports below 1024 are for root only"),
        (OSError(errno.EIO, "error while attempting to bind: I/O error"), "I/O error"),
        (socket.gaierror(socket.EAI_NONAME, "not known"), "no such address or port"),
        (OverflowError("port must be 0-65535."), "no such address or port"),
    ],
)
def test_why_an_address_cannot_be_listened_on(error: Exception, problem: str) -> None:
    assert listen_problem(error) == problem


def test_an_address_may_be_free_or_known_later() -> None:
    for number in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
        assert isinstance(listen_error("x", OSError(number, "x")), AddressTaken)
    no_dns_yet = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert isinstance(listen_error("x", no_dns_yet), AddressTaken)
    for final in (OSError(errno.EACCES, "x"), socket.gaierror(socket.EAI_NONAME, "x")):
        assert isinstance(listen_error("x", final), ConfigError)
