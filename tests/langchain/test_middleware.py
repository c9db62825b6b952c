"""``RouterMiddleware``: cheaper models below an agent's own, beside the official middlewares."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("langchain", reason="langchain is not installed; run: uv sync --group langchain")

from langchain.agents import create_agent
from langchain.agents.middleware import (
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    LLMToolSelectorMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRequest,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    wrap_model_call,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_router import ChatRouter
from langchain_router.handler import RouterCallbackHandler, get_router_callback
from langchain_router.middleware import RouterMiddleware
from router_core.errors import ConfigError, NoFeasibleModel
from router_core.policies import StaticPolicy
from router_core.types import Constraints
from tests.langchain.provider import Provider
from tests.langchain.scripted import GOOD, IDK, Scripted, knows
from tests.servers.provider import Exchange

ASK: Any = {"messages": [HumanMessage("What is the weather in 'Paris'?")]}
SUNNY = "The tool says: It is sunny in Paris."


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"It is sunny in {city}."


def scripted(*says: Any) -> tuple[Scripted, ...]:
    return tuple(Scripted(model_id=f"m{number}", says=what) for number, what in enumerate(says))


def routing(*models: Any, **options: Any) -> RouterMiddleware:
    return RouterMiddleware(list(models), **{"verifiers": [knows], "policy": StaticPolicy(), **options})


async def both(agent: Any, ask: Any = ASK, config: Any = None) -> list[Any]:
    """The final states of a sync and an async run."""
    return [agent.invoke(ask, config), await agent.ainvoke(ask, config)]


def asked(journal: Sequence[Exchange]) -> list[str]:
    return [f"{exchange.wire}:{exchange.model}" for exchange in journal]


async def test_the_cheaper_model_answers_what_it_can() -> None:
    cheap, own = scripted("Sunny, I think.", GOOD)

    for final in await both(create_agent(own, middleware=[routing(cheap)])):
        assert final["messages"][-1].text == "Sunny, I think."
    assert (len(cheap.served), len(own.served)) == (2, 0)


async def test_a_rejected_draft_climbs_to_the_agent_s_own_model() -> None:
    cheap, own = scripted(IDK, GOOD)

    for final in await both(create_agent(own, middleware=[routing(cheap)])):
        assert [message.text for message in final["messages"][1:]] == [GOOD]


async def test_the_agent_s_own_model_is_the_strongest_of_all() -> None:
    cheap, middle, own = scripted(IDK, IDK, GOOD)

    with get_router_callback() as routed:
        await both(create_agent(own, middleware=[routing(cheap, middle)]))

    assert [attempt.model for attempt in routed.calls[0].receipt.attempts] == ["fake:m0", "fake:m1", "fake:m2"]


def test_the_router_is_made_once_for_each_agent_model() -> None:
    cheap, own, other = scripted(IDK, GOOD, GOOD)
    middleware = routing(cheap)
    seen: list[Any] = []

    @wrap_model_call
    def look(request: ModelRequest, handler: Any) -> Any:
        seen.append(request.model)
        return handler(request)

    agents = [create_agent(model, middleware=[middleware, look]) for model in (own, own, other)]
    for agent in agents:
        agent.invoke(ASK)

    assert seen[0] is seen[1]
    assert seen[2] is not seen[0]
    assert all(isinstance(model, ChatRouter) for model in seen)


async def test_constraints_of_one_run_stand_in_configurable() -> None:
    cheap, own = scripted("Sunny, I think.", GOOD)
    agent = create_agent(own, middleware=[routing(cheap)])

    forced = await both(agent, config={"configurable": {"force_model": "fake:m1"}})
    free = await both(agent)

    assert [final["messages"][-1].text for final in [*forced, *free]] == [GOOD, GOOD, *["Sunny, I think."] * 2]


def test_constraints_of_one_call_stand_in_model_settings() -> None:
    cheap, own = scripted("Sunny, I think.", GOOD)

    @wrap_model_call
    def demanding(request: ModelRequest, handler: Any) -> Any:
        return handler(request.override(model_settings={**request.model_settings, "deny": ["fake:m0"]}))

    final = create_agent(own, middleware=[demanding, routing(cheap)]).invoke(ASK)

    assert final["messages"][-1].text == GOOD


async def test_constraints_of_all_calls_stand_in_the_options() -> None:
    cheap, own = scripted("Sunny, I think.", GOOD)
    constraints = Constraints(deny=frozenset({"fake:m0"}))

    for final in await both(create_agent(own, middleware=[routing(cheap, constraints=constraints)])):
        assert final["messages"][-1].text == GOOD


async def test_a_run_that_no_model_may_serve_is_refused() -> None:
    cheap, own = scripted("Sunny, I think.", GOOD)
    agent = create_agent(own, middleware=[routing(cheap)])

    with pytest.raises(NoFeasibleModel, match="cost_unknown"):
        await agent.ainvoke(ASK, {"configurable": {"max_cost_usd": 0.01}})
    assert not cheap.served


@pytest.mark.parametrize(
    "form", [ToolStrategy(Person), ProviderStrategy(Person), Person], ids=["tool", "provider", "raw"]
)
async def test_structured_answers_on_mixed_providers(provider: Provider, form: Any) -> None:
    middleware = routing(*provider.models("ollama:unsure-a", "openai:down-b"), verifiers=None)
    agent = create_agent(provider.model("anthropic:good-c"), response_format=form, middleware=[middleware])

    for final in await both(agent, {"messages": [HumanMessage("Tell me of 'Ada', who is 36.")]}):
        assert final["structured_response"] == Person(name="Ada", age=36)


async def test_streamed_messages_show_the_answer_once() -> None:
    cheap, own = scripted(IDK, GOOD)
    agent = create_agent(own, middleware=[routing(cheap)])

    shown = "".join(chunk.text for chunk, _ in agent.stream(ASK, stream_mode="messages"))
    ashown = "".join([chunk.text async for chunk, _ in agent.astream(ASK, stream_mode="messages")])

    assert shown == ashown == GOOD


# ---- beside the official middlewares


def official(llm: Any, name: str) -> Any:
    return {
        "summarization": lambda: SummarizationMiddleware(llm, trigger=("messages", 2), keep=("messages", 1)),
        "context editing": lambda: ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=100_000)]),
        "tool selector": lambda: LLMToolSelectorMiddleware(max_tools=1),
        "fallback": lambda: ModelFallbackMiddleware(llm),
        "retry": lambda: ModelRetryMiddleware(max_retries=1, initial_delay=0.0, on_failure="error"),
        "call limit": lambda: ModelCallLimitMiddleware(run_limit=2, exit_behavior="error"),
    }[name]()


SIX = ["summarization", "context editing", "tool selector", "fallback", "retry", "call limit"]


@pytest.mark.parametrize("first", [False, True], ids=["routing inside", "routing outside"])
@pytest.mark.parametrize("name", SIX)
async def test_beside(name: str, *, first: bool, provider: Provider, journal: list[Exchange]) -> None:
    own = provider.model("anthropic:good-b")
    routes = routing(provider.model("openai:unsure-a"), verifiers=None)
    pair = [routes, official(own, name)] if first else [official(own, name), routes]

    handler = RouterCallbackHandler()
    for final in await both(create_agent(own, tools=[get_weather], middleware=pair), config={"callbacks": [handler]}):
        assert final["messages"][-1].text == SUNNY

    assert {"openai:unsure-a", "anthropic:good-b"} <= set(asked(journal))
    assert handler.by_model["openai:unsure-a"].answered == 0


async def test_beside_all_six(provider: Provider) -> None:
    own = provider.model("anthropic:good-b")
    routes = routing(provider.model("ollama:unsure-a"), verifiers=None)
    agent = create_agent(own, tools=[get_weather], middleware=[*(official(own, name) for name in SIX), routes])

    for final in await both(agent):
        assert final["messages"][-1].text == SUNNY


async def test_a_fallback_outside_becomes_the_strongest(provider: Provider, journal: list[Exchange]) -> None:
    fallback = ModelFallbackMiddleware(provider.model("anthropic:good-c"))
    routes = routing(provider.model("ollama:down-a"), verifiers=None)
    agent = create_agent(provider.model("openai:down-b"), middleware=[fallback, routes])

    for final in await both(agent):
        assert "Here is a good answer from good-c" in final["messages"][-1].text
    assert asked(journal)[:2] == ["ollama:down-a", "openai:down-b"]
    assert "anthropic:good-c" in asked(journal)


# ---- what it refuses


def test_an_agent_s_model_that_is_a_router_is_refused() -> None:
    cheap, own = scripted(IDK, GOOD)
    agent = create_agent(ChatRouter(models=[own]), middleware=[routing(cheap)])

    with pytest.raises(ConfigError, match="a ChatRouter already"):
        agent.invoke(ASK)


@pytest.mark.parametrize("models", [[], "openai:gpt-4.1-nano", scripted(IDK)[0]], ids=["none", "a string", "a model"])
def test_models_must_be_a_list_of_some(models: Any) -> None:
    with pytest.raises(ConfigError, match="models"):
        RouterMiddleware(models)


def test_a_missing_langchain_is_named() -> None:
    script = (
        "import sys; sys.modules['langchain'] = None\n"
        "from router_core.errors import MissingExtra\n"
        "try:\n    import langchain_router.middleware\n"
        "except MissingExtra as error:\n    print(error)\n"
    )

    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert "langchain is not installed" in run.stdout
    assert "pip install 'router-core[langchain]'" in run.stdout
