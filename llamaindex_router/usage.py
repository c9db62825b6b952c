"""What a response of a LlamaIndex LLM tells beside its text: tokens, finish reason, refusal.

LlamaIndex has no place for the usage; each integration leaves it somewhere else:

openai, openai-like       ``raw.usage``; counts in ``additional_kwargs``
openai's Responses API    ``additional_kwargs["usage"]``
ollama                    ``raw["usage"]``
anthropic                 ``raw["usage"]``; in streams ``message.additional_kwargs["usage"]``, cumulative
google-genai              ``raw["usage_metadata"]``
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llama_index.core.llms import ChatResponse, CompletionResponse

from router_core.hosts.answers import read_usage
from router_core.hosts.portable import FINISH_REASONS, reported_nano, served_as
from router_core.types import Usage


def usage_of(response: ChatResponse | CompletionResponse) -> Usage | None:
    """The tokens that the response reports; None if it reports none."""
    for told in _places(response):
        usage = _read(told)
        if usage is not None:
            return usage
    return None


def sum_of_usage(responses: Iterable[ChatResponse | CompletionResponse | None]) -> Usage | None:
    """The tokens of several responses together; None if one of them reports none, or there is none."""
    total: Usage | None = None
    for response in responses:
        usage = None if response is None else usage_of(response)
        if usage is None:
            return None
        total = usage if total is None else total + usage
    return total


def finish_reason_of(response: ChatResponse) -> str | None:
    """Why the answer ended, in OpenAI's words; None if the response does not say."""
    for reason in _reasons(response.raw):
        if reason:
            word = str(getattr(reason, "value", reason))
            return FINISH_REASONS.get(word, word)
    return None


def refusal_of(response: ChatResponse) -> str | None:
    """The refusal that OpenAI's models mark as such."""
    refusal = _field(_field(_first(_field(response.raw, "choices")), "message"), "refusal")
    refusal = refusal or response.additional_kwargs.get("refusal")  # the Responses API
    return refusal if isinstance(refusal, str) and refusal else None


def model_id_of(response: ChatResponse) -> str | None:
    """What the provider calls the model that answered."""
    model = _field(response.raw, "model")
    return model if isinstance(model, str) and model else None


def reported_cost_of(response: ChatResponse | CompletionResponse) -> int | None:
    """The cost that the provider itself reports, in nano-dollars; None if it reports none."""
    return reported_nano(_field(response.raw, "usage"))


def service_tier_of(response: ChatResponse | CompletionResponse) -> str | None:
    """How the provider says that it served the call."""
    return served_as(response.raw)


def sum_of_costs(responses: Iterable[ChatResponse | CompletionResponse | None]) -> int | None:
    """The reported costs of several responses together; None if one of them reports none, or there is none."""
    costs = [None if response is None else reported_cost_of(response) for response in responses]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if costs and len(known) == len(costs) else None


def common_tier(responses: Iterable[ChatResponse | CompletionResponse | None]) -> str | None:
    """How all of the responses were served; where that differs, the words of all, which together have no price."""
    tiers = {None if response is None else service_tier_of(response) for response in responses}
    return tiers.pop() if len(tiers) == 1 else " and ".join(sorted(map(str, tiers))) or None


def _reasons(raw: Any) -> Iterable[Any]:
    if raw is None:
        return
    yield _field(_first(_field(raw, "choices")), "finish_reason")
    yield _field(raw, "stop_reason")
    yield _field(raw, "done_reason")
    yield _field(_field(raw, "delta"), "stop_reason")
    yield _field(_first(_field(raw, "candidates")), "finish_reason")
    yield _field(raw, "finish_reason")
    yield _field(_field(_field(raw, "response") or raw, "incomplete_details"), "reason")


def _places(response: ChatResponse | CompletionResponse) -> Iterable[Any]:
    message = getattr(response, "message", None)
    beside = {} if message is None else message.additional_kwargs
    yield _field(response.raw, "usage")
    yield _field(response.raw, "usage_metadata")
    yield response.additional_kwargs.get("usage")
    # Until Anthropic has told why it stopped, this is what it said when it began: its integration leaves cached tokens
    # out of that, so that of a stream that is cut off it is no better than an estimate.
    if beside.get("stop_reason", "untold") is not None:
        yield beside.get("usage")
    yield response.additional_kwargs
    # What stood beside a completion.
    yield beside


def _read(told: Any) -> Usage | None:
    if told is None:
        return None
    if _field(told, "prompt_tokens") is not None:
        return read_usage(told)
    if _field(told, "prompt_token_count") is not None:
        return _google(told)
    if _field(told, "input_tokens") is not None:
        return _inputs(told)
    return None


def _inputs(told: Any) -> Usage | None:
    """Anthropic leaves cached tokens out of the input; the Responses API counts them in, and tells them in details."""
    given, made = _count(told, "input_tokens"), _count(told, "output_tokens")
    read, written = _count(told, "cache_read_input_tokens"), _count(told, "cache_creation_input_tokens")
    details = _field(told, "output_tokens_details")
    total = given + read + written
    if not total and not made:
        return None
    return Usage(
        input_tokens=total,
        output_tokens=made,
        cache_read_tokens=read or _count(_field(told, "input_tokens_details"), "cached_tokens"),
        cache_write_tokens=written or _count(_field(told, "input_tokens_details"), "cache_write_tokens"),
        cache_write_1h_tokens=_count(_field(told, "cache_creation"), "ephemeral_1h_input_tokens"),
        reasoning_tokens=_count(details, "reasoning_tokens") or _count(details, "thinking_tokens"),
    )


def _google(told: Any) -> Usage | None:
    """Gemini tells thoughts beside the answer's tokens; both are output."""
    given, thought = _count(told, "prompt_token_count"), _count(told, "thoughts_token_count")
    made = _count(told, "candidates_token_count") + thought
    if not given and not made:
        return None
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cache_read_tokens=_count(told, "cached_content_token_count"),
        reasoning_tokens=thought,
        input_audio_tokens=sum(
            _count(part, "token_count") for part in _listed(_field(told, "prompt_tokens_details")) if _is_audio(part)
        ),
    )


def _is_audio(part: Any) -> bool:
    modality = _field(part, "modality")
    return bool(getattr(modality, "value", modality) == "AUDIO")


def _listed(items: Any) -> Iterable[Any]:
    return items if isinstance(items, list | tuple) else ()


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _first(items: Any) -> Any:
    return items[0] if isinstance(items, list | tuple) and items else None


def _count(value: Any, name: str) -> int:
    count = _field(value, name)
    return count if isinstance(count, int) and count > 0 else 0
