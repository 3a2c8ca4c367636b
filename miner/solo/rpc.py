"""JSON-RPC with a node over HTTP."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp_socks

from miner.clock import Clock, first_of, time_limit
from miner.errors import (
    Cause,
    ConfigError,
    ConnectionLost,
    NoAnswer,
    NodeBusy,
    PoolError,
    PoolRefused,
    ProtocolError,
)
from miner.net.address import HostPort, PoolUrl
from miner.net.socks import Proxy, parse_proxy, proxy_failure
from miner.net.tls import certificate_error, tls_context
from miner.safe_text import short_line
from miner.stratum.outcomes import NO_ERROR
from miner.stratum.wire_format import decode

CALL_SECONDS = 30.0
"""Default limit of one call; a node that verifies a block is slow."""

CONNECT_SECONDS = 10.0
"""Limit for the TCP connection, the proxy and the TLS handshake together."""

BODY_LIMIT = 64 * 2**20
"""Most bytes of an answer; a template with a full block in hex is a few million."""

QUEUE_IS_FULL = "Work queue depth exceeded"
"""Body of a Bitcoin-derived node's HTTP error 500 or 503 when too many calls wait."""

IS_STARTING = -28
"""Error code of a node that is starting."""

LOCAL_START_SECONDS = 2.0
"""Longest pause before another call to a node on this machine that is starting."""

COOKIE_LIMIT = 4096
"""Bytes of a cookie file that are read."""


@dataclass(frozen=True, slots=True)
class RpcAnswer:
    """A node's answer; `result` is meaningless if there is an `error`."""

    result: Any = None
    error: Any = None
    """The answer's error member as received, of any shape; None if the call succeeded."""

    @property
    def code(self) -> int:
        """The error's number, 0 if it has none."""
        code = self.error.get("code") if isinstance(self.error, dict) else None
        return code if isinstance(code, int) else 0

    @property
    def text(self) -> str:
        """The error's message on one line."""
        error = self.error
        if isinstance(error, dict):
            error = error.get("message")
        return short_line(error) if isinstance(error, str) else f"error {self.code}"


class NodeRpc:
    """Calls methods of one node; used inside `async with`.

    Concurrent calls use separate connections. Without `keep_alive` each call makes a new one, so
    that no request is lost on a connection that the node has just closed.
    """

    def __init__(self, url: PoolUrl, clock: Clock, agent: str, *, keep_alive: bool = True) -> None:
        self._url, self._clock, self._agent = url, clock, agent
        self._proxy = parse_proxy(url.proxy) if url.proxy is not None else None
        scheme = "https" if url.transport.has_tls else "http"
        self._address = f"{scheme}://{HostPort(url.host, url.port)}{url.path or '/'}"
        self._keep_alive = keep_alive
        self._http: aiohttp.ClientSession | None = None
        self._calls = 0

    async def __aenter__(self) -> NodeRpc:
        try:
            connector = self._connector()
        except ConfigError as error:  # the CA file was usable at the start and may be replaced now
            raise ConnectionLost(str(error)) from error
        self._http = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            headers={"User-Agent": self._agent, "Content-Type": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def call(
        self, method: str, params: list[Any] | None = None, seconds: float = CALL_SECONDS
    ) -> RpcAnswer:
        """Return the node's answer, which may be an RPC error.

        Raises `PoolRefused` for refused credentials or a certificate, `NodeBusy` if the node's
        queue of calls is full, `NoAnswer` if no complete answer comes within `seconds`,
        `ConnectionLost` if the connection fails, `ProtocolError` if the answer is not JSON-RPC.
        """
        answer = await first_of(self._post(method, params or []), time_limit(self._clock, seconds))
        if answer is None:
            raise NoAnswer(f"{self._where}: no answer to {method} within {seconds:g} s")
        return answer

    def pause_after(self, code: int, seconds: float) -> float:
        """Return the pause before another call after error `code`, usually `seconds`."""
        is_local = HostPort(self._url.host, self._url.port).is_loopback
        return min(seconds, LOCAL_START_SECONDS) if is_local and code == IS_STARTING else seconds

    @property
    def _where(self) -> str:
        return f"node {self._url.host}, port {self._url.port}"

    async def _post(self, method: str, params: list[Any]) -> RpcAnswer:
        assert self._http is not None, "used outside of `async with`"
        self._calls += 1
        message = {"jsonrpc": "1.0", "id": self._calls, "method": method, "params": params}
        if method.startswith(("eth_", "sero_")):
            message["jsonrpc"] = "2.0"
        login = self._login()
        try:
            async with self._http.post(
                self._address,
                data=json.dumps(message).encode("ascii"),
                headers=login,
                allow_redirects=False,
            ) as response:
                body = await self._body(response)
                if response.status == 401 and self._login() != login:
                    raise ConnectionLost(f"{self._where}: restarted with a new cookie")
                return self._parsed(response, body)
        except (
            aiohttp.ClientError, aiohttp_socks.ProxyError, aiohttp_socks.ProxyConnectionError,
            aiohttp_socks.ProxyTimeoutError, OSError, EOFError, ValueError,
        ) as error:  # fmt: skip
            raise self._translated(error, method) from error

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_chunked(2**18):
            body += piece
            if len(body) > BODY_LIMIT:
                raise ProtocolError(f"{self._where}: an answer is longer than {BODY_LIMIT} bytes")
        return bytes(body)

    def _parsed(self, response: aiohttp.ClientResponse, body: bytes) -> RpcAnswer:
        # RPC errors come with HTTP 500, 404 or 400, so the body decides unless the login failed.
        status = response.status
        if status == 401 and self._url.cookie_file is not None:
            raise ConnectionLost(
                f"{self._where}: the login in {self._url.cookie_file} is refused (HTTP 401); check "
                "that it is this node's cookie file, which the node writes when it starts",
                Cause.NODE_COOKIE,
            )
        if status == 401:
            raise PoolRefused(
                f"{self._where}: login refused (HTTP 401); check user and password, or name the "
                "node's cookie file",
                Cause.NODE_LOGIN,
            )
        if status == 403:
            raise PoolRefused(
                f"{self._where}: access refused (HTTP 403); allow this machine with rpcallowip= in "
                "the node's configuration",
                Cause.NODE_LOGIN,
            )
        message = decode(body) or {}
        error = message.get("error")
        if "result" in message or error is not None:
            return RpcAnswer(message.get("result"), None if error in NO_ERROR else error)
        if status >= 500 and QUEUE_IS_FULL.encode() in body[:400]:
            raise NodeBusy(
                f"{self._where}: too many calls wait ({QUEUE_IS_FULL}); raise rpcthreads= and "
                "rpcworkqueue= in the node's configuration"
            )
        if status >= 500 or status == 429:
            shown = b"" if body.lstrip().startswith(b"<") else body[:400]  # an error page
            text = short_line(shown.decode("utf-8", "replace")) or response.reason or ""
            raise ConnectionLost(f"{self._where}: busy or failing (HTTP {status}: {text})")
        raise ProtocolError(
            f"{self._where}: HTTP {status} without JSON-RPC; check that this is the node's RPC "
            "port, not its network port or a pool's port"
        )

    def _login(self) -> dict[str, str]:
        # The cookie file is read for each request: a node writes a new one at each start.
        if self._url.cookie_file is not None:
            return _basic_auth(_cookie(Path(self._url.cookie_file)))
        if not self._url.user:
            return {}
        return _basic_auth(f"{self._url.user}:{self._url.password}")

    def _connector(self) -> aiohttp.TCPConnector:
        tls = tls_context(self._url) if self._url.transport.has_tls else True
        if self._proxy is None:
            return aiohttp.TCPConnector(ssl=tls, force_close=not self._keep_alive, limit=0)
        return aiohttp_socks.ProxyConnector(
            self._proxy.host, self._proxy.port, username=self._proxy.user or None,
            password=self._proxy.password or None, rdns=True, ssl=tls,
            force_close=not self._keep_alive, limit=0,
        )  # fmt: skip

    def _translated(self, error: Exception, method: str) -> PoolError:
        if self._proxy is not None and (failure := self._proxy_failure(self._proxy, error)):
            return failure
        match error:
            case aiohttp.ClientConnectorCertificateError():
                cause = error.certificate_error
                if isinstance(cause, ssl.SSLCertVerificationError):
                    return certificate_error(self._url, cause)
                return PoolRefused(
                    f"{self._where}: the certificate is not trusted", Cause.CERTIFICATE_AUTHORITY
                )
            case aiohttp.ClientOSError(__cause__=ssl.SSLError() as cause) if not isinstance(
                error, aiohttp.ClientConnectorError
            ):
                # The form in which errors of a handshake through a proxy arrive.
                return self._translated(cause, method)
            case ssl.SSLCertVerificationError():
                return certificate_error(self._url, error)
            case aiohttp.ClientSSLError() | ssl.SSLError():
                return ConnectionLost(
                    f"{self._where}: no TLS connection; check whether this port is for http://",
                    Cause.NO_TLS,
                )
            case aiohttp.ClientConnectorError(os_error=socket.gaierror()):
                return ConnectionLost(
                    f"{self._where}: the name cannot be resolved; check its spelling",
                    Cause.HOST_UNKNOWN,
                )
            case aiohttp.ClientConnectorError():
                reason, kind = error.os_error.strerror or "no connection", Cause.LOST
                if isinstance(error.os_error, ConnectionRefusedError):
                    reason, kind = "nothing listens there", Cause.PORT_CLOSED
                return ConnectionLost(
                    f"{self._where}: {reason.lower()}; check that the node runs, its RPC port, and "
                    "rpcbind= and rpcallowip= in its configuration",
                    kind,
                )
            case TimeoutError() | aiohttp_socks.ProxyTimeoutError():
                return ConnectionLost(f"{self._where}: no connection within {CONNECT_SECONDS:g} s")
            case aiohttp.InvalidURL() | UnicodeError():
                return PoolRefused(
                    f"{self._where}: unusable address of a node; check its spelling", Cause.ADDRESS
                )
        other = "http://" if self._url.transport.has_tls else "https://"
        return ConnectionLost(
            f"{self._where}: the connection broke before {method} was answered; if this persists, "
            f"check that this is the node's RPC port, and whether it is for {other}"
        )

    def _proxy_failure(self, proxy: Proxy, error: Exception) -> ConnectionLost | None:
        cause: BaseException | None = error
        match error:
            case aiohttp_socks.ProxyError() | aiohttp_socks.ProxyConnectionError():
                cause = error.__cause__
            case EOFError() | UnicodeDecodeError():
                pass  # python-socks lets these through if the proxy's answer is cut or not SOCKS5
            case _:
                return None
        return proxy_failure(proxy, self._url.host, self._url.port, cause)


def _basic_auth(login: str) -> dict[str, str]:
    # aiohttp.BasicAuth is deprecated, and older releases lack its successor encode_basic_auth.
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode('ascii')}"}


def _cookie(path: Path) -> str:
    try:
        # What is not UTF-8 becomes surrogates, which are not printable.
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(COOKIE_LIMIT).strip()
    except OSError as error:
        raise ConnectionLost(
            f"cookie file {path}: cannot be read ({error.strerror}); the node writes it when it "
            "starts"
        ) from error
    if not text:
        raise ConnectionLost(f"cookie file {path}: is empty; the node may be writing it")
    if ":" not in text or not text.isprintable():
        raise PoolRefused(
            f"cookie file {path}: is not one line of user:password; name the file .cookie in the "
            "node's data folder"
        )
    return text
