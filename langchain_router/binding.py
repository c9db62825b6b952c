"""One call of the router as each candidate takes it: tools, tool choice, output format and settings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableBinding
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_router.catalog import Child, secrets_of
from langchain_router.structured import native_format
from router_core.hosts.portable import OPENAI_ONLY
from router_core.types import ToolSpec

_SETTINGS = ("temperature", "max_tokens", "timeout", "top_p", "seed", "max_retries", "output_version")
"""Settings that mean the same everywhere; each class names them in its own constructor."""

_FIELDS: Mapping[str, Mapping[str, str]] = {"ollama": {"max_tokens": "num_predict"}}
"""Where a constructor's name differs and is no alias of the field."""

_OPENAI_LIKE = frozenset({"openai", "azure", "groq", "xai", "deepseek", "openrouter", "together", "fireworks"})
_TIMES_EACH_CALL = _OPENAI_LIKE | {"anthropic"}
"""Their SDKs take a time-out with each call; a copy's own field comes too late for a client that is made already."""

_STRICT_WITH_FORMAT = frozenset({"openai", "azure"})
"""Their SDK refuses an output format beside tools that are not strict."""

_BOUND_AT_MOST = 256


class BoundTool(dict[str, Any]):
    """A tool in OpenAI's shape that carries what the user gave.

    The dictionary makes a cache key that is the same in every process; ``raw`` keeps what only the user's object
    knows (a pydantic class, ``strict``), for the candidate's own ``bind_tools``.
    """

    __slots__ = ("raw",)

    def __init__(self, tool: Any) -> None:
        native = isinstance(tool, dict) and "type" in tool and tool["type"] != "function"
        super().__init__(tool if native else convert_to_openai_tool(tool))
        self.raw = tool


def normal_choice(choice: object) -> str | None:
    """A tool choice as LangChain's portable words: "any", "auto", "none" or the name of a tool; None if there is none.

    True, "required" and the dictionaries of OpenAI and Anthropic are understood.
    """
    if choice is None or choice is False:
        return None
    if choice is True or (isinstance(choice, str) and choice in {"any", "required"}):
        return "any"
    if isinstance(choice, Mapping):
        named = (choice.get("function") or {}).get("name") or choice.get("name")
        kind = choice.get("type")
        return str(named) if named else {"auto": "auto", "none": "none"}.get(str(kind), "any")
    return str(choice)


def specs_of(tools: Sequence[Any]) -> tuple[ToolSpec, ...]:
    """The tools as verifiers see them. Tools of a provider's own (web search, code) have no arguments to check."""
    specs = []
    for tool in tools:
        function = (tool if isinstance(tool, BoundTool) else BoundTool(tool)).get("function")
        if isinstance(function, Mapping):
            specs.append(
                ToolSpec(function["name"], function.get("description") or "", function.get("parameters") or {})
            )
    return tuple(specs)


class _Bound(NamedTuple):
    """What was bound. The key in the table holds identities, so ``given`` keeps the objects alive beside it."""

    given: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Binder:
    """Makes candidates ready for a call, and remembers what it bound: binding tools costs milliseconds.

    Shared by threads: at worst two of them bind the same tools at the same time.
    """

    def __init__(self, children: Mapping[str, Child]) -> None:
        self._children = children
        self.secrets = secrets_of(children.values())
        self.learned: set[str] = set()
        """What was learned of the models' servers."""
        self._bound: dict[tuple[Any, ...], _Bound] = {}

    @cached_property
    def identities(self) -> dict[str, str]:
        """What tells each candidate from all other models: those of one name may have other settings or servers.

        Hashed: it is told to tracers, and may hold an address.
        """
        return {
            name: hashlib.sha256(_identity(child).encode()).hexdigest()[:16] for name, child in self._children.items()
        }

    def child(self, name: str) -> Child:
        """The chat model of a registry name, as the user gave it."""
        return self._children[name]

    def limited(self, name: str, kwargs: Mapping[str, Any], most: int | None) -> Mapping[str, Any]:
        """The arguments of a call whose answer may have at most so many tokens, if neither the call nor the model
        limits it further."""
        if most is None:
            return kwargs
        child = self._children[name]
        own = getattr(child.model, _field(child, "max_tokens") or "", None)
        limits = (most, kwargs.get("max_tokens"), child.kwargs.get("max_tokens"), own)
        return {**kwargs, "max_tokens": min(limit for limit in limits if isinstance(limit, int) and limit > 0)}

    def ready(self, name: str, kwargs: Mapping[str, Any]) -> tuple[BaseChatModel, dict[str, Any]]:
        """The candidate with its settings, unbound, and the keyword arguments of its call.

        Unbound, because a binding's ``invoke`` merges the callbacks of the context into the config once more.
        """
        child = self._children[name]
        rest = {**child.kwargs, **kwargs}
        settings = {key: rest.pop(key) for key in _SETTINGS if key in rest}
        if child.provider in _TIMES_EACH_CALL and "timeout" in settings:
            rest["timeout"] = settings.pop("timeout")
        model = self._with_own_key(name, _with_settings(child, settings), settings)
        tools = rest.pop("tools", None)
        choice = normal_choice(rest.pop("tool_choice", None))
        output = rest.pop("response_format", None)
        strict = rest.pop("strict", None)
        if child.provider not in _OPENAI_LIKE:
            rest = {key: value for key, value in rest.items() if key not in OPENAI_ONLY}
        if output is not None and strict is None and child.provider in _STRICT_WITH_FORMAT:
            strict = True
        own = _in_own_words(child.provider, output)
        if own is not None:
            rest, output = {**own, **rest}, None
        if not tools and output is None:
            return model, rest
        bound = self._with_tools(name, model, tools or [], choice, output, strict)
        return model, {**bound, **rest}

    def formatted(self, name: str, kwargs: dict[str, Any], schema: Mapping[str, Any] | None) -> dict[str, Any]:
        """The arguments of a call whose answer is to have a JSON Schema, if the model's own API takes one. What was
        bound to the model before counts more."""
        if schema is None or "response_format" in kwargs:
            return kwargs
        key = (name, id(schema))
        found = self._bound.get(key)
        extra = found.kwargs if found else self._keep(key, (schema,), native_format(self._children[name], schema))
        both = {**extra, **kwargs}
        for shared in extra.keys() & kwargs.keys():
            if isinstance(extra[shared], Mapping) and isinstance(kwargs[shared], Mapping):
                both[shared] = {**extra[shared], **kwargs[shared]}
        return both

    def _with_own_key(self, name: str, model: BaseChatModel, settings: Mapping[str, Any]) -> BaseChatModel:
        """The model, told from others by LangChain's cache, if there is one."""
        cache = get_llm_cache() if model.cache in (None, True) else model.cache
        if model.is_lc_serializable() or not isinstance(cache, BaseCache):
            return model
        return model.model_copy(update={"cache": _Keyed(cache, f"{self.identities[name]} {sorted(settings.items())}")})

    def _with_tools(
        self, name: str, model: BaseChatModel, tools: Sequence[Any], choice: str | None, output: Any, strict: Any
    ) -> Mapping[str, Any]:
        """The keyword arguments that the candidate's own ``bind_tools`` makes of the tools."""
        given = (*(tool.raw if isinstance(tool, BoundTool) else tool for tool in tools), output)
        key = (name, tuple(map(id, given)), choice, strict)
        found = self._bound.get(key)
        if found is not None:
            return found.kwargs
        extra = {"tool_choice": choice, "response_format": output, "strict": strict}
        bound: Any = model.bind_tools(list(given[:-1]), **{k: v for k, v in extra.items() if v is not None})
        kwargs: dict[str, Any] = {}
        while isinstance(bound, RunnableBinding):
            kwargs = {**bound.kwargs, **kwargs}
            bound = bound.bound
        return self._keep(key, given, kwargs)

    def _keep(self, key: tuple[Any, ...], given: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        if len(self._bound) >= _BOUND_AT_MOST:
            self._bound.clear()
        self._bound[key] = _Bound(given, kwargs)
        return kwargs


class _Keyed(BaseCache):
    """LangChain's cache, with something more in its keys: those of ``ChatOllama`` name no model and no setting."""

    def __init__(self, cache: BaseCache, more: str) -> None:
        self._cache = cache
        self._more = more

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        return self._cache.lookup(prompt, llm_string + self._more)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        self._cache.update(prompt, llm_string + self._more, return_val)

    def clear(self, **kwargs: Any) -> None:
        self._cache.clear(**kwargs)

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        return await self._cache.alookup(prompt, llm_string + self._more)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        await self._cache.aupdate(prompt, llm_string + self._more, return_val)


def _in_own_words(provider: str, output: Any) -> Mapping[str, Any] | None:
    """The call arguments for an output format that is given in OpenAI's words, which no ``bind_tools`` takes; None for
    one that is given as a schema or a class."""
    kind = output.get("type") if isinstance(output, Mapping) else None
    if kind not in {"json_object", "json_schema", "text"}:
        return None
    if provider in _OPENAI_LIKE:
        return {"response_format": output}
    if provider == "ollama":
        schema = (output.get("json_schema") or {}).get("schema")
        return {} if kind == "text" else {"format": schema or "json"}
    # Claude has no mode for any JSON: the words of the request ask for it.
    return {} if provider == "anthropic" and kind != "json_schema" else None


def _identity(child: Child) -> str:
    key = child.model._get_llm_string(**child.kwargs)  # noqa: SLF001 - LangChain's own door
    if child.model.is_lc_serializable():
        return key
    return key + re.sub(r"0x[0-9a-fA-F]+", "", repr(child.model))


def _with_settings(child: Child, settings: Mapping[str, Any]) -> BaseChatModel:
    """A copy of the model with these settings in its own fields; what it has no field for is left out."""
    update: dict[str, Any] = {}
    for name, value in settings.items():
        field = _field(child, name)
        if value is not None and field is not None:
            update[field] = value
    if not update:
        return child.model
    copy = child.model.model_copy(update=update)
    # What LangChain keeps here once it was asked for: its cache would take the copy for the original.
    vars(copy).pop("_serialized", None)
    return copy


def _field(child: Child, name: str) -> str | None:
    fields = type(child.model).model_fields
    name = _FIELDS.get(child.provider, {}).get(name, name)
    if name in fields:
        return name
    return next((field for field, info in fields.items() if info.alias == name), None)
