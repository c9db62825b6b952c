"""One call of the router: what it asks of a model, whichever that is, and what the rules see of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import BasePromptTemplate, ChatPromptTemplate
from llama_index.core.utils import get_tokenizer
from llama_index_instrumentation.dispatcher import active_instrument_tags
from pydantic import BaseModel, PrivateAttr

from llamaindex_router.binding import ANY_JSON, choice_of
from llamaindex_router.messages import size_of, turns_of
from llamaindex_router.trail import Place
from router_core.errors import InvalidRequest
from router_core.hosts.limits import ROUTING, read_constraints, read_labels
from router_core.registry import Registry, did_you_mean
from router_core.types import Constraints, OutputSchema, RequestView, StreamMode, ToolSpec

TAG = "router"
"""The instrument tag whose value, a dictionary, holds options of the router for all calls within its block."""

_OPTIONS = ROUTING | {"tags"}
"""The router's options of a call. LangChain has tags of its own; here they are an option like any other."""


Finish: TypeAlias = Callable[[Sequence[ChatMessage]], list[ChatMessage]]
"""What is done to messages before a model is given them."""


class Asked(NamedTuple):
    """What ``structured_predict`` was given: the class of the answer, the prompt and its arguments. ``extend`` adds the
    router's system prompt: half of the integrations forget to add theirs."""

    output_cls: type[BaseModel]
    prompt: BasePromptTemplate
    args: Mapping[str, Any]
    extend: Finish


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is asked of a model: the payload of the host.

    messages: the conversation. kwargs: for the models. tools, flags: what ``chat_with_tools`` was given beside them.
    asked: what ``structured_predict`` was given. text: what ``complete`` was given, for models of one text; formatted:
    whether it stands in their template already.
    question: what the user asked, where the messages were made of a prompt that holds more.
    """

    messages: Sequence[ChatMessage]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    routing: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[Any] | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    asked: Asked | None = None
    text: str | None = None
    formatted: bool = False
    question: str | None = None

    @property
    def mode(self) -> StreamMode | None:
        """How a stream may speak, if the call says so."""
        return self.routing.get("stream_mode")

    def view(self, place: Place, defaults: Constraints, registry: Registry) -> RequestView:
        """The request as the rules see it.

        Raises:
            InvalidRequest: an option is wrong, or a text cannot be sent.
        """
        options = {"call_site": place.call_site, **self.routing}
        tags, session, call_site = read_labels(options)
        tools = tuple(map(_spec, self.tools or ()))
        schema = self._schema()
        size, modalities = size_of(self.messages)
        turns = turns_of(self.messages, self.question)
        offered = [json.dumps(tool.parameters, default=str) + tool.description for tool in tools]
        demanded = [json.dumps(schema.json_schema, default=str)] if schema else self._format()
        size += sum(len(text.encode()) for text in (*offered, *demanded))
        window = min((model.context_window for model in registry.models if model.context_window), default=2 * size)
        return RequestView(
            turns=turns,
            input_bytes=size,
            # Counted only where it can matter: LlamaIndex packs its prompts to the window by this very tokenizer.
            input_tokens=_count([turn.text for turn in turns]) if size > window // 2 else None,
            modalities=modalities,
            tools=tools,
            tool_choice=self._tool_choice() if tools else None,
            output_schema=schema,
            max_tokens=_whole(self.kwargs.get("max_tokens")),
            constraints=read_constraints(options, defaults, registry),
            session=session,
            call_site=call_site,
            tags=tags,
        )

    def _schema(self) -> OutputSchema | None:
        if self.asked is None:
            return None
        wanted = self.asked.output_cls
        return OutputSchema(wanted.__name__, wanted.model_json_schema())

    def _format(self) -> list[str]:
        """What a call that asks for JSON itself adds to what a model is sent."""
        wanted = self.kwargs.get("response_format")
        return [json.dumps(wanted, default=str), ANY_JSON] if isinstance(wanted, Mapping) else []

    def _tool_choice(self) -> str | None:
        choice = choice_of(self.kwargs.get("tool_choice"))
        if choice in {None, "auto"}:
            return "any" if self.flags.get("tool_required") else None
        return choice


class AttemptPrompt(ChatPromptTemplate):
    """The caller's prompt for one attempt of a structured prediction.

    Made anew for each: programs write into their prompts. Which of its templates is chosen is the model's affair, for
    integrations differ in it; what the messages then become is ``finish``'s.
    """

    _given: BasePromptTemplate = PrivateAttr()
    _asked: Asked = PrivateAttr()
    _finish: Finish = PrivateAttr()

    @classmethod
    def of(cls, asked: Asked, finish: Finish) -> AttemptPrompt:
        """The prompt of one attempt."""
        prompt = cls([])  # type: ignore[call-arg, arg-type]  # the constructor is written by hand
        prompt._given = deepcopy(asked.prompt)
        prompt._asked = asked
        prompt._finish = finish
        return prompt

    def format_messages(self, llm: Any = None, **_: Any) -> list[ChatMessage]:
        """The messages, with what an output parser adds that a program has set."""
        messages = self._ready().format_messages(llm=llm, **self._asked.args)
        return self._finish(self._asked.extend(messages))

    def format(self, llm: Any = None, *_: Any, **__: Any) -> str:
        """One text, for models that take no messages."""
        return self._ready().format(llm=llm, **self._asked.args)

    def get_template(self, llm: Any = None) -> str:
        """The caller's template."""
        return self._given.get_template(llm)

    def _ready(self) -> BasePromptTemplate:
        if self.output_parser is not None:
            self._given.output_parser = self.output_parser
        return self._given


class PromptMessages(list[ChatMessage]):
    """The messages of a prompt, with the question that is in them."""

    question: str | None = None

    @classmethod
    def of(cls, messages: Sequence[ChatMessage], prompt: BasePromptTemplate, args: Mapping[str, Any]) -> PromptMessages:
        """The messages that a prompt made of its arguments."""
        made = cls(messages)
        made.question = question_of(prompt, args)
        return made


def question_of(prompt: BasePromptTemplate, args: Mapping[str, Any]) -> str | None:
    """What the user asked, by the names that LlamaIndex's own prompts give it; None if there is none."""
    # A prompt that selects among others keeps what was filled in with those.
    partial = getattr(prompt, "default_template", prompt).kwargs
    for name in ("query_str", "question"):
        value = args.get(name, partial.get(name))
        if isinstance(value, str) and value.strip():
            return value
    return None


def read_kwargs(kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keyword arguments of a call, told apart: the router's, and the models'. What ``instrument_tags`` says of the
    router counts where the call says nothing.

    Raises:
        InvalidRequest: the tag ``router`` holds something that is no option.
    """
    tagged = active_instrument_tags.get().get(TAG) or {}
    if not isinstance(tagged, Mapping):
        raise InvalidRequest(f"instrument_tags[{TAG!r}]: {tagged!r} is no dictionary of options of the router")
    for name in tagged:
        if name not in _OPTIONS:
            known = ", ".join(sorted(_OPTIONS))
            raise InvalidRequest(
                f"instrument_tags[{TAG!r}]: {name!r} is no option{did_you_mean(str(name), _OPTIONS)}; known are {known}"
            )
    own = {name: value for name, value in kwargs.items() if name in _OPTIONS}
    return {**tagged, **own}, {name: value for name, value in kwargs.items() if name not in _OPTIONS}


def _spec(tool: Any) -> ToolSpec:
    metadata = tool.metadata
    return ToolSpec(metadata.get_name(), metadata.description or "", metadata.get_parameters_dict())


def _count(texts: Sequence[str]) -> int:
    tokenizer = get_tokenizer()
    return sum(len(tokenizer(text)) for text in texts)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
