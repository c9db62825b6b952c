"""Every way to ask, over the real integrations: what is booked is what the provider says was used, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import root_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llamaindex_router import RouterCallbackHandler, RouterLLM, get_router_handler
from router_core.errors import AllAttemptsFailed
from router_core.policies import StaticPolicy
from router_core.types import Usage
from tests.llamaindex.provider import Provider, reported, whole
from tests.servers.provider import Exchange

GOOD = ("openai:good-a", "openai:good-b", "anthropic:good-a", "ollama:good-c")
ASK = [ChatMessage("Hello there, my friend")]
TEXT = "Say 'hello'"


class Person(BaseModel):
    """A person."""

    name: str
    age: int


ANN = Person(name="Ann", age=7)
PROMPT = PromptTemplate("Make a person of {name} and 7")
ARGS = {"name": "'Ann'"}


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"{city}: sunny"


TOOLS = [FunctionTool.from_defaults(get_weather)]
WEATHER = {"user_msg": "What is the weather in 'Bonn'?"}


TALKS = {
    **{name: whole(name, ASK) for name in ("chat", "achat", "stream_chat", "astream_chat")},
    **{name: whole(name, TEXT) for name in ("complete", "acomplete", "stream_complete", "astream_complete")},
}
TOOL_CALLS = {
    name: whole(name, TOOLS, **WEATHER)
    for name in ("chat_with_tools", "achat_with_tools", "stream_chat_with_tools", "astream_chat_with_tools")
}
OBJECTS = {
    name: whole(name, Person, PROMPT, **ARGS)
    for name in (
        "structured_predict",
        "astructured_predict",
        "stream_structured_predict",
        "astream_structured_predict",
    )
}
CALLS = {**TALKS, **TOOL_CALLS, **OBJECTS}


class Answers(BaseEventHandler):
    """The answers that LlamaIndex's dispatcher hears of."""

    count: int = 0

    @classmethod
    def class_name(cls) -> str:
        return "Answers"

    def handle(self, event: Any, **kwargs: Any) -> None:
        self.count += isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent)


@contextmanager
def hearing() -> Iterator[Answers]:
    answers = Answers()
    root_dispatcher.add_event_handler(answers)
    try:
        yield answers
    finally:
        root_dispatcher.event_handlers.remove(answers)


@pytest.mark.parametrize("model", GOOD)
@pytest.mark.parametrize("name", CALLS)
async def test_the_usage_of_a_receipt_is_what_was_used(
    provider: Provider, journal: list[Exchange], name: str, model: str
) -> None:
    counter = RouterCallbackHandler()
    llm = RouterLLM(models=[provider.model(model)], callback_manager=CallbackManager([counter]))

    with get_router_handler() as routed, hearing() as answers:
        await CALLS[name](llm)

    (exchange,) = journal
    for handler in (counter, routed):
        assert handler.total.usage == reported(exchange.wire, exchange.used)
        assert list(handler.by_model) == [provider.name(model)]
        assert (handler.total.requests, handler.total.answered, handler.total.attempts) == (1, 1, 1)
    assert answers.count == 1


@pytest.mark.parametrize("model", GOOD)
@pytest.mark.parametrize("name", TALKS)
async def test_an_answer_is_one_event_of_the_callback_manager(
    provider: Provider, journal: list[Exchange], name: str, model: str
) -> None:
    """Ollama's and Anthropic's own ``complete`` make two, with the tokens counted twice."""
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = RouterLLM(models=[provider.model(model)], callback_manager=CallbackManager([counter]))

    answer = await CALLS[name](llm)

    (exchange,) = journal
    (counted,) = counter.llm_token_counts
    assert "good answer" in str(answer)
    if exchange.wire != "anthropic":  # what LlamaIndex does not read of its usage, it estimates
        used = exchange.used
        assert (counted.prompt_token_count, counted.completion_token_count) == (used.input, used.output)


@pytest.mark.parametrize("model", GOOD)
@pytest.mark.parametrize("name", TOOL_CALLS)
async def test_tools_are_called(provider: Provider, name: str, model: str) -> None:
    llm = RouterLLM(models=[provider.model(model)])

    (call,) = llm.get_tool_calls_from_response(await CALLS[name](llm))

    assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Bonn"})


@pytest.mark.parametrize("model", GOOD)
@pytest.mark.parametrize("name", OBJECTS)
async def test_objects_are_made(provider: Provider, name: str, model: str) -> None:
    assert await CALLS[name](RouterLLM(models=[provider.model(model)])) == ANN


@pytest.mark.parametrize("name", OBJECTS)
async def test_anthropic_is_made_to_call_the_tool_that_makes_an_object(
    provider: Provider, journal: list[Exchange], name: str
) -> None:
    await CALLS[name](RouterLLM(models=[provider.model("anthropic:good-a")]))

    (exchange,) = journal
    assert exchange.body["tool_choice"]["type"] == "any"
    assert [tool["name"] for tool in exchange.body["tools"]] == ["Person"]


async def test_anthropic_is_not_made_to_call_it_while_it_thinks(provider: Provider, journal: list[Exchange]) -> None:
    """It refuses both together."""
    thinks = provider.model("anthropic:good-a", thinking_dict={"type": "enabled", "budget_tokens": 1024})

    assert await CALLS["astructured_predict"](RouterLLM(models=[thinks])) == ANN

    (exchange,) = journal
    assert exchange.body["tool_choice"]["type"] == "auto"
    assert exchange.body["thinking"]["type"] == "enabled"


@pytest.mark.parametrize("unsure", ["openai:unsure-b", "anthropic:unsure-b", "ollama:unsure-b"])
@pytest.mark.parametrize("name", OBJECTS)
async def test_an_answer_that_is_no_object_climbs(
    provider: Provider, journal: list[Exchange], name: str, unsure: str
) -> None:
    llm = RouterLLM(models=provider.models(unsure, "openai:good-a"), policy=StaticPolicy())

    with get_router_handler() as routed:
        assert await CALLS[name](llm) == ANN

    assert routed.by_model[provider.name(unsure)].escalations == {"schema": 1}
    assert routed.total.fallbacks == {}
    usages = [reported(exchange.wire, exchange.used) for exchange in journal]
    assert len(usages) == 2
    assert routed.total.usage == usages[0] + usages[1]


@pytest.mark.parametrize("unsure", ["openai:unsure-b", "anthropic:unsure-b", "ollama:unsure-b"])
async def test_a_receipt_says_that_no_object_was_made(provider: Provider, unsure: str) -> None:
    """With no model left the answer is what the model alone would give; but nobody calls it accepted."""
    llm = RouterLLM(models=[provider.model(unsure)])

    with get_router_handler() as routed:
        with pytest.raises(ValueError, match=r"Invalid JSON|tool call"):
            llm.structured_predict(Person, PROMPT, **ARGS)
        try:
            partial = list(llm.stream_structured_predict(Person, PROMPT, **ARGS))[-1]
        except ValueError:
            partial = None  # Anthropic's

    assert not isinstance(partial, Person)
    outcomes = [call.receipt.attempts[-1].outcome for call in routed.calls]
    assert outcomes == ["served_unverified"] * 2


@pytest.mark.parametrize("model", GOOD)
@pytest.mark.parametrize("name", CALLS)
async def test_only_streams_of_openai_are_asked_for_their_usage(
    provider: Provider, journal: list[Exchange], name: str, model: str
) -> None:
    await CALLS[name](RouterLLM(models=[provider.model(model)]))

    (exchange,) = journal
    streams = exchange.wire == "openai" and "stream" in name
    assert exchange.body.get("stream_options") == ({"include_usage": True} if streams else None)


@pytest.mark.parametrize("name", [name for name in CALLS if "stream" in name])
async def test_a_server_that_refuses_to_be_asked_streams_all_the_same(
    provider: Provider, journal: list[Exchange], name: str
) -> None:
    llm = RouterLLM(models=[provider.model("openai:curt-g")])

    with get_router_handler() as routed:
        for _ in range(2):
            await CALLS[name](llm)

    assert [exchange.status for exchange in journal] == [400, 200, 200]
    assert (routed.total.attempts, routed.total.answered, routed.total.fallbacks) == (2, 2, {})
    assert routed.total.usage.estimated
    assert routed.total.usage.output_tokens > 0


@pytest.mark.parametrize("model", GOOD)
@pytest.mark.parametrize("read", [1, 5])
def test_a_stream_that_is_closed_early_is_booked(provider: Provider, read: int, model: str) -> None:
    with get_router_handler() as routed:
        chunks = RouterLLM(models=[provider.model(model)]).stream_chat(ASK)
        said = "".join(next(chunks).delta for _ in range(read))
        chunks.close()

    ((attempt,),) = [call.receipt.attempts for call in routed.calls]
    assert attempt.outcome == "cancelled"
    assert attempt.usage.estimated
    assert attempt.usage.output_tokens >= len(said.split())


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("name", [*OBJECTS, "chat", "astream_chat"])
async def test_an_argument_that_is_refused_before_anything_is_sent_is_a_failure_that_costs_nothing(
    provider: Provider, journal: list[Exchange], name: str, wire: str
) -> None:
    llm = RouterLLM(models=provider.models(f"{wire}:good-a", "ollama:good-c"), policy=StaticPolicy())
    kwargs = {"llm_kwargs": {"nonsense": 1}, **ARGS} if name in OBJECTS else {"nonsense": 1}

    with get_router_handler() as routed:
        answer = await whole(name, *((Person, PROMPT) if name in OBJECTS else (ASK,)), **kwargs)(llm)

    assert answer == ANN if name in OBJECTS else "good answer" in str(answer)
    (exchange,) = journal
    (call,) = routed.calls
    refused, served = call.receipt.attempts
    assert (refused.outcome, refused.failure) == ("failed", "bad_request")
    assert "nonsense" in refused.error
    assert (refused.usage, refused.cost_nano) == (Usage(), 0)
    assert served.usage == reported("ollama", exchange.used)


@pytest.mark.parametrize("name", OBJECTS)
async def test_an_argument_that_every_model_refuses_is_an_error_that_tells_it(provider: Provider, name: str) -> None:
    llm = RouterLLM(models=[provider.model("openai:good-a")])

    with pytest.raises(AllAttemptsFailed, match="nonsense"):
        await whole(name, Person, PROMPT, llm_kwargs={"nonsense": 1}, **ARGS)(llm)
