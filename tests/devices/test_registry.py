"""The rows of the backends."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from miner.codegen.language import LANGUAGES
from miner.devices.backend import Backend
from miner.devices.registry import BACKENDS, title_of
from tests.harness.child import captured

each = pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)


@each
def test_the_module_of_a_row_lists_and_opens_devices(backend: Backend) -> None:
    module = import_module(backend.module)
    assert callable(module.list_devices)
    assert callable(module.open_device)


@each
def test_a_row_names_a_known_language_or_none(backend: Backend) -> None:
    assert backend.dialect is None or backend.dialect in LANGUAGES


def test_the_rows_load_no_driver_and_no_numerics() -> None:
    code = (
        "import sys, miner.devices.registry\n"
        "print(*{'pyopencl', 'pycuda', 'numpy', 'numba'} & set(sys.modules))"
    )
    done = captured([sys.executable, "-c", code], check=True)
    assert done.stdout == "\n"


def test_the_title_of_an_unknown_backend_is_that_of_a_cpu() -> None:
    assert [title_of(name) for name in (*BACKENDS, "unknown")] == [
        *(backend.title for backend in BACKENDS.values()), "CPU",
    ]  # fmt: skip
