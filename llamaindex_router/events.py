"""What the router tells LlamaIndex's instrumentation: events of JSON values only, without any text of the request.

Amounts of money are US dollars as decimal strings; None is unknown. ``request_id`` groups the events of one call, and
``span_id`` is LlamaIndex's, as on every event.
"""

from __future__ import annotations

from typing import Any, cast

from llama_index.core.instrumentation.events.chat_engine import StreamChatEndEvent
from llama_index_instrumentation.base import BaseEvent
from pydantic import PrivateAttr

from router_core.events import Accepted, Decided, Escalated, Event, FellBack
from router_core.notes import BudgetNote
from router_core.records import Attempt
from router_core.tally import RoutedCall
from router_core.types import to_usd


class RouterDecisionEvent(BaseEvent):
    """The policy has chosen where the request starts. ``ladder`` is the start and what it may climb to; ``refusals``
    tell of each model that cannot serve the request and why."""

    request_id: str
    model: str
    policy: str
    reason: str
    score: float | None
    ladder: list[str]
    refusals: list[str]

    @classmethod
    def class_name(cls) -> str:
        """As which the event is known."""
        return "RouterDecisionEvent"


class RouterAttemptEvent(BaseEvent):
    """One call of one model is booked. ``outcome`` is "accepted", "served_unverified", "rejected" or "failed"; ``code``
    the verifier's reason or the kind of the failure."""

    request_id: str
    number: int
    model: str
    provider: str
    outcome: str
    code: str | None
    input_tokens: int | None
    output_tokens: int | None
    estimated: bool | None
    cost_usd: str | None
    latency_s: float

    @classmethod
    def class_name(cls) -> str:
        """As which the event is known."""
        return "RouterAttemptEvent"


class RouterEscalationEvent(BaseEvent):
    """Another model is asked: ``cause`` is "rejected" (``code`` is the verifier's reason) or "failed" (``code`` is the
    kind of the failure, ``detail`` the error with no secret in it). What a verifier says beside its reason is left out:
    it may quote the answer."""

    request_id: str
    cause: str
    model: str
    to_model: str
    code: str
    detail: str

    @classmethod
    def class_name(cls) -> str:
        """As which the event is known."""
        return "RouterEscalationEvent"


class RouterBudgetEvent(BaseEvent):
    """A budget has done something: ``what`` is "reached" (a request took it across a threshold, ``percent``) or
    "refused" (a request needed up to ``needed`` of it, and no model was called).

    Amounts are of what ``unit`` says, US dollars ("usd") or tokens, as decimal strings. ``key`` is whose purse it is
    ("" for all), ``window`` the period, and ``resets`` when it ends (ISO 8601; None: never, or it is "reached")."""

    what: str
    request_id: str
    budget: str
    key: str
    window: str
    unit: str
    limit: str
    spent: str
    held: str
    percent: int | None
    needed: str | None
    resets: str | None
    _note: BudgetNote | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """As which the event is known."""
        return "RouterBudgetEvent"

    @classmethod
    def of(cls, note: BudgetNote) -> RouterBudgetEvent:
        """The event that tells of a note."""
        event = cls(**cast("dict[str, Any]", note.as_dict()))
        event._note = note
        return event

    @property
    def note(self) -> BudgetNote | None:
        """The note itself, for handlers in this process."""
        return self._note


class RouterReceiptEvent(BaseEvent):
    """A request is over, however it ended; told exactly once. ``receipt`` is the account of all its attempts,
    ``root_span_id`` the outermost span around it (a query, an agent's run)."""

    receipt: dict[str, Any]
    root_span_id: str
    _call: RoutedCall | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls) -> str:
        """As which the event is known."""
        return "RouterReceiptEvent"

    @classmethod
    def of(cls, call: RoutedCall) -> RouterReceiptEvent:
        """The event that tells of a call."""
        event = cls(receipt=call.receipt.summary(), root_span_id=call.root_id)
        event._call = call
        return event

    @property
    def call(self) -> RoutedCall | None:
        """The receipt itself, for handlers in this process."""
        return self._call


class RouterStreamEndEvent(StreamChatEndEvent):
    """A stream of the router is over, however it ended; told after its receipt.

    Tracers (OpenInference's) keep the span of a stream open until they hear of an end. The end of a model's own stream
    is none where a draft was held, accepted, and then shown in one piece."""

    request_id: str

    @classmethod
    def class_name(cls) -> str:
        """As which the event is known."""
        return "RouterStreamEndEvent"


def events_of(event: Event) -> list[BaseEvent]:
    """What an event of the core becomes here."""
    match event:
        case Decided(request_id, decision):
            told: BaseEvent = RouterDecisionEvent(
                request_id=request_id,
                model=decision.start,
                policy=decision.policy,
                reason=decision.reason.value,
                score=decision.score,
                ladder=list(decision.ladder),
                refusals=[str(refusal) for refusal in decision.refusals],
            )
            return [told]
        case Escalated(request_id, attempt, verdict, to_model):
            return [
                _attempt(request_id, attempt),
                RouterEscalationEvent(
                    request_id=request_id,
                    cause="rejected",
                    model=attempt.model,
                    to_model=to_model,
                    code=verdict.code,
                    detail="",
                ),
            ]
        case FellBack(request_id, attempt, failure, to_model):
            return [
                _attempt(request_id, attempt),
                RouterEscalationEvent(
                    request_id=request_id,
                    cause="failed",
                    model=attempt.model,
                    to_model=to_model,
                    code=failure.value,
                    detail=attempt.error or "",
                ),
            ]
        case Accepted(request_id, attempt):
            return [_attempt(request_id, attempt)]
        case _:
            return []


def _attempt(request_id: str, attempt: Attempt) -> RouterAttemptEvent:
    usage, cost = attempt.usage, to_usd(attempt.cost_nano)
    return RouterAttemptEvent(
        request_id=request_id,
        number=attempt.number,
        model=attempt.model,
        provider=attempt.provider,
        outcome=attempt.outcome.value,
        code=attempt.verdict.code if attempt.verdict else attempt.failure.value if attempt.failure else None,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        estimated=usage.estimated if usage else None,
        cost_usd=None if cost is None else f"{cost:f}",
        latency_s=attempt.latency_s,
    )
