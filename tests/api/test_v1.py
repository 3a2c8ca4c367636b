"""The responses of API version 1."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from math import nan
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from miner.api import v1
from miner.api.responses import Error, HistoryAnswer, OutcomeName
from miner.api.status_json import ReadingAnswer
from miner.console.json_lines import json_status
from miner.console.plain import full_status
from miner.safe_text import Redactor
from miner.telemetry import DeviceSample, DeviceSnapshot, Reading, Sample
from miner.telemetry.events import NewJob, PoolConnecting, PoolNotice, PoolReady
from miner.telemetry.field_metadata import descriptions
from miner.telemetry.journal import KEPT
from miner.work import Outcome
from tests.api.conftest import Serve, newest
from tests.fakes.rig import FIRST, Rig, busy_rig, job


async def test_the_status_has_the_values_of_the_snapshot() -> None:
    rig = await busy_rig()
    snapshot = rig.telemetry.snapshot()
    status = v1.status(snapshot).model_dump(mode="json")
    assert (status["rig"], status["version"], status["algorithm"], status["coin"]) == (
        "rig1", "1.2.3", "kawpow", "RVN",
    )  # fmt: skip
    assert status["hashrate"]["minute"] == snapshot.hashrate.minute == 80e6
    assert status["at"] - status["started_at"] == status["uptime"] == 960.0
    assert status["shares"] == {
        "accepted": 4, "rejected": 2, "stale": 2, "invalid": 1, "lost": 1, "hardware": 1,
        "blocks": 0,
        "not_accepted": 6,
        "outcomes": {
            "accepted": 4, "stale": 1, "low_difficulty": 1, "duplicate": 1, "invalid": 1,
            "not_sent": 1, "lost": 1,
        },
    }  # fmt: skip
    assert status["pool"]["label"] == "stratum+tls://first.example:4444"
    assert [pool["active"] for pool in status["pools"]] == [False, True]
    assert status["pool"]["latency"] == pytest.approx(0.042)
    assert status["job"]["id"] == "5a17"
    assert status["job"]["height"] == 3_000_000
    assert status["luck"]["band"]["low"] <= status["luck"]["band"]["high"]
    assert status["ready"] is True
    timing = status["timings"]["share"]
    assert sum(timing["counts"]) == timing["count"] == 8
    assert len(timing["counts"]) == len(timing["bounds"]) + 1


def test_every_view_shows_the_account() -> None:
    rig = Rig()
    account = "RXk3p…9abc.rig1"
    rig.emit(PoolConnecting(FIRST))
    assert v1.status(rig.telemetry.snapshot()).pools[0].account is None
    rig.emit(PoolReady(FIRST, account))
    snapshot = rig.telemetry.snapshot()
    assert v1.status(snapshot).pools[0].account == account
    assert json.loads(json_status(snapshot, Redactor()))["pool"]["account"] == account
    assert any(f"{FIRST}, connected, as {account}" in text for _, text in full_status(snapshot))
    assert rig.journal.entries[-1].text == f"logged in to {FIRST} as {account}"


async def test_unknown_values_are_null() -> None:
    rig = Rig()
    status = v1.status(rig.telemetry.snapshot()).model_dump(mode="json")
    assert (
        status["pool"]
        is status["job"]
        is status["notice"]
        is status["light"]
        is status["power"]
        is None
    )
    device = status["devices"][0]
    assert set(device["reading"].values()) == {None}
    assert device["last_fault"] is device["progress"] is device["efficiency"] is None
    assert status["luck"]["ratio"] is None
    assert status["timings"]["kernel"]["mean"] is None


async def test_the_state_and_sensor_values_of_devices() -> None:
    rig = await busy_rig()
    first, second = (
        device.model_dump(mode="json") for device in v1.devices(rig.telemetry.snapshot())
    )
    assert (first["state"], second["state"]) == ("searching", "paused")
    assert second["paused"] == "overheating: core 91 °C, limit 90 °C"
    assert first["reading"]["memory_temperature"] == 88.0
    assert first["efficiency"] == pytest.approx(35e6 / 201.5)
    assert second["reading"]["power"] is second["efficiency"] is None


def test_every_outcome_and_field_has_a_place_in_the_response() -> None:
    assert get_args(OutcomeName) == tuple(outcome.value for outcome in Outcome)
    assert list(ReadingAnswer.model_fields) == [field.name for field in fields(Reading)]
    assert {name for name, _ in descriptions(DeviceSnapshot)} == (
        {field.name for field in fields(DeviceSnapshot)} - {"info", "mean_power"}
    )


def test_responses_are_strict_and_frozen() -> None:
    with pytest.raises(ValidationError):
        Error(error=5)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Error(error="so", more=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Error(error="so").error = "else"


async def test_entries_after_a_number_of_this_or_an_earlier_run() -> None:
    journal = Rig().journal
    assert v1.entries_after(journal.entries, 0) == v1.entries_after(journal.entries, 900) == ()
    for number in range(1, KEPT + 11):
        journal.add("test", f"entry {number}")
    numbers = [entry.number for entry in journal.entries]
    assert numbers[0] == 11
    for after, first in ((0, 11), (10, 11), (11, 12), (KEPT + 9, KEPT + 10), (KEPT + 11, 11)):
        assert [e.number for e in v1.entries_after(journal.entries, after)] == list(
            range(first, KEPT + 11)
        ), after
    assert not v1.entries_after(journal.entries, KEPT + 10)


async def test_status_devices_and_pools_agree(serve: Serve) -> None:
    service = await serve(busy=True)
    status = (await service.get("/api/v1/status")).json
    assert (await service.get("/api/v1/devices")).json == status["devices"]
    assert (await service.get("/api/v1/devices/cuda:0")).json == status["devices"][0]
    assert (await service.get("/api/v1/devices/cuda%3A0")).json == status["devices"][0]
    assert (await service.get("/api/v1/pools")).json == status["pools"]
    missing = await service.get("/api/v1/devices/cuda:9")
    assert missing.status == 404
    assert missing.error == "unknown device; /api/v1/devices lists the known ones"


async def test_surrogates_in_texts_of_a_pool_are_replaced(serve: Serve) -> None:
    service = await serve()
    half = "\ud83d"
    service.rig.emit(NewJob(replace(job(), id=f"a{half}")), PoolNotice(FIRST, f"b{half}"))
    status = (await service.get("/api/v1/status")).json
    assert (status["job"]["id"], status["notice"]) == ("a?", "b?")
    assert (await service.get("/api/v1/events?limit=1")).json["events"][0]["text"].endswith("b?")


async def test_the_history_has_two_resolutions(serve: Serve) -> None:
    service = await serve()
    for step in (10, 300):
        answer = await service.get(f"/api/v1/history?step={step}")
        assert answer.json == {"step": step, "samples": []}
    assert (await service.get("/api/v1/history")).json["step"] == 10
    for wrong in ("step=20", "step=", "step=010", "step=ten", "steps=10", "step=10&step=10"):
        assert (await service.get(f"/api/v1/history?{wrong}")).status == 400, wrong


def test_the_history_conforms_to_its_model() -> None:
    cards = (DeviceSample("cuda:0", 35e6, 61.0, nan, 201.5, None),)
    sample = Sample(1_800_000_000.5, 35e6, 4, 6, cards)
    text = v1.history_bytes(10, (sample, sample))
    status = HistoryAnswer.model_validate_json(text)
    assert status.step == 10
    assert len(status.samples) == 2
    assert status.samples[0].model_dump(mode="json") == {
        "at": 1_800_000_000.5, "hashrate": 35e6, "accepted": 4, "not_accepted": 6,
        "devices": [{
            "name": "cuda:0", "hashrate": 35e6, "temperature": 61.0, "memory_temperature": None,
            "power": 201.5, "fan": None,
        }],
    }  # fmt: skip


async def test_events_are_limited_by_number_and_count(serve: Serve) -> None:
    service = await serve()
    last = service.rig.journal.entries[-1]
    assert last.topic == "api"
    assert last.text == f"http://127.0.0.1:{service.port}/"
    answer = await service.get(f"/api/v1/events?after={last.number - 2}")
    assert [event["number"] for event in answer.json["events"]] == [last.number - 1, last.number]
    assert answer.json["events"][1]["level"] == "info"
    answer = await service.get("/api/v1/events?limit=1")
    assert [event["number"] for event in answer.json["events"]] == [last.number]
    answer = await service.get("/api/v1/events?limit=501")
    assert answer.error == "limit: input should be less than or equal to 500"
    answer = await service.get("/api/v1/events?frm=3")
    assert answer.error == "unknown parameter; known are: after, limit"


async def test_shares_are_rows_of_the_ledger(serve: Serve) -> None:
    service = await serve()
    (row,) = (await service.get("/api/v1/shares?limit=5")).json["shares"]
    assert row["nonce"] == "00000000000000ff"
    assert row["found_at"] == 1_800_000_000.5
    assert row["sent_at"] is row["text"] is None
    assert "user" not in row
    bare = await serve(context={"shares": None})
    answer = await bare.get("/api/v1/shares")
    assert (answer.status, answer.error) == (404, "this run keeps no ledger of its shares")


async def test_an_unknown_outcome_in_the_ledger_is_null(serve: Serve) -> None:
    async def rows(limit: int) -> list[dict[str, Any]]:
        (row,) = await newest(1)
        return [{**row, "outcome": word} for word in ("stale", "unanswered", "a mood")]

    service = await serve(context={"shares": rows})
    status = (await service.get("/api/v1/shares")).json["shares"]
    assert [row["outcome"] for row in status] == ["stale", "unanswered", None]


async def test_pause_resume_and_reload_with_the_token(serve: Serve) -> None:
    service = await serve()
    answer = await service.post("/api/v1/pause")
    assert (answer.status, answer.json) == (200, {"done": ["every device pauses"]})
    assert (await service.post("/api/v1/resume")).status == 200
    answer = await service.post("/api/v1/devices/cuda:0/pause")
    assert answer.json == {"done": ["cuda:0 pauses"]}
    assert (await service.post("/api/v1/devices/cuda%3A0/resume")).json == {
        "done": ["cuda:0 resumes"]
    }
    assert (await service.post("/api/v1/devices/cuda:9/pause")).status == 404
    for path in ("/api/v1/reload", "/reload"):
        answer = await service.post(path)
        assert answer.json == {"done": ["cuda:0: launches last 0.2 s now"]}
    assert service.control.calls == [
        ("pause", None), ("resume", None), ("pause", "cuda:0"), ("resume", "cuda:0"),
        ("reload", None), ("reload", None),
    ]  # fmt: skip


async def test_unusable_settings_are_a_conflict(serve: Serve) -> None:
    service = await serve()
    service.control.problem = "mine.toml: line 3: is not valid TOML: it is a poem"
    answer = await service.post("/reload")
    assert (answer.status, answer.error) == (409, service.control.problem)


async def test_metrics_and_the_dashboard_are_served(serve: Serve) -> None:
    service = await serve()
    answer = await service.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    open_ = await service.get("/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert open_.headers["content-type"].startswith("application/openmetrics-text")
    assert open_.body.endswith(b"# EOF\n")
    page = await service.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.body.startswith(b"<!doctype html>")
    assert (await service.get("/dashboard.js")).headers["content-type"].startswith("text/javascr")


async def test_the_panels_are_served_if_switched_on(serve: Serve) -> None:
    assert (await (await serve()).get("/summary")).status == 404
    assert (await (await serve(panels=True)).get("/summary")).status == 200
