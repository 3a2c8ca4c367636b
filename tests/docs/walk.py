"""Runs the marked commands of a page in order, in one folder."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.cli.running import CHECKOUT, TOY

SECONDS = 300.0
"""Timeout of a command, of a wait and of an exit, generous enough for a busy machine."""

_MARK = re.compile(
    r"^<!-- (run|start|stop|wait|expect|file|not run)(?:: (.*?))? -->\n"
    r"(?:```(\w+)\n(.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_BEFORE = re.compile(r"<!-- (?:run|start|file|not run)\b.* -->\n\Z")


@dataclass(frozen=True, slots=True)
class Step:
    """A mark (an HTML comment) and the block under it.

    run [exit CODE]            run the block and check its exit code
    start NAME, until: TEXT    start the block, wait for TEXT in its output, leave it running
    wait NAME, for: TEXT       wait for TEXT in the output of a started command
    stop NAME                  interrupt a started command (Ctrl-C) and check that it exits with 0
    expect TEXT                check that TEXT is in the output of the last command
    file NAME                  write the block to a file
    not run REASON             skip the block
    """

    verb: str
    argument: str
    text: str


def steps(page: Path) -> list[Step]:
    """Return the marked steps of `page` in order."""
    text = page.read_text(encoding="utf-8")
    return [Step(m[1], m[2] or "", m[4] or "") for m in _MARK.finditer(text)]


def unmarked(page: Path) -> list[str]:
    """Return the shell blocks of `page` without a mark."""
    text = page.read_text(encoding="utf-8")
    return [
        match[2]
        for match in _BLOCK.finditer(text)
        if match[1] == "sh" and not _BEFORE.search(text[: match.start()])
    ]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class _Running:
    """A started command; its output is read all the time, so that it never blocks on it."""

    process: subprocess.Popen[str]
    output: str = ""
    ended: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with self.changed:
                    self.output += line
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_for(self, text: str) -> None:
        with self.changed:
            self.changed.wait_for(lambda: text in self.output or self.ended, SECONDS)
            assert text in self.output, f"{text!r} is not in:\n{self.output}"

    def wait_for_exit(self) -> int:
        """Return the exit code; kill the command if it does not exit in time."""
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        with self.changed:
            self.changed.wait_for(lambda: self.ended, SECONDS)
        return self.process.wait(SECONDS)


class Walk:
    """Runs pages in `folder`; a context manager that ends all started commands.

    The default ports are replaced by free ones, the variant by a toy variant with a tiny dataset,
    and the devices by the reference, which needs no compiler.
    """

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self._running: dict[str, _Running] = {}
        self._output = ""
        self.pool, self.api = free_port(), free_port()
        (folder / "toy.toml").write_text(TOY, encoding="utf-8")
        self._environ = self._clean_environ(os.environ) | {
            "PROGPOW_MINER_STATE": str(folder / "state"),
            "PROGPOW_MINER_VARIANT": "./toy.toml",
            "PROGPOW_MINER_DEVICES_USE": "ref",
            "PROGPOW_MINER_API_LISTEN": f"127.0.0.1:{self.api}",
            **environ,
        }

    def _clean_environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return a user's environment, with the command in PATH and without the miner's variables
        except the one of the cache."""
        commands = self.folder / "bin"
        commands.mkdir()
        command = commands / "progpow-miner"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m miner "$@"\n', encoding="utf-8")
        command.chmod(0o755)
        kept = {
            name: value
            for name, value in environ.items()
            if not name.startswith("PROGPOW_MINER_") or name == "PROGPOW_MINER_CACHE"
        }
        path = f"{commands}{os.pathsep}{environ.get('PATH', os.defpath)}"
        return kept | {"PATH": path, "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for running in self._running.values():
            running.process.kill()
            running.wait_for_exit()
        self._running.clear()

    def follow(self, page: Path) -> None:
        """Take all steps of `page`."""
        for step in steps(page):
            self.take(step)

    def take(self, step: Step) -> None:
        """Take one step; a failure raises `AssertionError` with the output."""
        name, _, text = step.argument.partition(", ")
        match step.verb:
            case "run":
                self._run(
                    self._substituted(step.text), int(step.argument.removeprefix("exit ") or 0)
                )
            case "start":
                self._start(name, self._substituted(step.text), text.removeprefix("until: "))
            case "wait":
                self._running[name].wait_for(text.removeprefix("for: "))
            case "stop":
                self._stop(name)
            case "expect":
                wanted = self._substituted(step.argument)
                assert wanted in self._output, f"{wanted!r} is not in:\n{self._output}"
            case "file":
                (self.folder / step.argument).write_text(
                    self._substituted(step.text).replace('"YOUR_WALLET"', '"practice"'),
                    encoding="utf-8",
                )

    def _substituted(self, text: str) -> str:
        for usual, ours in (
            ("127.0.0.1:3333", f"127.0.0.1:{self.pool}"),
            ("127.0.0.1:4067", f"127.0.0.1:{self.api}"),
            ("variant kawpow", "variant ./toy.toml"),
            ("0.00025", "0.000001"),
        ):
            text = text.replace(usual, ours)
        return text

    def _run(self, command: str, code: int) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder, env=self._environ, timeout=SECONDS, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._output = done.stdout
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}"

    def _start(self, name: str, command: str, until: str) -> None:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder, env=self._environ,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        running = self._running[name] = _Running(process)
        threading.Thread(target=running.read, name=name, daemon=True).start()
        running.wait_for(until)

    def _stop(self, name: str) -> None:
        running = self._running.pop(name)
        running.process.send_signal(signal.SIGINT)
        code = running.wait_for_exit()
        self._output = running.output
        assert code == 0, f"{name} ended with {code}:\n{running.output}"
