"""The OpenAPI document is valid and current, and the server conforms to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from miner.api.api_server import ApiOptions, ApiServer
from miner.api.loop_budget import LoopBudgets, LoopLimits
from miner.api.openapi import document, document_text
from miner.api.routes import OPERATIONS
from tests.api.conftest import TOKEN, Serve, context_of, newest
from tests.fakes.rig import busy_rig

COMMITTED = Path("docs/openapi.json")


def test_the_copy_in_docs_is_current() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == document_text(), (
        f"{COMMITTED} is stale: run python -m miner.api.openapi > {COMMITTED}"
    )


def test_the_document_is_valid() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_every_field_and_operation_is_described() -> None:
    described = document()
    for path in described["paths"].values():
        for operation in path.values():
            assert operation["summary"].endswith(".")
            for parameter in operation.get("parameters", []):
                assert parameter["description"]
    for name, schema in described["components"]["schemas"].items():
        assert schema["description"], name
        assert name == "ShareAnswer" or schema["additionalProperties"] is False
        assert set(schema["required"]) == set(schema["properties"]), name


def test_names_and_paths_of_operations_are_unique() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    assert len({(o.method, o.path) for o in OPERATIONS}) == len(OPERATIONS)


async def test_the_document_is_served(serve: Serve) -> None:
    service = await serve()
    answer = await service.get("/api/v1/openapi.json")
    assert answer.json == json.loads(COMMITTED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The URL of a server in another thread, for clients that block."""
    started, stop = Event(), Event()
    urls: list[str] = []

    async def serve_until_stopped() -> None:
        context = context_of(await busy_rig(), shares=newest)
        options, unlimited = ApiOptions(port=0, token=TOKEN_OF_HEADERS), LoopLimits(1e6, 1e6)
        budgets = LoopBudgets(context.clock, unlimited, unlimited)
        async with ApiServer(options, context, budgets=budgets) as server:
            assert server.url is not None
            urls.append(server.url)
            started.set()
            await asyncio.get_running_loop().run_in_executor(None, stop.wait)

    with ThreadPoolExecutor(1) as threads:
        serving = threads.submit(asyncio.run, serve_until_stopped())
        try:
            assert started.wait(30)
            yield urls[0]
        finally:
            stop.set()
        serving.result()


TOKEN_OF_HEADERS = "a-token-of-the-tests"
assert TOKEN_OF_HEADERS != TOKEN

# A stream never ends; test_stream.py covers it.
schema = schemathesis.openapi.from_dict(document()).exclude(path="/api/v1/stream")
schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@schema.parametrize()
@settings(
    max_examples=20,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_server_conforms_to_the_document(case: schemathesis.Case[Any], url: str) -> None:
    case.call_and_validate(
        base_url=url,
        headers={"Authorization": f"Bearer {TOKEN_OF_HEADERS}"},
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
            response_headers_conformance,
            negative_data_rejection,
        ],
    )
