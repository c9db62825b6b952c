"""What spans and metrics say of requests, and under which names.

The names are those of the OpenTelemetry GenAI conventions (https://github.com/open-telemetry/semantic-conventions-genai,
``docs/gen-ai``, status: development) and, beside them, of OpenInference
(https://github.com/Arize-ai/openinference, ``spec/semantic_conventions.md``). What neither knows is ``router.*``. They
stand here only, for the conventions still change.

Backends add up tokens over spans, and each by names of its own:

- Phoenix counts ``llm.token_count.*`` of spans of the kind LLM, and prices them itself.
- Langfuse counts ``gen_ai.usage.*`` and ``llm.token_count.*`` of a span as one, takes ``llm.token_count.total`` for
  their sum, and ``gen_ai.usage.cost`` for the cost; any span with ``gen_ai.request.model`` is a generation to it.
- Logfire counts ``gen_ai.usage.*`` of every span and takes ``operation.cost`` for the cost.

So only an attempt has names by which anybody counts; a request tells its sums as ``router.*``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from router_core.events import BudgetReached
from router_core.records import Attempt, AttemptOutcome, Candidate, Receipt, ReceiptOutcome
from router_core.types import NANO

Attributes: TypeAlias = dict[str, "str | bool | int | float | list[str]"]

OPERATION = "gen_ai.operation.name"
CHAT = "chat"
ERROR_TYPE = "error.type"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - tokens of text, no secret
ESTIMATED = "router.usage.estimated"

_PROVIDERS = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gen_ai",
    "mistral": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "x-ai": "x_ai",
}
"""Providers that the conventions call otherwise than the price list does: the values of ``gen_ai.provider.name``."""

_TOTALS = (
    ("input_tokens", "gen_ai.usage.input_tokens"),
    ("output_tokens", "gen_ai.usage.output_tokens"),
    ("input_tokens", "llm.token_count.prompt"),
    ("output_tokens", "llm.token_count.completion"),
    ("total_tokens", "llm.token_count.total"),
)
_PARTS = (
    ("cache_read_tokens", "gen_ai.usage.cache_read.input_tokens"),
    ("cache_write_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    ("reasoning_tokens", "gen_ai.usage.reasoning.output_tokens"),
    ("input_audio_tokens", "gen_ai.usage.audio.input_tokens"),
    ("output_audio_tokens", "gen_ai.usage.audio.output_tokens"),
    ("cache_read_tokens", "llm.token_count.prompt_details.cache_read"),
    ("cache_write_tokens", "llm.token_count.prompt_details.cache_write"),
    ("reasoning_tokens", "llm.token_count.completion_details.reasoning"),
    ("input_audio_tokens", "llm.token_count.prompt_details.audio"),
    ("output_audio_tokens", "llm.token_count.completion_details.audio"),
)
"""Parts of the totals: 0 stands for not reported too, so that only what is there is told."""

_COSTS = ("llm.cost.total", "gen_ai.usage.cost", "operation.cost")

_ERRORS = frozenset({ReceiptOutcome.REFUSED, ReceiptOutcome.REJECTED, ReceiptOutcome.FAILED})


def usd(nano: int) -> float:
    """Nano-dollars as the nearest number of US dollars."""
    return nano / NANO


def model_ids(receipt: Receipt) -> Mapping[str, str]:
    """What the providers call the models that a request went to, by their names in the registry."""
    candidates: tuple[Candidate, ...] = receipt.decision.candidates if receipt.decision else ()
    known = {candidate.model.name: candidate.model.id for candidate in candidates}
    return {attempt.model: known.get(attempt.model, attempt.model) for attempt in receipt.attempts}


def error_of(record: Attempt | Receipt) -> str | None:
    """The class of the error that an attempt or a request ended with, as ``error.type``: the kind of the failure, or
    the outcome of the request; None if it was none. Who cancels makes no error."""
    if isinstance(record, Receipt):
        return record.outcome.value if record.outcome in _ERRORS else None
    return record.failure.value if record.failure is not None else None


def of_call(attempt: Attempt, model_id: str) -> Attributes:
    """What an attempt was, as metrics are divided by it: few values each."""
    provider = _PROVIDERS.get(attempt.provider, attempt.provider)
    return {OPERATION: CHAT, "gen_ai.provider.name": provider, "gen_ai.request.model": model_id}


def of_attempt(attempt: Attempt, model_id: str, receipt: Receipt) -> Attributes:
    """The account of one attempt, for a span of its own."""
    call = of_call(attempt, model_id)
    told: Attributes = {
        "openinference.span.kind": "LLM",
        **call,
        "gen_ai.system": call["gen_ai.provider.name"],  # its name up to version 1.36 of the conventions
        "llm.provider": attempt.provider,
        "llm.model_name": model_id,
        **judged(attempt),
    }
    if receipt.session is not None:
        told |= {"gen_ai.conversation.id": receipt.session, "session.id": receipt.session}
    if attempt.model_id is not None:
        told["gen_ai.response.model"] = attempt.model_id
    if attempt.finish_reason is not None:
        told |= {"gen_ai.response.finish_reasons": [attempt.finish_reason], "llm.finish_reason": attempt.finish_reason}
    if attempt.first_token_s is not None:
        told |= {"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": attempt.first_token_s}
    if attempt.usage is not None:
        told |= {name: getattr(attempt.usage, kind) for kind, name in _TOTALS}
        told |= {name: value for kind, name in _PARTS if (value := getattr(attempt.usage, kind))}
        told[ESTIMATED] = attempt.usage.estimated
    if attempt.cost_nano is not None:
        told |= dict.fromkeys(_COSTS, usd(attempt.cost_nano))
    return told


def judged(attempt: Attempt) -> Attributes:
    """What became of an attempt, in words by which nobody counts. No text of a verdict or of an error: it may quote."""
    told: Attributes = {
        "router.attempt.number": attempt.number,
        "router.attempt.model": attempt.model,
        "router.attempt.outcome": attempt.outcome.value,
        "router.attempt.role": attempt.role.value,
    }
    if attempt.verdict is not None and not attempt.verdict.accepted:
        told["router.attempt.verdict"] = attempt.verdict.code
    if (error := error_of(attempt)) is not None:
        told[ERROR_TYPE] = error
    if attempt.price_version is not None:
        told["router.attempt.price_version"] = attempt.price_version
    if attempt.service_tier is not None:
        told["router.attempt.service_tier"] = attempt.service_tier
    return told


def of_request(receipt: Receipt, baseline_nano: int | None = None) -> Attributes:
    """The decision and the sums of a request. What is unknown is left out."""
    decision = receipt.decision
    told: dict[str, str | bool | float | list[str] | None] = {
        "openinference.span.kind": "CHAIN",
        "router.request_id": receipt.request_id,
        "router.outcome": receipt.outcome.value,
        ERROR_TYPE: error_of(receipt),
        "router.model": receipt.model,
        "router.verified": any(attempt.outcome is AttemptOutcome.ACCEPTED for attempt in receipt.attempts),
        "router.attempts": len(receipt.attempts),
        "router.escalations": receipt.escalations,
        "router.fallbacks": receipt.fallbacks,
        "router.cost_usd": _usd(receipt.cost_nano),
        "router.baseline_cost_usd": _usd(baseline_nano),
        "router.call_site": receipt.call_site,
        "session.id": receipt.session,
        "tag.tags": sorted(receipt.tags) or None,
    }
    if decision is not None:
        predicted = next((p.cost_nano for p in decision.predictions if p.model == decision.start), None)
        told |= {
            "router.policy": decision.policy,
            "router.reason": decision.reason.value,
            "router.score": decision.score,
            "router.confidence": decision.confidence,
            "router.start_model": decision.start,
            "router.predicted_cost_usd": _usd(predicted),
        }
    return {name: value for name, value in told.items() if value is not None}


def of_threshold(event: BudgetReached) -> Attributes:
    """A threshold that a budget has reached; whose purse it is stays out of it."""
    unit = "tokens" if event.unit == "tokens" else "usd"
    return {"router.budget.name": event.budget, "router.budget.unit": unit, "router.budget.percent": event.percent}


def of_purse(event: BudgetReached) -> Attributes:
    """The purse that has reached a threshold: amounts in US dollars or tokens, as its unit says."""
    amounts = {"limit": event.limit, "spent": event.spent, "held": event.held}
    return {
        **of_threshold(event),
        "router.budget.key": event.key,
        "router.budget.window": event.window,
        **{f"router.budget.{name}": usd(n) if event.unit == "nano" else n for name, n in amounts.items()},
    }


def _usd(nano: int | None) -> float | None:
    return None if nano is None else usd(nano)
