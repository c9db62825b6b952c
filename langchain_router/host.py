"""The LangChain host: each attempt of a request is exactly one run of a chat model below the router's chain run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, cast

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models._utils import _normalize_messages
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.utils.utils import LC_ID_PREFIX

from langchain_router.binding import Binder
from langchain_router.deferred import chunk_of, defer_streaming
from langchain_router.errors import sort_error
from langchain_router.messages import portable, reply_of
from langchain_router.structured import Structure
from langchain_router.telling import Teller
from router_core.effects import CallModel, Voice
from router_core.hosts.portable import as_scripted
from router_core.hosts.schemas import Asking
from router_core.tab import Tab
from router_core.types import Failed, Question, Reply, Role

_ENTRANCES = ("invoke", "ainvoke", "generate", "agenerate", "generate_prompt", "agenerate_prompt")


_TRACED = frozenset({"ls_structured_output_format", "structured_output_format"})


_MESSAGES: Mapping[Role, Callable[[str], BaseMessage]] = {
    "system": SystemMessage,
    "user": HumanMessage,
    "assistant": AIMessage,
}


class Call(NamedTuple):
    """What is asked of a model, whichever it is: the payload of the host."""

    messages: Sequence[BaseMessage]
    stop: list[str] | None
    kwargs: Mapping[str, Any]
    structure: Structure | None = None


class Ready(NamedTuple):
    """One attempt, ready to be made."""

    model: BaseChatModel
    messages: list[BaseMessage]
    kwargs: dict[str, Any]
    reply: Callable[[AIMessage], Reply]
    scripted: bool
    number: int

    def read(self, message: AIMessage) -> Reply:
        """The reply. Where LangChain's cache may hold the message, of a copy: the answer is the application's own."""
        cache = get_llm_cache() if self.model.cache is None else self.model.cache
        kept = cache is not None and cache is not False
        reply = self.reply(message.model_copy(deep=True) if kept else message)
        return as_scripted(reply) if self.scripted else reply


class LangChainHost:
    """Performs one request: the one of ``tab``. ``teller`` knows the router's chain run and its handlers, ``config`` is
    the request's."""

    def __init__(self, binder: Binder, tab: Tab, teller: Teller, config: RunnableConfig | None = None) -> None:
        self.tab = tab
        self.teller = teller
        self._binder = binder
        self._config: RunnableConfig = config or {}
        self._scripted = False

    # The port of the core.

    def call(self, effect: CallModel, payload: Call) -> Reply:
        """One answer in one piece."""
        asking = Asking(effect, self.failed, self._binder.learned)
        while True:
            with asking:
                ready = self._ready(effect, payload, asking.schema)
                return ready.read(self._message(effect, ready))

    async def acall(self, effect: CallModel, payload: Call) -> Reply:
        """One answer in one piece."""
        asking = Asking(effect, self.failed, self._binder.learned)
        while True:
            with asking:
                ready = self._ready(effect, payload, asking.schema)
                return ready.read(await self._amessage(effect, ready))

    def open_stream(self, effect: CallModel, payload: Call) -> Iterator[AIMessageChunk]:
        """The chunks of one answer."""
        ready = self._ready(effect, payload)
        yield from ready.model.stream(ready.messages, self._attempt(effect), **ready.kwargs)

    async def aopen_stream(self, effect: CallModel, payload: Call) -> AsyncIterator[AIMessageChunk]:
        """The chunks of one answer."""
        ready = self._ready(effect, payload)
        chunks: Any = ready.model.astream(ready.messages, self._attempt(effect), **ready.kwargs)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    def pose(self, question: Question) -> Call:
        """The payload that asks a question instead of the request."""
        return Call([_MESSAGES[turn.role](turn.text) for turn in question.turns], None, {})

    def join(self, chunks: Sequence[AIMessageChunk]) -> Reply:
        """The reply that these chunks make."""
        if not chunks:
            return Reply(text="")
        reply = reply_of(chunks[0] if len(chunks) == 1 else chunks[0] + list(chunks[1:]))
        return as_scripted(reply) if self._scripted else reply

    def replay(self, reply: Reply) -> Iterator[AIMessageChunk]:
        """The whole answer as one chunk."""
        yield chunk_of(reply.native)

    def shows(self, chunk: AIMessageChunk) -> int:
        """How many characters a chunk shows. A block that is no text (a thought, an image) counts as one."""
        said = len(chunk.text) + sum(len(call["args"] or "") + 1 for call in chunk.tool_call_chunks)
        return said or int(bool(chunk.content))

    def failed(self, error: Exception) -> Failed | None:
        """What an exception of a chat model means."""
        return sort_error(error, self._binder.secrets)

    # One attempt.

    def _message(self, effect: CallModel, ready: Ready) -> AIMessage:
        if self._unheard(ready.model):
            return self._silently(ready)
        return ready.model.invoke(ready.messages, self._attempt(effect), **ready.kwargs)

    async def _amessage(self, effect: CallModel, ready: Ready) -> AIMessage:
        if self._unheard(ready.model):
            return await self._asilently(ready)
        return await ready.model.ainvoke(ready.messages, self._attempt(effect), **ready.kwargs)

    def _ready(self, effect: CallModel, call: Call, schema: Mapping[str, Any] | None = None) -> Ready:
        asked = self._binder.limited(effect.model.name, call.kwargs, effect.max_tokens)
        model, kwargs = self._binder.ready(effect.model.name, asked)
        kwargs = self._binder.formatted(effect.model.name, kwargs, schema)
        child = self._binder.child(effect.model.name)
        self._scripted = child.scripted
        messages = portable(call.messages, child.provider)
        if effect.note is not None:
            messages = _with_note(messages, effect.note)
        if call.structure is None:
            return Ready(model, messages, {"stop": call.stop, **kwargs}, reply_of, child.scripted, effect.number)
        extra, reply = call.structure.plan(effect.model.name, child)
        return Ready(model, messages, {"stop": call.stop, **kwargs, **extra}, reply, child.scripted, effect.number)

    def _unheard(self, model: BaseChatModel) -> bool:
        """Whether nobody would see the run of this model, into which half of LangChain's own time goes. A model that
        does more than LangChain's in ``invoke`` or ``generate`` is run as it wants to be."""
        plain = all(getattr(type(model), name) is getattr(BaseChatModel, name) for name in _ENTRANCES)
        return plain and not (self.teller.manager.handlers or model.callbacks or model.verbose)

    def _silently(self, ready: Ready) -> AIMessage:
        """What ``invoke`` does below its run: cache, rate limiter, normal forms of messages, the call."""
        messages, kwargs = _below_the_run(ready)
        return self._message_of(ready.model._generate_with_cache(messages, **kwargs), ready.number)  # noqa: SLF001

    async def _asilently(self, ready: Ready) -> AIMessage:
        """Like ``_silently``, awaited."""
        messages, kwargs = _below_the_run(ready)
        result = await ready.model._agenerate_with_cache(messages, **kwargs)  # noqa: SLF001
        return self._message_of(result, ready.number)

    def _message_of(self, result: ChatResult, number: int) -> AIMessage:
        """The message, with an id as a run would have given it. Copied: a cache may hold it."""
        message = cast("AIMessage", result.generations[0].message)
        if message.id is not None:
            return message
        return message.model_copy(update={"id": f"{LC_ID_PREFIX}-{self.tab.request_id}-{number}"})

    def _attempt(self, effect: CallModel) -> RunnableConfig:
        """The config of one attempt: a run of its own below the router's."""
        about = {"router_request_id": self.tab.request_id, "router_attempt": effect.number}
        if not self.teller.manager.handlers:
            unheard: RunnableConfig = {**self._config, "callbacks": None}
            unheard["metadata"] = {**(self._config.get("metadata") or {}), **about}
            unheard.pop("run_name", None)
            return unheard
        manager = self.teller.manager.get_child(f"attempt:{effect.number}")
        if effect.voice is not Voice.LIVE:
            self.teller.deferred[effect.number] = defer_streaming(manager)
        # The manager has the request's tags and metadata already; its name and id are those of the router's own run.
        config: RunnableConfig = {**self._config, "callbacks": manager, "tags": []}
        config["metadata"] = about
        config.pop("run_name", None)
        config.pop("run_id", None)
        return config


class SilentHost(LangChainHost):
    """Makes attempts that are no runs of their own: for callers that already opened the one run that is to be seen."""

    def _message(self, effect: CallModel, ready: Ready) -> AIMessage:  # noqa: ARG002
        return self._silently(ready)

    async def _amessage(self, effect: CallModel, ready: Ready) -> AIMessage:  # noqa: ARG002
        return await self._asilently(ready)

    def open_stream(self, effect: CallModel, payload: Call) -> Iterator[AIMessageChunk]:
        """The chunks of one answer."""
        ready = self._ready(effect, payload)
        for chunk in ready.model._stream(ready.messages, **ready.kwargs):  # noqa: SLF001 - LangChain's own door
            yield _chunk_of(chunk)

    async def aopen_stream(self, effect: CallModel, payload: Call) -> AsyncIterator[AIMessageChunk]:
        """The chunks of one answer."""
        ready = self._ready(effect, payload)
        chunks: Any = ready.model._astream(ready.messages, **ready.kwargs)  # noqa: SLF001 - LangChain's own door
        async with aclosing(chunks):
            async for chunk in chunks:
                yield _chunk_of(chunk)


def _below_the_run(ready: Ready) -> tuple[list[BaseMessage], dict[str, Any]]:
    """What a model is called with once its run was opened: the format that the run tells tracers of is not its."""
    kwargs = {name: value for name, value in ready.kwargs.items() if name not in _TRACED}
    return _normalize_messages(ready.messages), kwargs


def _chunk_of(chunk: ChatGenerationChunk) -> AIMessageChunk:
    message = cast("AIMessageChunk", chunk.message)
    about = {**(chunk.generation_info or {}), **message.response_metadata}
    return message.model_copy(update={"response_metadata": about})


def _with_note(messages: list[BaseMessage], note: str) -> list[BaseMessage]:
    """The note in the system message, which comes first: several providers refuse a second one."""
    if messages and isinstance(messages[0], SystemMessage):
        return [SystemMessage(f"{messages[0].text}\n\n{note}"), *messages[1:]]
    return [SystemMessage(note), *messages]
