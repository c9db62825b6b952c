"""Which models may serve a request, and the reason of each that may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from router_core.constraints import Outlook, feasible, quality_objection
from router_core.latency import Observations
from router_core.options import Settings
from router_core.prices import PriceBook
from router_core.records import RefusalCode
from router_core.testing import scripted_model
from router_core.types import Capability, Constraints, Model, OutputSchema, RequestView, ToolSpec, Turn


def outlook(**settings: Any) -> Outlook:
    return Outlook(PriceBook(lambda: datetime(2026, 11, 1, tzinfo=UTC)), Observations(), Settings(**settings))


def view(text: str = "Hello", **fields: Any) -> RequestView:
    return RequestView(turns=(Turn("user", text),), input_bytes=len(text.encode()) + 16, **fields)


def refused(request: RequestView, model: Model, at: Outlook | None = None) -> tuple[RefusalCode, str] | None:
    allowed, refusals = feasible(request, [model], at or outlook())
    assert len(allowed) + len(refusals) == 1
    return (refusals[0].code, refusals[0].detail) if refusals else None


def limits(**fields: Any) -> RequestView:
    return view(constraints=Constraints(**fields))


M = scripted_model("m", input_usd="1000", output_usd="1000", context_window=1_000, tags=frozenset({"eu"}))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (limits(force_model="other"), RefusalCode.NOT_FORCED),
        (limits(force_model="m"), None),
        (limits(allow=frozenset({"other"})), RefusalCode.NOT_ALLOWED),
        (limits(allow=frozenset({"m"})), None),
        (limits(deny=frozenset({"m"})), RefusalCode.DENIED),
        (limits(require_tags=frozenset({"local"})), RefusalCode.TAG_MISSING),
        (limits(require_tags=frozenset({"eu"})), None),
        (limits(max_cost_usd=Decimal("0.0001")), RefusalCode.MAX_COST),
        (limits(max_cost_usd=Decimal(10)), None),
        (view(modalities=frozenset({Capability.IMAGE})), RefusalCode.CAPABILITY),
        (view(tools=(ToolSpec("t"),)), None),
        (view(output_schema=OutputSchema("s", {})), None),
    ],
)
def test_each_constraint_has_its_reason(request_: RequestView, code: RefusalCode | None) -> None:
    found = refused(request_, M)
    assert (found and found[0]) == code


@pytest.mark.parametrize(
    ("lacks", "request_"),
    [
        (Capability.TOOLS, view(tools=(ToolSpec("t"),))),
        (Capability.TOOL_CHOICE, view(tools=(ToolSpec("t"),), tool_choice="t")),
        (Capability.STRUCTURED_OUTPUT, view(output_schema=OutputSchema("s", {}))),
    ],
)
def test_a_missing_capability_is_named(lacks: Capability, request_: RequestView) -> None:
    found = refused(request_, replace(M, capabilities=M.capabilities - {lacks}))
    assert found is not None
    assert found[0] is RefusalCode.CAPABILITY
    assert lacks.value in found[1]


def test_the_window_must_hold_the_input_and_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router_core.tokens.local_encoding", lambda: None)
    fits = view("a" * (1_000 - 100 - 16), max_tokens=100)
    assert refused(fits, M) is None
    too_long = view("a" * (1_000 - 100 - 15), max_tokens=100)
    found = refused(too_long, M)
    assert found is not None
    assert found[0] is RefusalCode.CONTEXT_WINDOW
    assert "one token per byte" in found[1]


def test_more_output_than_the_model_gives_is_refused() -> None:
    found = refused(view(max_tokens=500), replace(M, max_output_tokens=400))
    assert found is not None
    assert found[0] is RefusalCode.MAX_OUTPUT


def test_an_unknown_price_meets_no_cost_limit() -> None:
    unpriced = replace(M, price=None)
    found = refused(limits(max_cost_usd=Decimal(10)), unpriced)
    assert found is not None
    assert found[0] is RefusalCode.COST_UNKNOWN
    assert "price" in found[1]
    assert refused(view(), unpriced) is None


def test_latency_counts_what_was_observed_not_what_was_declared() -> None:
    at = outlook()
    request = limits(max_latency_s=1.0)
    declared = replace(M, latency_s=5.0)
    assert refused(request, M, at) is None, "a model never called is let through"
    assert (refused(request, declared, at) or [None])[0] is RefusalCode.MAX_LATENCY
    for _ in range(20):
        at.observations.add("m", 0.2, 10)
    assert refused(request, declared, at) is None
    for _ in range(20):
        at.observations.add("m", 3.0, 10)
    assert (refused(request, declared, at) or [None])[0] is RefusalCode.MAX_LATENCY


def test_observed_answer_lengths_change_the_predicted_cost() -> None:
    at = outlook(expected_output_tokens=1_000)
    model = replace(M, context_window=None)
    before = feasible(view(), [model], at)[0][0].cost_nano
    for _ in range(50):
        at.observations.add("m", 0.1, 10)
    after = feasible(view(), [model], at)[0][0].cost_nano
    assert before is not None
    assert after is not None
    assert after < before / 10


def test_quality_must_be_known_and_high_enough() -> None:
    request = limits(min_quality=0.8)
    assert quality_objection(request, 0.8) is None
    assert (quality_objection(request, 0.79) or [None])[0] is RefusalCode.MIN_QUALITY
    assert (quality_objection(request, None) or [None])[0] is RefusalCode.QUALITY_UNKNOWN
    assert quality_objection(view(), None) is None
