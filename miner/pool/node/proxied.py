"""The way of HTTP requests through a SOCKS5 proxy."""

from __future__ import annotations

import ssl

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.tracing import Trace

from miner.pool.transport.socks import connected, parse_proxy
from miner.pool.transport.tls import check_fingerprint
from miner.pool.url import PoolUrl


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
