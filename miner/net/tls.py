"""TLS contexts and the verification of certificates."""

from __future__ import annotations

import hashlib
import re
import ssl
from datetime import UTC, datetime

from miner.clock import SystemClock
from miner.errors import Cause, ConfigError, ConnectionLost, PoolError, PoolRefused
from miner.net.address import PoolUrl, Transport

HOST_MISMATCH = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""

OUTSIDE_DATES = frozenset({9, 10, 11, 12})
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED, and both for a CRL."""


def tls_context(url: PoolUrl) -> ssl.SSLContext:
    """Return the client context that `url` asks for; raises `ConfigError` for an unusable CA file.

    If a fingerprint is pinned, the handshake checks that alone and fails with
    `WrongFingerprint`, so that no byte is sent to another server.
    """
    context = ssl.create_default_context()
    if url.ca_file is not None:
        try:
            context.load_verify_locations(url.ca_file)
        except OSError as error:
            # OpenSSL's message names a line of its source.
            no_pem = isinstance(error, ssl.SSLError) or not error.strerror
            reason = "holds no certificate in PEM" if no_pem else error.strerror
            raise ConfigError(f"CA file {url.ca_file}: {reason}") from error
    if url.transport is Transport.TLS12:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if url.tls_insecure or url.tls_fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if url.tls_fingerprint is not None:
        context.sslobject_class = _pinned_to(url.tls_fingerprint)
    return context


class WrongFingerprint(ssl.SSLCertVerificationError):
    """The server's certificate is not the pinned one."""

    def __init__(self, found: str) -> None:
        super().__init__(f"certificate with the fingerprint {found}")
        self.found = found


def _pinned_to(wanted: str) -> type[ssl.SSLObject]:
    # asyncio, aiohttp and aiohttp-socks all make their TLS connections by the context's
    # `sslobject_class`, and none of them has a hook before the first byte that works with a proxy.
    class PinnedCertificate(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            certificate = self.getpeercert(binary_form=True)
            found = fingerprint(certificate) if certificate else "none"
            if found != wanted:
                raise WrongFingerprint(found)

    return PinnedCertificate


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate in DER as 64 lower-case hex digits."""
    return hashlib.sha256(certificate).hexdigest()


def parse_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint, written with or without colons, as 64 lower-case hex digits;
    raises `ConfigError`."""
    digits = text.strip().lower().removeprefix("sha256:").replace(":", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ConfigError(
            "a TLS fingerprint is the SHA-256 of the certificate in 64 hex digits, as "
            f"`openssl x509 -noout -fingerprint -sha256` prints it, not {text[:80]!r}"
        )
    return digits


def certificate_error(url: PoolUrl, error: ssl.SSLCertVerificationError) -> PoolError:
    """Return the error for a certificate that failed verification."""
    where = f"{url.host}, port {url.port}"
    if isinstance(error, WrongFingerprint):
        return PoolRefused(
            f"{where}: the certificate has the fingerprint {error.found}, not "
            f"{url.tls_fingerprint}; ask its operator whether it has a new one before you pin that",
            Cause.CERTIFICATE_PIN,
        )
    if error.verify_code in HOST_MISMATCH:
        return PoolRefused(
            f"{where}: the certificate is for another host; check the address, or compare its "
            "fingerprint with the pool's and pin it (--tls-fingerprint)",
            Cause.CERTIFICATE_HOST,
        )
    if error.verify_code in OUTSIDE_DATES:
        # OpenSSL judges by the system's clock, which may be wrong until NTP has set it.
        today = datetime.fromtimestamp(SystemClock().wall(), UTC)
        return ConnectionLost(
            f"{where}: {error.verify_message}; this machine's clock shows {today:%Y-%m-%d %H:%M} "
            "UTC; check it, else the pool must renew the certificate",
            Cause.CERTIFICATE_DATE,
        )
    return PoolRefused(
        f"{where}: the certificate is not trusted ({error.verify_message}); check the address, "
        "name the pool's own CA file (--tls-ca-file), pin the certificate (--tls-fingerprint), or "
        "switch verification off at your own risk (--tls-insecure)",
        Cause.CERTIFICATE_AUTHORITY,
    )
