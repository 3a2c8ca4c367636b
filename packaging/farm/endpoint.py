"""The running miner's answers over HTTP."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import Any

SECONDS = 5.0
"""Time for an answer; the agents that ask wait at least three times as long."""

LARGEST = 1 << 20
"""Bytes of the longest answer that is read."""


def answer(listen: str, path: str) -> dict[str, Any] | None:
    """Return the JSON object that the miner listening on `listen` ("HOST:PORT") has at `path`;
    None where there is none."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if not port.isdecimal():
        return None
    connection = HTTPConnection(host, int(port), timeout=SECONDS)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        text = response.read(LARGEST + 1)
        if response.status != 200 or len(text) > LARGEST:
            return None
        value = json.loads(text)
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return value if isinstance(value, dict) else None
