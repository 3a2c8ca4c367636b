"""The order of the test files, and which of them one process runs.

`make test` runs two processes. A file is run by one of them, so that its fixtures are built once.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

ARCHIVES = "the archives for farm systems"
TOGETHER = {
    "tests/packaging/test_archives.py": ARCHIVES,
    "tests/packaging/test_hiveos.py": ARCHIVES,
    "tests/packaging/test_mmpos.py": ARCHIVES,
    "tests/packaging/test_raveos.py": ARCHIVES,
}
"""Files that share a fixture which takes long to build."""

SECONDS = {
    "tests/devices/test_cuda_on_fake_driver.py": 130,
    ARCHIVES: 100,
    "tests/e2e/test_mining.py": 90,
    "tests/packaging/test_dockerfile.py": 80,
    "tests/codegen/test_published.py": 75,
    "tests/contract/test_contract.py": 70,
    "tests/codegen/test_opencl_runtimes.py": 55,
    "tests/codegen/test_amd_on_cpu.py": 50,
    "tests/codegen/test_ptx_on_cpu.py": 30,
    "tests/e2e/test_reload.py": 25,
    "tests/benchmarks/test_first_run.py": 22,
    "tests/e2e/test_terminal.py": 22,
    "tests/progpow/test_jit.py": 22,
    "tests/e2e/test_views.py": 20,
    "tests/pool/test_chaos.py": 18,
    "tests/docs/test_walks.py": 18,
    "tests/e2e/test_hang.py": 17,
    "tests/devices/test_trials.py": 17,
    "tests/api/test_dashboard.py": 17,
    "tests/cli/test_endings.py": 15,
    "tests/adding/test_adding_a_dialect.py": 15,
    "tests/adding/test_adding_a_variant.py": 10,
    "tests/cli/test_probe.py": 10,
    "tests/e2e/test_sockets.py": 9,
    "tests/e2e/test_solo.py": 9,
    "tests/cli/test_tune.py": 9,
}
"""About how long the longest files and groups take; `--durations=1` lists them after a run."""


def unit_of(nodeid: str) -> str:
    """Return the file of a test, or the group of files that one process runs."""
    path = nodeid.partition("::")[0]
    return TOGETHER.get(path, path)


def longest_first(items: list[pytest.Item]) -> None:
    """Order `items`: at the end, a long file would run alone while other processes idle."""
    items.sort(key=lambda item: -SECONDS.get(unit_of(item.nodeid), 0))


class ByUnit(LoadFileScheduling):
    """Hands out units in the order of `longest_first`."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # it orders them by their number of tests

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
