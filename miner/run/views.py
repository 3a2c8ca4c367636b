"""The views of a run: console, log file, share ledger, history, API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from miner.api.api_server import ApiServer
from miner.api.context import ApiContext, CachedSnapshot, RunControl
from miner.api.path_redaction import PathRedactor
from miner.api.v1 import degradation
from miner.clock import Clock
from miner.console import LogFile, open_console, summary
from miner.engine.threads import WorkPool
from miner.ledger import Ledger
from miner.net.address import HostPort
from miner.panels import ethminer_rpc, http_panels, sgminer_api
from miner.resources import cache_directory, open_at_once, state_directory
from miner.run.run_config import ReloadedConfig, RunConfig
from miner.safe_text import Redactor
from miner.telemetry import History, Journal, Level, Telemetry


class Views:
    """Opens all views before the run and closes them after it; used on the event loop only.

    Files are written and read in `disk`. Raises `ConfigError` for a required ledger that cannot be
    opened.
    """

    def __init__(
        self,
        config: RunConfig,
        telemetry: Telemetry,
        journal: Journal,
        clock: Clock,
        stream: TextIO,
        disk: WorkPool,
        redactor: Redactor,
    ) -> None:
        self._config, self._telemetry, self._journal = config, telemetry, journal
        self._clock, self._disk = clock, disk
        self._history = History(telemetry.snapshot, clock)
        self._console = open_console(
            config.log.console, telemetry, journal, clock, stream, redactor
        )
        self._redact_paths = self._path_redactor()
        self._log = self._new_log(redactor)
        self._ledger = self._new_ledger()
        self.set_level(config.live.level)
        for topic, text in config.notes:
            journal.add(topic, text)
        if lost := degradation(telemetry.snapshot()):
            text = f"only {lost[0]}: {'; '.join(lost[1:])}"
            journal.add("devices", text, Level.WARNING)

    def write(self, line: str) -> None:
        """Show a line on the console that belongs to no event."""
        self._console.write(line)

    def set_level(self, level: Level) -> None:
        """Show and log entries of `level` and above from now on."""
        self._journal.detailed = level == Level.DEBUG
        self._console.set_level(level)
        if self._log:
            self._log.set_level(level)

    def hide_paths(self, config: ReloadedConfig) -> None:
        """Hide the paths of these settings from clients of the API, too."""
        self._redact_paths.add(_paths_in(config))

    def reopen(self) -> None:
        """Write the log to a new file if the old one was moved away."""
        if self._log:
            self._log.reopen()

    def start(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start the periodic tasks in `group`; they run until cancelled."""
        running = [self._console.keep(), self._history.keep()]
        if self._log:
            running.append(self._log.keep())
        if self._ledger:
            running.append(self._ledger.run(self._disk))
        return [group.create_task(one) for one in running]

    @asynccontextmanager
    async def ports(self, control: RunControl) -> AsyncIterator[None]:
        """Serve the configured API and panels during the block.

        Raises `AddressTaken` or `ConfigError` for an address that cannot be listened on.
        """
        config = self._config
        snapshots = CachedSnapshot(self._telemetry.snapshot, self._telemetry, self._clock)
        context = ApiContext(
            snapshots, self._journal, self._history, self._clock, control,
            self._newest_shares if self._ledger else None, self._redact_paths,
        )  # fmt: skip
        token = config.api.token if config.api else None
        listening: HostPort | None = None
        async with AsyncExitStack() as stack:
            if config.api:
                server = await stack.enter_async_context(
                    ApiServer(config.api, context, panel_routes=http_panels.routes)
                )
                listening = server.address
            if config.ethminer is not None:
                await stack.enter_async_context(ethminer_rpc.port(context, *config.ethminer, token))
            if config.sgminer is not None:
                await stack.enter_async_context(
                    sgminer_api.port(context, *config.sgminer, token is not None)
                )
            self._publish(listening)
            yield

    def close(self) -> None:
        """Show the summary of the run and close all files."""
        if self._ledger:
            self._ledger.close()
        lines = summary(self._telemetry.snapshot())
        self._console.close(lines)
        if self._log:
            self._log.close(lines)

    def _publish(self, address: HostPort | None) -> None:
        """Write the API's address to the file that the settings name for it, if they do."""
        path = self._config.address_file
        if path is None:
            return
        try:
            with open(path, "w", encoding="utf-8", opener=open_at_once) as file:
                file.write(f"{address or 'off'}\n")
        except OSError as error:
            sentence = f"address_file {path} cannot be written: {error.strerror or error}"
            self._journal.add("api", sentence, Level.WARNING)

    def _new_log(self, redactor: Redactor) -> LogFile | None:
        log = self._config.log
        if log.file is None:
            return None
        return LogFile(
            log.file, self._telemetry, self._journal, self._clock,
            partial(self._journal.add, "log", level=Level.WARNING),
            redactor, log.format, log.max_bytes, log.keep,
        )  # fmt: skip

    def _new_ledger(self) -> Ledger | None:
        config = self._config.ledger
        if config is None:
            return None
        ledger = Ledger(
            config.path,
            self._clock,
            devices=[device.info for device in self._config.devices],
            max_bytes=config.max_bytes,
            max_days=config.max_days,
            rig=self._config.rig,
            report=partial(self._journal.add, "ledger", level=Level.WARNING),
        )
        ledger.open(config.required)
        self._telemetry.subscribe(ledger.event)
        return ledger

    def _path_redactor(self) -> PathRedactor:
        """Return a redactor that knows the paths of this run."""
        config = self._config
        paths: list[Path | None] = [cache_directory(), state_directory()]
        with suppress(RuntimeError):  # a user without a home directory
            paths.append(Path.home())
        paths += [config.log.file, config.ledger.path if config.ledger else None, config.record]
        return PathRedactor([*filter(None, paths), *_paths_in(config)])

    async def _newest_shares(self, limit: int) -> Sequence[Mapping[str, Any]]:
        assert self._ledger is not None
        return await self._ledger.newest(limit, self._disk)


def _paths_in(config: RunConfig | ReloadedConfig) -> Iterator[Path]:
    """Yield the paths in the settings that a reload reads again."""
    yield from config.private_files
    yield from (value for value in config.fixed.values() if isinstance(value, Path))
    for pool in config.live.pools:
        yield from (Path(file) for file in (pool.ca_file, pool.cookie_file) if file)
