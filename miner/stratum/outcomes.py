"""The outcome of a share from a pool's answer, by its text first, then by its code."""

from __future__ import annotations

import re
from typing import Any

from miner.safe_text import short_line
from miner.work import Outcome

NO_REASON = "refused without a reason"

_BY_TEXT = (
    (re.compile(r"method|size of"), Outcome.INVALID),
    (
        re.compile(r"stale|\bold\b|not found|expired|wrong work|(?:invalid|bad|unknown) job"),
        Outcome.STALE,
    ),
    (re.compile(r"dup"), Outcome.DUPLICATE),
    (
        re.compile(
            r"low.?diff|high.?hash|(?:above|not below|over).*target|boundary|difficulty"
            r"|not enough work"
        ),
        Outcome.LOW_DIFFICULTY,
    ),
    (re.compile(r"unauth|not auth|not subscribed"), Outcome.UNAUTHORIZED),
    (re.compile(r"range|mix|valid|verif|mismatch|malformed|incorrect"), Outcome.INVALID),
)
"""The first pattern found in the lower-case text decides."""

_BY_CODE = {
    21: Outcome.STALE,
    22: Outcome.DUPLICATE,
    23: Outcome.LOW_DIFFICULTY,
    24: Outcome.UNAUTHORIZED,
    25: Outcome.UNAUTHORIZED,
    26: Outcome.LOW_DIFFICULTY,
}


def classify(result: Any, error: Any) -> tuple[Outcome, str]:
    """Return outcome and text of an answer with these members, None if absent.

    It is an acceptance if `error` is None and `result` is not false. Any JSON value is allowed.
    """
    if error is None:
        if result is not False:
            return Outcome.ACCEPTED, ""
        return Outcome.INVALID, NO_REASON
    code, text = _code_and_text(error)
    lower = text.lower()
    for pattern, outcome in _BY_TEXT:
        if pattern.search(lower):
            return outcome, text
    # EIP-1571 numbers its errors like HTTP; 3xx are about authorisation.
    outcome = Outcome.UNAUTHORIZED if 300 <= code < 400 else _BY_CODE.get(code, Outcome.INVALID)
    return outcome, text or (f"error {code}" if code else NO_REASON)


def remark(error: Any) -> str | None:
    """Return the text of an error with code 2xx, which EIP-1571 defines as acceptance with a
    remark; None for real errors."""
    code, text = _code_and_text(error)
    return (text or f"remark {code}") if 200 <= code < 300 else None


def _code_and_text(error: Any, depth: int = 0) -> tuple[int, str]:
    """Return code (0 if absent) and text, on one line, of an error in any form."""
    if isinstance(error, str):
        if re.fullmatch(r"-?[0-9]{1,6}", error):
            return int(error), ""
        return 0, short_line(error)
    if isinstance(error, int) and not isinstance(error, bool):
        return error if abs(error) < 10**6 else 0, ""
    if depth > 3:
        return 0, ""
    if isinstance(error, dict):
        parts = [error.get("code"), error.get("message") or error.get("error")]
    elif isinstance(error, list):
        parts = error[:3]
    else:
        return 0, ""
    found_code, found_text = 0, ""
    for part in parts:
        code, text = _code_and_text(part, depth + 1)
        found_code, found_text = found_code or code, found_text or text
    return found_code, found_text
