"""The metrics of an OpenTelemetry observer, counted from receipts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router_core.events import BudgetReached
from router_core.observers.attributes import (
    ERROR_TYPE,
    ESTIMATED,
    TOKEN_TYPE,
    Attributes,
    error_of,
    model_ids,
    of_call,
    of_threshold,
    usd,
)
from router_core.records import Attempt, AttemptOutcome, AttemptRole, Receipt

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Counter, Meter

# The bounds are those of the GenAI conventions, docs/gen-ai/gen-ai-metrics.md.
_TOKEN_BOUNDS = [4**power for power in range(14)]
_SECOND_BOUNDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]


class Instruments:
    """What is counted. Each attempt and each request is counted once, when its request is over.

    Their attributes have few values each: no session, tag or key of a budget is among them.
    """

    def __init__(self, meter: Meter) -> None:
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKEN_BOUNDS,
        )
        self._durations, self._first_chunks, self._requests_s = (
            meter.create_histogram(name, unit="s", description=text, explicit_bucket_boundaries_advisory=_SECOND_BOUNDS)
            for name, text in (
                ("gen_ai.client.operation.duration", "GenAI operation duration."),
                ("gen_ai.client.operation.time_to_first_chunk", "Time to receive the first chunk of a stream."),
                ("router.request.duration", "Duration of a request: of all its attempts and checks."),
            )
        )
        self._cost = meter.create_counter("router.cost", "{USD}", "US dollars spent on calls whose price is known.")
        self._unpriced = meter.create_counter("router.cost.unknown", "{attempt}", "Calls whose cost is unknown.")
        self._requests = meter.create_counter("router.requests", "{request}", "Requests that are over.")
        self._attempts = meter.create_counter("router.attempts", "{attempt}", "Calls of models.")
        self._escalations = meter.create_counter("router.escalations", "{attempt}", "Answers that were rejected.")
        self._fallbacks = meter.create_counter("router.fallbacks", "{attempt}", "Calls that failed.")
        self._thresholds = meter.create_counter(
            "router.budget.thresholds", "{threshold}", "Thresholds that budgets have reached."
        )

    def count(self, receipt: Receipt, context: Context) -> None:
        """Count a request and its attempts; examples of them belong to the span of ``context``."""
        ids = model_ids(receipt)
        for attempt in receipt.attempts:
            self._count_attempt(attempt, of_call(attempt, ids[attempt.model]), context)
        decision = receipt.decision
        about: Attributes = {
            "router.policy": decision.policy if decision else "",
            "router.reason": decision.reason.value if decision else "",
            "router.outcome": receipt.outcome.value,
        }
        self._requests.add(1, about, context)
        self._requests_s.record(receipt.latency_s, about, context)

    def count_threshold(self, event: BudgetReached) -> None:
        """Count a threshold that was reached."""
        self._thresholds.add(1, of_threshold(event))

    def _count_attempt(self, attempt: Attempt, call: Attributes, context: Context) -> None:
        error = error_of(attempt)
        timed = call if error is None else {**call, ERROR_TYPE: error}
        self._durations.record(attempt.latency_s, timed, context)
        if attempt.first_token_s is not None:
            self._first_chunks.record(attempt.first_token_s, call, context)
        usage = attempt.usage
        # A call that the provider refused used nothing: no point of a distribution.
        if usage is not None and usage.total_tokens:
            kind = {**call, ESTIMATED: usage.estimated}
            self._tokens.record(usage.input_tokens, {**kind, TOKEN_TYPE: "input"}, context)
            self._tokens.record(usage.output_tokens, {**kind, TOKEN_TYPE: "output"}, context)
        self._attempts.add(1, {**call, "router.attempt.outcome": attempt.outcome.value}, context)
        if attempt.cost_nano is None:
            self._unpriced.add(1, call, context)
        else:
            self._cost.add(usd(attempt.cost_nano), call, context)
        self._count_replaced(attempt, call, context)

    def _count_replaced(self, attempt: Attempt, call: Attributes, context: Context) -> None:
        # As a receipt counts them: every answer that was rejected, every call that failed.
        replaced: dict[AttemptOutcome, tuple[Counter, str, str]] = {
            AttemptOutcome.REJECTED: (
                self._escalations,
                "router.attempt.verdict",
                attempt.verdict.code if attempt.verdict else "",
            ),
            AttemptOutcome.FAILED: (self._fallbacks, ERROR_TYPE, error_of(attempt) or "_OTHER"),
        }
        if attempt.outcome in replaced and attempt.role is AttemptRole.ANSWER:
            counter, name, value = replaced[attempt.outcome]
            counter.add(1, {**call, name: value}, context)
