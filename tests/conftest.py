from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from miner.devices import registry
from miner.resources import cache_directory
from tests.schedule import SECONDS, ByUnit, longest_first, unit_of

ROOT = Path(__file__).parents[1]

settings.register_profile(
    # Time says nothing here: machines that run the tests are often busy.
    "busy",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("busy")


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have no test write into the user's ledger; processes of tests share numba's compiled code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROGPOW_MINER_STATE", str(tmp_path_factory.mktemp("state")))
        patch.setenv("NUMBA_CACHE_DIR", str(cache_directory() / "numba"))
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option for the tests that compile for many GPUs."""
    parser.addoption(
        "--every-compile", action="store_true", help="compile every variant for every GPU and shape"
    )


def pytest_configure() -> None:
    """Let no setting of whoever runs the tests reach the miners that they start."""
    kept = "PROGPOW_MINER_CACHE"
    for name in [n for n in os.environ if n.startswith("PROGPOW_MINER_") and n != kept]:
        del os.environ[name]


@pytest.fixture
def only_ref(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no backend but the reference, so that no driver is loaded."""
    monkeypatch.setattr(registry, "BACKENDS", {"ref": registry.BACKENDS["ref"]})


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a variant that is KawPow with a dataset of less than a mebibyte."""
    text = (ROOT / "configs/variants/kawpow.toml").read_text()
    head, mark, answers = text.partition("[[known_answers]]")
    head = re.sub(r'name = "kawpow"', 'name = "toy"', head)
    head = re.sub(r"aliases = .*", "aliases = []", head)
    sizes = "[sizes]\nlight_items = 509\ndataset_items = 8191\nseed_epoch = 0\n\n"
    path = tmp_path_factory.mktemp("variant") / "toy.toml"
    path.write_text(head + sizes + mark + answers)
    return str(path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long files first."""
    longest_first(items)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByUnit | None:
    """Have each unit of the schedule run by one process."""
    return ByUnit(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """With `--durations`, list the units that take longest, for the schedule."""
    if config.getoption("durations") is None:
        return
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[unit_of(report.nodeid)] += report.duration
    terminalreporter.section("slowest files")
    for unit, spent in seconds.most_common(len(SECONDS)):
        terminalreporter.write_line(f"{spent:.0f}s {unit}")
