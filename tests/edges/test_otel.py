"""What OpenTelemetry is told: over all four drivers, each token and each nano-dollar once."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode

from router_core.events import Settled
from router_core.observers.attributes import usd
from router_core.records import Attempt, AttemptOutcome, Receipt, ReceiptOutcome
from router_core.testing import Broken
from router_core.types import NANO, FailureKind
from tests.drive.conftest import Driver
from tests.edges.telemetry import DRIVERS, FULL, WAYS, Telemetry, Way, cut_off, total


@pytest.fixture
def told() -> Telemetry:
    return Telemetry()


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest, told: Telemetry) -> Driver:
    return Driver(request.param, told.log)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_spans_and_metrics_add_up_to_the_receipt(
    way: Way,
    driver: Driver,
    told: Telemetry,
) -> None:
    await way(driver, told)

    (receipt,) = told.log.receipts
    usage = receipt.usage
    attempts = told.attempts
    # Over all spans, not over those of attempts only: so a backend adds.
    for spans in (told.spans, attempts):
        assert total(spans, "gen_ai.usage.input_tokens") == usage.input_tokens
        assert total(spans, "gen_ai.usage.output_tokens") == usage.output_tokens
        assert total(spans, "llm.token_count.prompt") == usage.input_tokens
        assert total(spans, "llm.token_count.completion") == usage.output_tokens
        assert total(spans, "llm.token_count.total") == usage.total_tokens
        assert total(spans, "gen_ai.usage.cache_read.input_tokens") == usage.cache_read_tokens
        assert total(spans, "llm.token_count.completion_details.reasoning") == usage.reasoning_tokens
        for name in ("llm.cost.total", "gen_ai.usage.cost", "operation.cost"):
            costs = [span.attributes[name] for span in spans if name in span.attributes]
            assert costs == [usd(a.cost_nano) for a in receipt.attempts if a.cost_nano is not None]
    assert told.counted("gen_ai.client.token.usage", gen_ai__token__type="input") == usage.input_tokens
    assert told.counted("gen_ai.client.token.usage", gen_ai__token__type="output") == usage.output_tokens
    known = sum(a.cost_nano or 0 for a in receipt.attempts)
    assert round(told.counted("router.cost") * NANO) == known
    assert told.counted("router.cost") == pytest.approx(usd(known), rel=1e-15)
    assert told.counted("router.cost.unknown") == sum(a.cost_nano is None for a in receipt.attempts)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_each_request_and_each_attempt_is_told_once(
    way: Way,
    driver: Driver,
    told: Telemetry,
) -> None:
    await way(driver, told)

    (receipt,) = told.log.receipts
    (request,) = told.requests
    assert [span.attributes["router.attempt.outcome"] for span in told.attempts] == [
        attempt.outcome.value for attempt in receipt.attempts
    ]
    assert [span.parent.span_id for span in told.attempts] == [request.context.span_id] * len(receipt.attempts)
    assert len(told.spans) == 1 + len(receipt.attempts)
    assert request.attributes["router.outcome"] == receipt.outcome.value
    assert request.attributes["router.escalations"] == receipt.escalations
    assert request.attributes["router.fallbacks"] == receipt.fallbacks
    assert request.attributes.get("router.cost_usd") == (None if receipt.cost_nano is None else usd(receipt.cost_nano))
    assert told.counted("router.requests", router__outcome=receipt.outcome.value) == 1
    assert told.counted("router.attempts") == len(receipt.attempts)
    assert told.counted("router.escalations") == receipt.escalations
    assert told.counted("router.fallbacks") == receipt.fallbacks
    assert sum(point.count for point in told.points("gen_ai.client.operation.duration")) == len(receipt.attempts)
    streamed = sum(attempt.first_token_s is not None for attempt in receipt.attempts)
    assert sum(point.count for point in told.points("gen_ai.client.operation.time_to_first_chunk")) == streamed
    assert told.observer._begun == {}


async def test_an_attempt_that_was_cut_off_is_told_with_what_it_spent(driver: Driver, told: Telemetry) -> None:
    await cut_off(driver, told)

    (receipt,) = told.log.receipts
    (span,) = told.attempts
    assert receipt.outcome is ReceiptOutcome.CANCELLED
    assert span.attributes["router.attempt.outcome"] == "cancelled"
    assert span.attributes["gen_ai.usage.input_tokens"] == receipt.usage.input_tokens > 0
    assert span.attributes["router.usage.estimated"] is True
    # Who goes away makes no error.
    assert [each.status.status_code for each in told.spans] == [StatusCode.UNSET] * 2


async def test_without_spans_of_attempts_nothing_is_counted_by_spans(driver: Driver, told: Telemetry) -> None:
    told = Telemetry(attempts=False)
    driver = Driver(driver.name, told.log)
    router = told.router({"weak": "bad", "middle": Broken(), "strong": FULL}, observers=[told.log, told.observer])

    await driver.ask(router)

    (request,) = told.spans
    assert {event.name for event in request.events} == {"router.attempt"}
    outcomes = {e.attributes["router.attempt.model"]: e.attributes["router.attempt.outcome"] for e in request.events}
    assert list(outcomes.items()) == [("weak", "rejected"), ("middle", "failed"), ("strong", "accepted")]
    said = [request.attributes, *(event.attributes for event in request.events)]
    assert [name for about in said for name in about if name.startswith(("gen_ai.", "llm.", "operation."))] == []
    assert request.attributes["router.cost_usd"] == usd(told.log.receipts[0].cost_nano or 0)
    assert told.counted("gen_ai.client.token.usage") == told.log.receipts[0].usage.total_tokens


def test_what_is_unknown_is_left_out(told: Telemetry) -> None:
    attempt = Attempt(1, "m", "p", AttemptOutcome.FAILED, 0.5, failure=FailureKind.UNKNOWN)

    told.observer(Settled("r", Receipt("r", ReceiptOutcome.FAILED, None, (attempt,), 1.0)))

    (span,) = told.attempts
    assert [name for name in span.attributes if "usage" in name or "cost" in name or "token" in name] == []
    assert "router.cost_usd" not in told.requests[0].attributes
    assert told.points("gen_ai.client.token.usage") == []
    assert told.points("router.cost") == []
    assert told.counted("router.cost.unknown") == 1


@given(st.integers(0, 2**53))
def test_money_is_the_nearest_number(nano: int) -> None:
    assert usd(nano) == float(Decimal(nano) / NANO)
    assert nano > 2**50 or round(usd(nano) * NANO) == nano
