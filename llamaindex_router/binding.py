"""One call as each model takes it: settings and arguments in the words of its integration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.llms import LLM

from llamaindex_router.catalog import Inner
from router_core.hosts.portable import OPENAI_ONLY

_TELLS_USAGE_IF_ASKED = frozenset({"OpenAI", "OpenAILike", "AzureOpenAI", "OpenRouter", "LiteLLM"})
"""Integrations whose streams report usage only with ``stream_options``. Anthropic's fails on that argument."""

_OLLAMA_OPTIONS: Mapping[str, str] = {
    "temperature": "temperature",
    "max_tokens": "num_predict",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
}
"""Ollama's integration takes these from its constructor only, and drops them from a call without a word."""


def ready(inner: Inner, kwargs: Mapping[str, Any], *, streaming: bool) -> tuple[LLM, dict[str, Any]]:
    """The LLM and the keyword arguments for one call of it. ``kwargs`` are left as they are: integrations write into
    theirs."""
    own = dict(kwargs)
    if inner.family == "openai":
        if streaming and any(cls.__name__ in _TELLS_USAGE_IF_ASKED for cls in type(inner.llm).__mro__):
            own.setdefault("stream_options", {"include_usage": True})
        return inner.llm, own
    if inner.family == "anthropic":
        stop = own.pop("stop", None)
        if stop is not None:
            own.setdefault("stop_sequences", [stop] if isinstance(stop, str) else stop)
        return inner.llm, _without_openai(own)
    if inner.family == "ollama":
        return _ollama(inner.llm, own)
    return inner.llm, own


def _ollama(llm: LLM, kwargs: dict[str, Any]) -> tuple[LLM, dict[str, Any]]:
    options = {theirs: kwargs.pop(ours) for ours, theirs in _OLLAMA_OPTIONS.items() if ours in kwargs}
    wanted = kwargs.pop("response_format", None)
    if isinstance(wanted, Mapping):
        schema = wanted.get("json_schema", {}).get("schema")
        kwargs.setdefault("format", schema or "json")
    if options:
        given = getattr(llm, "additional_kwargs", {})
        llm = llm.model_copy(update={"additional_kwargs": {**given, **options}})
    return llm, _without_openai(kwargs)


def _without_openai(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name not in OPENAI_ONLY}
