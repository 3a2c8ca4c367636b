"""The command that asks a running miner how it is."""

from __future__ import annotations

import http.client
import json
import os
from urllib.parse import SplitResult, urlsplit

import click

from miner.errors import BadValue, CheckFailed
from miner.safe_text import one_line

USUAL = "http://127.0.0.1:4067"

LISTEN = "PROGPOW_MINER_API_LISTEN"
"""What sets the API's address in the environment, as in a container."""

MOST_BYTES = 65536
"""Of an answer that are read."""


@click.command()
@click.option("--ready", is_flag=True, help="Ask whether it searches, not only whether it lives.")
@click.option(
    "--url", metavar="URL",
    help=f"Where its API listens (default: as {LISTEN} says, else {USUAL}).",
)  # fmt: skip
@click.option(
    "--timeout", "seconds", default=5.0, show_default=True, metavar="SECONDS",
    type=click.FloatRange(0, 600, min_open=True), help="How long to wait for it.",
)  # fmt: skip
def health(ready: bool, url: str | None, seconds: float) -> None:
    """Ask a running miner how it is: exit code 0 if well, 1 if not.

    A supervisor asks it so. A miner that builds its dataset lives and is not ready; a restart
    does not help it. One with a hung device does not live.
    """
    if not seconds > 0:  # which is true of no number, too
        raise BadValue("--timeout", "nan is not a number of seconds")
    url = url if url is not None else _usual(os.environ.get(LISTEN, ""))
    place = _place(url)
    path = "/readyz" if ready else "/livez"
    status, body = _ask(place, path, seconds)
    reasons = _reasons(body)
    if status == 200 and reasons == []:
        click.echo("ready" if ready else "alive")
        return
    if status == 503 and reasons:
        raise CheckFailed(f"the miner is not {'ready' if ready else 'well'}: {'; '.join(reasons)}")
    told = _error(body) or "it is not a miner's; look at --url"
    raise CheckFailed(f"{url} answers {path} with {status}: {told}")


def _usual(listen: str) -> str:
    """Return where a miner that was told to `listen` there is reached from this machine."""
    host, colon, port = listen.rpartition(":")
    if not colon:
        return USUAL
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}
    return f"http://{here.get(host, host)}:{port}"


def _place(url: str) -> SplitResult:
    try:
        place = urlsplit(url)
        sound = place.scheme == "http" and place.hostname and (place.port or 80) > 0
    except ValueError:
        sound = False
    if not sound:
        raise BadValue("--url", f"{url!r} is no address as in http://127.0.0.1:4067")
    return place


def _ask(place: SplitResult, path: str, seconds: float) -> tuple[int, bytes]:
    """Return status and body; raises `CheckFailed` where nothing answers."""
    where = f"{place.hostname} port {place.port or 80}"
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=seconds)
    try:
        connection.request("GET", place.path.rstrip("/") + path, headers={"Connection": "close"})
        with connection.getresponse() as answer:
            return answer.status, answer.read(MOST_BYTES)
    except TimeoutError as error:
        raise CheckFailed(f"no answer from {where} within {seconds:g} s") from error
    except (http.client.HTTPException, ValueError) as error:
        raise CheckFailed(f"what answers at {where} does not speak HTTP") from error
    except OSError as error:
        raise CheckFailed(
            f"no miner answers at {where}: {error.strerror or error}; is it running, its API on?"
        ) from error
    finally:
        connection.close()


def _reasons(body: bytes) -> list[str] | None:
    """Return why it is not well; None where the answer is no miner's."""
    found = _object(body)
    reasons = found.get("reasons")
    if not isinstance(found.get("ok"), bool) or not isinstance(reasons, list):
        return None
    return [one_line(str(reason)) for reason in reasons]


def _error(body: bytes) -> str:
    return one_line(str(_object(body).get("error", "")))


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
