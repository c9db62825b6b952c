"""Streaming handlers of an attempt that may still be rejected: what they would be told waits for the verdict.

Whoever streams a chat model's run (``astream_events``, LangGraph's ``messages``, ``stream_events``) listens through
callback handlers. A rejected draft must not reach them, and an accepted one must look as if it had been streamed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.callbacks.manager import ahandle_event, handle_event
from langchain_core.language_models._compat_bridge import message_to_events
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.tracers._streaming import _StreamingCallbackHandler, _V2StreamingCallbackHandler

_IGNORED_BY = {
    "on_chat_model_start": "ignore_chat_model",
    "on_llm_start": "ignore_llm",
    "on_llm_new_token": "ignore_llm",
    "on_stream_event": "ignore_llm",
    "on_llm_end": "ignore_llm",
    "on_llm_error": "ignore_llm",
    "on_retry": "ignore_retry",
    "on_custom_event": "ignore_custom_event",
}
"""The events of a chat model's run, and the switch by which a handler declines each."""


Line: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any]]
"""What a handler is told: the event, and its arguments."""


class Deferred(BaseCallbackHandler):
    """Stands in for a streaming handler during one attempt and keeps what it is told."""

    run_inline = True

    def __init__(self, handler: BaseCallbackHandler) -> None:
        self.handler = handler
        self._told: list[Line] = []

    def flush(self) -> None:
        """Tell the handler."""
        for name, args, kwargs in self._lines():
            handle_event([self.handler], name, _IGNORED_BY[name], *args, **kwargs)

    async def aflush(self) -> None:
        """Tell the handler, which may be async."""
        for name, args, kwargs in self._lines():
            await ahandle_event([self.handler], name, _IGNORED_BY[name], *args, **kwargs)

    def _lines(self) -> Iterator[Line]:
        told = [line for line in self._told if not _nameless(line)]
        streamed = any(name in {"on_llm_new_token", "on_stream_event"} for name, _, _ in told)
        for name, args, kwargs in told:
            if name == "on_llm_end" and not streamed:
                yield from self._as_streamed(args[0].generations[0][0].message, kwargs)
            yield name, args, kwargs
        self._told.clear()

    def _as_streamed(self, message: AIMessage, kwargs: dict[str, Any]) -> Iterator[Line]:
        """The whole answer as one chunk: the attempt was made in one piece, because nobody could listen yet."""
        about: dict[str, Any] = {key: kwargs[key] for key in ("run_id", "parent_run_id", "tags") if key in kwargs}
        if isinstance(self.handler, _V2StreamingCallbackHandler):
            for event in message_to_events(message, message_id=message.id):
                yield "on_stream_event", (event,), about
        else:
            chunk = chunk_of(message)
            yield "on_llm_new_token", (message.text,), {**about, "chunk": ChatGenerationChunk(message=chunk)}


def _nameless(line: Line) -> bool:
    """Whether a token carries no message id. ``ChatOllama`` tells such tokens when it answers in one piece; a listener
    could not tell that they belong to the answer that follows, and would hear it twice."""
    name, _, kwargs = line
    return name == "on_llm_new_token" and getattr(getattr(kwargs.get("chunk"), "message", None), "id", None) is None


def _keep(name: str) -> Callable[..., None]:
    def keep(self: Deferred, *args: Any, **kwargs: Any) -> None:
        self._told.append((name, args, kwargs))

    return keep


for _name in _IGNORED_BY:
    setattr(Deferred, _name, _keep(_name))


def defer_streaming(manager: BaseCallbackManager) -> list[Deferred]:
    """Put stand-ins in place of the manager's streaming handlers. The manager must be the attempt's own."""
    stand_ins: dict[int, Deferred] = {}

    def swapped(handler: BaseCallbackHandler) -> BaseCallbackHandler:
        if not isinstance(handler, _StreamingCallbackHandler | _V2StreamingCallbackHandler):
            return handler
        return stand_ins.setdefault(id(handler), Deferred(handler))

    manager.handlers = [swapped(handler) for handler in manager.handlers]
    manager.inheritable_handlers = [swapped(handler) for handler in manager.inheritable_handlers]
    return list(stand_ins.values())


def chunk_of(message: AIMessage) -> AIMessageChunk:
    """A whole message as the one, last chunk of a stream."""
    if isinstance(message, AIMessageChunk):
        return message
    return AIMessageChunk(
        content=message.content,
        id=message.id,
        name=message.name,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        tool_call_chunks=[
            {
                "name": call["name"],
                "args": json.dumps(call["args"]),
                "id": call["id"],
                "index": index,
                "type": "tool_call_chunk",
            }
            for index, call in enumerate(message.tool_calls)
        ],
        chunk_position="last",
    )
