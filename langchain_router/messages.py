"""Messages: as the rules of the core see them, as another provider can read them, and as the reply of a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from router_core.hosts.checks import text_size
from router_core.hosts.messages import AUDIO_ALLOWANCE, IMAGE_ALLOWANCE, PDF_ALLOWANCE, WRAPPING
from router_core.hosts.portable import FINISH_REASONS, portable_id, reported_nano, served_as
from router_core.types import Capability, Reply, Role, ToolCall, Turn, Usage

_ROLES: Mapping[str, Role] = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}

_BLOCKS: Mapping[str, tuple[Capability, int]] = {
    "image": (Capability.IMAGE, IMAGE_ALLOWANCE),
    "image_url": (Capability.IMAGE, IMAGE_ALLOWANCE),
    "audio": (Capability.AUDIO, AUDIO_ALLOWANCE),
    "input_audio": (Capability.AUDIO, AUDIO_ALLOWANCE),
    "file": (Capability.PDF, PDF_ALLOWANCE),
    "document": (Capability.PDF, PDF_ALLOWANCE),
}
"""Content blocks that are more than text, in the names of LangChain and of the providers; their allowances in bytes."""


_NAMED_TIERS = ("flex", "priority")


def turns_of(messages: Sequence[BaseMessage]) -> tuple[Turn, ...]:
    """Who said which text."""
    return tuple(Turn(_ROLES.get(message.type, "user"), message.text) for message in messages)


def size_of(messages: Sequence[BaseMessage]) -> tuple[int, frozenset[Capability]]:
    """An upper bound of the tokens (bytes of text, and allowances for what is no text), and what the models must read.

    Raises:
        InvalidRequest: a text cannot be sent (a lone surrogate, NUL).
    """
    size = 0
    kinds: set[Capability] = set()
    for position, message in enumerate(messages):
        size += WRAPPING + text_size(message.text, f"messages[{position}]")
        if isinstance(message.content, list):
            for block in message.content:
                kind = str(block.get("type")) if isinstance(block, dict) else ""
                if kind in _BLOCKS:
                    capability, allowance = _BLOCKS[kind]
                    kinds.add(capability)
                    size += allowance
        if isinstance(message, AIMessage) and message.tool_calls:
            size += len(json.dumps([call["args"] for call in message.tool_calls], default=str)) + 40
    return size, frozenset(kinds)


def portable(messages: Iterable[BaseMessage], provider: str) -> list[BaseMessage]:
    """The history as a model of ``provider`` can read it: answers of other providers as text and tool calls, with ids
    that all take. Messages of the provider's own, and the caller's objects, are left as they are."""
    return [_ported(message, provider) for message in messages]


def _ported(message: BaseMessage, provider: str) -> BaseMessage:
    if isinstance(message, ToolMessage):
        call_id = portable_id(message.tool_call_id)
        if call_id == message.tool_call_id:
            return message
        return message.model_copy(update={"tool_call_id": call_id})
    if not isinstance(message, AIMessage) or message.response_metadata.get("model_provider") == provider:
        return message
    if isinstance(message.content, str) and not message.tool_calls:
        return message
    calls = [{**call, "id": portable_id(call["id"])} for call in message.tool_calls]
    return AIMessage(content=message.text, tool_calls=calls, id=message.id, name=message.name)


def reply_of(message: AIMessage) -> Reply:
    """The answer as the verifiers see it; ``native`` is the message itself."""
    meta = message.response_metadata
    reason = meta.get("finish_reason") or meta.get("stop_reason") or meta.get("done_reason")
    calls = [ToolCall(call["id"] or "", call["name"], json.dumps(call["args"])) for call in message.tool_calls]
    calls += [ToolCall(call["id"] or "", call["name"] or "", call["args"] or "") for call in message.invalid_tool_calls]
    refusal = message.additional_kwargs.get("refusal")
    return Reply(
        text=message.text,
        tool_calls=tuple(calls),
        finish_reason=FINISH_REASONS.get(str(reason), str(reason)) if reason else None,
        usage=usage_of(message),
        refusal=refusal if isinstance(refusal, str) else None,
        model_id=meta.get("model_name"),
        cost_nano=reported_nano(meta.get("token_usage") or meta),
        service_tier=served_as(meta) or _tier_in(message.usage_metadata or {}),
        cached=_is_cached(message),
        native=message,
    )


def usage_of(message: AIMessage) -> Usage | None:
    """The tokens that the message reports; None if it reports none."""
    told: Mapping[str, Any] | None = message.usage_metadata
    if _is_cached(message):
        return Usage()
    if not told or not (told["input_tokens"] or told["output_tokens"]):
        return None
    read = told.get("input_token_details") or {}
    written = told.get("output_token_details") or {}
    tier = _tier_in(told)
    # Anthropic's integration tells the writes by how long they last, and then none of all together.
    for_minutes, for_an_hour = _count(read, "ephemeral_5m_input_tokens"), _count(read, "ephemeral_1h_input_tokens")
    return Usage(
        input_tokens=told["input_tokens"],
        output_tokens=_made(message, told),
        cache_read_tokens=_count(read, "cache_read", tier),
        cache_write_tokens=max(_count(read, "cache_creation", tier), for_minutes + for_an_hour),
        cache_write_1h_tokens=for_an_hour,
        reasoning_tokens=_count(written, "reasoning", tier),
        input_audio_tokens=_count(read, "audio"),
        output_audio_tokens=_count(written, "audio"),
    )


def _tier_in(told: Mapping[str, Any]) -> str | None:
    """The tier whose name OpenAI's integration writes before those of the parts, if it is one that costs another price
    ("flex_cache_read")."""
    read = told.get("input_token_details") or {}
    return next((tier for tier in _NAMED_TIERS if tier in read), None)


def _made(message: AIMessage, told: Mapping[str, Any]) -> int:
    """Where another provider is called by OpenAI's integration, thoughts may stand in the total alone, as with
    ``hosts.answers.read_usage``."""
    made: int = told["output_tokens"]
    if message.response_metadata.get("model_provider") != "openai":
        return made
    beside: int = (told.get("total_tokens") or 0) - told["input_tokens"]
    return max(made, beside)


def _is_cached(message: AIMessage) -> bool:
    """Whether LangChain's cache has answered. It repeats the tokens of the call that was made once, and marks them."""
    told: Mapping[str, Any] | None = message.usage_metadata
    return told is not None and told.get("total_cost") == 0


def _count(details: Mapping[str, Any], name: str, tier: str | None = None) -> int:
    count = details.get(name) if tier is None else details.get(f"{tier}_{name}", details.get(name))
    return count if isinstance(count, int) else 0
