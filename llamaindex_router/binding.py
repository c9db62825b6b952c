"""One call as each model takes it: settings and arguments in the words of its integration."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from llama_index.core.llms import LLM

from llamaindex_router.catalog import Inner
from router_core.hosts.failures import said_by
from router_core.hosts.portable import OPENAI_ONLY
from router_core.hosts.schemas import format_of

_TELLS_USAGE_IF_ASKED = frozenset({"OpenAI", "OpenAILike", "AzureOpenAI", "OpenRouter", "LiteLLM"})
"""Integrations whose streams report usage only with ``stream_options``. Anthropic's fails on that argument."""

_NO_USAGE = "no stream_options"
"""The quirk of a server that refuses to be asked for the usage of a stream."""

ANY_JSON = "Answer with one JSON object and nothing else."
"""What a model is told in place of ``response_format={"type": "json_object"}``, if it does not know that."""

_OLLAMA_OPTIONS: Mapping[str, str] = {
    "temperature": "temperature",
    "max_tokens": "num_predict",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
}
"""Ollama's integration takes these from its constructor only, and drops them from a call without a word."""


def ready(
    inner: Inner, kwargs: Mapping[str, Any], *, streaming: bool, parallel: bool = False
) -> tuple[LLM, dict[str, Any]]:
    """The LLM and the keyword arguments for one call of it. ``kwargs`` are left as they are: integrations write into
    theirs. ``parallel`` tells whether several tools may be called at once."""
    own = dict(kwargs)
    match inner.family:
        case "openai":
            if streaming and _NO_USAGE not in inner.quirks and _must_be_asked(inner.llm):
                own.setdefault("stream_options", {"include_usage": True})
            if "tool_choice" in own:
                own["tool_choice"] = _openai_choice(own["tool_choice"])
            return _openai(inner.llm, own)
        case "responses":
            return inner.llm, _responses(own)
        case "anthropic":
            return inner.llm, _anthropic(inner.llm, own, parallel=parallel)
        case "ollama":
            return _ollama(inner.llm, own)
        case _:
            return inner.llm, own


def words_of(inner: Inner, kwargs: Mapping[str, Any]) -> str | None:
    """What a model is told in words, because its API has no argument for it: Anthropic's knows no JSON without a
    schema."""
    return ANY_JSON if inner.family == "anthropic" and wants_any_json(kwargs) else None


def wants_any_json(kwargs: Mapping[str, Any]) -> bool:
    """Whether a call asks for JSON of any kind, in OpenAI's words."""
    wanted = kwargs.get("response_format")
    return isinstance(wanted, Mapping) and wanted.get("type") == "json_object"


def formatted(inner: Inner, kwargs: Mapping[str, Any], schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The arguments of a call whose answer is to have a JSON Schema, in OpenAI's words, if the LLM takes one: one that
    speaks a protocol of OpenAI, Anthropic or Ollama, unless its integration knows that the model has no such thing."""
    if schema is None or not inner.chat or not _takes_schemas(inner):
        return kwargs
    return {"response_format": format_of(schema), **kwargs}


def _takes_schemas(inner: Inner) -> bool:
    model = getattr(inner.llm, "model", None)
    match inner.family:
        case "openai" | "responses":
            # Its list knows the names of OpenAI's own models; of other servers only a call can tell.
            own = type(inner.llm).__name__ in {"OpenAI", "OpenAIResponses"}
            return not own or _listed_by("llama_index.llms.openai.utils", "is_json_schema_supported", model)
        case "anthropic":
            return _listed_by("llama_index.llms.anthropic.utils", "is_anthropic_structured_output_supported", model)
        case "ollama":
            return True
        case _:
            return False


def _listed_by(module: str, name: str, model: object) -> bool:
    """What an integration's own list says of a model; False where it has none."""
    lists = getattr(import_module(module), name, None)
    return bool(lists is not None and lists(model))


def limited(llm: LLM, kwargs: Mapping[str, Any], most: int | None) -> Mapping[str, Any]:
    """The arguments of a call whose answer may have at most so many tokens, if the call and the LLM itself do not limit
    it further."""
    if most is None:
        return kwargs
    own = (getattr(llm, name, None) for name in ("max_tokens", "max_output_tokens"))
    limits = (most, kwargs.get("max_tokens"), *own, getattr(llm, "additional_kwargs", {}).get("num_predict"))
    return {**kwargs, "max_tokens": min(limit for limit in limits if isinstance(limit, int) and limit > 0)}


def refuses_usage(inner: Inner, error: Exception) -> bool:
    """Whether a stream failed because its server will not be asked for the usage. It is not asked again."""
    if inner.family != "openai" or _NO_USAGE in inner.quirks or "stream_options" not in said_by(error):
        return False
    inner.quirks.add(_NO_USAGE)
    return True


def choice_of(given: object) -> str | None:
    """A tool choice in one word: "auto", "none", "any" or the name of a tool; None if there is none.

    "required" and the dictionaries of OpenAI and Anthropic are understood.
    """
    if isinstance(given, Mapping):
        given = (given.get("function") or given).get("name") or given.get("type")
    if given is None:
        return None
    return "any" if given in {"any", "required"} else str(given)


def anthropic_choice(llm: LLM, word: str, *, parallel: bool) -> dict[str, Any]:
    """A tool choice as Anthropic takes it. A model that thinks aloud must not be made to call a tool."""
    thinks = (getattr(llm, "thinking_dict", None) or {}).get("type") == "enabled"
    if word == "none":
        return {"type": "none"}
    if word == "auto" or thinks:
        choice = {"type": "auto"}
    else:
        choice = {"type": "any"} if word == "any" else {"type": "tool", "name": word}
    return {**choice, "disable_parallel_tool_use": not parallel}


def _openai(llm: LLM, kwargs: dict[str, Any]) -> tuple[LLM, dict[str, Any]]:
    if "max_tokens" not in kwargs or getattr(llm, "max_tokens", None) is None:
        return llm, kwargs
    # Its own limit wins over that of a call.
    make_client = getattr(llm, "_get_client", None)
    if make_client is not None:
        make_client()  # made when it is first used: by then the copy's would be its own, for this call alone
    return llm.model_copy(update={"max_tokens": kwargs.pop("max_tokens")}), kwargs


def _openai_choice(given: object) -> object:
    word = choice_of(given)
    if word == "any":
        return "required"
    if isinstance(given, Mapping) and "function" not in given:
        return word if word in {"auto", "none"} else {"type": "function", "function": {"name": word}}
    return given


def _must_be_asked(llm: LLM) -> bool:
    return any(cls.__name__ in _TELLS_USAGE_IF_ASKED for cls in type(llm).__mro__)


def _responses(kwargs: dict[str, Any]) -> dict[str, Any]:
    # The API has other names for these than chat completions, and takes those for an error.
    if "max_tokens" in kwargs:
        kwargs["max_output_tokens"] = kwargs.pop("max_tokens")
    wanted = kwargs.pop("response_format", None)
    if isinstance(wanted, Mapping):
        kwargs.setdefault("text", {"format": {"type": wanted.get("type"), **(wanted.get("json_schema") or {})}})
    return kwargs


def _anthropic(llm: LLM, kwargs: dict[str, Any], *, parallel: bool) -> dict[str, Any]:
    # It knows no seed, and its integration would hand a choice that is None on to the server.
    word, wanted, stop, _ = (kwargs.pop(name, None) for name in ("tool_choice", "response_format", "stop", "seed"))
    if stop is not None:
        kwargs.setdefault("stop_sequences", _listed(stop))
    if (choice := choice_of(word)) is not None:
        kwargs["tool_choice"] = anthropic_choice(llm, choice, parallel=parallel)
    if schema := _schema(wanted):
        from anthropic import transform_schema  # it is there where its integration is

        output = {"format": {"type": "json_schema", "schema": transform_schema(schema)}}
        kwargs.setdefault("output_config", output)
    return _without_openai(kwargs)


def _ollama(llm: LLM, kwargs: dict[str, Any]) -> tuple[LLM, dict[str, Any]]:
    options = {theirs: kwargs.pop(ours) for ours, theirs in _OLLAMA_OPTIONS.items() if ours in kwargs}
    if "stop" in options:
        options["stop"] = _listed(options["stop"])
    if wants_any_json(kwargs):
        kwargs.setdefault("format", "json")
    if schema := _schema(kwargs.pop("response_format", None)):
        kwargs.setdefault("format", schema)
    if options:
        # Its clients are made when they are first used: by then the copy's would be its own, for this call alone.
        _ = getattr(llm, "client", None), getattr(llm, "async_client", None)
        given = getattr(llm, "additional_kwargs", {})
        llm = llm.model_copy(update={"additional_kwargs": {**given, **options}})
    return llm, _without_openai(kwargs)


def _listed(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop


def _schema(wanted: object) -> dict[str, Any] | None:
    """The JSON schema of a ``response_format`` in OpenAI's words."""
    described = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
    return described.get("schema") if isinstance(described, Mapping) else None


def _without_openai(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name not in OPENAI_ONLY}
