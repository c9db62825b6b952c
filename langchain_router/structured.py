"""Structured answers: each candidate asks in its own way, and what does not fit the schema climbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableConfig,
    RunnableParallel,
    RunnableSequence,
)
from langchain_core.utils.function_calling import convert_to_json_schema

from langchain_router.catalog import Child
from langchain_router.messages import reply_of
from router_core.hosts.schemas import format_of
from router_core.types import ACCEPT, Reply, RequestView, Verdict

Plan: TypeAlias = tuple[Mapping[str, Any], Callable[[AIMessage], Reply]]
"""The call arguments that make a candidate answer in a structure, and how its message is read."""

_SHOWN = 300


@dataclass(frozen=True)
class Structure:
    """A schema and how it is to be asked for, as ``with_structured_output`` was told.

    Each candidate's own ``with_structured_output`` decides how it asks (a tool, a JSON schema, a JSON mode). It is
    given the JSON Schema, not the class: with a class some integrations validate inside the run of the model, and lose
    the message and its usage when that fails.
    """

    schema: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    _plans: dict[str, Plan] = field(default_factory=dict, compare=False, repr=False)

    @property
    def json_schema(self) -> dict[str, Any]:
        """The schema as JSON Schema."""
        return convert_to_json_schema(self.schema)

    def plan(self, name: str, child: Child) -> Plan:
        """How a candidate is asked, and its message read. Remembered: binding costs milliseconds."""
        if name not in self._plans:
            self._plans[name] = self._make_plan(child)
        return self._plans[name]

    def _make_plan(self, child: Child) -> Plan:
        # A dictionary is handed on as it was given: it may be a JSON Schema or an OpenAI function.
        schema = self.schema if isinstance(self.schema, dict) else self.json_schema
        options = {**self.options}
        if child.provider == "anthropic" and options.get("method") == "json_mode":
            # Anthropic has no such mode; the schema is known, so that it can be asked for by itself.
            options["method"] = "json_schema"
        chain: Any = child.model.with_structured_output(schema, include_raw=True, **options)
        kwargs, parser = _taken_apart(chain)

        def read(message: AIMessage) -> Reply:
            answer = parser.invoke({"raw": message}, {"callbacks": []})
            reply = reply_of(message)
            if reply.tool_calls:
                # The answer came as the arguments of a tool that nobody offered but for this.
                reply = replace(reply, text=reply.tool_calls[0].arguments, tool_calls=())
            return replace(reply, native=self._built(answer))

        return kwargs, read

    def _built(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer with the user's own class in place of a dictionary."""
        build = _builder(self.schema)
        if build is None or not isinstance(answer.get("parsed"), dict):
            return answer
        try:
            return {**answer, "parsed": build(answer["parsed"])}
        except ValueError as error:
            return {**answer, "parsed": None, "parsing_error": error}


def native_format(child: Child, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The call arguments by which the model's own API is asked for a JSON Schema. Empty where it has no such thing (a
    forced tool is none), or its profile says that the model has not."""
    model: Any = child.model
    if (getattr(model, "profile", None) or {}).get("structured_output") is False:
        return {}
    if any(cls.__name__ == "BaseChatOpenAI" for cls in type(model).__mro__):
        speaks_responses = getattr(model, "_use_responses_api", None)  # which of two APIs it calls, only it knows
        if speaks_responses is not None and speaks_responses(dict(child.kwargs)):
            return {"response_format": format_of(schema)}
        # As an argument of its own the SDK would parse the answer, and raise for one that was cut or filtered: the
        # message and the tokens that it tells would be lost.
        return {"extra_body": {**(model.extra_body or {}), "response_format": format_of(schema)}}
    if type(model).with_structured_output is BaseChatModel.with_structured_output:
        return {}
    try:
        kwargs, _ = Structure(deepcopy(dict(schema)), {"method": "json_schema"}).plan("", child)
    except (AttributeError, ImportError, LookupError, NotImplementedError, TypeError, ValueError):
        return {}
    return {} if "tools" in kwargs else kwargs


class ParsedVerifier:
    """Rejects a structured answer that could not be parsed or validated. No tool call at all counts as such."""

    name = "schema"
    judges_prefix = False

    def check(self, request: RequestView, reply: Reply) -> Verdict:
        """Look at what the candidate's own parser made of the answer."""
        answer = reply.native
        if request.output_schema is None or not isinstance(answer, dict):
            return ACCEPT
        error = answer.get("parsing_error")
        if error is None and answer.get("parsed") is not None:
            return ACCEPT
        detail = str(error) if error is not None else "there is no structured answer"
        return Verdict(accepted=False, code=self.name, detail=detail[:_SHOWN])


def _taken_apart(chain: Any) -> tuple[Mapping[str, Any], Runnable[Any, Any]]:
    """The call arguments of the model in a ``with_structured_output`` chain, and the parser behind it.

    The model is then run by the host like any other attempt, as one run directly below the router's.
    """
    if not (isinstance(chain, RunnableSequence) and isinstance(chain.first, RunnableParallel)):
        raise NotImplementedError("this chat model's structured output is of a shape that the router does not know")
    model = chain.first.steps__["raw"]
    kwargs: dict[str, Any] = {}
    while isinstance(model, RunnableBinding):
        kwargs = {**model.kwargs, **kwargs}
        model = model.bound
    parser = chain.last if not chain.middle else RunnableSequence(*chain.middle, chain.last)
    return kwargs, parser


def _builder(schema: Any) -> Callable[[Any], Any] | None:
    """What turns a dictionary into the user's class: pydantic 2, else pydantic 1, else nothing."""
    if not isinstance(schema, type):
        return None
    build: Callable[[Any], Any] | None = getattr(schema, "model_validate", None) or getattr(schema, "parse_obj", None)
    return build


class StructuredRouter(Runnable[Any, Any]):
    """A router that answers in a structure: the parsed value; with ``include_raw`` also the message and the error."""

    def __init__(self, router: Any, structure: Structure, *, include_raw: bool, kwargs: Mapping[str, Any]) -> None:
        self._router = router
        self._include_raw = include_raw
        self._kwargs = {**kwargs, "router_structure": structure}

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The structured answer. Raises what parsing the last answer raised, unless the message is asked for too."""
        return self._result(self._router.invoke(input, config, **self._kwargs, **kwargs))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """The structured answer. Raises what parsing the last answer raised, unless the message is asked for too."""
        return self._result(await self._router.ainvoke(input, config, **self._kwargs, **kwargs))

    def _result(self, answer: dict[str, Any]) -> Any:
        if self._include_raw:
            return answer
        if answer["parsing_error"] is not None:
            raise answer["parsing_error"]
        return answer["parsed"]
