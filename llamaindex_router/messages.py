"""Messages: as the rules of the core see them, as another provider can read them, and as the reply of a model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import uuid4

from llama_index.core.base.llms.types import (
    AudioBlock,
    BaseRecursiveContentBlock,
    ChatMessage,
    ChatResponse,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms.utils import parse_partial_json

from llamaindex_router.usage import (
    finish_reason_of,
    model_id_of,
    refusal_of,
    reported_cost_of,
    service_tier_of,
    usage_of,
)
from router_core.hosts.checks import text_size
from router_core.hosts.messages import AUDIO_ALLOWANCE, IMAGE_ALLOWANCE, PDF_ALLOWANCE, WRAPPING, with_question
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

_ID = 40
"""Characters of the longest id of a tool call."""


def turns_of(messages: Sequence[ChatMessage], question: str | None = None) -> tuple[Turn, ...]:
    """Who said which text.

    A prompt of LlamaIndex holds instructions, retrieved context and the user's ``question`` in one message of the user.
    Rules that judge what is asked are to see the question alone as the user's; the rest is the application's.
    """
    turns = [Turn(_ROLES.get(message.role, "user"), message.content or "") for message in messages]
    return with_question(turns, question)


def size_of(messages: Sequence[ChatMessage]) -> tuple[int, frozenset[Capability]]:
    """An upper bound of the tokens (bytes of text, and allowances for what is no text), and what the models must read.

    Raises:
        InvalidRequest: a text cannot be sent (a lone surrogate, NUL).
    """
    size = 0
    kinds: set[Capability] = set()
    for position, message in enumerate(messages):
        where = f"messages[{position}]"
        size += WRAPPING + text_size(message.content or "", where)
        size += sum(_beside_text(block, where, kinds) for block in message.blocks if type(block) is not TextBlock)
        if message.additional_kwargs.get("tool_calls"):
            # Counted once: most integrations have them in blocks too.
            size += sum(_size_of_call(call) for call in calls_of(message) if call not in message.blocks)
    return size, frozenset(kinds)


def _beside_text(block: Any, where: str, kinds: set[Capability]) -> int:
    """The size of a block that its message does not show as text."""
    if isinstance(block, ToolCallBlock):
        return _size_of_call(block)
    if isinstance(block, ThinkingBlock):
        return text_size(block.content or "", where)
    if isinstance(block, TextBlock):
        return text_size(block.text, where)
    if isinstance(block, BaseRecursiveContentBlock):
        return sum(_beside_text(inner, where, kinds) for inner in block.nested_blocks)
    kind, allowance = _BLOCKS.get(type(block), (None, 0))
    if kind is not None:
        kinds.add(kind)
    return allowance


def _size_of_call(call: ToolCallBlock) -> int:
    return len(json.dumps(call.tool_kwargs, default=str)) + len(call.tool_name) + _ID


def portable(
    messages: Iterable[ChatMessage], family: str, system_role: MessageRole, *, mixed: bool
) -> list[ChatMessage]:
    """The history as a model of ``family`` can read it, in copies: integrations write into what they are given.

    Where all models are of one family (``mixed`` is false) the messages are theirs already. Else each tool call has an
    id that all providers take, and arguments as a dictionary; what only another provider can read is left out.
    """
    copies: list[ChatMessage] = []
    ids = _History(family)
    for message in messages:
        extra = dict(message.additional_kwargs)
        blocks = _ported(message, extra, ids) if mixed else list(message.blocks)
        changed: dict[str, Any] = {"blocks": blocks, "additional_kwargs": extra}
        if message.role is MessageRole.SYSTEM:
            changed["role"] = system_role
        copies.append(message.model_copy(update=changed))
    return copies


class _History:
    """Gives each call of a history an id that a model of ``family`` takes, and its result the same.

    Calls may have none (Ollama), or the tool's name, in every turn (Gemini): then results name the tool, in the order
    of its calls.
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self._made: set[str] = set()
        self._unanswered: list[tuple[str, str, str]] = []

    def begin_turn(self) -> None:
        """Other calls are answered from here on."""
        self._unanswered.clear()

    def ported(self, call: ToolCallBlock) -> ToolCallBlock:
        """The call with its id, and its arguments as a dictionary."""
        known = call.tool_call_id or call.tool_name
        made = portable_id(known)
        if self.family == "google":
            # Its integration takes the id of a result for the name of the function.
            made = call.tool_name
        elif not call.tool_call_id or made in self._made:
            made = portable_id(f"{known}:{len(self._made)}")
        self._made.add(made)
        self._unanswered.append((known, call.tool_name, made))
        return ToolCallBlock(tool_call_id=made, tool_name=call.tool_name, tool_kwargs=arguments_of(call))

    def of_result(self, answered: str) -> str:
        """The id of the call that a result answers."""
        for named_by in (0, 1):  # the call's id, else its tool
            for call in self._unanswered:
                if call[named_by] == answered:
                    self._unanswered.remove(call)
                    return call[2]
        return portable_id(answered)


def _ported(message: ChatMessage, extra: dict[str, Any], history: _History) -> list[Any]:
    """The blocks of a message for another provider; ``extra``, what stands beside them, is changed in place."""
    calls = calls_of(message)
    if calls:
        history.begin_turn()
        # The provider's own objects for the same calls.
        extra.pop("tool_calls", None)
    blocks: list[Any] = [
        history.ported(block) if isinstance(block, ToolCallBlock) else block
        for block in message.blocks
        if not (isinstance(block, ThinkingBlock) and _foreign(block, history.family))
    ]
    if not any(isinstance(block, ToolCallBlock) for block in blocks):
        # Older integrations, and histories that they made, have the calls only there.
        blocks += map(history.ported, calls)
    answered = extra.get("tool_call_id")
    if answered is not None:
        extra["tool_call_id"] = history.of_result(str(answered))
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
    given = field(function, "arguments") or field(function, "input")
    known = field(call, "id")
    return ToolCallBlock(
        tool_call_id=None if known is None else str(known),
        tool_name=str(field(function, "name") or ""),
        tool_kwargs=given if isinstance(given, str | dict) else {},
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
        cost_nano=reported_cost_of(response),
        service_tier=service_tier_of(response),
        native=response,
    )
