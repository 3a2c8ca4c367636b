"""Checks on every request, headers on every response, and the form of errors."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, MutableMapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from miner.api.path_redaction import PathRedactor
from miner.api.responses import Error, Response, to_json
from miner.clock import Clock
from miner.telemetry import Journal, Level

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "progpow-miner",
}

STATUS_SENTENCES = {
    404: "unknown address; /api/v1/openapi.json lists the known ones",
    405: "this address does not support this method",
    413: "the body of the request is too large",
    417: "the only supported expectation is 100-continue",
}
"""Sentences for errors that aiohttp raises, by status."""

_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{0,5})?")

REPORT_SECONDS = 10.0
"""Minimum time between two internal errors in the journal."""


def add_security_headers(headers: MutableMapping[str, str]) -> None:
    """Add to a response's `headers` those that every response carries."""
    headers.update(HEADERS)
    headers.setdefault("Cache-Control", "no-store")


async def on_response_prepare(request: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers when aiohttp sends a response."""
    add_security_headers(response.headers)


def json_response(
    answer: Response | Sequence[Response], status: int = 200, redact: PathRedactor | None = None
) -> web.Response:
    """Return `answer` as an HTTP response, its sentences redacted by `redact`."""
    body = to_json(answer, redact)
    return web.Response(body=body, status=status, content_type="application/json")


def error_response(status: int, sentence: str) -> web.Response:
    """Return an error as an HTTP response."""
    return json_response(Error(error=sentence), status)


@lru_cache(maxsize=64)
def refusal_bytes(status: int, sentence: str, retry_after: int, close: bool) -> bytes:
    """Return an error as the bytes of an HTTP/1.1 response, whose connection ends with `close`."""
    body = to_json(Error(error=sentence))
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Content-Length": str(len(body)),
        "Retry-After": str(retry_after),
        "Connection": "close" if close else "keep-alive",
    }
    add_security_headers(headers)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + body


def error_middleware(clock: Clock, journal: Journal) -> Middleware:
    """Return the middleware that gives all errors one form; answers about bugs have no details."""
    reported_at = clock.now() - REPORT_SECONDS

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal reported_at
        try:
            return await handler(request)
        except web.HTTPException as error:
            text = error.text or ""
            general = not text or text.startswith(f"{error.status}: ") or error.status == 413
            if general:
                text = STATUS_SENTENCES.get(error.status, error.reason)
            response = error_response(error.status, text)
            for name in ("Allow", "Retry-After", "WWW-Authenticate"):
                if name in error.headers:
                    response.headers[name] = error.headers[name]
            return response
        except ConnectionError:
            raise
        except Exception as error:
            if clock.now() - reported_at >= REPORT_SECONDS:
                reported_at = clock.now()
                # Without the exception's message, which may contain secrets.
                text = f"internal error: {_kind_and_place(error)}; please report it"
                journal.add("api", text, Level.ERROR)
            if request.writer.output_size > 0:
                raise ConnectionResetError("part of a response was already sent") from error
            return error_response(500, "internal error")

    return middleware


def request_guard(hosts: Iterable[str], max_body: int) -> Middleware:
    """Return the middleware that refuses requests which pages of other origins make browsers
    send, and bodies of more than `max_body` bytes.

    `hosts` are the names, besides localhost and IP addresses, that the header Host may have.
    """
    names = {"localhost", *(name.lower().rstrip(".") for name in hosts)}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _host(request)
        if host is not None and not (host in names or _is_address(host)):
            raise web.HTTPMisdirectedRequest(
                text="unknown host name; use the miner's IP address, or add the name to hosts "
                "under [api]"
            )
        if _is_foreign(request):
            raise web.HTTPForbidden(text="requests from pages of other origins are refused")
        if (request.content_length or 0) > max_body:
            raise web.HTTPRequestEntityTooLarge(max_body, request.content_length or 0)
        return await handler(request)

    return middleware


def _host(request: web.Request) -> str | None:
    """Return the name in the header Host; None without one in HTTP/1.0."""
    given = request.headers.getall("Host", [])
    if not given and request.version < (1, 1):
        return None
    if len(given) != 1:
        raise web.HTTPBadRequest(text="send exactly one header Host")
    found = _HOST.fullmatch(given[0])
    if found is None:
        raise web.HTTPBadRequest(text="the header Host is neither a name nor an address")
    return (found["address"] or found["name"]).lower().rstrip(".")


def _is_address(host: str) -> bool:
    # A foreign name can be made to point at this miner (DNS rebinding), an address cannot.
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_foreign(request: web.Request) -> bool:
    """Return whether a page of another origin made a browser send `request`."""
    headers = request.headers
    origins = headers.getall("Origin", [])
    ours = headers.get("Host", "").lower()
    if any(_netloc(origin) != ours for origin in origins):
        return True
    if headers.get("Sec-Fetch-Site") in (None, "same-origin", "none"):
        return False
    # A link on another page may open ours; frames, objects and scripts may not.
    navigation = headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")
    return navigation != ("navigate", "document") or request.method not in ("GET", "HEAD")


def _netloc(origin: str) -> str:
    """Return host and port of `origin`; empty without them, as in "null"."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _kind_and_place(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"
