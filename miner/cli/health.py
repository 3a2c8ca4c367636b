"""The command `health`, which asks a running miner for its state. For supervisors: starts fast."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import click

from miner.cli.options import JSON_OPTION, Seconds, print_json, print_line
from miner.errors import BadValue, CheckFailed, ConfigError
from miner.net.address import HostPort, parse_host_port
from miner.resources import parse_toml, read_text
from miner.safe_text import short_line

DEFAULT_URL = "http://127.0.0.1:4067"

LISTEN_VARIABLE = "PROGPOW_MINER_API_LISTEN"
ADDRESS_VARIABLE = "PROGPOW_MINER_API_ADDRESS_FILE"
CONFIG_VARIABLE = "PROGPOW_MINER_CONFIG"

RESPONSE_LIMIT = 65536
"""Bytes of a response that are read."""

LINE_LIMIT = 500
"""Characters of a reason that are shown."""


@click.command()
@click.option("--ready", is_flag=True, help="Check whether it mines, not only whether it is alive.")
@click.option(
    "--url", metavar="URL",
    help=f"Address of its API. Default: that in the file {ADDRESS_VARIABLE}, else that in "
    f"{LISTEN_VARIABLE}, else that in the settings file {CONFIG_VARIABLE}, else {DEFAULT_URL}.",
)  # fmt: skip
@click.option(
    "--timeout", "seconds", default=5.0, show_default=True, metavar="SECONDS",
    type=Seconds(0, 600, min_open=True), help="Timeout of the request.",
)  # fmt: skip
@JSON_OPTION
def health(ready: bool, url: str | None, seconds: float, as_json: bool) -> None:
    """Check whether a running miner is healthy.

    The exit code is 0 if it is healthy, else 1. A miner that builds its dataset is alive but not
    ready; restarting it does not help. A miner with a hung device is not alive. Where the API is
    off, only --ready fails.
    """
    if url is None:
        listen = os.environ.get(LISTEN_VARIABLE, "").strip()
        listen = _written_address() or listen or _configured_address()
        if listen == "off" and not ready:
            if as_json:
                print_json({"ok": True, "checked": None, "reasons": []})
            else:
                print_line("the API is off, so nothing is checked")
            return
        url = _default_url(listen)
    parsed = _parse_url(url)
    path = "/readyz" if ready else "/livez"
    status, body = _get(parsed, path, seconds)
    reasons = _reasons(body)
    good = status == 200 and reasons == []
    if as_json and (good or (status == 503 and reasons)):
        print_json({"ok": good, "checked": path[1:], "reasons": reasons})
        raise click.exceptions.Exit(0 if good else 1)
    if good:
        click.echo("ready" if ready else "alive")
        return
    if status == 503 and reasons:
        state = "ready" if ready else "healthy"
        raise CheckFailed(f"the miner is not {state}: {'; '.join(reasons)}")
    problem = _error(body) or "this is not a miner; check --url"
    raise CheckFailed(f"{url} answers {path} with {status}: {problem}")


def _written_address() -> str:
    """Return what a run wrote into its `api.address_file`; empty without one."""
    path = os.path.expanduser(os.environ.get(ADDRESS_VARIABLE, "").strip())
    if path:
        with suppress(OSError, UnicodeDecodeError), open(path, encoding="utf-8") as file:
            return file.readline(RESPONSE_LIMIT).strip()
    return ""


def _configured_address() -> str:
    """Return the API's address, or "off", in the settings file that the environment names; empty
    without one."""
    path = os.path.expanduser(os.environ.get(CONFIG_VARIABLE, "").strip())
    if not path:
        return ""
    try:
        api = parse_toml(read_text(Path(path), path), path).get("api")
    except (ConfigError, ValueError):
        return ""  # the miner reports it when it starts
    listen = api.get("listen") if isinstance(api, dict) else None
    return listen.strip() or "off" if isinstance(listen, str) else ""


def _default_url(listen: str) -> str:
    """Return the URL at which this machine reaches a miner that listens on `listen`."""
    try:
        address = parse_host_port(listen)
    except ConfigError:
        return DEFAULT_URL
    return f"http://{HostPort(address.local_host, address.port)}"


def _parse_url(url: str) -> SplitResult:
    try:
        parsed = urlsplit(url)
        is_host = re.fullmatch(r"[!-~]+", parsed.hostname or "")
        valid = parsed.scheme == "http" and is_host and (parsed.port or 80) > 0
    except ValueError:
        valid = False
    if not valid:
        raise BadValue("--url", f"{url!r} must be written as in {DEFAULT_URL}")
    return parsed


def _get(url: SplitResult, path: str, seconds: float) -> tuple[int, bytes]:
    """Return status and body of the response; raises `CheckFailed` without one."""
    import http.client

    where = f"{url.hostname} port {url.port or 80}"
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=seconds)
    try:
        connection.request("GET", url.path.rstrip("/") + path, headers={"Connection": "close"})
        with connection.getresponse() as response:
            return response.status, response.read(RESPONSE_LIMIT)
    except TimeoutError as error:
        raise CheckFailed(f"no answer from {where} within {seconds:g} s") from error
    except (http.client.HTTPException, ValueError) as error:
        raise CheckFailed(f"the server at {where} does not speak HTTP") from error
    except OSError as error:
        raise CheckFailed(
            f"no miner answers at {where}: {error.strerror or error}; check that it runs and that "
            "its API is on"
        ) from error
    finally:
        connection.close()


def _reasons(body: bytes) -> list[str] | None:
    """Return the reasons for which the miner is not healthy; None if `body` is not a miner's."""
    found = _object(body)
    reasons = found.get("reasons")
    if not isinstance(found.get("ok"), bool) or not isinstance(reasons, list):
        return None
    return [short_line(str(reason), LINE_LIMIT) for reason in reasons]


def _error(body: bytes) -> str:
    return short_line(str(_object(body).get("error", "")), LINE_LIMIT)


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
