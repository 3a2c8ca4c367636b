"""JSON-RPC with a node over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from miner.clock import Clock
from miner.errors import ConnectionLost, PoolError, PoolRefused, ProtocolError
from miner.net.pool_url import PoolUrl
from miner.net.socks import connected, parse_proxy
from miner.net.tls import check_fingerprint, distrusted, tls_context
from miner.stratum.outcomes import sanitised


class ProxiedConnector(aiohttp.BaseConnector):
    """Connects to `url` alone, through its proxy, which also looks up the name; `tls` is None for
    plain HTTP. All parts of it together take at most `limit` seconds."""

    def __init__(
        self, url: PoolUrl, tls: ssl.SSLContext | None, limit: float, *, force_close: bool
    ) -> None:
        super().__init__(force_close=force_close, limit=0)
        assert url.proxy is not None
        self._url, self._context, self._limit_seconds = url, tls, limit
        self._way = parse_proxy(url.proxy)

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        url = self._url
        found = await connected(self._way, url.host, url.port, self._limit_seconds)
        transport, protocol = await self._loop.create_connection(
            self._factory,
            sock=found,
            ssl=self._context,
            server_hostname=url.host if self._context is not None else None,
            ssl_handshake_timeout=self._limit_seconds if self._context is not None else None,
        )
        if shown := transport.get_extra_info("ssl_object"):
            try:
                check_fingerprint(url, shown.getpeercert(binary_form=True))
            except BaseException:
                transport.abort()
                raise
        return protocol


CALL_SECONDS = 30.0
"""For one answer, unless a call says otherwise; a node that verifies a block is slow."""

CONNECT_SECONDS = 10.0

BODY_LIMIT = 64 * 2**20
"""Bytes of an answer; a template with a full block in hex is a few million."""

COOKIE_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class RpcAnswer:
    """What a node answered; `result` means nothing where there is an error."""

    result: Any = None
    error: Any = None
    """None where the call succeeded, else what stood in the answer, of any shape."""

    @property
    def code(self) -> int:
        """The error's number, 0 where it has none."""
        code = self.error.get("code") if isinstance(self.error, dict) else None
        return code if isinstance(code, int) else 0

    @property
    def text(self) -> str:
        """The error's words on one line."""
        error = self.error
        if isinstance(error, dict):
            error = error.get("message")
        return sanitised(error) if isinstance(error, str) else f"error {self.code}"


class NodeRpc:
    """Calls methods of one node; used inside `async with`.

    Calls may overlap: each has a connection to itself as long as it lasts. With `fresh`, none
    is used twice, so that no request goes out on a connection that the node has just closed.
    """

    def __init__(self, url: PoolUrl, clock: Clock, agent: str, *, fresh: bool = False) -> None:
        self._url, self._clock, self._agent = url, clock, agent
        scheme = "https" if url.transport.has_tls else "http"
        host = f"[{url.host}]" if ":" in url.host else url.host
        self._address = f"{scheme}://{host}:{url.port}{url.path or '/'}"
        self._fresh = fresh
        self._http: aiohttp.ClientSession | None = None
        self._calls = 0

    async def __aenter__(self) -> NodeRpc:
        self._http = aiohttp.ClientSession(
            connector=self._connector(),
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
        """Return the node's answer, an RPC error included, within `seconds`.

        Raises `PoolRefused` for refused credentials or a certificate, `ConnectionLost` where no
        whole answer came, `ProtocolError` for one that is no JSON-RPC.
        """
        async with asyncio.TaskGroup() as group:
            call = group.create_task(self._outcome(method, params or []))
            limit = group.create_task(self._clock.sleep(seconds))
            await asyncio.wait((call, limit), return_when=asyncio.FIRST_COMPLETED)
            limit.cancel()
            if not call.done():
                call.cancel()
        if call.cancelled():
            raise ConnectionLost(f"{self._where}: no answer to {method} within {seconds:g} s")
        outcome = call.result()
        if isinstance(outcome, PoolError):
            raise outcome from outcome.__cause__
        return outcome

    @property
    def _where(self) -> str:
        return f"node {self._url.host}, port {self._url.port}"

    async def _outcome(self, method: str, params: list[Any]) -> RpcAnswer | PoolError:
        """As `call`, with failures returned: a task group would wrap what is raised."""
        try:
            return await self._posted(method, params)
        except PoolError as error:
            return error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = self._translated(error, method)
            failure.__cause__ = error
            return failure

    async def _posted(self, method: str, params: list[Any]) -> RpcAnswer:
        assert self._http is not None, "used outside of `async with`"
        self._calls += 1
        message = {"jsonrpc": "1.0", "id": self._calls, "method": method, "params": params}
        if method.startswith(("eth_", "sero_")):
            message["jsonrpc"] = "2.0"
        login = self._login()
        async with self._http.post(
            self._address,
            data=json.dumps(message).encode("ascii"),
            headers=login,
            allow_redirects=False,
        ) as response:
            body = await self._body(response)
            if response.status == 401 and self._login() != login:
                raise ConnectionLost(f"{self._where}: it has just been started with a new cookie")
            return self._parsed(response, body)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_chunked(2**18):
            body += piece
            if len(body) > BODY_LIMIT:
                raise ProtocolError(f"{self._where}: an answer is longer than {BODY_LIMIT} bytes")
        return bytes(body)

    def _parsed(self, response: aiohttp.ClientResponse, body: bytes) -> RpcAnswer:
        """RPC errors come with HTTP 500, 404 or 400: the body decides, except on credentials."""
        status = response.status
        if status in (401, 403):
            hint = "check user and password, or name the node's cookie file"
            if status == 403:
                hint = "allow this machine with rpcallowip= in the node's configuration"
            raise PoolRefused(f"{self._where}: it refused us (HTTP {status}); {hint}")
        try:
            message = json.loads(body.decode("utf-8"))
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict) and ("result" in message or message.get("error") is not None):
            return RpcAnswer(message.get("result"), message.get("error"))
        if status >= 500 or status == 429:
            words = sanitised(body[:400].decode("utf-8", "replace")) or response.reason or ""
            raise ConnectionLost(f"{self._where}: it is busy or failing (HTTP {status}: {words})")
        raise ProtocolError(
            f"{self._where}: it answers HTTP {status} without JSON-RPC; check that this is the "
            "node's RPC port, not that of its network or of a pool"
        )

    def _login(self) -> dict[str, str]:
        """The cookie is read anew each time: a node writes another one at each start."""
        if self._url.cookie_file is not None:
            return self._cookie(Path(self._url.cookie_file))
        if not self._url.user:
            return {}
        return _basic(f"{self._url.user}:{self._url.password}")

    def _cookie(self, path: Path) -> dict[str, str]:
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(COOKIE_LIMIT).strip()
        except UnicodeDecodeError:
            text = ""
        except OSError as error:
            raise ConnectionLost(
                f"cookie file {path}: cannot be read ({error.strerror}); the node writes it when "
                "it starts"
            ) from error
        else:
            if not text:
                raise ConnectionLost(f"cookie file {path}: is empty; the node may be writing it")
        if ":" not in text or not text.isprintable():
            raise PoolRefused(
                f"cookie file {path}: is not one line of user:password; name the file .cookie in "
                "the node's data folder"
            )
        return _basic(text)

    def _connector(self) -> aiohttp.BaseConnector:
        url = self._url
        tls = tls_context(url) if url.transport.has_tls else None
        if url.proxy is not None:
            return ProxiedConnector(url, tls, CONNECT_SECONDS, force_close=self._fresh)
        check: ssl.SSLContext | aiohttp.Fingerprint | bool = tls or True
        if tls is not None and url.tls_fingerprint is not None:
            check = aiohttp.Fingerprint(bytes.fromhex(url.tls_fingerprint))
        return aiohttp.TCPConnector(ssl=check, force_close=self._fresh, limit=0)

    def _translated(self, error: Exception, method: str) -> PoolError:
        match error:
            case aiohttp.ClientConnectorCertificateError():
                cause = error.certificate_error
                if isinstance(cause, ssl.SSLCertVerificationError):
                    return distrusted(self._url, cause)
                return PoolRefused(f"{self._where}: its certificate is not trusted")
            case aiohttp.ClientOSError(__cause__=ssl.SSLError() as cause) if not isinstance(
                error, aiohttp.ClientConnectorError
            ):
                # So come the errors of a handshake beyond a proxy.
                return self._translated(cause, method)
            case ssl.SSLCertVerificationError():
                return distrusted(self._url, error)
            case aiohttp.ServerFingerprintMismatch():
                return PoolRefused(
                    f"{self._where}: its certificate has the fingerprint {error.got.hex()}, not "
                    f"{error.expected.hex()}; pin it only if it is the node's new one"
                )
            case aiohttp.ClientSSLError() | ssl.SSLError():
                return ConnectionLost(
                    f"{self._where}: no TLS connection; check whether this port is for http://"
                )
            case aiohttp.ClientConnectorError(os_error=socket.gaierror()):
                return ConnectionLost(
                    f"{self._where}: the name cannot be resolved; check its spelling"
                )
            case aiohttp.ClientConnectorError():
                reason = error.os_error.strerror or "no connection"
                if isinstance(error.os_error, ConnectionRefusedError):
                    reason = "nothing listens there"
                return ConnectionLost(
                    f"{self._where}: {reason.lower()}; check that the node runs, its RPC port, and "
                    "rpcbind= and rpcallowip= in its configuration"
                )
            case TimeoutError():
                return ConnectionLost(f"{self._where}: no connection within {CONNECT_SECONDS:g} s")
            case aiohttp.InvalidURL() | UnicodeError():
                return PoolRefused(
                    f"{self._where}: this is no usable address of a node; check its spelling"
                )
        other = "http://" if self._url.transport.has_tls else "https://"
        return ConnectionLost(
            f"{self._where}: the connection broke before {method} was answered; if that stays so, "
            f"check that this is the node's RPC port, and whether it is for {other}"
        )


def _basic(login: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode('ascii')}"}
