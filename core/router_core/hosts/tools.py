"""Reading the tools, the tool choice and the output schema of a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from router_core.errors import InvalidRequest
from router_core.hosts.checks import json_size, shown
from router_core.registry import did_you_mean
from router_core.types import OutputSchema, ToolSpec

TOOLS_PREAMBLE = 600
"""Bytes added for a request with tools: servers put a text of their own before them, Anthropic's is the longest that
is published (up to 530 tokens)."""

NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}}
"""Sent for a tool that declares no parameters: some servers insist on a schema."""

CHOICES: Mapping[str, str] = {"auto": "auto", "none": "none", "any": "any", "required": "any"}
"""Words for a tool choice, and the router's own for them; any other string is the name of a tool."""

_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_NAME_LENGTH = 64
"""OpenAI takes letters, digits, _ and -, up to 64, as the name of a schema."""


class Tools(NamedTuple):
    """Tools for the rules and for the wire, and the bound on their size in bytes."""

    specs: tuple[ToolSpec, ...] = ()
    wire: tuple[Mapping[str, Any], ...] = ()
    size: int = 0


class ToolChoice(NamedTuple):
    """The router's word ("auto", "none", "any" or a tool's name) and what is sent."""

    name: str | None = None
    wire: str | Mapping[str, Any] | None = None


class Schema(NamedTuple):
    """The output schema for the rules and for the wire, and the bound on its size in bytes."""

    schema: OutputSchema | None = None
    wire: Mapping[str, Any] | None = None
    size: int = 0


def read_tools(tools: object) -> Tools:
    """Tools given as OpenAI's dictionaries or as plain ``{"name", "description", "parameters"}``.

    Raises:
        InvalidRequest: one is no tool, has no name, or has the name of another.
    """
    if tools is None:
        return Tools()
    if not isinstance(tools, Sequence) or isinstance(tools, (str, bytes, bytearray)):
        raise InvalidRequest(f"tools: {shown(tools)} is no list of tool dictionaries")
    if not tools:
        return Tools()
    specs: list[ToolSpec] = []
    wire: list[Mapping[str, Any]] = []
    names: set[str] = set()
    for position, tool in enumerate(tools):
        where = f"tools[{position}]"
        wrapper, function = _unwrapped(tool, where)
        spec = _spec(function, where)
        if spec.name in names:
            raise InvalidRequest(f"{where}.name: {shown(spec.name)} is taken by another tool; rename one")
        names.add(spec.name)
        specs.append(spec)
        wire.append({**wrapper, "type": "function", "function": {**function, "parameters": spec.parameters}})
    return Tools(tuple(specs), tuple(wire), json_size(wire, "tools") + TOOLS_PREAMBLE)


def _unwrapped(tool: object, where: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The wrapper that OpenAI puts around a function, and the function."""
    if not isinstance(tool, Mapping):
        raise InvalidRequest(f"{where}: {shown(tool)} is no tool; give a dictionary with name and parameters")
    kind = tool.get("type", "function")
    if kind != "function":
        raise InvalidRequest(f"{where}.type: {shown(kind)} is not supported; only 'function' tools are")
    if "function" not in tool:
        return {}, {key: value for key, value in tool.items() if key != "type"}
    function = tool["function"]
    if not isinstance(function, Mapping):
        raise InvalidRequest(f"{where}.function: {shown(function)} is no dictionary with name and parameters")
    return tool, function


def _spec(function: Mapping[str, Any], where: str) -> ToolSpec:
    name = function.get("name")
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequest(f"{where}.name: {shown(name)} is no name; name the tool")
    description = function.get("description") or ""
    if not isinstance(description, str):
        raise InvalidRequest(f"{where}.description: {shown(description)} is no text")
    parameters = function.get("parameters")
    if parameters is None:
        parameters = NO_PARAMETERS
    if not isinstance(parameters, Mapping):
        raise InvalidRequest(f"{where}.parameters: {shown(parameters)} is no JSON Schema; give a dictionary")
    return ToolSpec(name, description, parameters)


def read_tool_choice(choice: object, tools: Tools) -> ToolChoice:
    """The tool choice, given as a word, as the name of a tool or as OpenAI's dictionary.

    Raises:
        InvalidRequest: it is none of these, or there is no such tool.
    """
    if choice is None:
        return ToolChoice()
    name = _chosen(choice)
    if name in CHOICES and CHOICES[name] != "any":
        return ToolChoice(CHOICES[name], CHOICES[name]) if tools.specs else ToolChoice()
    if not tools.specs:
        raise InvalidRequest(f"tool_choice: {shown(name)} is given without tools; give tools or leave it out")
    if name in CHOICES:
        return ToolChoice("any", "required")
    known = [spec.name for spec in tools.specs]
    if name not in known:
        hint = did_you_mean(name, known)
        raise InvalidRequest(
            f"tool_choice: {shown(name)} is no tool of this request{hint}; use auto, none, any or the name of a tool"
        )
    return ToolChoice(name, {"type": "function", "function": {"name": name}})


def _chosen(choice: object) -> str:
    if isinstance(choice, Mapping):
        function = choice.get("function")
        choice = function.get("name") if isinstance(function, Mapping) else None
    if isinstance(choice, str) and choice:
        return choice
    raise InvalidRequest(f"tool_choice: {shown(choice)} names no tool; use auto, none, any or the name of a tool")


def read_schema(schema: object) -> Schema:
    """The output schema, given as a JSON Schema or as a class with ``model_json_schema`` (pydantic's protocol).

    Sent without OpenAI's ``strict``, which takes a part of JSON Schema only; the answer is checked all the same.

    Raises:
        InvalidRequest: it is neither, or cannot be written as JSON.
    """
    if schema is None:
        return Schema()
    if isinstance(schema, type):
        return _schema_of_class(schema)
    if not isinstance(schema, Mapping):
        raise InvalidRequest(
            f"schema: {shown(schema)} is no output schema; give a JSON Schema dictionary or a pydantic model class"
        )
    if schema.get("type") == "json_schema":
        raise InvalidRequest("schema: this is OpenAI's response_format; give the JSON Schema in it")
    title = schema.get("title")
    return _schema(title if isinstance(title, str) else "", schema, None)


# A class is asked once: pydantic takes some 100 us to write a schema.
@lru_cache(maxsize=256)
def _schema_of_class(cls: type) -> Schema:
    describe = getattr(cls, "model_json_schema", None)
    build = getattr(cls, "model_validate", None)
    if not callable(describe) or not callable(build):
        raise InvalidRequest(
            f"schema: the class {cls.__name__} has no model_json_schema and model_validate; give a pydantic model class"
        )
    try:
        schema = describe()
    except (TypeError, ValueError, RuntimeError, LookupError, NameError, AttributeError) as error:
        why = type(error).__name__
        raise InvalidRequest(f"schema: the class {cls.__name__} cannot describe itself ({why})") from error
    if not isinstance(schema, Mapping):
        raise InvalidRequest(f"schema: {cls.__name__}.model_json_schema() gave {shown(schema)}, not a dictionary")
    return _schema(cls.__name__, schema, build)


def _schema(name: str, schema: Mapping[str, Any], build: Callable[[Any], Any] | None) -> Schema:
    name = _NO_NAME.sub("_", name).strip("_")[:_NAME_LENGTH] or "answer"
    wire = {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
    return Schema(OutputSchema(name, schema, build), wire, json_size(wire, "schema"))
