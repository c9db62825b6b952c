"""What one call asks for: its arguments told apart into those of the router and those of the models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from langchain_router.binding import normal_choice, specs_of
from langchain_router.messages import size_of, turns_of
from langchain_router.structured import Structure
from router_core.errors import InvalidRequest
from router_core.hosts.checks import shown
from router_core.hosts.limits import ROUTING, read_constraints, read_labels
from router_core.hosts.messages import with_question
from router_core.registry import Registry
from router_core.types import Constraints, OutputSchema, RequestView, StreamMode

STRUCTURE = "router_structure"
"""The keyword argument by which ``with_structured_output`` hands its schema to the router."""

_QUESTION = "question"
"""What the user asked, word for word, where a prompt has packed it together with instructions or documents."""

_OWN = ROUTING | {_QUESTION}


class Asked(NamedTuple):
    """The arguments of a call: ``routing`` are the router's, ``kwargs`` go to the models."""

    routing: Mapping[str, Any]
    kwargs: Mapping[str, Any]
    stop: list[str] | None
    structure: Structure | None

    @property
    def mode(self) -> StreamMode | None:
        """How a stream may speak, if the call says so."""
        return self.routing.get("stream_mode")

    def view(
        self, messages: Sequence[BaseMessage], config: RunnableConfig, defaults: Constraints, registry: Registry
    ) -> RequestView:
        """The request as the rules see it. What stands in the config's ``configurable`` counts where the call says
        nothing.

        Raises:
            InvalidRequest: a limit or a label is not one, or a text cannot be sent.
        """
        options = {**options_of(config), **self.routing}
        _, session, call_site = read_labels(options)
        tools = specs_of(self.kwargs.get("tools") or ())
        schema = self._schema()
        size, modalities = size_of(messages)
        offered = json.dumps([tool.parameters for tool in tools], default=str) if tools else ""
        demanded = json.dumps(schema.json_schema, default=str) if schema else ""
        return RequestView(
            turns=with_question(turns_of(messages), _question(options.get(_QUESTION))),
            input_bytes=size + len(offered.encode()) + len(demanded.encode()),
            modalities=modalities,
            tools=tools,
            tool_choice=normal_choice(self.kwargs.get("tool_choice")) if tools else None,
            output_schema=schema,
            max_tokens=self.kwargs.get("max_tokens"),
            constraints=read_constraints(options, defaults, registry),
            tags=frozenset(config.get("tags") or ()),
            session=session,
            call_site=call_site,
        )

    def _schema(self) -> OutputSchema | None:
        if self.structure is not None:
            return OutputSchema("structured", self.structure.json_schema)
        given = self.kwargs.get("response_format")
        inner = given.get("json_schema") if isinstance(given, Mapping) else None
        if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping):
            return None
        return OutputSchema(str(inner.get("name") or "response"), inner["schema"])


def options_of(config: RunnableConfig) -> dict[str, Any]:
    """The router's options that stand in a config, and what else it tells of the place of a call."""
    configurable = config.get("configurable") or {}
    metadata = config.get("metadata") or {}
    options = {name: configurable[name] for name in _OWN if name in configurable}
    options.setdefault("session", _text(configurable.get("thread_id")))
    options.setdefault("call_site", _text(metadata.get("langgraph_node") or config.get("run_name")))
    return options


def read_request(kwargs: Mapping[str, Any], stop: list[str] | None) -> Asked:
    """The arguments of a call, told apart. ``model=`` names one of the router's models, as ``force_model`` does."""
    routing = {name: value for name, value in kwargs.items() if name in _OWN}
    rest = {name: value for name, value in kwargs.items() if name not in _OWN and name != STRUCTURE}
    # Added by chains for tracing: each candidate's own call adds its own.
    rest.pop("ls_structured_output_format", None)
    limit = rest.pop("max_completion_tokens", None)
    if limit is not None:
        # OpenAI's newer name, which other integrations take for an error.
        rest["max_tokens"] = limit
    pinned = rest.pop("model", None)
    if pinned is not None:
        routing.setdefault("force_model", pinned)
    return Asked(routing, rest, stop, kwargs.get(STRUCTURE))


def _question(value: object) -> str | None:
    if value is None or (isinstance(value, str) and value and not value.isspace()):
        return value
    raise InvalidRequest(f"question: {shown(value)} is no text; give what the user asked, or leave it out")


def _text(value: object) -> str | None:
    return str(value) if value else None


def config_of(callbacks: Any, kwargs: dict[str, Any]) -> RunnableConfig:
    """The config that ``generate`` was given in pieces; they are taken out of ``kwargs``."""
    pieces = {name: kwargs.pop(name, None) for name in ("tags", "metadata", "run_name", "run_id")}
    config: Any = {name: value for name, value in {"callbacks": callbacks, **pieces}.items() if value is not None}
    return config  # type: ignore[no-any-return]
