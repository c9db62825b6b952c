"""Reading the SDK's objects as replies and chunks.

The SDK does not validate what a server sends, and servers leave fields out, so every field is looked at before it is
believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from router_core.hosts.chat import Chunk, ToolCallDelta
from router_core.hosts.failures import ProviderError, Row, row_of_code
from router_core.hosts.portable import FINISH_REASONS, reported_nano, served_as
from router_core.types import FailureKind, Model, Reply, ToolCall, Usage

_CUT = Row(FailureKind.CONNECTION, may_be_billed=True)
_TOLD = Row(FailureKind.OVERLOADED, may_be_billed=True)
_NO_ANSWER = Row(FailureKind.MALFORMED, may_be_billed=True)


def read_reply(completion: object, model: Model) -> Reply:
    """A whole answer.

    Raises:
        ProviderError: the server sent something else, with status 200 all the same.
    """
    choice = _choice(completion)
    message = _field(choice, "message")
    if message is None:
        raise _no_answer(completion, model)
    deltas = _tool_calls(message)
    return Reply(
        text=_text(_field(message, "content")),
        tool_calls=tuple(ToolCall(delta.id or "", delta.name or "", delta.arguments) for delta in deltas),
        finish_reason=_finish_reason(choice),
        usage=read_usage(_field(completion, "usage")),
        refusal=_text(_field(message, "refusal")) or None,
        model_id=_text(_field(completion, "model")) or None,
        cost_nano=reported_nano(_field(completion, "usage")),
        service_tier=served_as(completion),
        native=completion,
    )


def read_usage(usage: object) -> Usage | None:
    """The tokens that a server reports; None if it reports none, also by zeros: no request has no tokens.

    xAI and Gemini leave the reasoning out of ``completion_tokens`` but not out of the total, hence the maximum.
    DeepSeek and Moonshot tell cached tokens beside the details.
    """
    given = _count(usage, "prompt_tokens")
    made = max(_count(usage, "completion_tokens"), _count(usage, "total_tokens") - given)
    if not given and not made:
        return None
    read, written = _field(usage, "prompt_tokens_details"), _field(usage, "completion_tokens_details")
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cache_read_tokens=_count(read, "cached_tokens")
        or _count(usage, "prompt_cache_hit_tokens")
        or _count(usage, "cached_tokens"),
        cache_write_tokens=_count(read, "cache_write_tokens"),
        reasoning_tokens=_count(written, "reasoning_tokens"),
        input_audio_tokens=_count(read, "audio_tokens"),
        output_audio_tokens=_count(written, "audio_tokens"),
    )


class StreamReader:
    """Reads the events of one stream, and sees that it was told to its end."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._heard = self._finished = False

    def read(self, event: object) -> Chunk:
        """The chunk that an event makes."""
        chunk = _chunk(event)
        self._heard = True
        self._finished = self._finished or chunk.finish_reason is not None
        return chunk

    def end(self) -> None:
        """There are no more events.

        Raises:
            ProviderError: the server sent something else than a stream, or none of the events had a finish reason.
                Without a length or a last frame (HTTP/1.0, some proxies) a connection that breaks looks as if it were
                done.
        """
        if not self._heard:
            raise _no_answer(None, self._model)
        if not self._finished:
            raise ProviderError(f"the stream of {self._model.name} broke off: it gave no finish reason", _CUT)


def _chunk(event: object) -> Chunk:
    choice = _choice(event)
    delta = _field(choice, "delta")
    return Chunk(
        text=_text(_field(delta, "content")),
        tool_calls=_tool_calls(delta),
        finish_reason=_finish_reason(choice),
        usage=read_usage(_field(event, "usage")),
        refusal=_text(_field(delta, "refusal")),
        model_id=_text(_field(event, "model")) or None,
        cost_nano=reported_nano(_field(event, "usage")),
        service_tier=served_as(event),
        native=event,
    )


def _no_answer(completion: object, model: Model) -> ProviderError:
    told = _field(completion, "error")
    if told is None:
        return ProviderError(
            f"{model.name} did not answer with a chat completion; does the base_url of the endpoint {model.endpoint!r} "
            "lead to an OpenAI-compatible API (most end in /v1)?",
            _NO_ANSWER,
        )
    message = _text(_field(told, "message")) or "without a message"
    row = row_of_code(_field(told, "code"), message) or _TOLD
    return ProviderError(f"{model.name} answered with an error: {message}", row)


def _field(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _count(value: object, name: str) -> int:
    count = _field(value, name)
    return max(count, 0) if isinstance(count, int) else 0


def _choice(event: object) -> object:
    """The first choice; ``n`` further ones may be asked for through ``extra``, but one answer is one text."""
    choices = _field(event, "choices")
    for choice in choices if isinstance(choices, list) else ():
        if not _count(choice, "index"):
            return choice
    return None


def _finish_reason(choice: object) -> str | None:
    reason = _text(_field(choice, "finish_reason"))
    return FINISH_REASONS.get(reason, reason) or None


def _text(content: object) -> str:
    """Text, or the text parts of a list (Mistral's reasoning models answer with parts)."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "".join(part["text"] for part in parts if isinstance(part, Mapping) and isinstance(part.get("text"), str))


def _tool_calls(message: object) -> tuple[ToolCallDelta, ...]:
    calls = _field(message, "tool_calls")
    return tuple(_tool_call(call, at) for at, call in enumerate(calls if isinstance(calls, list) else ()))


def _tool_call(call: object, position: int) -> ToolCallDelta:
    function = _field(call, "function")
    index, arguments = _field(call, "index"), _field(function, "arguments")
    return ToolCallDelta(
        # Some servers send whole calls without an index: they count by their place.
        index=index if isinstance(index, int) else position,
        id=_text(_field(call, "id")) or None,
        name=_text(_field(function, "name")) or None,
        arguments=_text(arguments) if not isinstance(arguments, Mapping) else json.dumps(arguments),
    )
