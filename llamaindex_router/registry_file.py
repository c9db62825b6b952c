"""``RouterLLM.from_config``: the core's ``router.yaml`` with LlamaIndex's LLMs behind its entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.llms import LLM

from llamaindex_router.catalog import llm_at
from llamaindex_router.llm import RouterLLM
from router_core.config import load
from router_core.config.auditing import AUDITOR
from router_core.ledger import Ledger
from router_core.options import Settings
from router_core.registry import Registry


def options_of(path: str | Path) -> dict[str, Any]:
    """The arguments of a ``RouterLLM`` that a registry file describes.

    Raises:
        ConfigError: the file is wrong, or one of its models cannot be made.
    """
    config = load(path)
    registry = config.registry
    llms = {
        model.name: llm_at(registry.endpoints[model.endpoint], model.id, f"models: {model.name!r}")
        for model in registry.models
    }
    if config.audits is not None:
        config.audits.begin(partial(_asking, config.settings, llms))
    return {
        "models": list(llms.values()),
        "registry": registry,
        "policy": config.policy,
        "verifiers": list(config.verifiers),
        "constraints": config.constraints,
        "settings": config.settings,
        "ledger": config.ledger,
    }


def _asking(
    settings: Settings, llms: Mapping[str, LLM], registry: Registry, ledger: Ledger
) -> Callable[[str], CompletionResponse]:
    """What answers an auditor's prompts with the model of a registry."""
    [model] = registry.models
    asked = RouterLLM(models=[llms[model.name]], registry=registry, verifiers=[], settings=settings, ledger=ledger)
    return partial(asked.complete, call_site=AUDITOR, tags=[AUDITOR])
