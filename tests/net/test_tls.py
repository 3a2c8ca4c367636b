"""TLS and certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from miner.errors import Cause, ConfigError, ConnectionLost, PoolRefused
from miner.net.address import Transport
from miner.net.dial import NetworkDial
from miner.net.tls import fingerprint, parse_fingerprint, tls_context
from tests.net.serving import exchanged, server_context, serving, url


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


async def test_tls_with_a_ca_file(authority: trustme.CA, ca_file: Path) -> None:
    async with serving(tls=server_context(authority)) as port:
        to = url(port, Transport.TLS, ca_file=ca_file)
        assert await exchanged(NetworkDial(), to) == b"hello\n"


async def test_tls_sends_and_checks_the_host_name(authority: trustme.CA, ca_file: Path) -> None:
    context = server_context(authority, "localhost")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with serving(tls=context) as port:
        to = url(port, Transport.TLS, "localhost", ca_file=ca_file)
        assert await exchanged(NetworkDial(), to) == b"hello\n"
        assert names == ["localhost"]
        with pytest.raises(PoolRefused, match="the certificate is for another host; check"):
            await NetworkDial().open(url(port, Transport.TLS, ca_file=ca_file))


async def test_a_host_name_may_end_in_a_dot(
    authority: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **kinds: resolve("127.0.0.1", *more, **kinds)
    )
    async with serving(tls=server_context(authority, "pool.example")) as port:
        to = url(port, Transport.TLS, "pool.example.", ca_file=ca_file)
        assert await exchanged(NetworkDial(), to) == b"hello\n"


async def test_the_error_for_an_unknown_authority_says_what_to_do(
    authority: trustme.CA,
) -> None:
    async with serving(tls=server_context(authority)) as port:
        with pytest.raises(PoolRefused, match=r"not trusted .* own CA file .*, pin .* or switch"):
            await NetworkDial().open(url(port, Transport.TLS))


@pytest.mark.parametrize(
    ("name", "cause"),
    [("127.0.0.1", Cause.CERTIFICATE_AUTHORITY), ("other.example", Cause.CERTIFICATE_HOST)],
)
async def test_the_error_for_a_certificate_names_its_cause(
    authority: trustme.CA, ca_file: Path, name: str, cause: Cause
) -> None:
    trusted = ca_file if cause is Cause.CERTIFICATE_HOST else None
    async with serving(tls=server_context(authority, name)) as port:
        with pytest.raises(PoolRefused) as caught:
            await NetworkDial().open(url(port, Transport.TLS, ca_file=trusted))
        assert caught.value.cause is cause
        with pytest.raises(PoolRefused) as caught:
            await NetworkDial().open(replace(url(port, Transport.TLS), tls_fingerprint="ab" * 32))
        assert caught.value.cause is Cause.CERTIFICATE_PIN


@pytest.mark.parametrize(
    ("first_day", "last_day", "problem"),
    [(-30, -1, "certificate has expired"), (1, 30, "certificate is not yet valid")],
)
async def test_a_certificate_outside_its_dates_is_retried_and_the_clock_is_named(
    tmp_path: Path, first_day: int, last_day: int, problem: str
) -> None:
    now = datetime.now(UTC)
    first, last = (now + timedelta(days=day) for day in (first_day, last_day))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", not_before=first, not_after=last).configure_cert(context)
    async with serving(tls=context) as port:
        with pytest.raises(
            ConnectionLost, match=f"{problem}; this machine's clock shows"
        ) as caught:
            await NetworkDial().open(url(port, Transport.TLS, ca_file=tmp_path / "ca.pem"))
    assert caught.value.cause is Cause.CERTIFICATE_DATE


async def test_tls_insecure_accepts_any_certificate(authority: trustme.CA) -> None:
    async with serving(tls=server_context(authority, "other.example")) as port:
        to = replace(url(port, Transport.TLS), tls_insecure=True)
        assert await exchanged(NetworkDial(), to) == b"hello\n"


@pytest.mark.parametrize(
    ("transport", "version"), [(Transport.TLS, "TLSv1.3"), (Transport.TLS12, "TLSv1.2")]
)
async def test_tls12_negotiates_no_newer_version(
    authority: trustme.CA, ca_file: Path, transport: Transport, version: str
) -> None:
    async with serving(tls=server_context(authority)) as port:
        stream = await NetworkDial().open(url(port, transport, ca_file=ca_file))
        found = stream._writer.get_extra_info("ssl_object")  # type: ignore[attr-defined]
        assert found.version() == version
        await stream.close()


async def test_the_error_for_tls_to_a_plain_port_suggests_tcp(ca_file: Path) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"id":null,"method":"client.show_message","params":["hello"]}\n' * 9)
        await reader.read(100)

    async with serving(plain) as port:
        with pytest.raises(ConnectionLost, match=r"stratum\+tcp"):
            await NetworkDial().open(url(port, Transport.TLS, ca_file=ca_file))


async def test_the_error_for_a_closed_handshake_suggests_tcp(ca_file: Path) -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.transport.abort()

    async with serving(rude) as port:
        with pytest.raises(ConnectionLost, match=r"during the TLS handshake; .*stratum\+tcp"):
            await NetworkDial().open(url(port, Transport.TLS, ca_file=ca_file))


def test_an_unusable_ca_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pem: No such file"):
        tls_context(url(1, Transport.TLS, ca_file=tmp_path / "none.pem"))
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"bad\.pem: holds no certificate in PEM$"):
        tls_context(url(1, Transport.TLS, ca_file=tmp_path / "bad.pem"))


def pinned(authority: trustme.CA, name: str) -> tuple[ssl.SSLContext, str]:
    """Return a server's side with a certificate for `name`, and that one's fingerprint."""
    issued = authority.issue_cert(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    pem = issued.cert_chain_pems[0].bytes().decode("ascii")
    return context, fingerprint(ssl.PEM_cert_to_DER_cert(pem))


async def test_a_pinned_certificate_needs_neither_authority_nor_host_name(
    authority: trustme.CA,
) -> None:
    context, found = pinned(authority, "other.example")
    async with serving(tls=context) as port:
        for transport in (Transport.TLS, Transport.TLS12):
            to = replace(url(port, transport), tls_fingerprint=found)
            assert await exchanged(NetworkDial(), to) == b"hello\n"


async def test_nothing_is_sent_to_a_server_with_another_certificate_than_the_pinned_one(
    authority: trustme.CA, ca_file: Path
) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))

    context, found = pinned(authority, "127.0.0.1")
    async with serving(listen, context) as port:
        for insecure in (False, True):
            to = replace(
                url(port, Transport.TLS, ca_file=ca_file),
                tls_fingerprint="ab" * 32,
                tls_insecure=insecure,
            )
            with pytest.raises(PoolRefused, match="before you pin that") as caught:
                await NetworkDial().open(to)
            assert found in str(caught.value)
            assert "ab" * 32 in str(caught.value)
    assert b"".join(heard) == b""


def test_parsing_a_fingerprint() -> None:
    digits = "0123456789abcdef" * 4
    colons = ":".join(digits[i : i + 2] for i in range(0, 64, 2))
    for text in (digits, digits.upper(), colons, f" {colons.upper()} ", f"SHA256:{digits}"):
        assert parse_fingerprint(text) == digits
    for text in ("", digits[1:], digits + "0", digits[:-1] + "g", "sha1:" + digits[:40]):
        with pytest.raises(ConfigError, match="64 hex digits"):
            parse_fingerprint(text)


def test_certificates_are_verified_by_default() -> None:
    to = url(1, Transport.TLS)
    strict = tls_context(to)
    assert (strict.check_hostname, strict.verify_mode) == (True, ssl.CERT_REQUIRED)
    for loose in (replace(to, tls_insecure=True), replace(to, tls_fingerprint="ab" * 32)):
        assert tls_context(loose).verify_mode is ssl.CERT_NONE
