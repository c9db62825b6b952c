"""What a router says of itself: the limits of its models together, and with each answer the account of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata, MessageRole
from llama_index.core.callbacks import CallbackManager
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW

from llamaindex_router.catalog import Inner
from router_core.errors import ConfigError
from router_core.options import Settings
from router_core.tab import Tab
from router_core.types import Model

SUMMARY = "router"
"""Where in ``additional_kwargs`` of a response the account of the request stands. Never in those of its message: they
would go into prompts."""


def metadata_of(
    models: Sequence[Model], inners: Mapping[str, Inner], window: int | str | None, num_output: int | None
) -> LLMMetadata:
    """The metadata of the router: made once, for LlamaIndex keeps copies of it.

    Raises:
        ConfigError: the window or the room for an answer is none.
    """
    size = _window(models, window)
    if num_output is not None and not 0 < num_output < size:
        raise ConfigError(f"num_output: {num_output} is not between 0 and the window of {size}; give fewer tokens")
    return LLMMetadata(
        context_window=size,
        num_output=_room(inners.values(), size) if num_output is None else num_output,
        is_chat_model=True,
        is_function_calling_model=any(inner.calls_tools for inner in inners.values()),
        model_name="router",
        system_role=MessageRole.SYSTEM,
    )


def expecting(settings: Settings, num_output: int) -> Settings:
    """The settings, expecting no longer answers than LlamaIndex keeps room for: it fills the rest of the window with
    its prompt, which would then fit no model."""
    if 0 < num_output < settings.expected_output_tokens:
        return replace(settings, expected_output_tokens=num_output)
    return settings


def _window(models: Sequence[Model], window: int | str | None) -> int:
    known = sorted(model.context_window for model in models if model.context_window)
    match window:
        case None:
            # The second largest: the largest that two can hold.
            return known[max(len(known) - 2, 0)] if known else DEFAULT_CONTEXT_WINDOW
        case "min":
            return known[0] if known else DEFAULT_CONTEXT_WINDOW
        case "max":
            return known[-1] if known else DEFAULT_CONTEXT_WINDOW
        case int() if window > 0:
            return window
        case _:
            raise ConfigError(f"window: {window!r} is no window; give a number of tokens, 'min' or 'max'")


def _room(inners: Iterable[Inner], window: int) -> int:
    """The largest of the models' rooms for an answer; -1, LlamaIndex's word for its default, where none says."""
    told = [inner.metadata.num_output for inner in inners if inner.metadata is not None]
    most = max(told, default=-1)
    # The largest room may be larger than the window that was chosen for all, or for one model.
    return most if len(told) <= 1 and most < window else min(most, max(window // 4, 1))


def adopted_prompt(own: str | None, inners: Iterable[Inner]) -> str | None:
    """The system prompt of the router: its own, else the one that all models have.

    LlamaIndex adds the prompt of the LLM that it is given, and that is the router; so no model keeps its own.

    Raises:
        ConfigError: the models have different ones and the router has none.
    """
    theirs = {inner.llm.system_prompt for inner in inners}
    if own is None and len(theirs) > 1:
        raise ConfigError(
            "system_prompt: the models have different ones, and one would be left out; give the router its own, "
            "system_prompt=..."
        )
    for inner in inners:
        inner.llm.system_prompt = None
    return own if own is not None else theirs.pop()


def together(manager: CallbackManager, handlers: Sequence[Any]) -> CallbackManager:
    """The router's callback manager, and where a model came with handlers of its own, one with both."""
    missing = [handler for handler in handlers if handler not in manager.handlers]
    if not missing:
        return manager
    both = CallbackManager()
    both.handlers = [*manager.handlers, *missing]
    return both


def answer_of(response: ChatResponse, tab: Tab, strongest: Model) -> ChatResponse:
    """The response with the account of the request; what the model gave is left as it was."""
    about = {**response.additional_kwargs, SUMMARY: tab.summary(strongest)}
    return response.model_copy(update={"additional_kwargs": about})


def empty_answer(tab: Tab, strongest: Model) -> ChatResponse:
    """The one chunk of a stream that says nothing: LlamaIndex's agents and programs fail on a stream without chunks."""
    return answer_of(
        ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=""), delta=""), tab, strongest
    )


def completion_of(response: ChatResponse) -> CompletionResponse:
    """A chat response as a completion. What stands beside the text is copied: the core's own converter would write into
    the message."""
    about: dict[str, Any] = {**response.message.additional_kwargs, **response.additional_kwargs}
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs=about,
    )


def completions_of(chunks: Generator[ChatResponse, None, None]) -> Generator[CompletionResponse, None, None]:
    """The chunks of a stream as those of a completion."""
    last = chunk = None
    with closing(chunks):
        for chunk in chunks:
            last = completion_of(chunk)
            yield last
    _mark(last, chunk)


async def acompletions_of(chunks: AsyncGenerator[ChatResponse, None]) -> AsyncGenerator[CompletionResponse, None]:
    """The chunks of a stream as those of a completion."""
    last = chunk = None
    async with aclosing(chunks):
        async for chunk in chunks:
            last = completion_of(chunk)
            yield last
    _mark(last, chunk)


def _mark(last: CompletionResponse | None, chunk: ChatResponse | None) -> None:
    """Take over the account, which was written on the last chunk when the stream had ended."""
    if last is not None and chunk is not None:
        last.additional_kwargs[SUMMARY] = chunk.additional_kwargs[SUMMARY]
