"""The router as a LangChain chat model.

::

    from langchain_router import ChatRouter, get_router_callback

    llm = ChatRouter(models=["ollama:llama3.2", "openai:gpt-4.1-nano", "openai:gpt-4.1"])  # weakest first
    with get_router_callback() as account:
        llm.invoke("What is the capital of France?", max_cost_usd=0.01)
    print(account)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router_core.errors import MissingExtra

try:
    from langchain_router.chat import ChatRouter
    from langchain_router.handler import RouterCallbackHandler, get_router_callback
except ModuleNotFoundError as error:
    if error.name != "langchain_core":
        raise
    raise MissingExtra("langchain-core", "langchain") from error

if TYPE_CHECKING:
    from langchain_router.middleware import RouterMiddleware

__all__ = ["ChatRouter", "RouterCallbackHandler", "RouterMiddleware", "get_router_callback"]


def __getattr__(name: str) -> Any:
    # The middleware alone needs langchain and langgraph, which take longer to import than all the rest.
    if name == "RouterMiddleware":
        from langchain_router.middleware import RouterMiddleware

        return RouterMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
