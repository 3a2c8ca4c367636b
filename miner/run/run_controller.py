"""The user's requests to a run: pause, resume, reload of the settings."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from miner.engine.engine import Engine
from miner.errors import ConfigError, UsageError
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.run.run_config import LiveConfig, RunConfig
from miner.run.views import Views
from miner.safe_text import Redactor
from miner.sensors.heat import HeatGuard
from miner.telemetry.events import Emit, SettingsRead

REQUEST = "request"
"""Source of pauses by request, for `Engine.pause`; a pause for heat is another one."""

ALGORITHM_KEYS = frozenset({"coin", "variant"})
"""Settings that decide what the pools must offer."""


class RunController:
    """The API's `RunControl`. Used on the event loop only."""

    def __init__(
        self,
        config: RunConfig,
        engine: Engine,
        client: PoolClient,
        connections: Connections,
        guard: HeatGuard,
        views: Views,
        redactor: Redactor,
        emit: Emit,
    ) -> None:
        self._config, self._live = config, config.live
        self._engine, self._client, self._connections = engine, client, connections
        self._guard, self._views, self._redactor = guard, views, redactor
        self._emit = emit
        self._reloading = asyncio.Lock()

    def pause(self, device: str | None) -> None:
        """Pause the device of that name, or all; raises `KeyError` for an unknown name."""
        for name in self._named(device):
            self._engine.pause(name, REQUEST, "by request")

    def resume(self, device: str | None) -> None:
        """End the pause of a device, or of all; a pause for heat stays."""
        for name in self._named(device):
            self._engine.resume(name, REQUEST)

    async def reload(self) -> list[str]:
        """Read the settings again and apply what can change now; return a sentence for each change.

        Raises `UsageError`, after which nothing has changed.
        """
        if self._config.reloader is None:
            raise ConfigError("no settings file to reload; start with --config FILE")
        async with self._reloading:
            try:
                new = self._config.reloader.reload()
            except UsageError:
                self._emit(SettingsRead(accepted=False))
                raise
            self._redactor.add(new.secrets, new.wallets)
            self._views.hide_paths(new)
            old, keys = self._config.fixed, sorted({*self._config.fixed, *new.fixed})
            pending = [key for key in keys if old.get(key) != new.fixed.get(key)]
            live = new.live
            # Until the restart this run mines the old coin, which the new one's pools would refuse.
            if keeps_pools := not ALGORITHM_KEYS.isdisjoint(pending):
                live = replace(live, pools=self._live.pools)
            notes = new.notes if live.pools != self._live.pools else ()
            changes = [*self._apply(live), *notes]
        if keeps_pools and new.live.pools != live.pools:
            pending.append("the list of pools")
        self._emit(SettingsRead(digest=new.digest, pending=len(pending)))
        changes += [f"{key} changes at the next start" for key in pending]
        return changes or ["nothing changed"]

    def _apply(self, new: LiveConfig) -> list[str]:
        old, self._live = self._live, new
        changes: list[str] = []
        if new.level != old.level:
            self._views.set_level(new.level)
            changes.append(f"log.level is now {new.level.name.lower()}")
        if new.heat != old.heat:
            self._guard.set_limits(new.heat)
            changes.append("the temperature limits have changed")
        if new.limits != old.limits:
            self._connections.limits = new.limits
            changes.append("the pools' time limits have changed, from the next connection on")
        if new.pools != old.pools:
            kept = self._client.replace_pools(new.pools)
            labels = ", ".join(pool.label for pool in new.pools)
            connection = "the connection is kept" if kept else "reconnecting"
            changes.append(f"the pools are now {labels}; {connection}")
        return changes

    def _named(self, device: str | None) -> list[str]:
        names = [one.info.name for one in self._config.devices]
        if device not in (None, *names):
            raise KeyError(device)
        return names if device is None else [device]
