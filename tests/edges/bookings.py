"""Receipts of calls of a provider, to compute and compare their costs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from router_core.records import (
    Attempt,
    AttemptOutcome,
    Candidate,
    Decision,
    Reason,
    Receipt,
    ReceiptOutcome,
)
from router_core.stores import LedgerEntry
from router_core.types import Model, Usage

MILLION = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
DAY = datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()


def attempt(model: str = "small", **fields: Any) -> Attempt:
    """A call of a million tokens in and out that was booked at one dollar."""
    fields = {
        "provider": "openai",
        "outcome": AttemptOutcome.ACCEPTED,
        "latency_s": 0.5,
        "usage": MILLION,
        "cost_nano": 1_000_000_000,
        "price_version": "genai-prices 0.1.0",
    } | fields
    return Attempt(number=1, model=model, **fields)


def entry(request_id: str, *attempts: Attempt, ids: dict[str, str] | None = None, at: float = DAY) -> LedgerEntry:
    """A receipt of these attempts, whose decision knows these ids of models."""
    numbered = tuple(each._replace(number=number) for number, each in enumerate(attempts, 1))
    decision = None
    if ids is not None:
        models = [Model(name=name, id=each, provider="openai", endpoint="") for name, each in ids.items()]
        decision = Decision("static", Reason.STATIC, tuple(ids), (), tuple(map(Candidate, models)), ())
    return LedgerEntry(receipt=Receipt(request_id, ReceiptOutcome.ANSWERED, decision, numbered, latency_s=0.5), at=at)
