"""What pools say and are told, written down as lines of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from miner.clock import Clock
from miner.errors import ConfigError, ConnectionLost
from miner.net.dial import Stream
from miner.net.pool_url import PoolUrl
from miner.stratum.client_side import Opening
from miner.stratum.framing import encode
from miner.work import Solution

FORMAT = 1

PASSWORD_MASK = "***"
"""Stands where a password was sent."""

LOGINS = frozenset({"mining.authorize", "eth_submitLogin", "sero_submitLogin", "login"})
"""Requests with a password."""

REPORTS = ("_submitHashrate", ".hashrate")
"""How the names of requests end whose first parameter is our hashrate, in hex."""


class Recorder:
    """Writes what passes through the streams that it wraps to a file, without any password.

        with Recorder(path, clock, tell) as recorder:
            connections = Connections(..., recorder=recorder)

    `opened` wraps each new stream; `found` is told of every solution right before its session is
    handed it, also of one that waited for that session. `path` must not exist yet; only its owner
    may read it. A fault of the disk ends the recording with one sentence to `tell`, and nothing
    else. Raises `ConfigError` where the file cannot be made.
    """

    def __init__(self, path: Path, clock: Clock, tell: Callable[[str], None]) -> None:
        self._path, self._clock, self._tell = path, clock, tell
        self._begun = clock.now()
        self._file: TextIO | None = _created(path)
        self._receiving = False

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the recording."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def opened(
        self, stream: Stream, url: PoolUrl, protocol: str, opening: Opening, rig: bytes
    ) -> Stream:
        """Return a stream that does as `stream` and is recorded as `opening.session`."""
        self._note(
            "open",
            opening.session,
            format=FORMAT,
            url=url.label,
            protocol=protocol,
            variant=opening.variant.name,
            user=opening.user,
            agent=opening.agent,
            session=opening.session,
            host=opening.host,
            port=opening.port,
            diff1=None if opening.diff1 is None else f"{opening.diff1:064x}",
            resume=opening.resume,
            rig=rig.hex(),
        )
        return _RecordedStream(self, stream, opening.session, opening.password)

    def found(self, solution: Solution) -> None:
        """Note that `solution` is handed in to the session of its job."""
        self._note(
            "found",
            solution.job.session,
            job=solution.job.id,
            header=solution.job.header_hash.hex(),
            nonce=f"{solution.nonce:016x}",
            mix_hash=solution.mix_hash.hex(),
            final_hash=solution.final_hash.hex(),
            device=solution.device,
            within=self._receiving,
        )

    # For the streams

    def received(self, connection: int, data: bytes) -> None:
        """Note that `data` came; until `taken` it is what everything happens because of."""
        self._receiving = True
        self._note("received", connection, text=data.decode("latin-1"))

    def taken(self) -> None:
        """Note that all that came has been dealt with."""
        self._receiving = False

    def sent(self, connection: int, data: bytes, password: str) -> None:
        """Note that `data` is sent, without `password`."""
        if (rate := _reported_rate(data)) is not None:
            self._note("hashrate", connection, rate=rate)
        self._note("sent", connection, text=masked(data, password).decode("latin-1"))

    def closed(self, connection: int, by: str, reason: str) -> None:
        """Note the end of a connection; `by` is "pool", "fault" (of the transport) or "us"."""
        self._receiving = False
        self._note("closed", connection, by=by, reason=reason)

    def _note(self, kind: str, connection: int, **more: Any) -> None:
        if self._file is None:
            return
        seconds = round(self._clock.now() - self._begun, 6)
        line = json.dumps({"kind": kind, "t": seconds, "connection": connection, **more})
        try:
            self._file.write(line + "\n")
        except OSError as error:
            self.close()
            self._tell(
                f"recording {self._path}: {error.strerror}; it ends here, mining goes on without"
            )


class _RecordedStream:
    """Passes everything through; how it ended is noted once."""

    def __init__(self, tape: Recorder, stream: Stream, connection: int, password: str) -> None:
        self._tape, self._stream = tape, stream
        self._connection, self._password = connection, password
        self._ended = False

    async def read(self, count: int) -> bytes:
        self._tape.taken()
        try:
            data = await self._stream.read(count)
        except ConnectionLost as error:
            self._end("fault", str(error))
            raise
        if data:
            self._tape.received(self._connection, data)
        else:
            self._end("pool", "the pool closed the connection")
        return data

    def write(self, data: bytes) -> None:
        if data:
            self._tape.sent(self._connection, data, self._password)
        self._stream.write(data)

    async def drain(self) -> None:
        self._tape.taken()
        try:
            await self._stream.drain()
        except ConnectionLost as error:
            self._end("fault", str(error))
            raise

    async def close(self) -> None:
        self._end("us", "we left")
        await self._stream.close()

    def _end(self, by: str, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._tape.closed(self._connection, by, reason)


def masked(data: bytes, password: str) -> bytes:
    """Return `data`, whole lines of ours, with `PASSWORD_MASK` for `password` in the logins."""
    return b"".join(_masked_line(line, password) for line in data.splitlines(keepends=True))


def _masked_line(line: bytes, password: str) -> bytes:
    try:
        message = json.loads(line)
    except ValueError:
        return line.replace(json.dumps(password).encode(), json.dumps(PASSWORD_MASK).encode())
    if not isinstance(message, dict) or message.get("method") not in LOGINS:
        return line
    match message.get("params"):
        case [user, *rest]:
            params: Any = [user, *(PASSWORD_MASK if value == password else value for value in rest)]
        case dict(named):
            params = {
                key: PASSWORD_MASK if value == password and key != "login" else value
                for key, value in named.items()
            }
        case _:
            return line
    return encode(message | {"params": params})


def _reported_rate(data: bytes) -> int | None:
    """Return the hashes a second that `data` reports, None if it is no report."""
    try:
        message = json.loads(data)
        if message["method"].endswith(REPORTS):
            return int(message["params"][0], 16)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        pass
    return None


def _created(path: Path) -> TextIO:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError(
            f"recording {path}: there is such a file already; name another one"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"recording {path}: cannot be written: {reason}") from error
    return open(number, "w", buffering=1, encoding="ascii")
