"""``RouterMiddleware``: routing for an agent that keeps its own model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel

from langchain_router.chat import ChatRouter
from router_core.errors import ConfigError, MissingExtra

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ImportError as error:
    raise MissingExtra("langchain", "langchain") from error

_ROUTERS_AT_MOST = 64


class RouterMiddleware(AgentMiddleware[Any, Any, Any]):
    """Puts cheaper models below the agent's own: they are asked first where they can answer, and the agent's model is
    the strongest, to which a rejected answer climbs.

    ::

        agent = create_agent("openai:gpt-4.1", tools=[...], middleware=[RouterMiddleware(["openai:gpt-4.1-nano"])])
        agent.invoke({"messages": "..."}, {"configurable": {"max_cost_usd": 0.01}})

    Constraints of one run are given in ``configurable``; a middleware outside this one may also set them for one call
    of the model, by ``model_settings``. Which model a middleware outside this one chose (a fallback, another router's
    choice) is the strongest for that call.

    Args:
        models: the cheaper models, weakest first, as ``ChatRouter`` takes them.
        options: further arguments of ``ChatRouter``. A ``registry`` has an entry for the agent's model, too: the last.

    Raises:
        ConfigError: ``models`` is empty, a model is not understood, or the agent's model is a ``ChatRouter`` itself.
    """

    def __init__(self, models: Sequence[str | BaseChatModel], **options: Any) -> None:
        super().__init__()
        if isinstance(models, str | BaseChatModel) or not models:
            raise ConfigError(f"models: {models!r} names no cheaper model; give a list of at least one, weakest first")
        self._models = list(models)
        self._options = options
        self._routers: dict[int, tuple[BaseChatModel, ChatRouter]] = {}

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Call the router in place of the agent's model."""
        return handler(request.override(model=self._router_over(request.model)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Call the router in place of the agent's model."""
        return await handler(request.override(model=self._router_over(request.model)))

    def _router_over(self, strongest: BaseChatModel) -> ChatRouter:
        """The router of one agent model. Made once: it also holds what was learnt of the models' latencies."""
        # By identity: chat models cannot be hashed. The table keeps the model alive, so its id is not given anew.
        known = self._routers.get(id(strongest))
        if known is not None:
            return known[1]
        if isinstance(strongest, ChatRouter):
            raise ConfigError(
                "model: the agent's model is a ChatRouter already; add the cheaper models to its own list, or give the "
                "agent a plain chat model"
            )
        router = ChatRouter(models=[*self._models, strongest], **self._options)
        if len(self._routers) >= _ROUTERS_AT_MOST:
            self._routers.clear()
        self._routers[id(strongest)] = (strongest, router)
        return router
