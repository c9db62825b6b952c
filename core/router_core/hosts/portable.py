"""What providers and frameworks call differently, in words and ids that all of them take."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from router_core.types import NANO, Reply

FINISH_REASONS: Mapping[str, str] = {
    "eos": "stop",
    "model_length": "length",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
}
"""Finish reasons of Together, Mistral, Anthropic, Google and OpenAI's Responses API, in OpenAI's own words."""

OPENAI_ONLY = frozenset(
    {"extra_headers", "frequency_penalty", "logit_bias", "logprobs", "parallel_tool_calls", "presence_penalty",
     "prompt_cache_key", "reasoning_effort", "safety_identifier", "service_tier", "store", "stream_options",
     "top_logprobs", "user", "verbosity"}
)  # fmt: skip
"""Call arguments of OpenAI's protocol that integrations of other providers take for an error."""

PORTABLE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""Ids of tool calls that every provider takes: Anthropic's alphabet, OpenAI's length."""


def portable_id(given: str | None) -> str:
    """The id of a tool call, unchanged if every provider takes it; else one made from it, the same for the call and for
    its result."""
    if given and PORTABLE_ID.fullmatch(given):
        return given
    return "call_" + hashlib.sha256((given or "").encode("utf-8", "replace")).hexdigest()[:24]


def reported_nano(usage: object) -> int | None:
    """The cost that a provider itself reports in its usage, in nano-dollars, rounded half-even.

    None if it reports none, or something that is no cost.

    OpenRouter: ``cost`` in credits, which are US dollars; with a key of one's own (``is_byok``) that is its fee, and
    ``cost_details.upstream_inference_cost`` is paid beside it (openrouter.ai/docs/use-cases/usage-accounting).
    Perplexity: ``cost.total_cost`` in US dollars. xAI: ``cost_in_usd_ticks``, ten thousand million to a US dollar
    (docs.x.ai/developers/cost-tracking).
    """
    ticks = _amount(_field(usage, "cost_in_usd_ticks"))
    if ticks is not None:
        return _rounded(ticks / _TICKS_PER_NANO)
    cost = _field(usage, "cost")
    dollars = _amount(cost)
    if dollars is None:
        dollars = _amount(_field(cost, "total_cost"))
    if dollars is not None and _field(usage, "is_byok") is True:
        dollars += _amount(_field(_field(usage, "cost_details"), "upstream_inference_cost")) or 0
    return None if dollars is None else _rounded(dollars * NANO)


def served_as(answer: object) -> str | None:
    """How the provider says that it served a call, in its own words; None if it does not say.

    The tier, which OpenAI tells beside the usage and Anthropic in it. To that, Anthropic's ``speed`` and
    ``inference_geo`` are added where they change the price: "standard+fast", "standard+us"
    (platform.claude.com/docs/en/build-with-claude/fast-mode and .../manage-claude/data-residency).
    """
    usage = _field(answer, "usage")
    tier = _word(_field(answer, "service_tier")) or _word(_field(usage, "service_tier"))
    beside = (_word(_field(usage, "speed")), _word(_field(usage, "inference_geo")))
    return "+".join(word for word in (tier, *(word for word in beside if word not in _NO_DEARER)) if word) or None


def as_scripted(reply: Reply) -> Reply:
    """The reply of a framework's stand-in for a model. Tokens that it was given are to count as if they were used."""
    return replace(reply, scripted=True) if reply.usage is None else reply


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


_NO_DEARER = frozenset({"standard", "global", "not_available"})
_TICKS_PER_NANO = 10
_MOST = 2**62 // NANO


def _amount(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    # By way of its text: what JSON said, not the binary fraction next to it.
    amount = Decimal(str(value))
    return amount if amount.is_finite() and amount >= 0 else None


def _rounded(nano: Decimal) -> int | None:
    return int(nano.to_integral_value(ROUND_HALF_EVEN)) if nano < _MOST * NANO else None


def _field(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
