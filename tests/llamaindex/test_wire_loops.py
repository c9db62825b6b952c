"""One router over several event loops. Integrations keep their async clients, whose connections die with the loop they
were opened on: the next call fails as if the provider were down."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.response_synthesizers import TreeSummarize
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel

from llamaindex_router import RouterLLM, get_router_handler
from router_core.policies import StaticPolicy
from tests.llamaindex.provider import KEY, WIRES, Provider
from tests.servers.provider import Exchange

# The connections of an ended event loop are left to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

ASK = [ChatMessage("Hello there, my friend")]
SPARE = "ollama:good-c"
GOOD = "Here is a good answer from good-a: the sky is blue, and so are you."


class Person(BaseModel):
    """A person."""

    name: str
    age: int


PROMPT = PromptTemplate("Make a person of 'Ann' and 7")


def own_models(provider: Provider, wire: str) -> list[Any]:
    """A model with clients of its own, as users make them, and one to fall back to."""
    name = provider.name(f"{wire}:good-a").partition(":")[2]
    shared: Any = {"api_key": KEY, "max_retries": 0}
    first: Any
    if wire == "openai":
        first = OpenAI(name, api_base=f"{provider.url}/v1", **shared)
    elif wire == "anthropic":
        first = Anthropic(name, base_url=provider.url, **shared)
    else:
        first = Ollama(name, base_url=provider.url, context_window=8192)
    return [first, Ollama("good-c", base_url=provider.url, context_window=8192)]


@pytest.fixture(scope="module", autouse=True)
def left_connections() -> Iterator[None]:
    """They are collected before the other tests go on, to which their warnings would be errors."""
    yield
    gc.collect()


async def answer(llm: RouterLLM) -> str:
    return (await llm.achat(ASK)).message.content


async def stream(llm: RouterLLM) -> str:
    return "".join([chunk.delta async for chunk in await llm.astream_chat(ASK)])


async def make(llm: RouterLLM) -> str:
    return (await llm.astructured_predict(Person, PROMPT)).name


ANSWERS = {answer: GOOD, stream: GOOD, make: "Ann"}


@pytest.mark.parametrize("live", [True, False], ids=["live", "judged"])
@pytest.mark.parametrize("ask", ANSWERS)
@pytest.mark.parametrize("wire", WIRES)
def test_one_router_serves_one_event_loop_after_the_other(
    provider: Provider, journal: list[Exchange], wire: str, ask: Callable[[RouterLLM], Any], *, live: bool
) -> None:
    models = own_models(provider, wire)
    llm = RouterLLM(models=models, policy=StaticPolicy(), **({"verifiers": []} if live else {}))

    with get_router_handler() as routed:
        for _ in range(6):
            assert asyncio.run(ask(llm)) == ANSWERS[ask]

    assert {exchange.wire for exchange in journal} == {wire}
    assert (routed.total.requests, routed.total.attempts, routed.total.answered) == (6, 6, 6)
    assert (routed.total.fallbacks, routed.total.escalations) == ({}, {})


@pytest.mark.parametrize("wire", WIRES)
async def test_sync_calls_within_an_event_loop_are_served(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    """LlamaIndex makes a thread with an event loop of its own for each of them."""
    llm = RouterLLM(models=own_models(provider, wire), policy=StaticPolicy())
    synthesizer = TreeSummarize(llm=llm, use_async=True)

    with get_router_handler() as routed:
        for _ in range(6):
            assert "good answer" in synthesizer.get_response("Why?", ["The sky is blue.", "So are you."])

    assert {exchange.wire for exchange in journal} == {wire}
    assert routed.total.fallbacks == {}
    assert routed.total.attempts == routed.total.answered == len(journal)


@pytest.mark.parametrize("ask", [answer, stream])
@pytest.mark.parametrize("verifiers", [None, []], ids=["judged", "live"])
async def test_a_client_that_never_works_here_is_given_up(
    provider: Provider, ask: Callable[[RouterLLM], Any], verifiers: Any
) -> None:
    tried: list[object] = []

    async def chat(**_: object) -> object:
        tried.append(None)
        raise RuntimeError("<asyncio.locks.Lock object> is bound to a different event loop")

    stuck = provider.model("ollama:good-a", async_client=SimpleNamespace(chat=chat))
    llm = RouterLLM(models=[stuck, provider.model(SPARE)], policy=StaticPolicy(), verifiers=verifiers)

    with get_router_handler() as routed:
        assert await ask(llm) == GOOD.replace("good-a", "good-c")

    assert len(tried) == 2
    assert routed.by_model["ollama:good-a"].fallbacks == {"connection": 1}
