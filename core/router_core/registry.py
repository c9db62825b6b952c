"""The registry: which models there are, weakest first, and at which endpoints they are reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import urlsplit

from router_core.errors import ConfigError
from router_core.types import JUDGE_TAG, Model, Price

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0"})  # noqa: S104 - read, not bound

LOCAL = "local"
"""The tag of models whose requests do not leave the machine; ``local_only`` asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that speaks OpenAI's chat protocol.

    ``api_key_env`` names the environment variable that holds the key: the key itself is read when a client is made
    and kept nowhere else. ``provider`` is the id under which prices are looked up; ``timeout_s`` bounds each
    wait for the server: for the answer, or for the next piece of a stream.
    """

    name: str
    base_url: str
    provider: str
    api_key_env: str | None = None
    local: bool = False
    timeout_s: float = 120.0


def _known(name: str, base_url: str, api_key_env: str | None = None, provider: str | None = None) -> Endpoint:
    return Endpoint(
        name=name,
        base_url=base_url,
        provider=provider or name,
        api_key_env=api_key_env,
        local=base_url.startswith("http://127.0.0.1"),
    )


KNOWN_ENDPOINTS: Mapping[str, Endpoint] = {
    endpoint.name: endpoint
    for endpoint in (
        _known("openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
        _known("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
        _known("google", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
        _known("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
        _known("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
        _known("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        _known("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
        _known("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
        _known("xai", "https://api.x.ai/v1", "XAI_API_KEY", provider="x-ai"),
        _known("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
        _known("ollama", "http://127.0.0.1:11434/v1"),
        _known("vllm", "http://127.0.0.1:8000/v1"),
        _known("llama-server", "http://127.0.0.1:8080/v1"),
    )
}
"""Base URLs and key variables as the providers document them; local servers at their default ports."""


def model_from_string(name: str, endpoints: Mapping[str, Endpoint] = KNOWN_ENDPOINTS) -> Model:
    """The model meant by "endpoint:model-id". Local models are free and tagged ``local``.

    Raises:
        ConfigError: the string has no such form or the endpoint is unknown.
    """
    prefix, colon, model_id = name.partition(":")
    if not colon or not prefix.strip() or not model_id.strip():
        raise ConfigError(
            f"models: {name!r} is not of the form 'endpoint:model', such as 'openai:gpt-4.1-nano' or 'ollama:llama3.2'"
        )
    endpoint = endpoints.get(prefix)
    if endpoint is None:
        raise ConfigError(
            f"models: {name!r} names the unknown endpoint {prefix!r}{did_you_mean(prefix, endpoints)}; known are "
            f"{', '.join(sorted(endpoints))}; declare others under 'endpoints' in router.yaml"
        )
    # Ollama runs the models whose tag ends in "cloud" on its own servers (its documentation, "Cloud models").
    local = endpoint.local and not model_id.endswith("cloud")
    return Model(
        name=name,
        id=model_id,
        provider=endpoint.provider,
        endpoint=endpoint.name,
        price=Price.free() if local else None,
        tags=frozenset({LOCAL}) if local else frozenset(),
    )


@dataclass(frozen=True, slots=True)
class Registry:
    """Models in tier order, weakest first; ``aliases`` maps further names to models."""

    models: tuple[Model, ...]
    endpoints: Mapping[str, Endpoint] = field(default_factory=lambda: KNOWN_ENDPOINTS)
    aliases: Mapping[str, str] = field(default_factory=dict)
    by_name: Mapping[str, Model] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {model.name: model for model in self.models})
        if not self.models:
            raise ConfigError("models: the list is empty; give at least one model, weakest first")
        if all(JUDGE_TAG in model.tags for model in self.models):
            raise ConfigError(f"models: all have the tag {JUDGE_TAG!r}; leave one without it, to answer")
        names = [model.name for model in self.models]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"models: {name!r} is listed {names.count(name)} times; list each model once")
        for alias, target in self.aliases.items():
            if alias in names:
                raise ConfigError(f"aliases: {alias!r} is already the name of a model; choose another alias")
            if target not in names:
                raise ConfigError(f"aliases.{alias}: {target!r} is no model{did_you_mean(target, names)}")
        for model in self.models:
            _check(model)

    @classmethod
    def of(cls, models: Iterable[str | Model]) -> Registry:
        """A registry of models given as "endpoint:model" strings or as entries, weakest first.

        Raises:
            ConfigError: nothing was given, one is listed twice, or a string is not understood.
        """
        if isinstance(models, str):
            raise ConfigError(f"models: {models!r} is one string; give a list, weakest first: [{models!r}]")
        return cls(tuple(_entry(item) for item in models or ()))

    @property
    def strongest(self) -> Model:
        """The last model that answers: the baseline that savings are measured against."""
        return next(model for model in reversed(self.models) if JUDGE_TAG not in model.tags)

    def find(self, name: str) -> Model:
        """The model with this name or alias.

        Raises:
            ConfigError: there is none.
        """
        model = self.by_name.get(self.aliases.get(name, name))
        if model is not None:
            return model
        known = [model.name for model in self.models] + list(self.aliases)
        raise ConfigError(f"{name!r} is no model of this router{did_you_mean(name, known)}; it has {', '.join(known)}")


def one_each(models: Sequence[object], registry: Registry | None) -> None:
    """See that models are a list, and that a registry given beside them has an entry for each.

    Raises:
        ConfigError: it is not so.
    """
    if isinstance(models, str) or not isinstance(models, Sequence):
        raise ConfigError(f"models: a {type(models).__name__} is not a list; give a list of models, weakest first")
    if registry is not None and len(registry.models) != len(models):
        raise ConfigError(
            f"registry: it has {len(registry.models)} entries for {len(models)} models; give one for each"
        )


def ids_as_aliases(models: Sequence[Model]) -> dict[str, str]:
    """The provider's own names as further names, where only one model has it."""
    names = {model.name for model in models}
    ids = Counter(model.id for model in models)
    return {model.id: model.name for model in models if ids[model.id] == 1 and model.id not in names}


def fresh_name(name: str, taken: Container[str]) -> str:
    """The name, numbered if it is taken: "openai:gpt-4.1#2"."""
    number = 1
    unique = name
    while unique in taken:
        number += 1
        unique = f"{name}#{number}"
    return unique


def on_this_machine(address: str) -> bool:
    """Whether a server's address, with or without a scheme, is of the loopback."""
    return urlsplit(address if "://" in address else f"//{address}").hostname in _LOOPBACK


def _entry(item: object) -> Model:
    if isinstance(item, Model):
        return item
    if isinstance(item, str):
        return model_from_string(item)
    raise ConfigError(f"models: {item!r} is neither an 'endpoint:model' string nor a Model")


def _check(model: Model) -> None:
    where = f"models.{model.name}"
    if model.quality is not None and not 0 <= model.quality <= 1:
        raise ConfigError(f"{where}.quality: {model.quality} is not between 0 and 1")
    for field_name in ("context_window", "max_output_tokens", "latency_s"):
        value = getattr(model, field_name)
        if value is not None and value <= 0:
            raise ConfigError(f"{where}.{field_name}: {value} is not positive; leave it out if it is unknown")
    price = model.price
    for part in ("input", "output", "cache_read", "cache_write", "cache_write_1h"):
        value = getattr(price, part) if price else None
        if value is not None and not (value.is_finite() and value >= 0):
            raise ConfigError(f"{where}.price.{part}: {value} is not a price in US dollars per million tokens")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name, empty where nothing is near."""
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
