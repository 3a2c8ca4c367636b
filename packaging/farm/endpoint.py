"""Requests to the HTTP API of the running miner."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import Any

from miner.errors import ConfigError
from miner.net.address import parse_host_port

SECONDS = 5.0
"""Timeout of an answer; the farm systems' agents wait at least three times as long."""

LARGEST = 1 << 20
"""Bytes of the longest answer that is read."""


def answer(listen: str, path: str) -> dict[str, Any] | None:
    """Return the JSON object at `path` from the miner that listens on `listen` ("HOST:PORT");
    None if there is no miner or no such object."""
    try:
        address = parse_host_port(listen)
    except ConfigError:
        return None
    connection = HTTPConnection(address.local_host, address.port, timeout=SECONDS)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        text = response.read(LARGEST + 1)
        if response.status != 200 or len(text) > LARGEST:
            return None
        value = json.loads(text)
    except (OSError, HTTPException, ValueError, RecursionError):
        return None
    finally:
        connection.close()
    return value if isinstance(value, dict) else None
