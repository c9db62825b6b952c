"""From what the user gives as models to the registry of the core and the chat models behind its names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import (
    FakeChatModel,
    FakeListChatModel,
    FakeMessagesListChatModel,
    GenericFakeChatModel,
    ParrotFakeChatModel,
)
from langchain_core.runnables import RunnableBinding
from pydantic import SecretStr

from router_core.errors import ConfigError
from router_core.registry import LOCAL, Registry, fresh_name, ids_as_aliases, on_this_machine, one_each
from router_core.types import DEFAULT_CAPABILITIES, Capability, Model, Price

PRICE_LIST_NAMES: Mapping[str, str] = {
    "google_genai": "google",
    "google_vertexai": "google",
    "mistralai": "mistral",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "xai": "x-ai",
}
"""Providers whose name in the price list differs from LangChain's."""

_INPUTS: Mapping[str, Capability] = {
    "image_inputs": Capability.IMAGE,
    "audio_inputs": Capability.AUDIO,
    "pdf_inputs": Capability.PDF,
}
_FAKES = (FakeChatModel, FakeListChatModel, FakeMessagesListChatModel, GenericFakeChatModel, ParrotFakeChatModel)

ROUTER_TYPE = "model-router"
"""What a router calls itself; no prefix by which LangChain knows a provider."""

_SHORTEST_KEY = 8


@dataclass(frozen=True)
class Child:
    """A chat model of the router: unbound, with the keyword arguments that it was bound with."""

    model: BaseChatModel
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def provider(self) -> str:
        """LangChain's name of the provider ("openai", "anthropic", "ollama")."""
        return str(self.model._get_ls_params().get("ls_provider") or "unknown")  # noqa: SLF001 - LangChain's own door

    @property
    def scripted(self) -> bool:
        """Whether it is one of LangChain's own that say what they were given to say."""
        return isinstance(self.model, _FAKES)


def catalogue(models: Sequence[object], registry: Registry | None = None) -> tuple[Registry, dict[str, Child]]:
    """The registry, weakest first, and the chat model of each name.

    Args:
        models: "provider:model" strings, chat models, or bindings of chat models. The objects are not changed.
        registry: entries of these models, in the same order; only what they leave open is taken from LangChain's
            profile data.

    Raises:
        ConfigError: a model is none of these, or cannot be made; names it and the remedy.
    """
    one_each(models, registry)
    children: dict[str, Child] = {}
    entries: list[Model] = []
    for position, given in enumerate(models):
        child = _with_usage(_child(given))
        entry = _entry(child, taken=children)
        if registry is not None:
            entry = _completed(registry.models[position], entry)
        children[entry.name] = child
        entries.append(entry)
    if registry is None:
        return Registry(tuple(entries), endpoints={}, aliases=ids_as_aliases(entries)), children
    return Registry(tuple(entries), registry.endpoints, {**ids_as_aliases(entries), **registry.aliases}), children


def make_chat_model(name: str, **kwargs: Any) -> BaseChatModel:
    """The chat model meant by "provider:model", through LangChain's ``init_chat_model``.

    Raises:
        ConfigError: the string has no such form, a package is missing, or the model cannot be made.
    """
    provider, colon, model = name.partition(":")
    if not (provider and colon and model):
        raise ConfigError(f"models: {name!r} is not of the form 'provider:model', such as 'openai:gpt-4.1-nano'")
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise ConfigError(
            f"models: {name!r} needs the package langchain; run: pip install langchain, or give a chat model object"
        ) from error
    # The router retries and falls back itself: a model that waits and tries again only hides the failure.
    if provider != "ollama":
        kwargs["max_retries"] = 0
    try:
        made: BaseChatModel = init_chat_model(model, model_provider=provider, **kwargs)
    except ImportError as error:
        raise ConfigError(f"models: {name!r} needs another package: {error}") from error
    except _refusals() as error:
        raise ConfigError(f"models: {name!r} cannot be made: {error}") from error
    return made


def _refusals() -> tuple[type[Exception], ...]:
    """What constructors of chat models raise for want of a key or a setting."""
    openai = sys.modules.get("openai")
    return (ValueError, TypeError) if openai is None else (ValueError, TypeError, openai.OpenAIError)


def secrets_of(children: Iterable[Child]) -> frozenset[str]:
    """The keys of the models, to be kept out of what the router tells. Stand-ins of a few letters are none."""
    values = [value for child in children for value in vars(child.model).values() if isinstance(value, SecretStr)]
    return frozenset(key for value in values if len(key := value.get_secret_value()) >= _SHORTEST_KEY)


def _child(given: object) -> Child:
    kwargs: dict[str, Any] = {}
    while isinstance(given, RunnableBinding):
        kwargs = {**given.kwargs, **kwargs}
        given = given.bound
    if isinstance(given, str):
        given = make_chat_model(given)
    if not isinstance(given, BaseChatModel):
        raise ConfigError(
            f"models: {type(given).__name__} is neither a 'provider:model' string nor a chat model; a chain or agent "
            "cannot be a model of the router"
        )
    if given._llm_type == ROUTER_TYPE:  # noqa: SLF001 - LangChain's own door
        raise ConfigError(
            "models: a router cannot be a model of a router: its calls would be counted twice; give its models"
        )
    return Child(given, kwargs)


def _with_usage(child: Child) -> Child:
    """The child, reporting usage in streams: with a base URL of one's own ``ChatOpenAI`` does so only if told to.

    False was set by whoever made the model, for a server that refuses to be asked: it stays, and what such a model
    streams is estimated and marked so.
    """
    if "stream_usage" in type(child.model).model_fields and getattr(child.model, "stream_usage", True) is None:
        return Child(child.model.model_copy(update={"stream_usage": True}), child.kwargs)
    return child


def _entry(child: Child, taken: Mapping[str, Child]) -> Model:
    params = child.model._get_ls_params()  # noqa: SLF001 - LangChain's own door
    provider = child.provider
    model_id = str(params.get("ls_model_name") or type(child.model).__name__)
    profile = cast("Mapping[str, Any]", child.model.profile or {})
    local = _is_local(child.model, provider, model_id)
    name = fresh_name(f"{provider}:{model_id}", taken)
    return Model(
        name=name,
        id=model_id,
        provider=PRICE_LIST_NAMES.get(provider, provider),
        # Two models of a provider may have two keys and two servers: what befalls one says nothing of the other.
        endpoint=name,
        price=Price.free() if local else None,
        context_window=profile.get("max_input_tokens"),
        max_output_tokens=profile.get("max_output_tokens"),
        capabilities=_capabilities(profile),
        tags=frozenset({LOCAL}) if local else frozenset(),
    )


def _completed(given: Model, known: Model) -> Model:
    return replace(
        given,
        context_window=given.context_window or known.context_window,
        max_output_tokens=given.max_output_tokens or known.max_output_tokens,
    )


def _capabilities(profile: Mapping[str, Any]) -> frozenset[Capability]:
    """What the profile says; what it does not know is let through, for only a call can tell."""
    able = set(DEFAULT_CAPABILITIES)
    if profile.get("tool_calling") is False:
        able -= {Capability.TOOLS, Capability.TOOL_CHOICE}
    able |= {capability for name, capability in _INPUTS.items() if profile.get(name, not profile)}
    return frozenset(able)


def _is_local(model: BaseChatModel, provider: str, model_id: str) -> bool:
    if provider != "ollama" or model_id.endswith("cloud"):
        return False
    # As the ollama client finds its server: the model's own address, else the environment's, else this machine.
    address = str(getattr(model, "base_url", None) or os.environ.get("OLLAMA_HOST", "")).strip()
    return not address or on_this_machine(address)
