"""The answers of version 1."""

from __future__ import annotations

from dataclasses import fields, replace
from math import nan
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from miner.api import v1
from miner.api.responses import Error, HistoryAnswer, OutcomeName
from miner.api.status_json import ReadingAnswer
from miner.telemetry import DeviceSample, DeviceSnapshot, NewJob, PoolNotice, Reading, Sample
from miner.telemetry.field_metadata import descriptions
from miner.telemetry.journal import KEPT
from miner.work import Outcome
from tests.api.conftest import Serve, newest
from tests.fakes.rig import FIRST, Rig, busy_rig, job


async def test_the_status_tells_what_the_snapshot_knows() -> None:
    rig = await busy_rig()
    snapshot = rig.telemetry.snapshot()
    told = v1.status(snapshot).model_dump(mode="json")
    assert (told["rig"], told["version"], told["algorithm"], told["coin"]) == (
        "rig1", "1.2.3", "kawpow", "RVN",
    )  # fmt: skip
    assert told["hashrate"]["minute"] == snapshot.hashrate.minute == 80e6
    assert told["at"] - told["started_at"] == told["uptime"] == 960.0
    assert told["shares"] == {
        "accepted": 4, "rejected": 2, "stale": 2, "invalid": 1, "lost": 1, "hardware": 1,
        "blocks": 0,
        "not_accepted": 6,
        "outcomes": {
            "accepted": 4, "stale": 1, "low_difficulty": 1, "duplicate": 1, "invalid": 1,
            "not_sent": 1, "lost": 1,
        },
    }  # fmt: skip
    assert told["pool"]["label"] == "stratum+tls://first.example:4444"
    assert [pool["active"] for pool in told["pools"]] == [False, True]
    assert told["pool"]["latency"] == pytest.approx(0.042)
    assert told["job"]["id"] == "5a17"
    assert told["job"]["height"] == 3_000_000
    assert told["luck"]["band"]["low"] <= told["luck"]["band"]["high"]
    assert told["ready"] is True
    timing = told["timings"]["share"]
    assert sum(timing["counts"]) == timing["count"] == 8
    assert len(timing["counts"]) == len(timing["bounds"]) + 1


async def test_what_is_not_known_is_null() -> None:
    rig = Rig()
    told = v1.status(rig.telemetry.snapshot()).model_dump(mode="json")
    assert told["pool"] is told["job"] is told["notice"] is told["light"] is told["power"] is None
    device = told["devices"][0]
    assert set(device["reading"].values()) == {None}
    assert device["last_fault"] is device["progress"] is device["efficiency"] is None
    assert told["luck"]["ratio"] is None
    assert told["timings"]["kernel"]["mean"] is None


async def test_a_device_is_named_by_the_state_that_it_is_in() -> None:
    rig = await busy_rig()
    first, second = (
        device.model_dump(mode="json") for device in v1.devices(rig.telemetry.snapshot())
    )
    assert (first["state"], second["state"]) == ("searching", "paused")
    assert second["paused"] == "overheating: core 91 °C, limit 90 °C"
    assert first["reading"]["memory_temperature"] == 88.0
    assert first["efficiency"] == pytest.approx(35e6 / 201.5)
    assert second["reading"]["power"] is second["efficiency"] is None


def test_every_state_and_sensor_has_a_place_in_the_answer() -> None:
    assert get_args(OutcomeName) == tuple(outcome.value for outcome in Outcome)
    assert list(ReadingAnswer.model_fields) == [field.name for field in fields(Reading)]
    assert {name for name, _ in descriptions(DeviceSnapshot)} == (
        {field.name for field in fields(DeviceSnapshot)} - {"info", "drawn"}
    )


def test_answers_are_strict_and_frozen() -> None:
    with pytest.raises(ValidationError):
        Error(error=5)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Error(error="so", more=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Error(error="so").error = "else"


async def test_newer_entries_are_those_after_a_number_or_of_a_new_run() -> None:
    journal = Rig().journal
    assert v1.entries_after(journal.entries, 0) == v1.entries_after(journal.entries, 900) == ()
    for number in range(1, KEPT + 11):
        journal.say("test", f"entry {number}")
    numbers = [entry.number for entry in journal.entries]
    assert numbers[0] == 11
    for after, first in ((0, 11), (10, 11), (11, 12), (KEPT + 9, KEPT + 10), (KEPT + 11, 11)):
        assert [e.number for e in v1.entries_after(journal.entries, after)] == list(
            range(first, KEPT + 11)
        ), after
    assert not v1.entries_after(journal.entries, KEPT + 10)


async def test_each_address_answers(serve: Serve) -> None:
    service = await serve(busy=True)
    status = (await service.get("/api/v1/status")).json
    assert (await service.get("/api/v1/devices")).json == status["devices"]
    assert (await service.get("/api/v1/devices/cuda:0")).json == status["devices"][0]
    assert (await service.get("/api/v1/devices/cuda%3A0")).json == status["devices"][0]
    assert (await service.get("/api/v1/pools")).json == status["pools"]
    missing = await service.get("/api/v1/devices/cuda:9")
    assert missing.status == 404
    assert missing.error == "unknown device; /api/v1/devices lists the known ones"


async def test_halves_of_characters_in_a_pools_words_spoil_no_answer(serve: Serve) -> None:
    service = await serve()
    half = "\ud83d"
    service.rig.emit(NewJob(replace(job(), id=f"a{half}")), PoolNotice(FIRST, f"b{half}"))
    told = (await service.get("/api/v1/status")).json
    assert (told["job"]["id"], told["notice"]) == ("a?", "b?")
    assert (await service.get("/api/v1/events?limit=1")).json["events"][0]["text"].endswith("b?")


async def test_the_history_comes_in_two_steps(serve: Serve) -> None:
    service = await serve()
    for step in (10, 300):
        answer = await service.get(f"/api/v1/history?step={step}")
        assert answer.json == {"step": step, "samples": []}
    assert (await service.get("/api/v1/history")).json["step"] == 10
    for wrong in ("step=20", "step=", "step=010", "step=ten", "steps=10", "step=10&step=10"):
        assert (await service.get(f"/api/v1/history?{wrong}")).status == 400, wrong


def test_a_history_is_what_its_answer_describes() -> None:
    cards = (DeviceSample("cuda:0", 35e6, 61.0, nan, 201.5, None),)
    sample = Sample(1_800_000_000.5, 35e6, 4, 6, cards)
    text = v1.history_bytes(10, (sample, sample))
    told = HistoryAnswer.model_validate_json(text)
    assert told.step == 10
    assert len(told.samples) == 2
    assert told.samples[0].model_dump(mode="json") == {
        "at": 1_800_000_000.5, "hashrate": 35e6, "accepted": 4, "not_accepted": 6,
        "devices": [{
            "name": "cuda:0", "hashrate": 35e6, "temperature": 61.0, "memory_temperature": None,
            "power": 201.5, "fan": None,
        }],
    }  # fmt: skip


async def test_events_are_the_newest_ones_after_a_number(serve: Serve) -> None:
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


async def test_a_row_of_another_version_breaks_no_answer(serve: Serve) -> None:
    async def rows(limit: int) -> list[dict[str, Any]]:
        (row,) = await newest(1)
        return [{**row, "outcome": word} for word in ("stale", "unanswered", "a mood")]

    service = await serve(context={"shares": rows})
    told = (await service.get("/api/v1/shares")).json["shares"]
    assert [row["outcome"] for row in told] == ["stale", "unanswered", None]


async def test_the_token_pauses_resumes_and_reloads(serve: Serve) -> None:
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
    assert service.control.told == [
        ("pause", None), ("resume", None), ("pause", "cuda:0"), ("resume", "cuda:0"),
        ("reload", None), ("reload", None),
    ]  # fmt: skip


async def test_settings_that_cannot_be_used_change_nothing(serve: Serve) -> None:
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


async def test_the_forms_of_other_miners_come_when_they_are_asked_for(serve: Serve) -> None:
    assert (await (await serve()).get("/summary")).status == 404
    assert (await (await serve(panels=True)).get("/summary")).status == 200
