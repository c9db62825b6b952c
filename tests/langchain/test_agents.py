"""``create_agent`` over a router: tools, structured answers, the official middlewares, and many calls at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    ModelRetryMiddleware,
    SummarizationMiddleware,
)
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.exceptions import ModelConnectionError
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_router import ChatRouter
from langchain_router.handler import RouterCallbackHandler
from router_core import Settings
from router_core.policies import StaticPolicy
from tests.langchain.provider import Provider
from tests.langchain.scripted import GOOD, IDK, Scripted, knows
from tests.servers.provider import Exchange

CASTS = {
    "draft accepted": ("openai:good-a", "anthropic:good-b"),
    "draft rejected": ("ollama:unsure-a", "openai:unsure-b", "anthropic:good-c"),
    "a draft that no one can force to call a tool": ("ollama:good-a", "openai:down-b", "anthropic:good-c"),
    "first down": ("openai:down-a", "openai:good-b"),
}
"""The models of a router, weakest first, named for how they behave."""

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


@tool
def get_time(city: str) -> str:
    """The time in a city."""
    return f"It is noon in {city}."


@pytest.fixture(params=CASTS.values(), ids=CASTS)
def llm(request: pytest.FixtureRequest, provider: Provider) -> ChatRouter:
    """A router over real integrations."""
    return ChatRouter(models=provider.models(*request.param), policy=StaticPolicy())


def true_tokens(journal: Sequence[Exchange]) -> Counter[str]:
    """What each model used, as the servers counted it."""
    used: Counter[str] = Counter()
    for exchange in journal:
        used[f"{exchange.wire}:{exchange.model}"] += exchange.used.input + exchange.used.output
    return +used


class Counters:
    """Ours and LangChain's own."""

    def __init__(self) -> None:
        self.ours, self.theirs = RouterCallbackHandler(), UsageMetadataCallbackHandler()
        self.config: Any = {"callbacks": [self.ours, self.theirs]}

    def agree_with(self, journal: Sequence[Exchange]) -> None:
        """Both say what the servers counted."""
        used = true_tokens(journal)
        ours = {name: tally.usage.total_tokens for name, tally in self.ours.by_model.items()}
        assert +Counter(ours) == used
        theirs = {name: told["total_tokens"] for name, told in self.theirs.usage_metadata.items()}
        assert theirs == {name.partition(":")[2]: tokens for name, tokens in used.items()}


def spoken(chunks: Iterable[BaseMessage]) -> str:
    """What the models say; a graph's messages hold the tools' as well."""
    return "".join(chunk.text for chunk in chunks if not isinstance(chunk, ToolMessage))


# ---- tools


def test_tools(llm: ChatRouter, journal: list[Exchange]) -> None:
    counters = Counters()

    final = create_agent(llm, tools=[get_weather, get_time]).invoke(ASK, counters.config)

    kinds = [message.type for message in final["messages"]]
    assert kinds == ["human", "ai", "tool", "ai"]
    assert final["messages"][-1].text == SUNNY
    counters.agree_with(journal)
    assert [tally.requests for tally in counters.ours.by_root_run.values()] == [2]


async def test_tools_async(llm: ChatRouter, journal: list[Exchange]) -> None:
    counters = Counters()

    final = await create_agent(llm, tools=[get_weather, get_time]).ainvoke(ASK, counters.config)

    assert final["messages"][-1].text == SUNNY
    counters.agree_with(journal)


async def test_streamed_messages_show_each_answer_once(llm: ChatRouter, journal: list[Exchange]) -> None:
    agent, counters = create_agent(llm, tools=[get_weather]), Counters()

    parts = list(agent.stream(ASK, counters.config, stream_mode="messages"))
    aparts = [part async for part in agent.astream(ASK, counters.config, stream_mode="messages")]

    assert spoken(chunk for chunk, _ in parts) == spoken(chunk for chunk, _ in aparts) == SUNNY
    counters.agree_with(journal)


async def test_v2_events_show_each_answer_once(llm: ChatRouter, journal: list[Exchange]) -> None:
    agent, counters = create_agent(llm, tools=[get_weather]), Counters()

    events = [event async for event in agent.astream_events(ASK, counters.config, version="v2")]

    assert spoken(event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream") == SUNNY
    counters.agree_with(journal)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_v3_streams_show_each_answer_once(llm: ChatRouter, journal: list[Exchange]) -> None:
    agent, counters = create_agent(llm, tools=[get_weather]), Counters()

    run = agent.stream_events(ASK, counters.config, version="v3")
    shown = "".join("".join(message.text) for message in run.messages)
    arun = await agent.astream_events(ASK, counters.config, version="v3")
    ashown = "".join(["".join([text async for text in message.text]) async for message in arun.messages])

    assert shown == ashown == SUNNY
    counters.agree_with(journal)


# ---- structured answers

ADA: Any = {"messages": [HumanMessage("Tell me of 'Ada', who is 36.")]}
FORMATS = {"tool": ToolStrategy(Person), "provider": ProviderStrategy(Person), "raw": Person}


@pytest.mark.parametrize("tools", [[], [get_weather]], ids=["alone", "with tools"])
@pytest.mark.parametrize("form", FORMATS)
async def test_structured_answers(llm: ChatRouter, form: str, tools: list[Any]) -> None:
    agent = create_agent(llm, tools=tools, response_format=FORMATS[form])

    final, afinal = agent.invoke(ADA), await agent.ainvoke(ADA)

    assert final["structured_response"] == afinal["structured_response"] == Person(name="Ada", age=36)


@pytest.mark.parametrize("form", FORMATS)
def test_structured_answers_in_a_stream(llm: ChatRouter, form: str) -> None:
    agent = create_agent(llm, tools=[], response_format=FORMATS[form])

    *_, last = agent.stream(ADA, stream_mode="values")

    assert last["structured_response"] == Person(name="Ada", age=36)


def test_a_raw_schema_goes_the_provider_s_way_where_every_model_can(
    provider: Provider, journal: list[Exchange]
) -> None:
    able: Any = {"structured_output": True, "tool_calling": True}
    models = [provider.model(name, profile=able) for name in ("openai:unsure-a", "anthropic:good-b")]
    agent = create_agent(ChatRouter(models=models, policy=StaticPolicy()), response_format=Person)

    final = agent.invoke(ADA)

    assert final["structured_response"] == Person(name="Ada", age=36)
    assert "response_format" in journal[0].body
    assert "output_config" in journal[1].body


# ---- middlewares


async def both(agent: Any, ask: Any) -> list[Any]:
    """The final states of a sync and an async run."""
    return [agent.invoke(ask), await agent.ainvoke(ask)]


async def test_summarization(llm: ChatRouter) -> None:
    middleware = SummarizationMiddleware(llm, trigger=("messages", 4), keep=("messages", 1))
    long = {
        "messages": [
            HumanMessage("Hello."),
            AIMessage("Hello."),
            HumanMessage("So?"),
            AIMessage("So."),
            *ASK["messages"],
        ]
    }

    for final in await both(create_agent(llm, tools=[get_weather], middleware=[middleware]), long):
        assert "summary" in final["messages"][0].text
        assert "Here is a good answer" in final["messages"][0].text
        assert final["messages"][-1].text == SUNNY


async def test_summarization_at_a_fraction_of_the_window(provider: Provider) -> None:
    windows = {"openai:unsure-a": 40, "anthropic:good-b": 200_000}
    llm = ChatRouter(models=[provider.model(n, profile={"max_input_tokens": w}) for n, w in windows.items()])
    middleware = SummarizationMiddleware(llm, trigger=("fraction", 0.5), keep=("messages", 1))
    long = {"messages": [HumanMessage("word " * 60), AIMessage("Hello."), HumanMessage("So?")]}

    for final in await both(create_agent(llm, middleware=[middleware]), long):
        assert "summary" in final["messages"][0].text


async def test_context_editing(llm: ChatRouter, journal: list[Exchange]) -> None:
    edit = ClearToolUsesEdit(trigger=1, keep=0, placeholder="[gone]")
    middleware = ContextEditingMiddleware(edits=[edit], token_count_method="model")

    for final in await both(create_agent(llm, tools=[get_weather], middleware=[middleware]), ASK):
        assert final["messages"][-1].text == "The tool says: [gone]"


async def test_tool_selector(llm: ChatRouter, journal: list[Exchange]) -> None:
    middleware = LLMToolSelectorMiddleware(model=llm, max_tools=1)
    agent = create_agent(llm, tools=[get_weather, get_time], middleware=[middleware])

    for final in await both(agent, ASK):
        assert final["messages"][-1].text == SUNNY
    assert all(len(exchange.body.get("tools") or []) <= 1 for exchange in journal)


async def test_model_fallback_from_one_router_to_another(llm: ChatRouter, provider: Provider) -> None:
    down = ChatRouter(models=provider.models("openai:down-a", "anthropic:down-b"))
    agent = create_agent(down, tools=[get_weather], middleware=[ModelFallbackMiddleware(llm)])

    for final in await both(agent, ASK):
        assert final["messages"][-1].text == SUNNY


async def test_model_retry_repeats_what_may_pass() -> None:
    tries: list[int] = []

    def says(_messages: Any) -> str:
        tries.append(1)
        if len(tries) % 2:
            raise ModelConnectionError("the line is down")
        return GOOD

    llm = ChatRouter(models=[Scripted(model_id="only", says=says)], settings=Settings(retries=0))
    middleware = ModelRetryMiddleware(max_retries=1, initial_delay=0.0, jitter=False, on_failure="error")

    for final in await both(create_agent(llm, middleware=[middleware]), ASK):
        assert final["messages"][-1].text == GOOD
    assert len(tries) == 4


async def test_model_call_limit_counts_requests_and_not_attempts(llm: ChatRouter) -> None:
    middleware = ModelCallLimitMiddleware(run_limit=2, exit_behavior="error")

    for final in await both(create_agent(llm, tools=[get_weather], middleware=[middleware]), ASK):
        assert final["messages"][-1].text == SUNNY


async def test_all_six_at_once(llm: ChatRouter, journal: list[Exchange]) -> None:
    middleware: list[Any] = [
        SummarizationMiddleware(llm, trigger=("messages", 100)),
        ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=100_000)]),
        LLMToolSelectorMiddleware(model=llm, max_tools=1),
        ModelFallbackMiddleware(llm),
        ModelRetryMiddleware(max_retries=1, initial_delay=0.0),
        ModelCallLimitMiddleware(run_limit=5),
    ]
    agent = create_agent(llm, tools=[get_weather, get_time], middleware=middleware)
    counters = Counters()

    finals = [agent.invoke(ASK, counters.config), await agent.ainvoke(ASK, counters.config)]

    assert [final["messages"][-1].text for final in finals] == [SUNNY] * 2
    counters.agree_with(journal)


# ---- many at once

MANY = 200


class Meeting(Scripted):
    """Answers only when all callers have come: they are then under way at the same time for certain."""

    here: Any
    ahere: Any

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.here.wait(timeout=60)
        return super()._generate(messages)

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        await self.ahere.wait()
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])


def crowd() -> ChatRouter:
    """Odd questions are answered by the strong model, even ones by the weak."""

    def weak(messages: Sequence[BaseMessage]) -> str:
        return IDK if int(messages[-1].text) % 2 else f"weak {messages[-1].text}"

    def strong(messages: Sequence[BaseMessage]) -> str:
        return f"strong {messages[-1].text}"

    meeting = Meeting(model_id="weak", says=weak, here=threading.Barrier(MANY), ahere=asyncio.Barrier(MANY))
    models = [meeting, Scripted(model_id="strong", says=strong)]
    return ChatRouter(models=models, verifiers=[knows], policy=StaticPolicy())


def belongs(number: int, answer: AIMessage, own: RouterCallbackHandler) -> None:
    """The answer and the receipt are those of this question."""
    attempts = ["fake:weak", "fake:strong"] if number % 2 else ["fake:weak"]
    (call,) = own.calls
    about = answer.response_metadata["router"]
    assert answer.text == f"{'strong' if number % 2 else 'weak'} {number}"
    assert [attempt.model for attempt in call.receipt.attempts] == attempts
    assert (call.receipt.request_id, call.receipt.session) == (about["request_id"], str(number))
    assert (about["attempts"], about["model"]) == (len(attempts), attempts[-1])


def test_many_threads_each_get_their_own() -> None:
    llm, shared = crowd(), RouterCallbackHandler()

    def ask(number: int) -> tuple[AIMessage, RouterCallbackHandler]:
        own = RouterCallbackHandler()
        return llm.invoke(str(number), {"callbacks": [own, shared]}, session=str(number)), own

    with ThreadPoolExecutor(MANY) as pool:
        answers = list(pool.map(ask, range(MANY)))

    for number, (answer, own) in enumerate(answers):
        belongs(number, answer, own)
    assert (shared.total.requests, shared.total.attempts) == (MANY, MANY + MANY // 2)


async def test_many_tasks_each_get_their_own() -> None:
    llm, shared = crowd(), RouterCallbackHandler()

    async def ask(number: int) -> tuple[AIMessage, RouterCallbackHandler]:
        own = RouterCallbackHandler()
        return await llm.ainvoke(str(number), {"callbacks": [own, shared]}, session=str(number)), own

    answers = await asyncio.gather(*map(ask, range(MANY)))

    for number, (answer, own) in enumerate(answers):
        belongs(number, answer, own)
    assert (shared.total.requests, shared.total.attempts) == (MANY, MANY + MANY // 2)
