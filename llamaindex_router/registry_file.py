"""``RouterLLM.from_config``: the core's ``router.yaml`` with LlamaIndex's LLMs behind its entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llamaindex_router.catalog import llm_at
from router_core.config import load


def options_of(path: str | Path) -> dict[str, Any]:
    """The arguments of a ``RouterLLM`` that a registry file describes.

    Raises:
        ConfigError: the file is wrong, or one of its models cannot be made.
    """
    config = load(path)
    registry = config.registry
    return {
        "models": [
            llm_at(registry.endpoints[model.endpoint], model.id, f"models: {model.name!r}") for model in registry.models
        ],
        "registry": registry,
        "policy": config.policy,
        "verifiers": list(config.verifiers),
        "constraints": config.constraints,
        "settings": config.settings,
        "ledger": config.ledger,
    }
