"""The Dockerfile, held to its promises without a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Step:
    """One instruction, its continuation lines joined, in the stage numbered `stage`."""

    stage: int
    word: str
    rest: str


def steps() -> list[Step]:
    text = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Step] = []
    stage = -1
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        found.append(Step(stage, word, " ".join(rest.split())))
    return found


STEPS = steps()
LAST = max(step.stage for step in STEPS)


def only(word: str, stage: int = LAST) -> str:
    (found,) = [s.rest for s in STEPS if s.word == word and s.stage == stage]
    return found


def sources() -> list[str]:
    """Everything that is copied out of the checkout."""
    return [
        source
        for step in STEPS
        if step.word in ("COPY", "ADD") and "--from=" not in step.rest
        for source in shlex.split(step.rest)[:-1]
    ]


def test_it_has_a_build_stage_and_a_runtime_stage() -> None:
    assert LAST == 1
    assert all(s.rest.startswith("python:3.12-slim") for s in STEPS if s.word == "FROM")


def test_nothing_is_copied_into_the_runtime_stage_from_the_checkout() -> None:
    assert not [s for s in STEPS if s.stage == LAST and s.word in ("COPY", "ADD")]


def test_it_runs_as_a_numbered_user_who_owns_the_cache() -> None:
    user = only("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    last = [s for s in STEPS if s.stage == LAST]
    after = last[[s.word for s in last].index("USER") :]
    assert not [s for s in after if s.word == "RUN"]
    volume = only("VOLUME")
    assert any(f"chown {user} {volume}" in s.rest for s in last if s.word == "RUN")
    assert f"PROGPOW_MINER_CACHE={volume}" in only("ENV")


def test_the_miner_itself_is_process_one_and_hears_sigterm() -> None:
    assert json.loads(only("ENTRYPOINT")) == ["progpow-miner"]
    assert isinstance(json.loads(only("CMD")), list)
    assert only("STOPSIGNAL") == "SIGTERM"


@pytest.mark.parametrize("source", sources())
def test_what_is_copied_exists_and_is_not_ignored(source: str) -> None:
    assert (CHECKOUT / source).exists()
    lines = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    ignored = False
    for line in filter(None, lines):
        if not line.startswith("#") and fnmatch(source, line.lstrip("!")):
            ignored = not line.startswith("!")
    assert not ignored


def test_the_build_stage_makes_the_wheel_from_what_it_copies(tmp_path: Path) -> None:
    """The stage's own command, but that dependencies are not fetched."""
    source, wheels = tmp_path / "src", tmp_path / "wheels"
    for step in STEPS:
        if step.stage == 0 and step.word == "COPY":
            *names, to = shlex.split(step.rest)
            for name in names:
                target = source / to / ("" if to != "./" else name)
                target.parent.mkdir(parents=True, exist_ok=True)
                path = CHECKOUT / name
                if path.is_dir():
                    shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(path, target)
    command = shlex.split(only("RUN", stage=0))
    assert command[:4] == ["python", "-m", "pip", "wheel"]
    command[0] = sys.executable
    command[command.index("/wheels")] = str(wheels)
    command[4:4] = ["--no-deps", "--no-build-isolation", "--quiet", "--no-index"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [p.name.split("-")[0] for p in wheels.iterdir()] == ["progpow_miner"]

    install = next(s.rest for s in STEPS if s.stage == LAST and "pip install" in s.rest)
    command = shlex.split(re.sub(r"^(--\S+ )+", "", install).replace("/wheels", str(wheels)))
    command[0] = sys.executable
    command[4:4] = ["--no-deps", "--quiet", "--target", str(tmp_path / "installed")]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "installed" / "bin" / "progpow-miner").is_file()
    assert (tmp_path / "installed" / "miner" / "_data" / "configs" / "variants").is_dir()
