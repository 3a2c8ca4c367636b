from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from miner.cli import cli
from miner.cli.demo import demo
from miner.cli.pool import pool
from miner.errors import BadValue, ConfigError
from miner.run.pool_process import pool_line
from miner.testpool.faults import make_fault
from miner.testpool.server_events import FaultInjected


def test_chaos_and_script_exclude_each_other() -> None:
    for command in (pool, demo):
        result = CliRunner().invoke(cli, [command.name, "--chaos", "2", "--script", "x.toml"])
        assert result.exit_code == 2
        assert "give --chaos or --script, not both" in result.output


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        (["--chaos", "0"], BadValue, "chaos: must be above 0"),
        (["--script", "none.toml"], ConfigError, "none.toml: cannot be read: No such file"),
        (["--protocol", "eth", "--chaos"], BadValue, "protocol: 'eth' is not one of kawpow, "),
    ],
)
def test_invalid_options_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    error: type[Exception],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["pool", "--listen", "127.0.0.1:0", *options])
    assert isinstance(result.exception, error)
    assert str(result.exception).startswith(sentence)


def test_the_printed_line_of_a_fault() -> None:
    fault = make_fault("delay", {"seconds": 3})
    assert pool_line(FaultInjected("w", fault, "")) == "fault   w delay seconds 3"
    assert pool_line(FaultInjected("w", fault, "why")) == "fault   w delay seconds 3, skipped: why"
