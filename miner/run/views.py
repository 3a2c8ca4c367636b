"""Everything that shows or keeps what a run does: console, log, ledger, history, API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TextIO

from miner.api.api_server import ApiServer
from miner.api.context import ApiContext, CachedSnapshot, NewestShares, RunControl
from miner.api.path_redaction import PathRedactor
from miner.clock import Clock
from miner.console import LogFile, open_console, summary
from miner.engine.threads import WorkPool
from miner.errors import ConfigError
from miner.ledger import Ledger
from miner.panels import ethminer_rpc, panel_routes, sgminer_api
from miner.resources import cache_directory, state_directory
from miner.run.run_config import Mining
from miner.safe_text import Redactor
from miner.telemetry import History, Journal, Level, Telemetry


class Views:
    """Opened before anything can happen, closed when nothing more will; used on the event loop
    only. `disk` is where files are written and read.

    Raises `ConfigError` for a log file that is a folder, and for a ledger that somebody named and
    that cannot be had.
    """

    def __init__(
        self,
        mining: Mining,
        telemetry: Telemetry,
        journal: Journal,
        clock: Clock,
        stream: TextIO,
        disk: WorkPool,
        redactor: Redactor,
    ) -> None:
        self._mining, self._telemetry, self._journal = mining, telemetry, journal
        self._clock, self._disk = clock, disk
        self._history = History(telemetry.snapshot, clock)
        self._console = open_console(
            mining.log.console, telemetry, journal, clock, stream, redactor
        )
        self._log = self._new_log(redactor)
        self._ledger = self._new_ledger()
        self.set_level(mining.live.level)
        for topic, text in mining.notes:
            journal.say(topic, text)

    def write(self, line: str) -> None:
        """Show a line that belongs to nothing that happened."""
        self._console.write(line)

    def set_level(self, level: Level) -> None:
        """Show and log what matters at least so much, from now on."""
        self._journal.detailed = level == Level.DEBUG
        self._console.set_level(level)
        if self._log:
            self._log.set_level(level)

    def reopen(self) -> None:
        """Write the log to a new file, where the old one was moved away."""
        if self._log:
            self._log.reopen()

    def keep(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start what goes on all the time; the tasks are to be cancelled at the end."""
        running = [self._console.keep(), self._history.keep()]
        if self._log:
            running.append(self._log.keep())
        if self._ledger:
            running.append(self._ledger.run(self._disk.offload))
        return [group.create_task(one) for one in running]

    @asynccontextmanager
    async def ports(self, control: RunControl) -> AsyncIterator[None]:
        """Answer on every address that the settings name, while the block lasts.

        Raises `ConfigError` for an address that cannot be listened on.
        """
        mining = self._mining
        snapshots = CachedSnapshot(self._telemetry.snapshot, self._telemetry, self._clock)
        context = ApiContext(
            snapshots, self._journal, self._history, self._clock, control,
            self._newest_shares(), self._path_redactor(),
        )  # fmt: skip
        token = mining.api.token if mining.api else None
        async with AsyncExitStack() as stack:
            if mining.api:
                await stack.enter_async_context(
                    ApiServer(mining.api, context, panel_routes=panel_routes.routes)
                )
            if (at := mining.ethminer) is not None:
                await stack.enter_async_context(ethminer_rpc.port(context, at.host, at.port, token))
            if (at := mining.sgminer) is not None:
                await stack.enter_async_context(
                    sgminer_api.port(context, at.host, at.port, token is not None)
                )
            yield

    def close(self) -> None:
        """Say how the run went, and write what is not written yet."""
        if self._ledger:
            self._ledger.close()
        lines = summary(self._telemetry.snapshot())
        self._console.close(lines)
        if self._log:
            self._log.close(lines)

    def _new_log(self, redactor: Redactor) -> LogFile | None:
        plan = self._mining.log
        if plan.file is None:
            return None
        if plan.file.is_dir():
            raise ConfigError(f"{plan.file}: is a folder; name a file in it for the log")
        return LogFile(
            plan.file, self._telemetry, self._journal, self._clock,
            lambda text: self._journal.say("log", text, Level.WARNING),
            redactor, plan.format, plan.max_bytes, plan.keep,
        )  # fmt: skip

    def _new_ledger(self) -> Ledger | None:
        plan = self._mining.ledger
        if plan is None:
            return None
        ledger = Ledger(
            plan.path, self._clock, devices=[one.info for one in self._mining.devices],
            max_bytes=plan.max_bytes, max_days=plan.max_days, rig=self._mining.rig,
            report=lambda text: self._journal.say("ledger", text, Level.WARNING),
        )  # fmt: skip
        ledger.open(plan.asked_for)
        self._telemetry.subscribe(ledger.event)
        return ledger

    def _path_redactor(self) -> PathRedactor:
        """Return a redactor that knows the paths of this run."""
        mining = self._mining
        found = [mining.log.file, mining.ledger.path if mining.ledger else None, mining.record]
        found += mining.files
        found += [value for value in mining.fixed.values() if isinstance(value, Path)]
        found += [Path(f) for p in mining.live.pools for f in (p.ca_file, p.cookie_file) if f]
        own = (cache_directory(), state_directory(), Path("~").expanduser())
        return PathRedactor([*own, *(path for path in found if path is not None)])

    def _newest_shares(self) -> NewestShares | None:
        ledger = self._ledger
        return (lambda limit: ledger.newest(limit, self._disk.offload)) if ledger else None
