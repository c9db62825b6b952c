"""Receipts and charges to try stores with."""

from __future__ import annotations

from typing import Any

from router_core.records import (
    Attempt,
    AttemptOutcome,
    Candidate,
    Charge,
    Decision,
    Reason,
    Receipt,
    ReceiptOutcome,
    Refusal,
    RefusalCode,
)
from router_core.stores import LedgerEntry
from router_core.testing import scripted_model
from router_core.types import FailureKind, Usage, Verdict

USAGE = Usage(
    input_tokens=100,
    output_tokens=50,
    cache_read_tokens=40,
    cache_write_tokens=30,
    cache_write_1h_tokens=10,
    reasoning_tokens=20,
    input_audio_tokens=7,
    output_audio_tokens=5,
)


def charge(budget: str = "day", **fields: Any) -> Charge:
    """100 of 1,000, of which 10 are the input's."""
    given = {"key": "", "window": "2026-11-25", "unit": "nano", "limit": 1000, "amount": 100, "floor": 10} | fields
    return Charge(budget, **given)


def entry(request_id: str, *costs: int | None, at: float = 1_000.0, **fields: Any) -> LedgerEntry:
    """A receipt of attempts that cost this, all rejected but the last."""
    attempts = tuple(
        Attempt(
            number=number,
            model="weak",
            provider="scripted",
            outcome=AttemptOutcome.ACCEPTED if number == len(costs) else AttemptOutcome.REJECTED,
            latency_s=0.25,
            usage=Usage(input_tokens=10, output_tokens=number),
            cost_nano=cost,
        )
        for number, cost in enumerate(costs, 1)
    )
    receipt = Receipt(request_id, ReceiptOutcome.ANSWERED, None, attempts, latency_s=0.5)
    return LedgerEntry(receipt=receipt, at=at, **fields)


def full_decision() -> Decision:
    """A decision in which every field is set."""
    weak, strong = scripted_model("weak"), scripted_model("strong")
    return Decision(
        policy="difficulty",
        reason=Reason.EASY,
        ladder=("weak", "strong"),
        fallbacks=("tiny",),
        candidates=(Candidate(weak, 1_000, 0.5), Candidate(strong, None, None)),
        refusals=(Refusal("other", RefusalCode.CONTEXT_WINDOW, "8000 > 4096"),),
        quality={"weak": 0.75, "strong": 0.9},
        score=0.125,
        confidence=0.5,
        features={"words": 12, "code": False, "parts": ["a", None, 1.5]},
    )


def full_attempts() -> tuple[Attempt, ...]:
    """A rejected, a failed and an accepted one: each field is set in one of them at least."""
    return (
        Attempt(
            number=1,
            model="weak",
            provider="scripted",
            outcome=AttemptOutcome.REJECTED,
            latency_s=0.25,
            first_token_s=0.125,
            usage=USAGE,
            cost_nano=1_234,
            price_version="registry",
            verdict=Verdict(accepted=False, code="wording", detail="it says that it does not know"),
            service_tier="flex",
            model_id="weak-2025-04-14",
            finish_reason="stop",
        ),
        Attempt(
            number=2,
            model="strong",
            provider="scripted",
            outcome=AttemptOutcome.FAILED,
            latency_s=1.5,
            failure=FailureKind.OVERLOADED,
            error="Overloaded: 529",
        ),
        Attempt(
            number=3,
            model="strong",
            provider="scripted",
            outcome=AttemptOutcome.ACCEPTED,
            latency_s=2.0,
            usage=Usage(input_tokens=100, output_tokens=60, estimated=True),
            cost_nano=98_766,
            price_version="genai-prices 0.2.0",
            verdict=Verdict(accepted=True),
        ),
    )


def full_entry() -> LedgerEntry:
    """A receipt in which every field is set."""
    receipt = Receipt(
        request_id="f" * 32,
        outcome=ReceiptOutcome.ANSWERED,
        decision=full_decision(),
        attempts=full_attempts(),
        latency_s=3.75,
        session="conversation 7",
        call_site="agent.plan",
        tags=frozenset({"user:ann", "beta"}),
    )
    return LedgerEntry(
        receipt=receipt,
        at=1_764_000_000.25,
        baseline_model="strong",
        baseline_nano=200_000,
        predicted_nano=90_000,
        prompt="What is the capital of Österreich? 🙂",
        answer="Wien",
    )
