"""What a person may do to a run: pause, go on, read the settings again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from miner.engine.engine import Engine
from miner.errors import ConfigError
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.run.run_config import Live, Mining
from miner.sensors.heat import HeatGuard
from miner.telemetry import Level

BY_REQUEST = "request"
"""Who asks the engine for a pause, in its books."""


class RunController:
    """The API's `RunControl` of one run; used on the event loop only."""

    def __init__(
        self,
        mining: Mining,
        engine: Engine,
        client: PoolClient,
        connections: Connections,
        guard: HeatGuard,
        set_level: Callable[[Level], None],
        hide: Callable[[Sequence[str], Sequence[str]], None] = lambda secrets, wallets: None,
    ) -> None:
        self._mining, self._live = mining, mining.live
        self._engine, self._client, self._connections = engine, client, connections
        self._guard, self._set_level, self._hide = guard, set_level, hide
        self._reloading = asyncio.Lock()
        self._names = [listed.info.name for listed in mining.devices]

    def pause(self, device: str | None) -> None:
        """Have `device` (None: every one) rest; raises `KeyError` for an unknown one."""
        for name in self._named(device):
            self._engine.pause(name, BY_REQUEST, "by request")

    def resume(self, device: str | None) -> None:
        """Have `device` (None: every one) go on, as far as the request goes; raises `KeyError`
        for an unknown one."""
        for name in self._named(device):
            self._engine.resume(name, BY_REQUEST)

    async def reload(self) -> list[str]:
        """Read the settings again and apply what can change now; return sentences that say what
        was done and what waits for the next start.

        Raises `UsageError` where they cannot be used; then nothing changed.
        """
        if self._mining.read is None:
            raise ConfigError("there is no settings file to read again; start with --config FILE")
        async with self._reloading:
            new = self._mining.read()
            self._hide(new.secrets, new.wallets)
            done = await self._apply(new.live)
        waiting = sorted(
            key
            for key in {**self._mining.fixed, **new.fixed}
            if self._mining.fixed.get(key) != new.fixed.get(key)
        )
        done += [f"{key} changes at the next start" for key in waiting]
        return done or ["nothing changed"]

    async def _apply(self, new: Live) -> list[str]:
        old, self._live = self._live, new
        done: list[str] = []
        if new.level != old.level:
            self._set_level(new.level)
            done.append(f"log.level is {new.level.name.lower()} now")
        if new.heat != old.heat:
            self._guard.take(new.heat)
            done.append("the temperature limits are new")
        if new.limits != old.limits:
            self._connections.limits = new.limits
            done.append("the pools' time limits are new, from the next connection on")
        if new.pools != old.pools:
            stays = await self._client.replace_pools(new.pools)
            listed = ", ".join(pool.label for pool in new.pools)
            then = "the connection stays" if stays else "the connection is made anew"
            done.append(f"pools are {listed} now; {then}")
        return done

    def _named(self, device: str | None) -> list[str]:
        if device is None:
            return self._names
        if device not in self._names:
            raise KeyError(device)
        return [device]
