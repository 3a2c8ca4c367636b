"""The outcome of a share from a pool's answer, by its text first, then by its code."""

from __future__ import annotations

import re
from typing import Any

from miner.errors import Cause
from miner.safe_text import short_line
from miner.work import Outcome

NO_REASON = "refused without a reason"

_BY_TEXT = (
    (re.compile(r"method|size of"), Outcome.INVALID),
    (
        re.compile(
            r"unauth|not (?:auth|subscribed|logged)|log ?in (?:first|required)"
            r"|(?:invalid|bad|unknown|no such) (?:user|worker|account)"
            r"|(?:user|worker|account) (?:is )?(?:unknown|not found)"
        ),
        Outcome.UNAUTHORIZED,
    ),
    (
        re.compile(
            r"stale|\bold\b|\blate\b|not found|expired|outdated|wrong work|obsolete|\bprevblk"
            r"|(?:invalid|bad|unknown|no such) (?:job|work)"
        ),
        Outcome.STALE,
    ),
    (re.compile(r"dup|already (?:submitted|exists|known)"), Outcome.DUPLICATE),
    (
        re.compile(
            r"low.?diff|high.?hash|(?:above|not below|over|(?:bigg|great|high|larg)er than).*target"
            r"|target not (?:met|reached)|boundary|difficulty|not enough work"
        ),
        Outcome.LOW_DIFFICULTY,
    ),
    (re.compile(r"range|mix|valid|verif|mismatch|malformed|incorrect"), Outcome.INVALID),
)
"""The first pattern found decides; the text is in lower case, its words separated by blanks."""

_BY_PRECISE_CODE = {
    -32503: Outcome.STALE,
    -32501: Outcome.LOW_DIFFICULTY,
    -32500: Outcome.UNAUTHORIZED,
}
"""Codes of EPIC Cash's nodes, which decide before the text."""

_BY_CODE = {
    21: Outcome.STALE,
    22: Outcome.DUPLICATE,
    23: Outcome.LOW_DIFFICULTY,
    24: Outcome.UNAUTHORIZED,
    25: Outcome.UNAUTHORIZED,
    26: Outcome.LOW_DIFFICULTY,
}


_TEMPORARY = re.compile(
    r"try again|(?<!or )later\b|retry|temporar|not ready|starting|maintenance|overload|\bbusy\b"
    r"|unavailable|timed? ?out|shutting down|internal (?:\w+ )?(?:error|problem|failure)|database"
    r"|\bdb\b|\bsync|server error|\bis down\b|(?:server|backend|node|daemon) down"
    r"|\b(?:offline|gateway|upstream|backend)\b|^\W*50[0234]\b|reconnect|another server"
    r"|\bno (?:jobs?|work|block templates?)\b|\bfull\b(?![ .]\w)|too many|capacity|pool is closed"
    r"|limit (?:is )?(?:reached|exceeded)|max(?:imum)? (?:connections|clients|workers)"
    r"|unexpected (?:\w+ )?(?:error|problem|failure)|went wrong|rpc error|unknown error"
    r"|^\W*error\W*$"
)
_CHECK_FAILED = re.compile(
    r"(?:could not|couldn't|cannot|can't|unable to|failed to) (?:\w+ ){0,2}?"
    r"(?:check|verify|validate|reach|connect|contact|load)\b"
)
"""In the lower-case text of a pool that does not know yet whether the login is right."""
_REJECTED = re.compile(
    r"invalid|(?<!went )wrong|incorrect|unknown(?! error)|unauth|regist|no such|not exist|missing"
    r"|checksum"
)
_OF_LOGIN = re.compile(
    r"password|address|wallet(?! (?:daemon|node|server|service))|user ?name|worker name"
)
_OF_DIALECT = re.compile(r"unsupported|not supported|method not")
_FAULT = re.compile(
    r"(?:internal|unexpected) (?:\w+ )?(?:error|problem|failure)|server error|went wrong|rpc error"
    r"|unknown error|^\W*error\W*$"
)


def temporary_cause(text: str) -> Cause | None:
    """Return the cause if the text of a refused login names a reason that ends by itself, and none
    that lies in the login; else None.

    A busy pool refuses any request; a request of another dialect may cause an internal error.
    """
    lower = text.lower()
    if _REJECTED.search(lower):
        return None
    if _CHECK_FAILED.search(lower):
        return Cause.LOGIN_LATER
    if not _TEMPORARY.search(lower) or _OF_LOGIN.search(lower) or _OF_DIALECT.search(lower):
        return None
    return Cause.POOL_FAULT if _FAULT.search(lower) else Cause.LOGIN_LATER


NO_ERROR: tuple[Any, ...] = (None, [], {}, False, 0, "")
"""Values of `error` in answers without one. ethminer and its forks take the first three for none,
clients in JavaScript all but the empty list and object."""

_NOTHING = re.compile(
    r"(?:ok|success(?:ful)?|accepted|none|null|nil|no error)?[.!]?", re.IGNORECASE
)
"""Texts by which an error without a code, beside a true result, reports success."""

_TEXTS = ("message", "error", "reason", "msg", "text", "description", "detail", "data")
"""Members of an error that may contain its text; the first one that has any is used."""

_REASONS = ("reject-reason", "reject_reason", "reason")
"""Members beside result and error that explain a refusal; ckpool sends the first."""

_MESSAGES = ("message", "msg")
"""Further ones beside a false result; beside others they may be greetings."""

_REFUSING = re.compile(
    r"(?<![a-z])(?:reject|refuse|fail|error|invalid|stale|dup|denied|low\b|not found)"
    r"|^(?:false|no|ko)$"
)
"""In a lower-case result, or its `status`, that is a refusal."""

_REFUSING_WORD = re.compile(
    r"(?:reject(?:ed)?|refused?|fail(?:ed|ure)?|error|invalid|stale|dup(?:licate)?d?|denied|low)"
    r"(?:share|work|job|nonce|solution|diff|difficulty)?|false|no|ko"
)
"""A lower-case result of one word that is a refusal."""

_ACCEPTING = re.compile(r"(?:(?:share|block|solution) )?accepted\b|ok\b")
"""Start of a lower-case result that is an acceptance, also if it mentions an error."""

_REFUSING_MEMBERS = ("status", "accepted", "success", "valid", "ok", "result")
"""Members of a result that is a refusal if one of them is false, or a text that means it."""


def classify(result: Any, error: Any, reason: Any = None) -> tuple[Outcome, str]:
    """Return outcome and text of an answer with these members, None if absent; `reason` is what
    `reason_of` returns.

    The answer is an acceptance if `error` is empty and `result` neither refuses nor is absent
    beside a reason; also if `error` has no code, no text but "OK" or the like, and `result` is
    true. Any JSON value is allowed.
    """
    if error in NO_ERROR or (result is True and _is_empty(error)):
        if not (_refuses(result) or (result is None and isinstance(reason, str))):
            return Outcome.ACCEPTED, ""
        status = result.get("status") if isinstance(result, dict) else None
        error = [reason or reason_of(result), result, status]
    elif reason is not None:
        error = [error, reason]
    code, text = _code_and_text(error)
    if (precise := _BY_PRECISE_CODE.get(code)) is not None:
        return precise, text or f"error {code}"
    lower = re.sub("[-_]+", " ", text.lower())
    for pattern, outcome in _BY_TEXT:
        if pattern.search(lower):
            return outcome, text
    # EIP-1571 numbers its errors like HTTP; 3xx are about authorisation.
    outcome = Outcome.UNAUTHORIZED if 300 <= code < 400 else _BY_CODE.get(code, Outcome.INVALID)
    return outcome, text or (f"error {code}" if code else NO_REASON)


def _refuses(result: Any) -> bool:
    """Return whether a result is false, or a text or an object that means it."""
    if isinstance(result, dict):
        status = result.get("status")
        if isinstance(status, str) and _REFUSING.search(status.lower()):
            return True
        members = [result.get(name) for name in _REFUSING_MEMBERS]
        return not _is_empty(result.get("error")) or any(map(_means_no, members))
    if isinstance(result, str):
        text = result.strip().lower()
        if " " in text:
            return not _ACCEPTING.match(text) and bool(_REFUSING.search(text))
        # One word may be a session's or a worker's name, such as "failover".
        return bool(_REFUSING_WORD.fullmatch(text))
    return result is False


def _is_empty(error: Any) -> bool:
    """Return whether an error has no code, and no text but "OK" or the like."""
    code, text = _code_and_text(error)
    return error is not True and code == 0 and bool(_NOTHING.fullmatch(text))


def _means_no(value: Any) -> bool:
    return value is False or (isinstance(value, str) and value.lower() in ("false", "no"))


def reason_of(message: Any) -> Any:
    """Return the member of an answer, or of its result, that explains a refusal; None if absent."""
    if not isinstance(message, dict):
        return None
    names = _REASONS + (_MESSAGES if message.get("result") is False else ())
    return next((reason for name in names if (reason := message.get(name))), None)


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
    if isinstance(error, float) and error.is_integer():
        error = int(error)
    if isinstance(error, int) and not isinstance(error, bool):
        return error if abs(error) < 10**6 else 0, ""
    if depth > 4:
        return 0, ""
    if isinstance(error, dict):
        text = next((error[name] for name in _TEXTS if error.get(name)), None)
        parts = [error.get("code"), text]
    elif isinstance(error, list):
        parts = error[:3]
    else:
        return 0, ""
    found_code, found_text = 0, ""
    for part in parts:
        code, text = _code_and_text(part, depth + 1)
        found_code, found_text = found_code or code, found_text or text
    return found_code, found_text
