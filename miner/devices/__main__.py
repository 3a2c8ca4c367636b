"""The child process in which a driver is tried: `python -m miner.devices`, for the miner only.

The process reads one pickled request from its standard input and writes the answer, a line of JSON,
to its standard output. The driver's own output goes to the standard error stream. Requests and
answers:

    ("list", backend)                   {"devices": [...], "problems": [...]} or {"missing": "..."}
    ("try", backend, info, variant)     {"problem": "..."}, or null instead of the text
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from miner.devices.backend import Backend
from miner.devices.registry import backend_named
from miner.errors import BackendUnavailable

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer one request."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a driver's call would delay Python's handler
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    request = pickle.load(sys.stdin.buffer)
    copies = os.dup(1), os.dup2(1, 0)
    os.dup2(2, 1)
    answer = json.dumps(_answer(request)).encode() + b"\n"
    for descriptor in copies:
        with suppress(OSError), open(descriptor, "wb") as file:  # a driver may have closed one
            file.write(answer)
            break
    os._exit(0)  # without the driver's exit handlers


def _answer(request: tuple[Any, ...]) -> dict[str, object]:
    match request:
        case ("list", name):
            return _listed(backend_named(name))
        case ("try", name, info, variant):
            from miner.devices.known_answers import problem_of

            try:
                return {"problem": problem_of(backend_named(name), info, variant)}
            except Exception as error:  # noqa: BLE001  (bindings raise errors of any type)
                return {"problem": f"{type(error).__name__}: {error}"}
    raise ValueError(f"unknown request {request!r}")


def _listed(backend: Backend) -> dict[str, object]:
    try:
        devices = [asdict(info) for info in backend.devices()]
    except BackendUnavailable as error:
        return {"missing": str(error), "problems": list(backend.problems())}
    return {"devices": devices, "problems": list(backend.problems())}


if __name__ == "__main__":
    main()
