"""``RouterLLM``: the router as an LLM of LlamaIndex."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any, Self

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.types import PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import ConfigDict, Field, PrivateAttr, ValidationError

from llamaindex_router.call import Asked, Call, PromptMessages, read_kwargs
from llamaindex_router.catalog import ROUTER, Inner, catalogue, fingerprint, require_functions, require_list
from llamaindex_router.errors import as_plain_errors
from llamaindex_router.messages import arguments_of, calls_of
from llamaindex_router.profile import (
    acompletions_of,
    adopted_prompt,
    completion_of,
    completions_of,
    expecting,
    metadata_of,
    together,
)
from llamaindex_router.request import Audience, Requests
from llamaindex_router.trail import attach
from router_core.errors import ConfigError, RouterError, config_error_of
from router_core.options import Settings
from router_core.registry import Registry
from router_core.router import close_policy, make_rules, resolved
from router_core.types import NO_CONSTRAINTS, Constraints

dispatcher = get_dispatcher(__name__)


class RouterLLM(FunctionCallingLLM):
    """Picks for each call the cheapest model that can answer, checks the answer, and climbs when it falls short.

    ::

        Settings.llm = RouterLLM(models=["ollama:llama3.2", OpenAI("gpt-4.1-nano"), OpenAI("gpt-4.1")])

    An LLM like any other: for query engines, chat engines, agents, programs. Each call of a model makes the events that
    the model itself makes, failed calls and rejected drafts included, so that LlamaIndex's own counters and tracers see
    each token once. The LLMs that are given are not changed. Give them ``max_retries=0``: the router retries itself.

    The options of a call are its keyword arguments (``llm.chat(messages, max_cost_usd=0.01)``), or stand in the
    instrument tag ``router``: ``with instrument_tags({"router": {"tags": ["user:ann"]}}): engine.query("...")``.

    Args:
        models: LLMs or "endpoint:model" strings, weakest first.
        registry: entries of these models, in the same order (prices, quality, tags), for what the LLMs do not say.
        policy: where a request starts; ``DifficultyPolicy()`` unless given.
        verifiers: what checks an answer, in this order; ``default_verifiers()`` unless given, an empty list for none.
        constraints: what holds for every call that does not say otherwise.
        settings: how the router behaves.
        ledger: where receipts are kept and budgets held (``router_core.Ledger``).
        observers: told of every event of every call as it happens (``router_core.events.Observer``), beside what
            LlamaIndex's instrumentation hears. Async ones work with async calls only.
        window: the context window that LlamaIndex packs prompts to, in tokens, or "min" or "max" of the models'.
            Unless given, the largest that at least two models can hold, so that there is always one to fall back to.
            Requests go only to models that can hold them.
        num_output: the tokens that LlamaIndex keeps free for an answer; the largest of the models' unless given.

    Raises:
        ConfigError: no model, one that is not understood or cannot be made, a constraint that names none, or an
            observer that cannot be called.
    """

    # An LLM in a wrong place would stand in the error, with its headers.
    model_config = ConfigDict(hide_input_in_errors=True, extra="forbid")

    # Frozen: what a router is made of is read once.
    models: Sequence[Any] = Field(exclude=True, repr=False, frozen=True)
    registry: Registry | None = Field(default=None, exclude=True, repr=False, frozen=True)
    policy: Any = Field(default=None, exclude=True, repr=False, frozen=True)
    verifiers: Sequence[Any] | None = Field(default=None, exclude=True, repr=False, frozen=True)
    constraints: Constraints = Field(default=NO_CONSTRAINTS, exclude=True, repr=False, frozen=True)
    settings: Settings = Field(default=Settings(), exclude=True, repr=False, frozen=True)
    ledger: Any = Field(default=None, exclude=True, repr=False, frozen=True)
    observers: Sequence[Any] = Field(default=(), exclude=True, repr=False, frozen=True)
    window: int | str | None = Field(default=None, frozen=True)
    num_output: int | None = Field(default=None, frozen=True)
    identity: dict[str, Any] = Field(default_factory=dict, description="What decides about answers; names no secret.")

    _inners: dict[str, Inner] = PrivateAttr(default_factory=dict)
    _requests: Requests = PrivateAttr()
    _metadata: LLMMetadata = PrivateAttr()

    def __init__(self, models: Sequence[Any] = (), **fields: Any) -> None:
        if not models:
            raise ConfigError(
                "models: the list is empty or missing; give at least one LLM, weakest first. A dictionary of a router "
                "(from_dict) holds none, for it would have to hold their keys: make the router anew"
            )
        require_list(models)
        try:
            super().__init__(models=models, **{**fields, "identity": {}})
        except ValidationError as error:
            raise config_error_of(error) or error from None

    def model_post_init(self, context: Any, /) -> None:
        """Make the registry and the rules of the models."""
        super().model_post_init(context)
        require_functions(self.observers)
        registry, self._inners = catalogue(self.models, self.registry)
        self._metadata = metadata_of(registry.models, self._inners, self.window, self.num_output)
        settings = expecting(self.settings, self._metadata.num_output)
        rules = make_rules(
            registry, policy=self.policy, verifiers=self.verifiers, settings=settings, ledger=self.ledger
        )
        defaults = resolved(self.constraints, registry)
        self._requests = Requests(rules, defaults, self._inners, type(self).__name__)
        self.identity = {**rules.identity(defaults), "llms": [fingerprint(given) for given in self.models]}
        self.system_prompt = adopted_prompt(self.system_prompt, self._inners.values())
        self._forward_callbacks()
        attach()

    @classmethod
    def class_name(cls) -> str:
        """As which the class is known."""
        return ROUTER

    @classmethod
    def from_config(cls, path: Any, **options: Any) -> Self:
        """The router that a ``router.yaml`` describes, its models made through LlamaIndex's integrations.

        Raises:
            ConfigError: the file is wrong, or a model cannot be made.
        """
        from llamaindex_router.registry_file import options_of

        return cls(**{**options_of(path), **options})

    # ---- who it is

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex plans with; the same for the life of the router."""
        return self._metadata

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        # LlamaIndex replaces it at any moment: each use of ``Settings.llm``, each query engine.
        if name == "callback_manager" and self.__pydantic_private__:
            self._forward_callbacks()

    def _forward_callbacks(self) -> None:
        for inner in self._inners.values():
            inner.llm.callback_manager = together(self.callback_manager, inner.handlers)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A router of the same models, made anew with what is updated."""
        fields = {name: value for name, value in self.__dict__.items() if name in type(self).model_fields}
        return type(self)(**{**fields, **(update or {})})

    def __copy__(self) -> Self:
        # What is private to a router is made anew: two routers may have two callback managers.
        return self.model_copy()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __getstate__(self) -> dict[str, Any]:
        # What cannot be pickled is an error: a router that lost a verifier on the way would be another router.
        fields = {name: value for name, value in self.__dict__.items() if name != "callback_manager"}
        return {"__dict__": fields}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["__dict__"])  # type: ignore[misc]

    # ---- chat and completion; no method is decorated: the model that answers makes the one true event

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer in one piece."""
        response: ChatResponse = self._requests.answer(self._call(messages, kwargs), self._audience)
        return response

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """Answer in one piece."""
        response: ChatResponse = await self._requests.aanswer(self._call(messages, kwargs), self._audience)
        return response

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """Answer in chunks. A draft that a verifier may still reject is held until it is accepted."""
        return self._requests.stream(self._call(messages, kwargs), self._audience)

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer in chunks. A draft that a verifier may still reject is held until it is accepted."""
        return await self._requests.astream(self._call(messages, kwargs), self._audience)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt. It is sent as the message of a user, or as it is to a model that takes one text."""
        return completion_of(self._requests.answer(self._call_of(prompt, formatted, kwargs), self._audience))

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer a prompt. It is sent as the message of a user, or as it is to a model that takes one text."""
        return completion_of(await self._requests.aanswer(self._call_of(prompt, formatted, kwargs), self._audience))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """Answer a prompt in chunks."""
        return completions_of(self._requests.stream(self._call_of(prompt, formatted, kwargs), self._audience))

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        """Answer a prompt in chunks."""
        return acompletions_of(await self._requests.astream(self._call_of(prompt, formatted, kwargs), self._audience))

    # ---- tools; LlamaIndex makes spans of the methods above, and of these where they are wrapped

    @dispatcher.span
    def chat_with_tools(self, tools: Sequence[Any], *about: Any, **kwargs: Any) -> ChatResponse:
        """Answer, or call tools. Takes what every LLM takes; each model is given the tools themselves."""
        response: ChatResponse = self._requests.answer(self._tool_call(tools, *about, **kwargs), self._audience)
        return response

    @dispatcher.span
    async def achat_with_tools(self, tools: Sequence[Any], *about: Any, **kwargs: Any) -> ChatResponse:
        """Answer, or call tools. Takes what every LLM takes; each model is given the tools themselves."""
        response: ChatResponse = await self._requests.aanswer(self._tool_call(tools, *about, **kwargs), self._audience)
        return response

    @dispatcher.span
    def stream_chat_with_tools(self, tools: Sequence[Any], *about: Any, **kwargs: Any) -> ChatResponseGen:
        """Answer in chunks, or call tools."""
        return self._requests.stream(self._tool_call(tools, *about, **kwargs), self._audience)

    @dispatcher.span
    async def astream_chat_with_tools(self, tools: Sequence[Any], *about: Any, **kwargs: Any) -> ChatResponseAsyncGen:
        """Answer in chunks, or call tools."""
        return await self._requests.astream(self._tool_call(tools, *about, **kwargs), self._audience)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **_: Any
    ) -> list[ToolSelection]:
        """The tool calls of a response of any provider.

        Raises:
            ValueError: there is none and ``error_on_no_tool_call`` is set; as other LLMs of LlamaIndex do.
        """
        calls = calls_of(response.message)
        if not calls and error_on_no_tool_call:
            raise ValueError(f"Expected at least one tool call, but got {len(calls)} tool calls.")
        return [
            ToolSelection(
                tool_id=call.tool_call_id or call.tool_name, tool_name=call.tool_name, tool_kwargs=arguments_of(call)
            )
            for call in calls
        ]

    def _prepare_chat_with_tools(self, tools: Sequence[Any], *_: Any, **__: Any) -> dict[str, Any]:
        raise RouterError(
            "a router cannot prepare tools before it knows the model: call chat_with_tools, which gives the tools to "
            "the model that is asked"
        )

    # ---- structure

    def structured_predict(self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any) -> Any:
        """An object of the class. Each model makes it in its own way; what does not fit the class climbs."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return super().structured_predict(output_cls, prompt, llm_kwargs=llm_kwargs, **prompt_args)
        return self._requests.answer(self._structured_call(output_cls, prompt, llm_kwargs, prompt_args), self._audience)

    async def astructured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> Any:
        """An object of the class. Each model makes it in its own way; what does not fit the class climbs."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return await super().astructured_predict(output_cls, prompt, llm_kwargs=llm_kwargs, **prompt_args)
        return await self._requests.aanswer(
            self._structured_call(output_cls, prompt, llm_kwargs, prompt_args), self._audience
        )

    def stream_structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        """Objects of the class, ever more complete."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return super().stream_structured_predict(output_cls, prompt, llm_kwargs=llm_kwargs, **prompt_args)
        return self._requests.stream(self._structured_call(output_cls, prompt, llm_kwargs, prompt_args), self._audience)

    async def astream_structured_predict(
        self, output_cls: Any, prompt: Any, llm_kwargs: Any = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        """Objects of the class, ever more complete."""
        if self.pydantic_program_mode != PydanticProgramMode.DEFAULT:
            return await super().astream_structured_predict(output_cls, prompt, llm_kwargs=llm_kwargs, **prompt_args)
        return await self._requests.astream(
            self._structured_call(output_cls, prompt, llm_kwargs, prompt_args), self._audience
        )

    # ---- what is said of it

    def feedback(self, request_id: str, score: float, comment: str | None = None) -> None:
        """Say how good an answer was: 0 (useless) to 1 (as good as can be), or True and False.

        ``request_id`` stands in ``additional_kwargs["router"]`` of the response, and in receipts.

        Raises:
            InvalidRequest: the score is out of range, or the request is unknown. StoreError: it cannot be kept.
        """
        self._requests.feedback(request_id, score, comment, self._audience)

    def close(self) -> None:
        """End what the policy does in the background; what waits for an auditor is audited first. The router can still
        be used: it begins anew."""
        close_policy(self.policy)

    # ---- what is asked

    @property
    def _audience(self) -> Audience:
        return Audience(self.callback_manager.handlers, self.rate_limiter, self.ledger, tuple(self.observers))

    def _call(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any], **about: Any) -> Call:
        with as_plain_errors():
            routing, own = read_kwargs(kwargs)
        question = getattr(messages, "question", None)
        return Call(messages=list(messages), kwargs=own, routing=routing, question=question, **about)

    def _get_messages(self, prompt: Any, **prompt_args: Any) -> list[ChatMessage]:
        return PromptMessages.of(super()._get_messages(prompt, **prompt_args), prompt, prompt_args)

    def _call_of(self, prompt: str, formatted: bool, kwargs: Mapping[str, Any]) -> Call:
        return self._call([ChatMessage(role="user", content=prompt)], kwargs, text=prompt, formatted=formatted)

    def _tool_call(
        self,
        tools: Sequence[Any],
        user_msg: str | ChatMessage | None = None,
        chat_history: Sequence[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> Call:
        messages = list(chat_history or [])
        if user_msg:
            messages.append(ChatMessage(role="user", content=user_msg) if isinstance(user_msg, str) else user_msg)
        flags = {
            "verbose": verbose,
            "allow_parallel_tool_calls": allow_parallel_tool_calls,
            "tool_required": tool_required,
        }
        # Not every integration knows every flag; all are off unless given.
        told = {name: value for name, value in flags.items() if value}
        return self._call(messages, kwargs, tools=list(tools), flags=told)

    def _structured_call(self, output_cls: Any, prompt: Any, llm_kwargs: Any, prompt_args: Mapping[str, Any]) -> Call:
        formatted = self._extend_messages(prompt.format_messages(llm=self, **prompt_args))
        messages = PromptMessages.of(formatted, prompt, prompt_args)
        asked = Asked(output_cls, prompt, prompt_args, lambda given: self._extend_messages(list(given)))
        return self._call(messages, llm_kwargs or {}, asked=asked)
