"""Diagnosis of an installation: checks of settings, machine, drivers, devices and pools."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from miner import __version__
from miner.clock import SystemClock
from miner.devices.device_names import CPU
from miner.devices.selection import ListedDevice, devices_called, find_devices, tried
from miner.devices.trials import Trials
from miner.errors import ConfigError, MinerError
from miner.formatting import format_bytes
from miner.net.dial import NetworkDial
from miner.resources import cache_directory, state_directory
from miner.run.check_settings import check, notes
from miner.run.machine_checks import Finding, Machine, port_finding
from miner.run.resolve_pools import chosen_coin, pool_urls, secrets_of, wallets_of
from miner.safe_text import Redactor
from miner.settings.environment import from_environment
from miner.settings.loading import Loaded
from miner.settings.model import ApiSettings
from miner.settings.secrets import api_token
from miner.settings.toml_text import effective_toml

PACKAGES = {"pyopencl": "OpenCL", "pycuda": "CUDA", "nvidia-cuda-nvrtc-cu12": "NVIDIA's compiler"}
"""Optional packages, with their purpose."""


class Diagnosis:
    """Runs the checks; `findings` holds the results, and `loaded` the settings if they are valid.

    `path` names a settings file, if any; `ask_pools` also connects to its pools.
    """

    def __init__(
        self,
        path: Path | None,
        environ: Mapping[str, str],
        *,
        ask_pools: bool = False,
        machine: Machine | None = None,
    ) -> None:
        self._path, self._environ, self._ask_pools = path, environ, ask_pools
        self._machine = machine or Machine()
        self.findings: list[Finding] = []
        self.loaded: Loaded | None = None

    def run(self, report: Callable[[Finding], None]) -> None:
        """Run each check, and pass on each result as soon as it is known."""
        for finding in self._all():
            self.findings.append(finding)
            report(finding)

    @property
    def problems(self) -> int:
        """The number of problems."""
        return sum(finding.state == "problem" for finding in self.findings)

    def as_object(self) -> dict[str, Any]:
        """Return what `doctor --json` prints, without secrets."""
        redact = self._redactor().redact
        return {
            "version": __version__,
            "platform": platform.platform(),
            "ok": not self.problems,
            "findings": [
                {key: redact(value) for key, value in asdict(finding).items()}
                for finding in self.findings
            ],
        }

    def report_text(self) -> str:
        """Return a report to attach to a question: results and settings, without secrets, whole
        wallets and the name of the home folder."""
        lines = [f"{one.state:<8} {one.area:<12} {_whole(one)}" for one in self.findings]
        if self.loaded is not None:
            lines += ["", "Settings", "", effective_toml(self.loaded).rstrip()]
        return _without_home(self._redactor().redact("\n".join(lines))) + "\n"

    def _all(self) -> Iterator[Finding]:
        yield from self._settings()
        folders = {}
        for name, find in (("cache", cache_directory), ("state", state_directory)):
            try:
                folders[name] = find()
            except ConfigError as error:
                yield Finding("folders", "problem", str(error))
        installed_at = Path(__file__).stat().st_mtime
        yield from self._machine.findings(SystemClock(), folders, installed_at)
        api = self.loaded.settings.api if self.loaded is not None else ApiSettings()
        for name, address in api.addresses().items():
            yield port_finding(name, address)
        yield from package_findings()
        if "cache" in folders:  # which keeps the results of trials
            wanted = self.loaded.settings.devices if self.loaded is not None else None
            names = wanted.use if wanted is not None else None
            if wanted is not None and names is None and wanted.backend == CPU:
                names = (CPU,)
            yield from device_findings(*self._devices(), names)
        if self.loaded is not None and self._ask_pools:
            yield from self._pools(self.loaded)

    def _settings(self) -> Iterator[Finding]:
        variables, _, mistakes = from_environment(self._environ)
        if self._path is None and "pools" not in variables and not mistakes:
            yield Finding(
                "settings", "note", "no settings file was named, so pools were not checked",
                "name one: progpow-miner doctor FILE",
            )  # fmt: skip
            return
        loaded, problems = check(self._path, self._environ)
        for sentence in problems:
            yield Finding("settings", "problem", sentence)
        if loaded is None:
            return
        self.loaded = loaded
        yield Finding("settings", "ok", f"{self._path or 'the environment'} is valid")
        for sentence in notes(loaded):
            yield Finding("settings", "note", sentence)

    def _devices(self) -> tuple[list[ListedDevice], list[str]]:
        trials = Trials()
        found, missing = find_devices(trials=trials)
        return tried(found, None, trials), missing

    def _pools(self, loaded: Loaded) -> Iterator[Finding]:
        dial = NetworkDial(loaded.settings.limits.connect)
        for url in pool_urls(loaded.settings.pools, chosen_coin(loaded.settings)):

            async def connect(url: Any = url) -> None:
                await (await dial.open(url)).close()

            try:
                asyncio.run(connect())
            except MinerError as error:
                advice = "check address, network and firewall"
                yield Finding("pools", "problem", f"{url.label}: {error}", advice)
            else:
                yield Finding("pools", "ok", f"{url.label} accepts connections")

    def _redactor(self) -> Redactor:
        if self.loaded is None:
            return Redactor()
        settings = self.loaded.settings
        token = None
        with suppress(MinerError):  # its file is reported as a problem
            token = api_token(settings.api)
        pools = pool_urls(settings.pools, chosen_coin(settings))
        return Redactor(secrets_of(pools, token), wallets_of(pools))


def package_findings() -> Iterator[Finding]:
    """Yield which of the optional packages are installed."""
    for name, purpose in PACKAGES.items():
        try:
            text = f"{name} {importlib.metadata.version(name)}, for {purpose}"
            yield Finding("packages", "ok", text)
        except importlib.metadata.PackageNotFoundError:
            yield Finding("packages", "note", f"{name} is not installed ({purpose} needs it)")


def device_findings(
    found: Sequence[ListedDevice], missing: Sequence[str], wanted: Sequence[str] | None
) -> Iterator[Finding]:
    """Yield the state of each device in `found`, a note for each sentence in `missing`, and a
    problem for each of the names `wanted` without a usable device; None: a run uses each GPU."""
    for device in found:
        info = device.info
        text = f"{info.name} {info.model}, {format_bytes(info.memory)}, {info.driver}"
        if device.same_as is not None:
            yield Finding("devices", "ok", f"{text}; the same as {device.same_as}")
        elif info.unusable is None:
            yield Finding("devices", "ok", f"{text}: usable")
        else:
            state: Any = "problem" if info.kind == "gpu" else "note"
            yield Finding("devices", state, f"{text}: {info.unusable}")
    for sentence in missing:
        yield Finding("drivers", "note", sentence)
    if wanted is None:
        yield from _gpu_findings(found)
    for name in wanted or ():
        if not any(one.info.unusable is None for one in devices_called(found, name)):
            yield Finding(
                "devices", "problem", f"no usable device is called {name!r} (devices.use)",
                "name one of those above",
            )  # fmt: skip


def _gpu_findings(found: Sequence[ListedDevice]) -> Iterator[Finding]:
    usable = [device.info.kind for device in found if device.info.unusable is None]
    if "gpu" not in usable:
        text = "no usable GPU was found" + ("; only the CPU can mine" if usable else "")
        yield Finding(
            "devices", "problem", text,
            "install the driver of the card: docs/howto/amd.md, nvidia.md or intel.md"
            + ("; -d cpu mines on the CPU" if usable else ""),
        )  # fmt: skip


def _without_home(text: str) -> str:
    """Return `text` with "~" in place of the home folder, which often has a person's name."""
    try:
        home = Path.home()
    except RuntimeError:  # this user has none
        return text
    if len(home.parts) < 2:  # "/" in many containers
        return text
    return re.sub(rf"(?<![\w.-]){re.escape(str(home))}(?![\w-])", "~", text)


def _whole(finding: Finding) -> str:
    return f"{finding.text}; {finding.advice}" if finding.advice else finding.text
