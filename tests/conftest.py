from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from miner.devices import registry
from miner.resources import cache_directory

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
    kept = {"PROGPOW_MINER_CACHE", "PROGPOW_MINER_TEST_CACHE"}
    for name in [n for n in os.environ if n.startswith("PROGPOW_MINER_") and n not in kept]:
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


SLOWEST_FIRST = ("e2e", "adding", "docs", "packaging", "codegen", "contract", "progpow")
"""Directories whose files take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run long files first: at the end, one of them would run alone while other processes idle."""
    rank = {name: number for number, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(rank)))
