"""Records the bytes of pool sessions as lines of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from miner.clock import Clock
from miner.errors import ConfigError, ConnectionLost
from miner.formatting import format_bytes
from miner.net.address import DEFAULT_PASSWORD, PoolUrl
from miner.net.dial import Stream
from miner.stratum.dialect import Dialect
from miner.stratum.dialects import DIALECTS
from miner.stratum.opening import Opening
from miner.stratum.wire_format import encode
from miner.work import Solution

FORMAT = 1

LIMIT_BYTES = 1 << 30
"""Size at which a recording ends."""

PASSWORD_MASK = "***"
"""Recorded in place of the password."""


class Recorder:
    """Writes the bytes of wrapped streams to a file, without passwords.

        with Recorder(path, clock, report) as recorder:
            connections = Connections(..., recorder=recorder)

    `wrap` wraps each new stream; `submitted` records a solution right before its session gets it.
    The file is readable by its owner only. Raises `ConfigError` if it exists or cannot be created.
    A write error, or a size of `limit` bytes, ends the recording with one call of `report`.
    """

    def __init__(
        self, path: Path, clock: Clock, report: Callable[[str], None], limit: int = LIMIT_BYTES
    ) -> None:
        self._path, self._clock, self._report = path, clock, report
        self._limit = self._bytes_left = limit
        self._started = clock.now()
        self._file: TextIO | None = _created(path)
        self._receiving = False

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def wrap(
        self, stream: Stream, url: PoolUrl, protocol: str, opening: Opening, rig: bytes
    ) -> Stream:
        """Return `stream` wrapped so that it is recorded as connection `opening.session`."""
        self._write(
            "open", opening.session, format=FORMAT, url=url.label, protocol=protocol,
            variant=opening.variant.name, user=opening.user, agent=opening.agent,
            session=opening.session, host=opening.host, port=opening.port,
            diff1=None if opening.diff1 is None else f"{opening.diff1:064x}", resume=opening.resume,
            left_out=" ".join(sorted(opening.left_out)), rig=rig.hex(),
        )  # fmt: skip
        dialect = DIALECTS[protocol]
        mask = PasswordMask(dialect, opening)
        return _RecordedStream(self, stream, opening.session, dialect, mask)

    def submitted(self, solution: Solution) -> None:
        self._write(
            "found", solution.job.session, job=solution.job.id,
            header=solution.job.header_hash.hex(), nonce=f"{solution.nonce:016x}",
            mix_hash=solution.mix_hash.hex(), final_hash=solution.final_hash.hex(),
            device=solution.device, within=self._receiving,
        )  # fmt: skip

    # For the streams

    def received(self, connection: int, data: bytes) -> None:
        """Record received bytes; what we send until `handled` is a reaction to them."""
        self._receiving = True
        self._write("received", connection, text=data.decode("latin-1"))

    def handled(self) -> None:
        """Record nothing more as a reaction to the received bytes."""
        self._receiving = False

    def sent(self, connection: int, data: bytes, hashrate: int | None) -> None:
        """Record sent bytes, their password masked, and the `hashrate` that they report."""
        if hashrate is not None:
            self._write("hashrate", connection, rate=hashrate)
        self._write("sent", connection, text=data.decode("latin-1"))

    def closed(self, connection: int, by: str, reason: str) -> None:
        """Record the end of a connection, by "pool", "fault" (a transport error) or "us"."""
        self._receiving = False
        self._write("closed", connection, by=by, reason=reason)

    def _write(self, kind: str, connection: int, **members: Any) -> None:
        if self._file is None:
            return
        seconds = round(self._clock.now() - self._started, 6)
        record = {"kind": kind, "t": seconds, "connection": connection, **members}
        line = json.dumps(record) + "\n"
        self._bytes_left -= len(line)
        if self._bytes_left < 0:
            self._give_up(f"its limit of {format_bytes(self._limit)} is reached")
            return
        try:
            self._file.write(line)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _give_up(self, reason: str) -> None:
        self.close()
        self._report(f"recording {self._path}: {reason}; the recording ends here, mining continues")


class _RecordedStream:
    """Passes everything through and records it; the end is recorded once."""

    def __init__(
        self,
        recorder: Recorder,
        stream: Stream,
        connection: int,
        dialect: Dialect,
        mask: PasswordMask,
    ) -> None:
        self._recorder, self._stream, self._connection = recorder, stream, connection
        self._dialect, self._mask = dialect, mask
        self._ended = False

    async def read(self, count: int) -> bytes:
        self._recorder.handled()
        try:
            data = await self._stream.read(count)
        except ConnectionLost as error:
            self._end("fault", str(error))
            raise
        if data:
            self._recorder.received(self._connection, data)
        else:
            self._end("pool", "the pool closed the connection")
        return data

    def write(self, data: bytes) -> None:
        if data:
            hashrate = _reported_hashrate(data, self._dialect)
            self._recorder.sent(self._connection, self._mask.apply(data), hashrate)
        self._stream.write(data)

    async def drain(self) -> None:
        self._recorder.handled()
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
            self._recorder.closed(self._connection, by, reason)


class PasswordMask:
    """Replaces the password in requests by `PASSWORD_MASK`.

    In a login every parameter but the user is masked if it equals the password. So is each value
    of requests that the dialect does not list, unless the password is not secret: empty, "x", the
    user or the worker. Shares and hashrate reports stay as they are.
    """

    def __init__(self, dialect: Dialect, opening: Opening) -> None:
        self._dialect, self._password = dialect, opening.password
        public = ("", DEFAULT_PASSWORD, opening.user, opening.worker)
        self._is_secret = opening.password not in public

    def apply(self, data: bytes) -> bytes:
        """Return `data`, whole lines, without the password."""
        return b"".join(map(self._masked_line, data.splitlines(keepends=True)))

    def _masked_line(self, line: bytes) -> bytes:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            quoted = json.dumps(self._password).encode()
            return line.replace(quoted, json.dumps(PASSWORD_MASK).encode())
        masked = self._masked_request(message)
        return encode(masked) if masked != message else line

    def _masked_request(self, message: dict[str, Any]) -> dict[str, Any]:
        method = message.get("method")
        if method in self._dialect.shares | self._dialect.hashrate_reports:
            return message
        masked = dict(message)
        if self._is_secret:
            masked = {
                key: value if key in ("id", "method", "jsonrpc") else self._masked(value)
                for key, value in message.items()
            }
        if method in self._dialect.logins and "params" in message:
            match message["params"]:
                case [user, *rest]:
                    masked["params"] = [user, *self._masked(rest)]
                case params:
                    masked["params"] = self._masked(params)
        return masked

    def _masked(self, value: Any) -> Any:
        match value:
            case str():
                return PASSWORD_MASK if value == self._password else value
            case list():
                return [self._masked(item) for item in value]
            case dict():
                return {key: self._masked(item) for key, item in value.items()}
        return value


def _reported_hashrate(data: bytes, dialect: Dialect) -> int | None:
    """Return the hashes per second that `data` reports, None if it is not a report."""
    try:
        message = json.loads(data)
        if message["method"] in dialect.hashrate_reports:
            return int(message["params"][0], 16)
    except (ValueError, KeyError, TypeError, IndexError):
        pass
    return None


def _created(path: Path) -> TextIO:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"recording {path}: the file exists already; name another one") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"recording {path}: cannot be written: {reason}") from error
    return open(number, "w", buffering=1, encoding="ascii")
