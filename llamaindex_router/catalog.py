"""From what the user gives as models to the registry of the core and the private LLMs behind its names."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, NamedTuple, Self

from llama_index.core.llms import LLM, CustomLLM, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLM
from llama_index.core.settings import Settings

from router_core.errors import ConfigError
from router_core.registry import (
    KNOWN_ENDPOINTS,
    LOCAL,
    Endpoint,
    Registry,
    fresh_name,
    ids_as_aliases,
    model_from_string,
    on_this_machine,
)
from router_core.types import DEFAULT_CAPABILITIES, Capability, Model, Price

ROUTER = "RouterLLM"
"""What the router's class calls itself."""


class _Family(NamedTuple):
    """Integrations that speak one protocol: the provider's name in the price list, and what their messages may hold."""

    name: str
    provider: str
    inputs: frozenset[Capability]


_ALL_INPUTS = frozenset({Capability.IMAGE, Capability.AUDIO, Capability.PDF})

_FAMILIES: Mapping[str, _Family] = {
    "AzureOpenAI": _Family("openai", "azure", _ALL_INPUTS),
    "OpenRouter": _Family("openai", "openrouter", _ALL_INPUTS),
    "DeepSeek": _Family("openai", "deepseek", _ALL_INPUTS),
    "Groq": _Family("openai", "groq", _ALL_INPUTS),
    "OpenAI": _Family("openai", "openai", _ALL_INPUTS),
    "LiteLLM": _Family("openai", "litellm", _ALL_INPUTS),
    "OpenAIResponses": _Family("responses", "openai", _ALL_INPUTS),
    "Anthropic": _Family("anthropic", "anthropic", frozenset({Capability.IMAGE, Capability.PDF})),
    "Ollama": _Family("ollama", "ollama", frozenset({Capability.IMAGE})),
    "GoogleGenAI": _Family("google", "google", _ALL_INPUTS),
    "MistralAI": _Family("mistral", "mistral", frozenset({Capability.IMAGE})),
    # These two leave out without a word what is no text.
    "LangChainLLM": _Family("langchain", "langchain", frozenset()),
    "CustomLLM": _Family("custom", "custom", frozenset()),
}
"""By the name of the integration's class, or of one that it derives from."""


_INTEGRATIONS: Mapping[str, tuple[str, str]] = {
    "openai": ("llama_index.llms.openai", "OpenAI"),
    "anthropic": ("llama_index.llms.anthropic", "Anthropic"),
    "google": ("llama_index.llms.google_genai", "GoogleGenAI"),
    "mistral": ("llama_index.llms.mistralai", "MistralAI"),
    "ollama": ("llama_index.llms.ollama", "Ollama"),
}
"""Endpoints that LlamaIndex reaches through an integration of their own; the others speak OpenAI's protocol."""

_NAMELESS = str(LLMMetadata.model_fields["model_name"].default)
_SECRET = ("key", "token", "secret", "password", "authorization")
_SHORTEST_KEY = 8


@dataclass(frozen=True)
class Inner:
    """A model of the router: a private copy of the user's LLM, with what must be known of its kind.

    ``family`` names the protocol that its integration speaks. ``chat`` tells whether it takes messages or one text.
    ``handlers`` are those of its callback manager that it was given for itself, ``quirks`` what was learned of its
    server.
    """

    llm: LLM
    family: str
    metadata: LLMMetadata | None
    handlers: Sequence[Any] = ()
    quirks: set[str] = field(default_factory=set)

    @property
    def scripted(self) -> bool:
        """Whether it is one of LlamaIndex's own that only stand for a model."""
        return isinstance(self.llm, MockLLM | MockFunctionCallingLLM)

    @property
    def chat(self) -> bool:
        """Whether it takes a conversation; one whose metadata cannot be read is taken for such."""
        return self.metadata is None or self.metadata.is_chat_model

    @property
    def calls_tools(self) -> bool:
        """Whether it has LlamaIndex's methods for tools and says that it can use them."""
        able = self.metadata is None or self.metadata.is_function_calling_model
        return able and isinstance(self.llm, FunctionCallingLLM)


def catalogue(models: Sequence[object], registry: Registry | None = None) -> tuple[Registry, dict[str, Inner]]:
    """The registry, weakest first, and the LLM of each name.

    Args:
        models: LLMs, which are not changed, or "endpoint:model" strings.
        registry: entries of these models, in the same order; only what they leave open is taken from the LLMs.

    Raises:
        ConfigError: a model is neither, or cannot be made; names it and the remedy.
    """
    require_list(models)
    if registry is not None and len(registry.models) != len(models):
        raise ConfigError(
            f"registry: it has {len(registry.models)} entries for {len(models)} models; give one for each"
        )
    inners: dict[str, Inner] = {}
    entries: list[Model] = []
    for position, given in enumerate(models):
        inner = inner_of(given)
        entry = model_from_string(given) if isinstance(given, str) else _entry(inner)
        if registry is not None:
            entry = registry.models[position]
        entry = _completed(replace(entry, name=fresh_name(entry.name, inners)), inner)
        inners[entry.name] = inner
        entries.append(entry)
    if registry is None:
        return Registry(tuple(entries), endpoints={}, aliases=ids_as_aliases(entries)), inners
    return Registry(tuple(entries), registry.endpoints, {**ids_as_aliases(entries), **registry.aliases}), inners


def require_list(models: object) -> None:
    """Raise ``ConfigError`` unless the models are a list; it shows no LLM, whose text may tell its key."""
    if isinstance(models, str) or not isinstance(models, Sequence):
        raise ConfigError(f"models: {_shown(models)} is not a list; give a list of models, weakest first")


def require_functions(observers: Sequence[object]) -> None:
    """Raise ``ConfigError`` unless all observers can be called; the first event would find out in a request."""
    for observer in observers:
        if not callable(observer):
            raise ConfigError(f"observers: {_shown(observer)} cannot be called; give functions that take an event")


def inner_of(given: object) -> Inner:
    """A private copy of an LLM, with its kind.

    Raises:
        ConfigError: it is no LLM and no string that names one.
    """
    if isinstance(given, str):
        model = model_from_string(given)
        given = llm_at(KNOWN_ENDPOINTS[model.endpoint], model.id, f"models: {given!r}")
    if not isinstance(given, LLM):
        raise ConfigError(
            f"models: {_shown(given)} is neither an LLM of LlamaIndex nor an 'endpoint:model' string, such as "
            "'openai:gpt-4.1-nano'"
        )
    if any(cls.__name__ == ROUTER for cls in type(given).__mro__):
        raise ConfigError(
            "models: a router cannot be a model of a router: its calls would be counted twice; give its models"
        )
    # Shallow: the clients are shared, the callback manager is not. It is the copy that is asked of itself, for Ollama's
    # integration writes down what its server says.
    llm = given.model_copy()
    return Inner(llm, _family(llm).name, _metadata(llm), _own_handlers(llm))


def llm_at(endpoint: Endpoint, model_id: str, where: str) -> LLM:
    """The LLM of a model at an endpoint.

    Raises:
        ConfigError: the integration is not installed, a key is missing, or the integration refuses.
    """
    known = KNOWN_ENDPOINTS.get(endpoint.name)
    own = known is not None and known.base_url == endpoint.base_url
    module, name = _INTEGRATIONS.get(endpoint.name, ("", "")) if own or endpoint.name == "ollama" else ("", "")
    options: dict[str, Any] = {"model": model_id}
    if endpoint.name == "ollama":
        # Ollama's own protocol stands beside the OpenAI-compatible one at /v1.
        options |= {"base_url": endpoint.base_url.removesuffix("/v1"), "request_timeout": endpoint.timeout_s}
    elif name in {"OpenAI", "Anthropic", "MistralAI"}:
        # The router retries and falls back itself: a model that waits and tries again only hides the failure.
        options |= {"timeout": endpoint.timeout_s, "max_retries": 0, "api_key": _key(endpoint, where)}
    elif name:
        options |= {"api_key": _key(endpoint, where)}
    else:
        module, name = "llama_index.llms.openai_like", "OpenAILike"
        options |= {"api_base": endpoint.base_url, "api_key": _key(endpoint, where), "timeout": endpoint.timeout_s}
        options |= {"is_chat_model": True, "is_function_calling_model": True, "max_retries": 0}
    try:
        made: LLM = getattr(importlib.import_module(module), name)(**options)
    except ImportError as error:
        package = module.replace("_", "-").replace(".", "-")
        raise ConfigError(f"{where} needs the package {package}; run: pip install {package}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where} cannot be made: {error}") from error
    return made


def secrets_of(inners: Iterable[Inner]) -> frozenset[str]:
    """The keys and headers of the LLMs, to be kept out of what the router tells. Stand-ins of few letters are none."""
    return frozenset(text for inner in inners for text in _secrets(inner.llm) if len(text) >= _SHORTEST_KEY)


def _secrets(llm: LLM) -> Iterator[str]:
    for name, value in {**vars(llm), **(llm.__pydantic_private__ or {})}.items():
        yield from _secrets_in(name, value)
        # Anthropic's integration leaves its key and its headers with the client alone.
        yield from _secrets_in("api_key", getattr(value, "api_key", None))
        yield from _secrets_in("headers", getattr(value, "_custom_headers", None))


def _secrets_in(name: str, value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            # Any header may be one, whatever it is called.
            yield from _secrets_in("key" if "header" in name.lower() else str(key), inner)
    elif isinstance(value, str) and any(word in name.lower() for word in _SECRET):
        yield value
        # A line break at its end is shown as an escape; of "Bearer KEY", the second is the key.
        yield value.strip()
        yield from value.split()[1:]


def fingerprint(given: object) -> str:
    """What tells a model from others of its name: its settings and its server, but not its keys, which may change.

    Hashed: it is stored in caches and told to tracers, and an address may hold a password.
    """
    if not isinstance(given, LLM):
        return str(given)
    fields = type(given).model_fields
    told = {
        name: value
        for name, value in vars(given).items()
        if name in fields and not fields[name].exclude and not _is_secret(name)
    }
    text = json.dumps(told, skipkeys=True, default=lambda value: type(value).__name__)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_secret(name: str) -> bool:
    # ``max_tokens`` is none.
    return any(word in name.lower().removesuffix("tokens") for word in (*_SECRET, "header"))


def _key(endpoint: Endpoint, where: str) -> str:
    key = "no-key-needed" if endpoint.api_key_env is None else os.environ.get(endpoint.api_key_env, "")
    if not key:
        raise ConfigError(
            f"{where} cannot be made: the environment variable {endpoint.api_key_env} of the endpoint "
            f"{endpoint.name!r} holds no key; set it, or leave out the models of this endpoint"
        )
    return key


def _family(llm: LLM) -> _Family:
    for cls in type(llm).__mro__:
        family = _FAMILIES.get(cls.__name__)
        if family is not None and (cls is CustomLLM or cls.__module__.startswith("llama_index.llms.")):
            return family
    name = type(llm).__name__.lower()
    return _Family(name, name, _ALL_INPUTS)


def _own_handlers(llm: LLM) -> list[Any]:
    """The handlers that the user gave this LLM: one made without a manager has those of ``Settings``."""
    shared = Settings._callback_manager  # noqa: SLF001 - the public property makes one where there is none
    common = [] if shared is None else shared.handlers
    return [handler for handler in llm.callback_manager.handlers if handler not in common]


def _metadata(llm: LLM) -> LLMMetadata | None:
    """What the LLM says of itself; None where it cannot: Ollama asks its server, OpenAI knows only its own names."""
    with _Asked() as asked:
        asked.told = llm.metadata
    return asked.told


class _Asked:
    """Lets no exception of an integration out: what it cannot say of itself, only a call can tell."""

    def __init__(self) -> None:
        self.told: LLMMetadata | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> bool:
        return isinstance(error, Exception)


def _entry(inner: Inner) -> Model:
    family = _family(inner.llm)
    told = getattr(inner.llm, "model", None) or (inner.metadata and inner.metadata.model_name)
    model_id = str(told) if told and told != _NAMELESS else type(inner.llm).__name__
    local = _is_local(inner.llm, family, model_id)
    name = f"{family.provider}:{model_id}"
    return Model(
        name=name,
        id=model_id,
        provider=family.provider,
        # Two models of a provider may have two keys and two servers: what befalls one says nothing of the other.
        endpoint=name,
        price=Price.free() if local else None,
        tags=frozenset({LOCAL}) if local else frozenset(),
    )


def _completed(entry: Model, inner: Inner) -> Model:
    """The entry with what the LLM says of itself where the entry says nothing."""
    able = set(DEFAULT_CAPABILITIES if inner.calls_tools else {Capability.STRUCTURED_OUTPUT})
    declared = entry.capabilities is not DEFAULT_CAPABILITIES
    window = inner.metadata.context_window if inner.metadata else 0
    return replace(
        entry,
        context_window=entry.context_window or (window if window > 0 else None),
        capabilities=entry.capabilities if declared else frozenset(able | _family(inner.llm).inputs),
    )


def _is_local(llm: LLM, family: _Family, model_id: str) -> bool:
    if family.name != "ollama" or model_id.endswith("cloud"):
        return False
    return on_this_machine(str(getattr(llm, "base_url", "")))


def _shown(value: object) -> str:
    """A value in an error: an LLM's own text may tell its key."""
    return repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
