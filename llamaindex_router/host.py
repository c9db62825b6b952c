"""The LlamaIndex host: each attempt of a request is exactly one call of one LLM, which makes its own events."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, NamedTuple, Self

from llama_index.core.base.llms.generic_utils import completion_response_to_chat_response
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, MessageRole
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from llama_index_instrumentation.dispatcher import active_instrument_tags

from llamaindex_router.binding import formatted, limited, ready, refuses_usage, words_of
from llamaindex_router.call import AttemptPrompt, Call, Finish
from llamaindex_router.catalog import Inner
from llamaindex_router.errors import is_stale_loop, sort_error, without_secrets
from llamaindex_router.events import RouterBudgetEvent, RouterReceiptEvent, RouterStreamEndEvent, events_of
from llamaindex_router.messages import Ids, calls_of, portable, reply_of, with_ids
from llamaindex_router.streams import ClosingStream
from llamaindex_router.structured import UNPARSED, Unparsed, method_of, reply_with
from llamaindex_router.trail import Place, Responses, heard
from router_core.effects import CallModel
from router_core.errors import BudgetExceeded
from router_core.events import BudgetReached, Event, Settled
from router_core.hosts.portable import as_scripted
from router_core.hosts.schemas import Asking
from router_core.notes import BudgetNote
from router_core.tab import Tab
from router_core.tally import RoutedCall
from router_core.types import Failed, Model, Question, Reply

dispatcher = get_dispatcher(__name__)
log = logging.getLogger(__name__)

TAKEN = ("on_router_receipt", "on_router_budget")
"""The methods of handlers in the callback manager that the router calls itself: with a ``RoutedCall`` when a request is
over, with a ``BudgetNote`` when a budget has done something."""


class Attempt(NamedTuple):
    """One attempt, ready to be made."""

    make: Callable[[], Any]
    ids: Ids
    responses: Responses
    tags: Mapping[str, Any]
    scripted: bool


class LlamaIndexHost:
    """Performs one request. ``place`` is where it was made; ``handlers`` are handed the receipt when it is over, and
    what budgets did."""

    def __init__(
        self, inners: Mapping[str, Inner], secrets: frozenset[str], tab: Tab, strongest: Model, place: Place
    ) -> None:
        self._inners = inners
        self._secrets = secrets
        self._tab = tab
        self._strongest = strongest
        self._place = place
        self._mixed = len({inner.family for inner in inners.values()}) > 1
        self._streamed: Attempt | None = None
        self.handlers: Sequence[Any] = ()
        self.listened_to = False
        self.streaming = False

    # The port of the core.

    def call(self, effect: CallModel, payload: Call) -> Reply:
        """One answer in one piece."""
        asking = self._asking(effect)
        while True:
            with asking:
                return self._call(payload, self._ready(effect, payload, "", asking.schema))

    async def acall(self, effect: CallModel, payload: Call) -> Reply:
        """One answer in one piece."""
        asking = self._asking(effect)
        while True:
            with asking:
                attempt = self._ready(effect, payload, "a", asking.schema)
                return await self._acall(payload, attempt, _OnceMore(self._inners[effect.model.name]))

    def _asking(self, effect: CallModel) -> Asking:
        return Asking(effect, self.failed, self._inners[effect.model.name].quirks)

    def _call(self, payload: Call, attempt: Attempt) -> Reply:
        try:
            with _Around(attempt):
                answer = attempt.make()
        except UNPARSED as error:
            answer = self._unparsed(payload, attempt, error)
        return self._reply(attempt, answer)

    async def _acall(self, payload: Call, attempt: Attempt, once_more: _OnceMore) -> Reply:
        answer: Any = None
        try:
            while True:
                attempt.responses.depth = 0  # a call that failed has told of no end
                with once_more, _Around(attempt):
                    answer = await attempt.make()
                    break
        except UNPARSED as error:
            answer = self._unparsed(payload, attempt, error)
        return self._reply(attempt, answer)

    def open_stream(self, effect: CallModel, payload: Call) -> Iterator[Any]:
        """The chunks of one answer."""
        once_more = _OnceMore(self._inners[effect.model.name])
        try:
            while True:
                with once_more:
                    self._streamed = attempt = self._ready(effect, payload, "stream_")
                    with _Around(attempt):
                        chunks = attempt.make()
                    with ClosingStream(chunks):
                        while True:
                            with _Around(attempt):
                                chunk = next(chunks, _END)
                            if chunk is _END:
                                return
                            once_more.may = False
                            yield _chunk(attempt, chunk)
        except UNPARSED as error:
            yield self._unparsed(payload, self._streamed, error)

    async def aopen_stream(self, effect: CallModel, payload: Call) -> AsyncIterator[Any]:
        """The chunks of one answer."""
        once_more = _OnceMore(self._inners[effect.model.name])
        try:
            while True:
                with once_more:
                    self._streamed = attempt = self._ready(effect, payload, "astream_")
                    with _Around(attempt):
                        chunks = await attempt.make()
                    async with ClosingStream(chunks):
                        while True:
                            with _Around(attempt):
                                chunk = await anext(chunks, _END)
                            if chunk is _END:
                                return
                            once_more.may = False
                            yield _chunk(attempt, chunk)
        except UNPARSED as error:
            yield self._unparsed(payload, self._streamed, error)

    def pose(self, question: Question) -> Call:
        """The payload that asks a question instead of the request."""
        return Call(messages=[ChatMessage(role=turn.role, content=turn.text) for turn in question.turns])

    def join(self, chunks: Sequence[Any]) -> Reply:
        """The reply that these chunks make."""
        reply = self._joined(chunks)
        return as_scripted(reply) if self._streamed is not None and self._streamed.scripted else reply

    def _joined(self, chunks: Sequence[Any]) -> Reply:
        """The last chunk holds all that was said, the usage may stand on another."""
        if not chunks:
            return Reply(text="")
        last = chunks[-1]
        if not isinstance(last, ChatResponse):
            return reply_with(last, self._streamed.responses if self._streamed else ())
        replies = (reply_of(chunk) for chunk in reversed(chunks) if isinstance(chunk, ChatResponse))
        whole = next(replies)
        for reply in replies:
            if whole.usage is not None and whole.finish_reason is not None:
                break
            whole = _filled(whole, reply)
        # Anthropic's chunks hold a text only when all of it has been said.
        said = "".join(chunk.delta or "" for chunk in chunks)
        return whole if len(said) <= len(whole.text) else replace(whole, text=said)

    def replay(self, reply: Reply) -> Iterator[Any]:
        """The whole answer as one chunk."""
        native = reply.native
        yield native.model_copy(update={"delta": reply.text}) if isinstance(native, ChatResponse) else native

    def shows(self, chunk: Any) -> int:
        """How many characters a chunk shows. A tool call, a thought and an object count as one."""
        if isinstance(chunk, Unparsed):
            return 0
        if not isinstance(chunk, ChatResponse):
            return 1
        said = len(chunk.delta or "")
        return said or int(bool(chunk.additional_kwargs.get("thinking_delta") or calls_of(chunk.message)))

    def failed(self, error: Exception) -> Failed | None:
        """What an exception of an LLM means."""
        return sort_error(error, self._secrets)

    # What is told while the request runs.

    def told(self, event: Event) -> None:
        """Pass an event on to LlamaIndex's instrumentation, and to the handlers what they want of it."""
        if isinstance(event, Settled):
            call = RoutedCall(
                receipt=event.receipt,
                baseline_nano=self._tab.baseline_nano(self._strongest),
                call_id=self._place.span_id,
                root_id=self._place.root_id,
            )
            self._hand("on_router_receipt", call)
            if self.listened_to:
                self._dispatch(RouterReceiptEvent.of(call))
                if self.streaming:
                    self._dispatch(RouterStreamEndEvent(request_id=self._tab.request_id))
        elif isinstance(event, BudgetReached):
            self._note(BudgetNote.of_reached(event))
        elif self.listened_to:
            for each in events_of(event):
                self._dispatch(each)

    def refused(self, error: BudgetExceeded) -> None:
        """Tell that budgets refuse the request."""
        self._note(*BudgetNote.of_refused(self._tab.request_id, error))

    def _note(self, *notes: BudgetNote) -> None:
        for note in notes:
            self._hand("on_router_budget", note)
            if self.listened_to:
                self._dispatch(RouterBudgetEvent.of(note))

    def _hand(self, method: str, told: object) -> None:
        for handler in self.handlers:
            take = getattr(handler, method, None)
            if take is not None:
                with _Dropped(handler):
                    take(told)

    def _dispatch(self, event: BaseEvent) -> None:
        # A stream is read when the span of its call is not the active one any more.
        event.span_id = self._place.span_id
        dispatcher.event(event)

    # One attempt.

    def _ready(self, effect: CallModel, call: Call, way: str, schema: Mapping[str, Any] | None = None) -> Attempt:
        inner = self._inners[effect.model.name]
        role = inner.metadata.system_role if inner.metadata else MessageRole.SYSTEM
        note = "\n\n".join(filter(None, (words_of(inner, call.kwargs), effect.note)))

        def finish(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
            copies = portable(messages, inner.family, role, mixed=self._mixed)
            return _with_note(copies, note, role) if note else copies

        parallel = bool(call.flags.get("allow_parallel_tool_calls"))
        asked = formatted(inner, limited(inner.llm, call.kwargs, effect.max_tokens), schema)
        llm, kwargs = ready(inner, asked, streaming="stream" in way, parallel=parallel)
        bound = inner if llm is inner.llm else replace(inner, llm=llm)
        about = {"router_request_id": self._tab.request_id, "router_attempt": effect.number}
        return Attempt(_maker(bound, call, way, finish, kwargs), {}, Responses(), about, inner.scripted)

    def _unparsed(self, call: Call, attempt: Attempt | None, error: Exception) -> Unparsed:
        # An argument that an SDK refuses is no answer: nothing was sent.
        if call.asked is None or (attempt is not None and attempt.responses.refused):
            raise error
        return Unparsed(without_secrets(error, self._secrets))

    def _reply(self, attempt: Attempt, answer: Any) -> Reply:
        answer = _chunk(attempt, answer)
        reply = reply_of(answer) if isinstance(answer, ChatResponse) else reply_with(answer, attempt.responses)
        return as_scripted(reply) if attempt.scripted else reply


_END = object()


def _maker(inner: Inner, call: Call, way: str, finish: Finish, kwargs: dict[str, Any]) -> Callable[[], Any]:
    """What makes the attempt when it is called, with arguments of its own each time: integrations write into theirs."""
    llm: Any = inner.llm
    if call.asked is not None:
        asked = call.asked
        predict = method_of(inner, f"{way}structured_predict")
        return lambda: predict(asked.output_cls, AttemptPrompt.of(asked, finish), llm_kwargs=dict(kwargs))
    messages = finish(call.messages)
    if call.tools is not None and inner.calls_tools:
        tools = call.tools
        ask = getattr(llm, f"{way}chat_with_tools")
        return lambda: ask(list(tools), chat_history=list(messages), **call.flags, **kwargs)
    if not inner.chat:
        # Its own ``chat`` would wrap ``complete``, and tell of two calls.
        complete = getattr(llm, f"{way}complete")
        if call.text is not None:
            return lambda: complete(call.text, formatted=call.formatted, **kwargs)
        text = llm.messages_to_prompt(messages)
        return lambda: complete(text, formatted=True, **kwargs)
    chat = getattr(llm, f"{way}chat")
    return lambda: chat(list(messages), **kwargs)


class _Around:
    """Within the block, what the model tells is marked as this attempt's, and heard. Entered anew for each chunk: what
    is set while a generator runs is seen by whoever reads it."""

    __slots__ = ("_attempt", "_heard", "_tags")

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def __enter__(self) -> None:
        self._tags = active_instrument_tags.set({**active_instrument_tags.get(), **self._attempt.tags})
        self._heard = heard.set(self._attempt.responses)

    def __exit__(self, *_: object) -> None:
        heard.reset(self._heard)
        active_instrument_tags.reset(self._tags)


class _OnceMore:
    """Catches a failure after which the same model is asked again, once, and which says nothing of it: a connection
    that belongs to another event loop, a server that will not be asked for the usage of a stream. ``may`` is whether
    it still can be, which it cannot after a first chunk."""

    def __init__(self, inner: Inner) -> None:
        self._inner = inner
        self.may = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> bool:
        caught = self.may and isinstance(error, Exception) and self._says_nothing(error)
        self.may = False
        return caught

    def _says_nothing(self, error: Exception) -> bool:
        return is_stale_loop(error) or refuses_usage(self._inner, error)


class _Dropped:
    """Logs and drops what a handler raises, as LlamaIndex does: an answer that is paid for is not lost for it."""

    def __init__(self, handler: object) -> None:
        self._handler = handler

    def __enter__(self) -> None:
        """Nothing is needed."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        log.warning("%s could not take what the router told it: %s", type(self._handler).__name__, type(error).__name__)
        return True


def _chunk(attempt: Attempt, chunk: Any) -> Any:
    """A chunk or an answer in the one form of this host: a chat response with an id on each tool call, or an object."""
    if isinstance(chunk, CompletionResponse):
        delta = chunk.delta
        chunk = completion_response_to_chat_response(chunk)
        chunk.delta = delta
    return with_ids(chunk, attempt.ids) if isinstance(chunk, ChatResponse) else chunk


def _filled(reply: Reply, earlier: Reply) -> Reply:
    return replace(
        reply,
        tool_calls=reply.tool_calls or earlier.tool_calls,
        finish_reason=reply.finish_reason or earlier.finish_reason,
        usage=reply.usage or earlier.usage,
        refusal=reply.refusal or earlier.refusal,
        model_id=reply.model_id or earlier.model_id,
        cost_nano=earlier.cost_nano if reply.cost_nano is None else reply.cost_nano,
        service_tier=reply.service_tier or earlier.service_tier,
    )


def _with_note(messages: list[ChatMessage], note: str, role: MessageRole) -> list[ChatMessage]:
    """The note in the system message, which comes first: several providers refuse a second one."""
    if messages and messages[0].role is role and role is not MessageRole.USER:
        return [ChatMessage(role=role, content=f"{messages[0].content}\n\n{note}"), *messages[1:]]
    return [ChatMessage(role=role, content=note), *messages]
