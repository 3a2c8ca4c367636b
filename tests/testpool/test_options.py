from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from miner.cli import cli
from miner.cli.demo import demo
from miner.cli.pool import pool
from miner.errors import BadValue, ConfigError
from miner.run.pool_process import pool_line
from miner.testpool.fault_injector import FaultCommitted
from miner.testpool.faults import make_fault


def test_chaos_or_a_script() -> None:
    for command in (pool, demo):
        result = CliRunner().invoke(cli, [command.name, "--chaos", "2", "--script", "x.toml"])
        assert result.exit_code == 2
        assert "--chaos and --script exclude each other" in result.output


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        (["--chaos", "0"], BadValue, "chaos: 0.0 faults per minute is not above 0"),
        (["--script", "none.toml"], ConfigError, "none.toml: the script cannot be read"),
        (["--protocol", "eth", "--chaos"], BadValue, "protocol: 'eth' is none of the pool's"),
    ],
)
def test_options_that_cannot_be(
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


def test_what_is_printed_of_a_fault() -> None:
    fault = make_fault("delay", {"seconds": 3})
    assert pool_line(FaultCommitted("w", fault, "")) == "fault   w delay seconds 3"
    assert pool_line(FaultCommitted("w", fault, "why")) == "fault   w delay seconds 3, skipped: why"
