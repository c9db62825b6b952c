"""Messages: as the rules of the core see them, as another provider can read them, and as the reply of a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import uuid4

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms.utils import parse_partial_json

from llamaindex_router.usage import finish_reason_of, model_id_of, refusal_of, usage_of
from router_core.hosts.checks import text_size
from router_core.hosts.messages import AUDIO_ALLOWANCE, IMAGE_ALLOWANCE, PDF_ALLOWANCE, WRAPPING
from router_core.hosts.portable import portable_id
from router_core.types import Capability, Reply, Role, ToolCall, Turn

Ids: TypeAlias = dict[int, str]
"""The ids that calls of one response were given, by their place: the same on every chunk of its stream."""

_ROLES: Mapping[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}

_BLOCKS: Mapping[type, tuple[Capability | None, int]] = {
    ImageBlock: (Capability.IMAGE, IMAGE_ALLOWANCE),
    AudioBlock: (Capability.AUDIO, AUDIO_ALLOWANCE),
    DocumentBlock: (Capability.PDF, PDF_ALLOWANCE),
    VideoBlock: (None, PDF_ALLOWANCE),
}
"""Content blocks that are more than text, and their allowances in bytes."""


def turns_of(messages: Sequence[ChatMessage]) -> tuple[Turn, ...]:
    """Who said which text."""
    return tuple(Turn(_ROLES.get(message.role, "user"), message.content or "") for message in messages)


def size_of(messages: Sequence[ChatMessage]) -> tuple[int, frozenset[Capability]]:
    """An upper bound of the tokens (bytes of text, and allowances for what is no text), and what the models must read.

    Raises:
        InvalidRequest: a text cannot be sent (a lone surrogate, NUL).
    """
    size = 0
    kinds: set[Capability] = set()
    for position, message in enumerate(messages):
        size += WRAPPING + text_size(message.content or "", f"messages[{position}]")
        for block in message.blocks:
            kind, allowance = _BLOCKS.get(type(block), (None, 0))
            size += allowance
            if kind is not None:
                kinds.add(kind)
            if isinstance(block, ToolCallBlock):
                size += len(json.dumps(block.tool_kwargs, default=str)) + len(block.tool_name) + 40
    return size, frozenset(kinds)


def portable(
    messages: Iterable[ChatMessage], family: str, system_role: MessageRole, *, mixed: bool
) -> list[ChatMessage]:
    """The history as a model of ``family`` can read it, in copies: integrations write into what they are given.

    Where all models are of one family (``mixed`` is false) the messages are theirs already. Else each tool call has an
    id that all providers take, and arguments as a dictionary; what only another provider can read is left out.
    """
    copies: list[ChatMessage] = []
    ids: dict[str, str] = {}
    for message in messages:
        extra = dict(message.additional_kwargs)
        blocks = _ported(message.blocks, extra, family, ids) if mixed else list(message.blocks)
        changed: dict[str, Any] = {"blocks": blocks, "additional_kwargs": extra}
        if message.role is MessageRole.SYSTEM:
            changed["role"] = system_role
        copies.append(message.model_copy(update=changed))
    return copies


def _ported(given: Sequence[Any], extra: dict[str, Any], family: str, ids: dict[str, str]) -> list[Any]:
    """The blocks of a message for another provider; ``extra``, what stands beside them, is changed in place."""
    if any(isinstance(block, ToolCallBlock) for block in given):
        # The provider's own objects for the same calls.
        extra.pop("tool_calls", None)
        ids.clear()
    blocks: list[Any] = []
    for block in given:
        if isinstance(block, ToolCallBlock):
            known = block.tool_call_id or f"{block.tool_name}:{len(ids)}"
            made = portable_id(known)
            # Ollama's results name the tool, for want of an id.
            ids[known] = made
            ids.setdefault(block.tool_name, made)
            blocks.append(ToolCallBlock(tool_call_id=made, tool_name=block.tool_name, tool_kwargs=arguments_of(block)))
        elif not (isinstance(block, ThinkingBlock) and _foreign(block, family)):
            blocks.append(block)
    answered = extra.get("tool_call_id")
    if answered is not None:
        extra["tool_call_id"] = ids.get(str(answered)) or portable_id(str(answered))
    return blocks


def _foreign(block: ThinkingBlock, family: str) -> bool:
    """Whether a thought is another provider's: Anthropic signs its own and takes no other."""
    return bool(block.additional_information.get("signature")) != (family == "anthropic")


def arguments_of(block: ToolCallBlock) -> dict[str, Any]:
    """The arguments of a call as a dictionary; those that cannot be read are left out."""
    given = block.tool_kwargs
    if isinstance(given, dict):
        return given
    try:
        read = parse_partial_json(given) if given.strip() else {}
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}  # type: ignore[redundant-expr]  # it may be a list


def with_ids(response: ChatResponse, ids: Ids) -> ChatResponse:
    """The response, each of its tool calls with an id. Ollama gives none; one that is made is kept in ``ids``."""
    blocks = response.message.blocks
    if not any(isinstance(block, ToolCallBlock) and not block.tool_call_id for block in blocks):
        return response
    filled: list[Any] = []
    place = 0
    for block in blocks:
        if isinstance(block, ToolCallBlock):
            if not block.tool_call_id:
                made = ids.setdefault(place, f"call_{uuid4().hex[:24]}")
                block = block.model_copy(update={"tool_call_id": made})  # noqa: PLW2901 - the same block, completed
            place += 1
        filled.append(block)
    message = response.message.model_copy(update={"blocks": filled})
    return response.model_copy(update={"message": message})


def calls_of(message: ChatMessage) -> list[ToolCallBlock]:
    """The tool calls of a message: its blocks, else what older integrations leave beside them."""
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    return calls or [_legacy(call) for call in message.additional_kwargs.get("tool_calls") or ()]


def _legacy(call: Any) -> ToolCallBlock:
    def field(holder: Any, name: str) -> Any:
        return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)

    function = field(call, "function") or call
    given = field(function, "arguments") or field(function, "input") or {}
    return ToolCallBlock(
        tool_call_id=field(call, "id"), tool_name=str(field(function, "name") or ""), tool_kwargs=given
    )


def reply_of(response: ChatResponse) -> Reply:
    """The answer as the verifiers see it; ``native`` is the response itself."""
    return Reply(
        text=response.message.content or "",
        tool_calls=tuple(
            ToolCall(
                call.tool_call_id or "",
                call.tool_name,
                call.tool_kwargs if isinstance(call.tool_kwargs, str) else json.dumps(call.tool_kwargs, default=str),
            )
            for call in calls_of(response.message)
        ),
        finish_reason=finish_reason_of(response),
        usage=usage_of(response),
        refusal=refusal_of(response),
        model_id=model_id_of(response),
        native=response,
    )
