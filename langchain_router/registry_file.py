"""``ChatRouter.from_config``: the core's ``router.yaml`` with LangChain's chat models behind its entries."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from langchain_router.catalog import make_chat_model
from langchain_router.chat import ChatRouter
from router_core.config import load
from router_core.config.auditing import AUDITOR
from router_core.errors import ConfigError
from router_core.ledger import Ledger
from router_core.options import Settings
from router_core.registry import KNOWN_ENDPOINTS, Endpoint, Registry
from router_core.types import Model

_INTEGRATIONS: Mapping[str, str] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "google_genai",
    "mistral": "mistralai",
    "groq": "groq",
    "deepseek": "deepseek",
    "xai": "xai",
    "together": "together",
    "fireworks": "fireworks",
}
"""Endpoints that LangChain reaches through an integration of their own; the others speak OpenAI's protocol."""


def options_of(path: str | Path) -> dict[str, Any]:
    """The arguments of a ``ChatRouter`` that a registry file describes.

    Raises:
        ConfigError: the file is wrong, or one of its models cannot be made.
    """
    config = load(path)
    registry = config.registry
    models = {model.name: _chat_model(model, registry.endpoints[model.endpoint]) for model in registry.models}
    if config.audits is not None:
        config.audits.begin(partial(_asking, config.settings, models))
    return {
        "models": list(models.values()),
        "registry": registry,
        "policy": config.policy,
        "verifiers": list(config.verifiers),
        "constraints": config.constraints,
        "settings": config.settings,
        "ledger": config.ledger,
    }


def _asking(
    settings: Settings, models: Mapping[str, BaseChatModel], registry: Registry, ledger: Ledger
) -> Callable[[str], AIMessage]:
    """What answers an auditor's prompts with the model of a registry."""
    [model] = registry.models
    asked = ChatRouter(models=[models[model.name]], registry=registry, verifiers=[], settings=settings, ledger=ledger)
    # LangChain's tags are those of its runs, too, so that a tracer tells audits from what users asked.
    return lambda prompt: asked.invoke(prompt, {"tags": [AUDITOR], "run_name": AUDITOR}, call_site=AUDITOR)


def _chat_model(model: Model, endpoint: Endpoint) -> BaseChatModel:
    if endpoint.name == "ollama":
        # Ollama's own protocol stands beside the OpenAI-compatible one at /v1.
        return make_chat_model(f"ollama:{model.id}", base_url=endpoint.base_url.removesuffix("/v1"))
    known = KNOWN_ENDPOINTS.get(endpoint.name)
    if endpoint.name in _INTEGRATIONS and known is not None and known.base_url == endpoint.base_url:
        return make_chat_model(f"{_INTEGRATIONS[endpoint.name]}:{model.id}", timeout=endpoint.timeout_s)
    key = "no-key-needed" if endpoint.api_key_env is None else os.environ.get(endpoint.api_key_env, "")
    if not key:
        raise ConfigError(
            f"endpoint {endpoint.name!r}: the environment variable {endpoint.api_key_env} holds no key; set it, or "
            "leave out the models of this endpoint"
        )
    return make_chat_model(f"openai:{model.id}", base_url=endpoint.base_url, api_key=key, timeout=endpoint.timeout_s)
