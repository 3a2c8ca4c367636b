"""What every request must pass, and what every answer carries."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, MutableMapping, Sequence
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from miner.api.path_redaction import Paths
from miner.api.responses import Error, Response, written
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

SENTENCES = {
    404: "there is nothing at this address; /api/v1/openapi.json lists what there is",
    405: "this address does not take this method",
    413: "the body of the request is too large",
    417: "the only expectation that is met is 100-continue",
}
"""Where the cause has no sentence of its own."""

_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]{0,5})?")

FAULT_SECONDS = 10.0
"""The journal tells of internal errors once in this time."""


def harden(headers: MutableMapping[str, str]) -> None:
    """Give an answer's `headers` what every answer carries."""
    headers.update(HEADERS)
    headers.setdefault("Cache-Control", "no-store")


async def harden_answer(request: web.Request, response: web.StreamResponse) -> None:
    """Do so for aiohttp, as it sends each answer."""
    harden(response.headers)


def answered(
    answer: Response | Sequence[Response], status: int = 200, paths: Paths | None = None
) -> web.Response:
    """Return `answer` as an HTTP response, without `paths`."""
    body = written(answer, paths)
    return web.Response(body=body, status=status, content_type="application/json")


def refused(status: int, sentence: str) -> web.Response:
    """Return an error as an HTTP response."""
    return answered(Error(error=sentence), status)


def errors(clock: Clock, journal: Journal) -> Middleware:
    """Return the middleware that gives every error the same form and tells nothing of a bug but
    that there is one."""
    told = [clock.now() - FAULT_SECONDS]

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            text = error.text or ""
            general = not text or text.startswith(f"{error.status}: ") or error.status == 413
            response = refused(
                error.status, SENTENCES.get(error.status, error.reason) if general else text
            )
            for name in ("Allow", "Retry-After", "WWW-Authenticate"):
                if name in error.headers:
                    response.headers[name] = error.headers[name]
            return response
        except ConnectionError:
            raise
        except Exception as error:
            if clock.now() - told[0] >= FAULT_SECONDS:
                told[0] = clock.now()
                # Never the error's own words: nobody knows what they hold.
                what = _what(error)
                journal.say("api", f"internal error: {what}; please report it", Level.ERROR)
            if request.writer.output_size > 0:
                raise ConnectionResetError("an answer had begun") from error
            return refused(500, "internal error")

    return middleware


def guard(hosts: Iterable[str], body: int) -> Middleware:
    """Return the middleware that refuses what strangers' pages make browsers send.

    `hosts` are the names, besides localhost and addresses, under which we may be spoken to;
    `body` is the largest body in bytes.
    """
    names = {"localhost", *(name.lower().rstrip(".") for name in hosts)}

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _host(request)
        if host is not None and not (host in names or _is_address(host)):
            raise web.HTTPMisdirectedRequest(
                text="this miner is not known by this name; use its address, or add the name to "
                "hosts under [api]"
            )
        if _is_foreign(request):
            raise web.HTTPForbidden(text="pages of other origins may not use this miner")
        if (request.content_length or 0) > body:
            raise web.HTTPRequestEntityTooLarge(body, request.content_length or 0)
        return await handler(request)

    return middleware


def _host(request: web.Request) -> str | None:
    """Return the name in the header Host; None where there is none and need be none."""
    given = request.headers.getall("Host", [])
    if not given and request.version < (1, 1):
        return None
    if len(given) != 1:
        raise web.HTTPBadRequest(text="a request needs exactly one header Host")
    found = _HOST.fullmatch(given[0])
    if found is None:
        raise web.HTTPBadRequest(text="the header Host is neither a name nor an address")
    return (found["address"] or found["name"]).lower().rstrip(".")


def _is_address(host: str) -> bool:
    # A name can be made to point anywhere, an address cannot.
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_foreign(request: web.Request) -> bool:
    """Tell whether a page that is not ours had a browser send `request`."""
    headers = request.headers
    origins = headers.getall("Origin", [])
    ours = headers.get("Host", "").lower()
    if any(_netloc(origin) != ours for origin in origins):
        return True
    if headers.get("Sec-Fetch-Site") in (None, "same-origin", "none"):
        return False
    # A link on another page may lead here; nothing else may, nor a frame or an object in it.
    asked = headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")
    return asked != ("navigate", "document") or request.method not in ("GET", "HEAD")


def _netloc(origin: str) -> str:
    """Return host and port of `origin`; empty where it has none, as "null" has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _what(error: BaseException) -> str:
    """Return kind and place of `error`."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"
