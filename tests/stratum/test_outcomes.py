from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.safe_text import TEXT_LIMIT
from miner.stratum.outcomes import classify, remark
from miner.work import Outcome

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


EMPTY = [
    pytest.param(None, id="most pools"),
    pytest.param([], id="kawpowminer takes it for none"),
    pytest.param({}, id="kawpowminer takes it for none, too"),
    pytest.param(False, id="false"),
    pytest.param(0, id="0"),
    pytest.param("", id="empty text"),
]


@pytest.mark.parametrize("error", EMPTY)
@pytest.mark.parametrize(
    "result",
    [True, None, {"status": "OK"}, {"status": "KEEPALIVED"}, 0, "ok",
     {"status": "OK", "error": {"code": 0}}, {"accepted": True, "error": "none"}],
)  # fmt: skip
def test_answer_without_error_or_false_result_is_an_acceptance(result: Any, error: Any) -> None:
    assert classify(result, error) == (Outcome.ACCEPTED, "")


@pytest.mark.parametrize("error", EMPTY)
@pytest.mark.parametrize(
    ("result", "reason", "outcome", "text"),
    [
        pytest.param(False, "Above target", Outcome.LOW_DIFFICULTY, "Above target", id="ckpool"),
        pytest.param(None, "Stale", Outcome.STALE, "Stale", id="cgminer reads a null so"),
        pytest.param(False, [22, "Duplicate"], Outcome.DUPLICATE, "Duplicate", id="a list"),
        pytest.param(False, {"code": 21}, Outcome.STALE, "error 21", id="an object"),
        pytest.param({"status": "stale"}, None, Outcome.STALE, "stale", id="a status"),
        pytest.param({"status": "REJECTED"}, None, Outcome.INVALID, "REJECTED", id="rejected"),
        pytest.param("false", None, Outcome.INVALID, "false", id="a text"),
        pytest.param(
            {"error": "stale share"}, None, Outcome.STALE, "stale share", id="inner error"
        ),
        pytest.param({"ok": False, "error": "dup"}, None, Outcome.DUPLICATE, "dup", id="not ok"),
        pytest.param(
            {"accepted": "false", "message": "stale"},
            None,
            Outcome.STALE,
            "stale",
            id="a false text",
        ),
        pytest.param("staleShare", None, Outcome.STALE, "staleShare", id="two words in one"),
        pytest.param("Stale share", None, Outcome.STALE, "Stale share", id="a sentence"),
        pytest.param("duplicate", None, Outcome.DUPLICATE, "duplicate", id="a word"),
        pytest.param("Job not found", None, Outcome.STALE, "Job not found", id="not found"),
        pytest.param(
            {"accepted": False}, None, Outcome.INVALID, "refused without a reason", id="accepted"
        ),
        pytest.param(
            {"success": False, "reason": "stale"}, None, Outcome.STALE, "stale", id="success"
        ),
        pytest.param(
            {"status": False},
            None,
            Outcome.INVALID,
            "refused without a reason",
            id="a false status",
        ),
        pytest.param(
            {"status": "rejected", "reason": "duplicate"},
            None,
            Outcome.DUPLICATE,
            "duplicate",
            id="status and reason",
        ),
        pytest.param(
            {"status": "error", "message": "low difficulty share"},
            None,
            Outcome.LOW_DIFFICULTY,
            "low difficulty share",
            id="status and message",
        ),
    ],
)
def test_refusals_without_an_error_keep_their_reason(
    result: Any, reason: Any, error: Any, outcome: Outcome, text: str
) -> None:
    assert classify(result, error, reason) == (outcome, text)


@pytest.mark.parametrize(
    "result",
    ["OK", "accepted", "s-dup1", "w-low-9", "blockfound - 5e5e", "failover", "OK: no errors",
     "Share accepted (stale block)"],
)  # fmt: skip
def test_a_text_as_result_is_an_acceptance_unless_it_refuses(result: str) -> None:
    assert classify(result, None) == (Outcome.ACCEPTED, "")


@pytest.mark.parametrize(
    "error",
    [[0, None], [0, ""], {"code": 0, "message": ""}, [None, None], "0", "none", "null",
     {"code": 0, "message": "OK"}, [0, "Success", None]],
)  # fmt: skip
def test_an_error_that_says_nothing_beside_a_true_result_is_an_acceptance(error: Any) -> None:
    assert classify(True, error) == (Outcome.ACCEPTED, "")
    assert classify(None, error)[0] is Outcome.INVALID
    assert classify(False, error)[0] is Outcome.INVALID


def test_a_reason_beside_an_error_explains_it() -> None:
    assert classify(None, True, "stale share") == (Outcome.STALE, "stale share")
    assert classify(None, [22, "duplicate"], "stale") == (Outcome.DUPLICATE, "duplicate")


def test_a_reason_beside_an_accepted_result_is_ignored() -> None:
    assert classify(True, None, "none") == (Outcome.ACCEPTED, "")


def test_false_result_is_a_refusal_without_reason() -> None:
    assert classify(False, None) == (Outcome.INVALID, "refused without a reason")


@pytest.mark.parametrize(
    ("error", "outcome", "text"),
    [
        ([20, "job not found"], Outcome.STALE, "job not found"),
        ([21, "job not found", None], Outcome.STALE, "job not found"),
        (["21", "Stale share."], Outcome.STALE, "Stale share."),
        ([21.0, None], Outcome.STALE, "error 21"),
        ({"code": 22, "msg": "seen before"}, Outcome.DUPLICATE, "seen before"),
        ({"code": 20, "reason": "no such job"}, Outcome.STALE, "no such job"),
        ([20, "please log in first"], Outcome.UNAUTHORIZED, None),
        ([22, "duplicate share"], Outcome.DUPLICATE, "duplicate share"),
        ([23, "low difficulty share of 0.01"], Outcome.LOW_DIFFICULTY, None),
        ([20, "kawpow validation failed"], Outcome.INVALID, None),
        ([20, "invalid header hash"], Outcome.INVALID, None),
        ([20, "incorrect size of nonce, must be 8 bytes"], Outcome.INVALID, None),
        ([24, "unauthorized worker"], Outcome.UNAUTHORIZED, None),
        ([25, "not subscribed"], Outcome.UNAUTHORIZED, None),
        ([20, "ProgPOW verify failed"], Outcome.INVALID, None),
        ([26, "Share above target"], Outcome.LOW_DIFFICULTY, None),
        ({"code": 20, "message": "high-hash"}, Outcome.LOW_DIFFICULTY, "high-hash"),
        ({"code": 20, "message": "invalid-mix-hash"}, Outcome.INVALID, None),
        (
            {"code": 20, "message": "Miner submitted an old job that we did not have"},
            Outcome.STALE,
            None,
        ),
        ({"code": -1, "message": "invalid jobid"}, Outcome.STALE, None),
        ({"code": -1, "message": "bad mix-hash"}, Outcome.INVALID, "bad mix-hash"),
        ({"code": -3, "message": "Method not found"}, Outcome.INVALID, None),
        ({"code": -32000, "message": "wrong work"}, Outcome.STALE, "wrong work"),
        ({"code": -32000, "message": "not enough work was done"}, Outcome.LOW_DIFFICULTY, None),
        ({"code": 405, "message": "Invalid nonce"}, Outcome.INVALID, None),
        ({"code": 406, "message": "Bad nonce"}, Outcome.INVALID, "Bad nonce"),
        ({"code": 500, "message": "Bad job id"}, Outcome.STALE, "Bad job id"),
        ({"code": 300, "message": "No token"}, Outcome.UNAUTHORIZED, "No token"),
        ({"code": 399}, Outcome.UNAUTHORIZED, "error 399"),
        ({"code": 299}, Outcome.INVALID, "error 299"),
        ({"code": 400}, Outcome.INVALID, "error 400"),
        ("unsupported stratum version", Outcome.INVALID, "unsupported stratum version"),
        ([21, None], Outcome.STALE, "error 21"),
        ([26], Outcome.LOW_DIFFICULTY, "error 26"),
        ("22", Outcome.DUPLICATE, "error 22"),
        (23, Outcome.LOW_DIFFICULTY, "error 23"),
        ([None], Outcome.INVALID, "refused without a reason"),
        (True, Outcome.INVALID, "refused without a reason"),
        ("unknown-work", Outcome.STALE, "unknown-work"),
        ("job-not-found", Outcome.STALE, "job-not-found"),
        ("bad-prevblk", Outcome.STALE, "bad-prevblk"),
        ("share is late", Outcome.STALE, "share is late"),
        ("already submitted", Outcome.DUPLICATE, "already submitted"),
        ("Hash is bigger than target", Outcome.LOW_DIFFICULTY, None),
        ("share target not met", Outcome.LOW_DIFFICULTY, None),
        ("worker not found", Outcome.UNAUTHORIZED, "worker not found"),
        ("invalid worker", Outcome.UNAUTHORIZED, "invalid worker"),
        ({"code": -1, "data": {"message": "stale share"}}, Outcome.STALE, "stale share"),
    ],
)
def test_error_forms(error: Any, outcome: Outcome, text: str | None) -> None:
    got = classify(None, error)
    assert got[0] is outcome
    if text is not None:
        assert got[1] == text


def test_error_message_that_is_an_object() -> None:
    error = {"code": 20, "message": {"code": -22, "message": "Block decode failed"}}
    assert classify(None, error) == (Outcome.INVALID, "Block decode failed")


def test_23_is_stale_by_its_text_on_the_veil_proxy() -> None:
    assert classify(None, {"code": 23, "message": "Stale job"})[0] is Outcome.STALE


def test_24_nonce_out_of_worker_range_is_not_unauthorized() -> None:
    assert classify(None, [24, "nonce out of worker range"])[0] is Outcome.INVALID


def test_23_invalid_share_is_invalid_by_its_text() -> None:
    assert classify(None, [23, "Invalid share"])[0] is Outcome.INVALID


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ({"code": 202, "message": "Stale"}, "Stale"),
        ({"code": "202", "message": "a\x1bb"}, "ab"),
        ([200, None], "remark 200"),
        (299, "remark 299"),
        ({"code": 199, "message": "Stale"}, None),
        ({"code": 300, "message": "Stale"}, None),
        ("Stale", None),
        (None, None),
        ([], None),
    ],
)
def test_error_with_code_2xx_is_a_remark(error: Any, text: str | None) -> None:
    assert remark(error) == text


@given(JSON, JSON)
def test_any_answer_is_classified(result: Any, error: Any) -> None:
    outcome, text = classify(result, error)
    assert len(text) <= TEXT_LIMIT
    assert text.isprintable()
    if outcome is Outcome.ACCEPTED:
        assert not error or result is True
        assert result is not False
