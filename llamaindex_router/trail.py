"""Where in the application a call of the router is made, and what the models told while it ran.

LlamaIndex lets handlers watch its spans and events, but keeps neither the parents of a span nor the responses that a
structured prediction was made of. Both are needed here: the call site is the best known label of the task, and the
usage of a structured answer stands only in those responses.
"""

from __future__ import annotations

from contextvars import ContextVar
from threading import Lock
from typing import Any, NamedTuple

from llama_index.core.instrumentation.event_handlers import BaseEventHandler, NullEventHandler
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import Dispatcher

_ID = 37
"""Characters that follow a span's name in its id: a hyphen and a UUID."""

_AT_MOST = 100_000
"""Open spans that are remembered. One that is never closed (its loop ended before it did) is forgotten by then."""


class Place(NamedTuple):
    """Where a call is made: its own span, the outermost one around it, and the component that made the call."""

    span_id: str
    root_id: str
    call_site: str | None


_parents: dict[str, str | None] = {}
"""The parent of each open span. Not an attribute of the handler: pydantic takes its time for private ones."""


class _Trail(BaseSpanHandler[Any]):
    """Knows the parent of each open span."""

    def span_enter(self, id_: str, *_: Any, parent_id: str | None = None, **__: Any) -> None:
        _parents[id_] = parent_id
        if len(_parents) > _AT_MOST:
            _parents.pop(next(iter(_parents)), None)

    def span_exit(self, id_: str, *_: Any, **__: Any) -> None:
        _parents.pop(id_, None)

    def span_drop(self, id_: str, *_: Any, **__: Any) -> None:
        _parents.pop(id_, None)

    def new_span(self, *_: Any, **__: Any) -> None:
        """Spans are not kept."""

    def prepare_to_exit_span(self, *_: Any, **__: Any) -> None:
        """Spans are not kept."""

    def prepare_to_drop_span(self, *_: Any, **__: Any) -> None:
        """Spans are not kept."""

    def place(self, own: str) -> Place:
        """Where the active span stands; ``own`` is the class whose spans are no call sites."""
        span_id = current = active_span_id.get() or own
        site: str | None = None
        while True:
            if site is None and not _is_part(current, own):
                site = current[:-_ID] or None
            parent = _parents.get(current)
            if parent is None:
                return Place(span_id, current, None if current == own else site)
            current = parent


def _is_part(span_id: str, own: str) -> bool:
    """Whether a span is a step of the call itself: the router's own, a program's, a structured LLM's."""
    name = span_id.partition(".")[0]
    return name in {own, "StructuredLLM"} or name.endswith("Program")


class Responses(list[Any]):
    """The responses of models that were heard. A method of a model that calls another one (``achat`` its own ``chat``,
    ``chat`` its own ``complete``) tells of the same response again, which is noted once.

    ``depth`` counts the calls that have begun and not ended, ``spoken`` is whether a chunk of a stream was heard."""

    depth = 0
    spoken = False

    @property
    def refused(self) -> bool:
        """Whether a call has begun of which nothing has come: what was raised, was raised by the call itself."""
        return self.depth > 0 and not self and not self.spoken


heard: ContextVar[Responses | None] = ContextVar("router_heard", default=None)
"""Where responses of models are noted in this context, if anywhere."""


class _Ear(BaseEventHandler):
    """Hands the responses of models to whoever listens in this context."""

    def handle(self, event: Any, **_: Any) -> None:
        responses = heard.get()
        if responses is None:
            return
        if isinstance(event, LLMChatStartEvent | LLMCompletionStartEvent):
            responses.depth += 1
        elif isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent):
            responses.depth -= 1
            if responses.depth <= 0:
                responses.append(event.response)
        elif isinstance(event, LLMChatInProgressEvent | LLMCompletionInProgressEvent):
            responses.spoken = True


TRAIL = _Trail()
_EAR = _Ear()
ATTACHING = Lock()
"""Held while LlamaIndex's handlers are changed: of two threads, one would undo what the other does."""


def attach() -> None:
    """Listen to LlamaIndex's spans and events. Done by each new router: handlers may have been replaced since."""
    root = get_dispatcher()
    with ATTACHING:
        if not any(handler is TRAIL for handler in root.span_handlers):
            root.add_span_handler(TRAIL)
        if not any(handler is _EAR for handler in root.event_handlers):
            root.add_event_handler(_EAR)


def listened_to(dispatcher: Dispatcher) -> bool:
    """Whether anybody but the router itself hears the events of this dispatcher."""
    current: Dispatcher | None = dispatcher
    while current is not None:
        for handler in current.event_handlers:
            if handler is not _EAR and not isinstance(handler, NullEventHandler):
                return True
        current = current.parent if current.propagate else None
    return False
