"""A receipt as rows, and back: one of ``requests``, one of ``attempts`` per attempt, at most one of ``decisions``.

Money is nano-dollars, moments and durations are microseconds, both as integers; what has a structure is JSON text. A
text that databases refuse (a NUL, half of a surrogate pair) gets U+FFFD in its place: no receipt is lost for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from router_core.records import Attempt, Decision, Feedback, Receipt
from router_core.stores.base import LedgerEntry, Repricing, Row
from router_core.types import Usage

KINDS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)
"""The columns that count tokens: the fields of ``Usage``."""

_REQUEST_JSON = frozenset({"tags"})
_DECISION_JSON = frozenset({"ladder", "fallbacks", "candidates", "refusals", "quality", "features"})

MAX_INTEGER = 2**63 - 1
"""The largest number that a column holds."""
MAX_KEY_LENGTH = 1000
"""An index of PostgreSQL takes entries of up to 2,700 bytes."""


class EntryRows(NamedTuple):
    """The rows of one receipt, their JSON columns as text."""

    request: Row
    attempts: list[Row]
    decision: Row | None


def microseconds(seconds: float, name: str) -> int:
    """Seconds as whole microseconds.

    Raises:
        ValueError: they are no number.
    """
    if not math.isfinite(seconds):
        raise ValueError(f"{name}: {seconds} is not a time in seconds")
    return round(seconds * 1_000_000)


def storable(text: str | None) -> str | None:
    """The text as every database takes it."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def entry_rows(entry: LedgerEntry) -> EntryRows:
    """The rows of a receipt.

    Raises:
        ValueError: a number is too large for a column, or a time is none.
    """
    receipt = entry.receipt
    rows = EntryRows(
        _request(entry),
        [_attempt(receipt.request_id, attempt) for attempt in receipt.attempts],
        None if receipt.decision is None else _decision(receipt.request_id, receipt.decision),
    )
    for row in (rows.request, *rows.attempts):
        for name, value in row.items():
            if isinstance(value, int) and abs(value) > MAX_INTEGER:
                raise ValueError(f"{name}: {value} of request {receipt.request_id} is too large to be stored")
    return rows


def repricing_row(repricing: Repricing) -> Row:
    """The row of a cost that was computed anew.

    Raises:
        ValueError: a number is too large for a column or below 0, a time is none, or the version has no name.
    """
    request_id, number, version, at, cost = repricing
    if not version:
        raise ValueError(f"price_version: it is empty for attempt {number} of {request_id}; name the prices")
    if not 0 <= number <= MAX_INTEGER:
        raise ValueError(f"number: {number} is no attempt of {request_id}")
    if cost is not None and not 0 <= cost <= MAX_INTEGER:
        raise ValueError(f"cost_nano: {cost} of attempt {number} of {request_id} is not an amount")
    return {
        "request_id": request_id,
        "number": number,
        "price_version": storable(version),
        "at_us": microseconds(at, "at"),
        "cost_nano": cost,
    }


def feedback_row(feedback: Feedback) -> Row:
    """The row of what was said of an answer.

    Raises:
        ValueError: the score is not between 0 and 1, or the time is none.
    """
    if not 0 <= feedback.score <= 1:
        raise ValueError(f"score: {feedback.score!r} of request {feedback.request_id} is not between 0 and 1")
    return {
        "request_id": feedback.request_id,
        "at_us": microseconds(feedback.at, "at"),
        "score": float(feedback.score),
        "comment": storable(feedback.comment),
    }


def read_row(
    request: Mapping[str, Any],
    attempts: Sequence[Row],
    decision: Mapping[str, Any] | None,
    repricings: Iterable[Row] = (),
    feedback: Row | None = None,
) -> Row:
    """What the ledger hands out for one receipt. ``repricings`` are of its attempts."""
    repriced: dict[int, dict[str, int | None]] = {attempt["number"]: {} for attempt in attempts}
    for row in sorted(repricings, key=lambda row: (row["at_us"], row["price_version"])):
        repriced.setdefault(row["number"], {})[row["price_version"]] = row["cost_nano"]
    return {
        **_decoded(request, _REQUEST_JSON),
        "attempts": [{**attempt, "repriced": repriced[attempt["number"]]} for attempt in attempts],
        "decision": None if decision is None else _decoded(decision, _DECISION_JSON),
        "feedback": feedback,
    }


def _request(entry: LedgerEntry) -> Row:
    receipt = entry.receipt
    return {
        "request_id": receipt.request_id,
        "at_us": microseconds(entry.at, "at"),
        "outcome": receipt.outcome.value,
        "model": storable(receipt.model),
        "session": storable(receipt.session),
        "call_site": storable(receipt.call_site),
        "tags": _json(receipt.tags),
        "latency_us": microseconds(receipt.latency_s, "latency_s"),
        "attempt_count": len(receipt.attempts),
        "escalations": receipt.escalations,
        "fallbacks": receipt.fallbacks,
        **_tokens(receipt),
        "cost_nano": receipt.cost_nano,
        "baseline_model": storable(entry.baseline_model),
        "baseline_nano": entry.baseline_nano,
        "predicted_nano": entry.predicted_nano,
        "prompt": storable(entry.prompt),
        "answer": storable(entry.answer),
    }


def _tokens(of: Receipt | Attempt) -> Row:
    usage: Usage | None = of.usage
    if usage is None:
        return dict.fromkeys((*KINDS, "estimated"))
    return {**{kind: getattr(usage, kind) for kind in KINDS}, "estimated": usage.estimated}


def _attempt(request_id: str, attempt: Attempt) -> Row:
    first_s, verdict, failure = attempt.first_token_s, attempt.verdict, attempt.failure
    return {
        "request_id": request_id,
        "number": attempt.number,
        "model": storable(attempt.model),
        "provider": storable(attempt.provider),
        "outcome": attempt.outcome.value,
        "latency_us": microseconds(attempt.latency_s, "latency_s"),
        "first_token_us": None if first_s is None else microseconds(first_s, "first_token_s"),
        **_tokens(attempt),
        "cost_nano": attempt.cost_nano,
        "price_version": storable(attempt.price_version),
        "verdict_accepted": None if verdict is None else verdict.accepted,
        "verdict_code": None if verdict is None else storable(verdict.code),
        "verdict_detail": None if verdict is None else storable(verdict.detail),
        "failure": None if failure is None else failure.value,
        "error": storable(attempt.error),
        "service_tier": storable(attempt.service_tier),
        "model_id": storable(attempt.model_id),
        "finish_reason": storable(attempt.finish_reason),
        "role": attempt.role.value,
    }


def _decision(request_id: str, decision: Decision) -> Row:
    candidates = [
        {
            "model": candidate.model.name,
            "id": candidate.model.id,
            "provider": candidate.model.provider,
            "cost_nano": candidate.cost_nano,
            "latency_s": candidate.latency_s,
        }
        for candidate in decision.candidates
    ]
    refusals = [{"model": r.model, "code": r.code.value, "detail": r.detail} for r in decision.refusals]
    return {
        "request_id": request_id,
        "policy": storable(decision.policy),
        "reason": decision.reason.value,
        "score": _finite(decision.score),
        "confidence": _finite(decision.confidence),
        "ladder": _json(decision.ladder),
        "fallbacks": _json(decision.fallbacks),
        "candidates": _json(candidates),
        "refusals": _json(refusals),
        "quality": _json(decision.quality),
        "features": _json(decision.features),
    }


def _decoded(row: Mapping[str, Any], columns: AbstractSet[str]) -> Row:
    return {name: json.loads(value) if name in columns else value for name, value in row.items()}


def _finite(number: float | None) -> float | None:
    return number if number is None or math.isfinite(number) else None


def _json(value: object) -> str:
    """JSON in ASCII. What JSON has no word for becomes text, or null if it is no finite number."""
    try:
        return _encode(value)
    except ValueError:
        return json.dumps(_without_nan(value), default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, AbstractSet):
        return sorted(value, key=str)
    return str(value)


_encode = json.JSONEncoder(allow_nan=False, default=_plain).encode


def _without_nan(value: object) -> object:
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, Mapping):
        return {str(name): _without_nan(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value
