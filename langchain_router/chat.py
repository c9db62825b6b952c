"""``ChatRouter``: the router as a LangChain chat model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, ClassVar, Self
from uuid import UUID

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, merge_configs
from pydantic import ConfigDict, Field, PrivateAttr, ValidationError

from langchain_router.binding import Binder, BoundTool
from langchain_router.catalog import ROUTER_TYPE, catalogue
from langchain_router.deferred import chunk_of
from langchain_router.profile import together
from langchain_router.request import Asked, config_of, options_of, read_request
from langchain_router.runs import arun_chain, run_chain
from langchain_router.serving import Requests
from langchain_router.structured import Structure, StructuredRouter
from router_core.cascade import Rules
from router_core.errors import config_error_of
from router_core.options import Settings
from router_core.registry import Registry
from router_core.router import close_policy, make_rules, resolved
from router_core.types import NO_CONSTRAINTS, Constraints

Messages = list[BaseMessage]


class ChatRouter(BaseChatModel):
    """A chat model that picks for each call the cheapest of its models that can answer, checks the answer, and climbs.

    ::

        llm = ChatRouter(models=["ollama:llama3.2", "openai:gpt-4.1-nano", ChatOpenAI(model="gpt-4.1")])
        llm.invoke("What is the capital of France?", max_cost_usd=0.01)

    Each call is one chain run, and below it one run of a chat model for each attempt: whoever counts tokens counts
    each once. Constraints and labels (``router_core.CallOptions``) are arguments of the call, bound with ``bind``, or
    stand in ``config={"configurable": {...}}``. ``response_metadata["router"]`` tells of the decision and attempts.

    Where a prompt packs documents around what the user asked, the option ``question`` tells the user's words apart, so
    that rules judge those alone::

        (prompt | llm).invoke({"question": asked, "context": docs}, {"configurable": {"question": asked}})

    Raises:
        ConfigError: a model is not understood or cannot be made.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    models: Any
    """Strings of the form "provider:model", chat models, or bindings of them, weakest first. They are not changed.

    Each is asked for its usage in streams, too, unless it was made with ``stream_usage=False`` (some servers refuse to
    be asked): what it streams is then estimated, and marked so."""
    registry: Registry | None = None
    """Entries of the models, in the same order, with prices, quality priors, tags and aliases."""
    policy: Any = None
    """Where a request starts; the core's default unless given."""
    verifiers: list[Any] | None = None
    """What checks an answer, in this order; the core's defaults unless given, an empty list for none."""
    constraints: Constraints = NO_CONSTRAINTS
    """What holds for every call that does not say otherwise."""
    settings: Settings = Field(default_factory=Settings)
    """How the router behaves."""
    ledger: Any = Field(default=None, exclude=True)
    """Where receipts are kept and budgets held (``router_core.Ledger``). A budget that asks, where the ledger has no
    answer of its own, interrupts a LangGraph run that has a checkpointer; it goes on with ``Command(resume=True)``."""
    observers: Sequence[Callable[..., Any]] = Field(default=(), exclude=True)
    """Told of every event of every call as it happens (``router_core.events.Observer``), beside the callbacks. Async
    ones work with async calls only."""
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | None = None

    _rules: Rules = PrivateAttr()
    _binder: Binder = PrivateAttr()
    _defaults: Constraints = PrivateAttr()
    _requests: Requests = PrivateAttr()

    _portable: ClassVar[tuple[str, ...]] = ("temperature", "max_tokens", "timeout", "top_p", "seed", "output_version")

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise config_error_of(error) or error from None

    def model_post_init(self, context: Any, /) -> None:
        """Make the registry and the rules of the models."""
        super().model_post_init(context)
        registry, children = catalogue(self.models, self.registry)
        self._binder = Binder(children)
        self._defaults = resolved(self.constraints, registry)
        self._rules = make_rules(
            registry, policy=self.policy, verifiers=self.verifiers, settings=self.settings, ledger=self.ledger
        )
        self._requests = Requests(self._rules, self._defaults, self._binder, self.ledger, self.observers)

    @classmethod
    def from_config(cls, path: Any, **options: Any) -> Self:
        """The router that a ``router.yaml`` describes, its models made through LangChain.

        Raises:
            ConfigError: the file is wrong, or a model cannot be made.
        """
        from langchain_router.registry_file import options_of

        return cls(**{**options_of(path), **options})

    def feedback(self, run_id: UUID | str, score: float, comment: str | None = None) -> None:
        """Say how good an answer was: 0 (useless) to 1 (as good as can be), or True and False.

        ``run_id`` is the run of the router, or the run right above it (of a chain, a node), whose answers are then all
        meant; or ``response_metadata["router"]["request_id"]``. Runs are known for the latest requests of this object,
        request ids for as long as the ledger keeps them.

        Raises:
            InvalidRequest: the score is out of range, or the run is unknown. StoreError: it cannot be kept.
        """
        self._requests.feedback(str(run_id), score, comment)

    def close(self) -> None:
        """End what the policy does in the background; what waits for an auditor is audited first. The router can still
        be used: it begins anew."""
        close_policy(self._rules.policy)

    # ---- who it is

    @property
    def _llm_type(self) -> str:
        return ROUTER_TYPE

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """What the router would do with a prompt: part of the key of LangChain's cache."""
        own = {name: getattr(self, name) for name in (*self._portable, "stop")}
        return {**self._rules.identity(self._defaults), "candidates": self._binder.identities, "defaults": own}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "router"
        params["ls_model_name"] = str(kwargs.get("model") or self.name or "router")
        return params

    def _resolve_model_profile(self) -> Any:
        names = self._rules.registry.by_name
        return together([self._binder.child(name).model.profile for name in names])

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Any = None) -> int:
        """About how many tokens the messages have, with no tokenizer and no network."""
        return count_tokens_approximately(messages, tools=tools)

    # ---- the four ways to ask

    def invoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: Any = None, **kwargs: Any
    ) -> AIMessage:
        """Answer in one piece. Raises the errors of ``langchain_router.errors``."""
        asked, messages = self._asked(stop, kwargs), self._messages(input)
        answer: AIMessage = run_chain(
            self.get_name(), messages, self._config(config), partial(self._run, asked, messages)
        )
        return answer

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: Any = None, **kwargs: Any
    ) -> AIMessage:
        """Answer in one piece. Raises the errors of ``langchain_router.errors``."""
        asked, messages = self._asked(stop, kwargs), self._messages(input)
        answer: AIMessage = await arun_chain(
            self.get_name(), messages, self._config(config), partial(self._arun, asked, messages)
        )
        return answer

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: Any = None, **kwargs: Any
    ) -> Iterator[AIMessageChunk]:
        """Answer in chunks. A draft that a verifier may still reject is held until it is accepted."""
        if self._streaming_disabled(**kwargs):
            yield chunk_of(self.invoke(input, config, stop=stop, **kwargs))
            return
        asked = self._asked(stop, kwargs)
        chunks: Iterator[Any] = self._transform_stream_with_config(
            iter([self._messages(input)]), partial(self._speak, asked), self._config(config)
        )
        yield from chunks

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, *, stop: Any = None, **kwargs: Any
    ) -> AsyncIterator[AIMessageChunk]:
        """Answer in chunks. A draft that a verifier may still reject is held until it is accepted."""
        if self._streaming_disabled(**kwargs):
            yield chunk_of(await self.ainvoke(input, config, stop=stop, **kwargs))
            return
        asked = self._asked(stop, kwargs)
        chunks: Any = self._atransform_stream_with_config(
            _once(self._messages(input)), partial(self._aspeak, asked), self._config(config)
        )
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    def generate(self, messages: list[Messages], stop: Any = None, callbacks: Any = None, **kwargs: Any) -> LLMResult:
        """Answer several conversations, one after the other."""
        config = config_of(callbacks, kwargs)
        answers = [self.invoke(each, {**config}, stop=stop, **kwargs) for each in messages]
        return LLMResult(generations=[[ChatGeneration(message=answer)] for answer in answers])

    async def agenerate(
        self, messages: list[Messages], stop: Any = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        """Answer several conversations at once."""
        config = config_of(callbacks, kwargs)
        asked = [self.ainvoke(each, {**config}, stop=stop, **kwargs) for each in messages]
        return LLMResult(generations=[[ChatGeneration(message=answer)] for answer in await asyncio.gather(*asked)])

    # ---- tools and structure

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any) -> Runnable[Any, AIMessage]:
        """Offer tools. Each candidate's own ``bind_tools`` is given what the user gave, when it is called."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=[BoundTool(tool) for tool in tools], **kwargs)

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Answer in a structure. ``method`` and ``strict`` are handed to each candidate's own implementation; an answer
        that does not fit the schema climbs."""
        known = {"method", "strict"}
        options = {key: value for key, value in kwargs.items() if key in known and value is not None}
        rest = {key: value for key, value in kwargs.items() if key not in known}
        return StructuredRouter(self, Structure(schema, options), include_raw=include_raw, kwargs=rest)

    # ---- for callers that have opened a run already (stream_events v3, wrappers of the private methods)

    def _generate(self, messages: Messages, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        request = self._requests.begin_silently(self._asked(stop, kwargs), messages, run_manager)
        return ChatResult(generations=[ChatGeneration(message=request.answer())])

    async def _agenerate(
        self, messages: Messages, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        request = self._requests.begin_silently(self._asked(stop, kwargs), messages, run_manager)
        return ChatResult(generations=[ChatGeneration(message=await request.aanswer())])

    def _stream(
        self, messages: Messages, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        request = self._requests.begin_silently(self._asked(stop, kwargs), messages, run_manager, streaming=True)
        for chunk in request.chunks():
            generation = ChatGenerationChunk(message=chunk)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=generation)
            yield generation

    async def _astream(
        self, messages: Messages, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        request = self._requests.begin_silently(self._asked(stop, kwargs), messages, run_manager, streaming=True)
        async with aclosing(request.achunks()) as chunks:
            async for chunk in chunks:
                generation = ChatGenerationChunk(message=chunk)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=generation)
                yield generation

    def _chat_model_stream_v3(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        # What ``stream_events`` v3 calls: its config goes no further than here.
        return super()._chat_model_stream_v3(input, config, **{**options_of(ensure_config(config)), **kwargs})

    async def _achat_model_stream_v3(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        return await super()._achat_model_stream_v3(input, config, **{**options_of(ensure_config(config)), **kwargs})

    # ---- one request, within the router's own run

    def _run(self, asked: Asked, messages: Messages, run_manager: Any, config: RunnableConfig) -> Any:
        if self.rate_limiter:
            self.rate_limiter.acquire(blocking=True)
        return self._requests.begin(asked, messages, run_manager, config).answer()

    async def _arun(self, asked: Asked, messages: Messages, run_manager: Any, config: RunnableConfig) -> Any:
        if self.rate_limiter:
            await self.rate_limiter.aacquire(blocking=True)
        return await self._requests.begin(asked, messages, run_manager, config, is_async=True).aanswer()

    def _speak(
        self, asked: Asked, inputs: Iterator[Any], run_manager: Any, config: RunnableConfig
    ) -> Iterator[AIMessageChunk]:
        if self.rate_limiter:
            self.rate_limiter.acquire(blocking=True)
        for messages in inputs:
            yield from self._requests.begin(asked, messages, run_manager, config, streaming=True).chunks()

    async def _aspeak(
        self, asked: Asked, inputs: AsyncIterator[Any], run_manager: Any, config: RunnableConfig
    ) -> AsyncIterator[AIMessageChunk]:
        if self.rate_limiter:
            await self.rate_limiter.aacquire(blocking=True)
        async for messages in inputs:
            request = self._requests.begin(asked, messages, run_manager, config, streaming=True, is_async=True)
            async with aclosing(request.achunks()) as chunks:
                async for chunk in chunks:
                    yield chunk

    # ---- small change

    def _asked(self, stop: Any, kwargs: Mapping[str, Any]) -> Asked:
        defaults = {name: value for name in self._portable if (value := getattr(self, name)) is not None}
        return read_request({**defaults, **kwargs}, stop if stop is not None else self.stop)

    def _messages(self, given: LanguageModelInput) -> Messages:
        return self._convert_input(given).to_messages()

    def _config(self, config: RunnableConfig | None) -> RunnableConfig:
        given = ensure_config(config)
        # LangChain notes its versions on every model: those of the models called stand on their own runs.
        metadata = {name: value for name, value in (self.metadata or {}).items() if name != "lc_versions"}
        if not (self.callbacks or self.tags or metadata):
            return given
        own: RunnableConfig = {"tags": self.tags or [], "metadata": metadata}
        if self.callbacks:
            own["callbacks"] = self.callbacks
        return merge_configs(own, given)


async def _once(messages: Messages) -> AsyncIterator[Messages]:
    yield messages
