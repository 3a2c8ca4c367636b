"""The command `doctor`: checks an installation, and prints results with advice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from miner.cli.options import (
    JSON_OPTION,
    UserPath,
    config_option,
    print_json,
    print_line,
    settings_path,
)

if TYPE_CHECKING:
    from miner.run.machine_checks import Finding

MARKS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


@click.command()
@click.argument("file", type=UserPath(path_type=Path), required=False)
@config_option("option", "The same as the argument FILE.")
@click.option("--pools", "ask_pools", is_flag=True, help="Also connect to the pools of the file.")
@click.option(
    "--report", "report_file", type=UserPath(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write results and settings, without secrets, to attach to a question.",
)  # fmt: skip
@JSON_OPTION
def doctor(
    file: Path | None,
    option: Path | None,
    ask_pools: bool,
    report_file: Path | None,
    as_json: bool,
) -> None:
    """Find out why it does not mine, and what to do.

    Drivers, devices, memory, permissions, folders, ports and the clock are checked, and the
    settings in FILE. The exit code is 1 if something keeps the miner from mining.

    \b
    Examples:
      progpow-miner doctor
      progpow-miner doctor rig.toml --pools --report report.txt
    """
    from miner.errors import CheckFailed, ConfigError
    from miner.run.diagnosis import Diagnosis

    diagnosis = Diagnosis(settings_path(file, option), os.environ, ask_pools=ask_pools)
    diagnosis.run(lambda finding: None if as_json else _show(finding))
    if as_json:
        print_json(diagnosis.as_object())
    if report_file is not None:
        try:
            report_file.write_text(diagnosis.report_text(), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{report_file}: cannot be written: {error.strerror}") from error
    count = diagnosis.problems
    if count:
        raise CheckFailed("1 problem was found" if count == 1 else f"{count} problems were found")


def _show(finding: Finding) -> None:
    print_line(f"{MARKS[finding.state]:<8} {finding.area:<12} {finding.text}")
    if finding.advice:
        print_line(f"{'':<21} -> {finding.advice}")
