"""The router as an LLM of LlamaIndex.

::

    from llamaindex_router import RouterLLM, get_router_handler

    Settings.llm = RouterLLM(models=["ollama:llama3.2", OpenAI("gpt-4.1-nano"), OpenAI("gpt-4.1")])  # weakest first
    with get_router_handler() as routed:
        index.as_query_engine().query("...")
    print(routed)
"""

from __future__ import annotations

from router_core.errors import MissingExtra

try:
    from llamaindex_router.events import (
        RouterAttemptEvent,
        RouterBudgetEvent,
        RouterDecisionEvent,
        RouterEscalationEvent,
        RouterReceiptEvent,
        RouterStreamEndEvent,
    )
    from llamaindex_router.handler import RouterCallbackHandler, RouterEventHandler, get_router_handler
    from llamaindex_router.llm import RouterLLM
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "llama_index":
        raise
    raise MissingExtra("llama-index-core", "llamaindex") from error

__all__ = [
    "RouterAttemptEvent",
    "RouterBudgetEvent",
    "RouterCallbackHandler",
    "RouterDecisionEvent",
    "RouterEscalationEvent",
    "RouterEventHandler",
    "RouterLLM",
    "RouterReceiptEvent",
    "RouterStreamEndEvent",
    "get_router_handler",
]
