"""The arguments of a call, in the same words for every model, as they arrive at each provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel

from llamaindex_router import RouterLLM, get_router_handler
from router_core import Budget, Ledger
from router_core.errors import BudgetExceeded
from router_core.policies import StaticPolicy
from tests.llamaindex.provider import WIRES, Provider
from tests.servers.provider import Exchange

ASK = [ChatMessage("Hello there, my friend")]
SETTINGS = {"temperature": 0.5, "max_tokens": 20, "stop": ["moon"], "seed": 1}
ARRIVED = {
    "openai": SETTINGS,
    "anthropic": {"temperature": 0.5, "max_tokens": 20, "stop_sequences": ["moon"]},
    "ollama": {"temperature": 0.5, "num_predict": 20, "stop": ["moon"], "seed": 1},
}
OPENAI_ALONE = {"user": "me", "frequency_penalty": 0.1, "logprobs": True, "service_tier": "auto", "store": False}
BY_WIRE = {"openai": "openai:good-a", "anthropic": "anthropic:good-a", "ollama": "ollama:good-c"}


class Person(BaseModel):
    """A person."""

    name: str
    age: int


SCHEMA = Person.model_json_schema()
BY_SCHEMA = {"type": "json_schema", "json_schema": {"name": "Person", "schema": SCHEMA}}
ANY_JSON = {"type": "json_object"}
PROMPT = PromptTemplate("Make a person of 'Ann' and 7")


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"{city}: sunny"


def get_time(city: str) -> str:
    """Tell the time in a city."""
    return f"{city}: noon"


TOOLS = [FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(get_time)]
WEATHER = {"user_msg": "What is the weather in 'Bonn'?"}


def settings_of(exchange: Exchange) -> Mapping[str, Any]:
    """What was sent beside the conversation."""
    return exchange.body["options"] if exchange.wire == "ollama" else exchange.body


def assert_settings(exchange: Exchange) -> None:
    sent = settings_of(exchange)
    assert {name: sent.get(name) for name in ARRIVED[exchange.wire]} == ARRIVED[exchange.wire]
    assert exchange.wire != "anthropic" or "seed" not in sent


@pytest.mark.parametrize("wire", WIRES)
def test_settings_arrive(provider: Provider, journal: list[Exchange], wire: str) -> None:
    llm = RouterLLM(models=[provider.model(BY_WIRE[wire])])
    given = deepcopy(SETTINGS)

    llm.chat(ASK, **given)
    list(llm.stream_chat(ASK, **given))
    llm.complete("Hello", **given)
    list(llm.stream_complete("Hello", **given))
    llm.chat_with_tools(TOOLS, **WEATHER, **given)
    list(llm.stream_chat_with_tools(TOOLS, **WEATHER, **given))
    llm.structured_predict(Person, PROMPT, llm_kwargs=given)
    list(llm.stream_structured_predict(Person, PROMPT, llm_kwargs=given))

    assert len(journal) == 8
    for exchange in journal:
        assert_settings(exchange)
    assert given == SETTINGS


@pytest.mark.parametrize("wire", WIRES)
async def test_settings_arrive_async(provider: Provider, journal: list[Exchange], wire: str) -> None:
    llm = RouterLLM(models=[provider.model(BY_WIRE[wire])])

    await llm.achat(ASK, **SETTINGS)
    _ = [chunk async for chunk in await llm.astream_chat(ASK, **SETTINGS)]
    await llm.achat_with_tools(TOOLS, **WEATHER, **SETTINGS)
    await llm.astructured_predict(Person, PROMPT, llm_kwargs=SETTINGS)

    assert len(journal) == 4
    for exchange in journal:
        assert_settings(exchange)


@pytest.mark.parametrize("wire", WIRES)
def test_one_stop_word_is_a_list_of_one_where_only_a_list_will_do(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    answer = RouterLLM(models=[provider.model(BY_WIRE[wire])]).complete("Hello", stop="sky")

    sent = settings_of(journal[0])
    assert (sent.get("stop_sequences") or sent.get("stop")) == ("sky" if wire == "openai" else ["sky"])
    assert answer.text.endswith(": the ")


@pytest.mark.parametrize("way", ["chat", "stream_chat"])
@pytest.mark.parametrize("wire", ["anthropic", "ollama"])
def test_settings_of_openai_do_not_hinder_a_fallback(
    provider: Provider, journal: list[Exchange], wire: str, way: str
) -> None:
    """They are no error to the provider that answers in its place."""
    llm = RouterLLM(models=provider.models("openai:down-d", BY_WIRE[wire]), policy=StaticPolicy())

    with get_router_handler() as routed:
        answer = getattr(llm, way)(ASK, **SETTINGS, **OPENAI_ALONE, response_format=BY_SCHEMA)
        answer = answer if way == "chat" else list(answer)[-1]

    assert Person.model_validate_json(answer.message.content)
    failed, served = journal
    assert {**failed.body, **SETTINGS, **OPENAI_ALONE, "response_format": BY_SCHEMA} == failed.body
    assert (served.wire, served.status) == (wire, 200)
    assert not OPENAI_ALONE.keys() & served.body.keys()
    assert "response_format" not in served.body
    assert_settings(served)
    assert (routed.total.attempts, routed.total.answered) == (2, 1)


@pytest.mark.parametrize("wire", WIRES)
def test_a_schema_arrives(provider: Provider, journal: list[Exchange], wire: str) -> None:
    answer = RouterLLM(models=[provider.model(BY_WIRE[wire])]).chat(ASK, response_format=BY_SCHEMA)

    assert Person.model_validate_json(answer.message.content)
    body = journal[0].body
    if wire == "openai":
        assert body["response_format"] == BY_SCHEMA
    elif wire == "ollama":
        assert body["format"] == SCHEMA
    else:
        sent = body["output_config"]["format"]
        # Anthropic refuses objects that may have other fields.
        assert (sent["type"], sent["schema"]["additionalProperties"]) == ("json_schema", False)
        assert list(sent["schema"]["properties"]) == ["name", "age"]


@pytest.mark.parametrize("wire", WIRES)
def test_json_without_a_schema_is_asked_for_where_it_can_be(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    llm = RouterLLM(models=[provider.model(BY_WIRE[wire])])

    llm.chat(ASK, response_format=ANY_JSON)
    llm.chat(ASK, response_format={"type": "text"})

    asked, plain = (exchange.body for exchange in journal)
    expected = {"openai": ANY_JSON, "ollama": "json", "anthropic": None}[wire]
    assert (asked.get("response_format") or asked.get("format")) == expected
    assert plain.get("format") is None
    assert "output_config" not in asked
    # Anthropic's API has no argument for it: there it is asked for in words.
    words = "Answer with one JSON object and nothing else."
    assert [words in json.dumps(body) for body in (asked, plain)] == [wire == "anthropic", False]


def test_words_for_json_follow_those_of_the_application(provider: Provider, journal: list[Exchange]) -> None:
    llm = RouterLLM(models=[provider.model("anthropic:good-a")])

    llm.chat([ChatMessage(role="system", content="You like whales."), *ASK], response_format=ANY_JSON)

    said = journal[0].body["system"]
    said = said if isinstance(said, str) else "".join(block["text"] for block in said)
    assert said == "You like whales.\n\nAnswer with one JSON object and nothing else."


def test_the_schema_of_a_call_is_a_part_of_what_budgets_hold(provider: Provider) -> None:
    ledger = Ledger("memory://", budgets=[Budget(name="tiny", limit_tokens=1)])
    llm = RouterLLM(models=[provider.model("ollama:good-a")], ledger=ledger)
    needed = []

    for schema in ({"type": "text"}, BY_SCHEMA):
        with pytest.raises(BudgetExceeded) as raised:
            llm.chat(ASK, response_format=schema)
        needed.append(raised.value.shortfalls[0].charge.amount)

    assert needed[1] - needed[0] >= len(json.dumps(SCHEMA))


OPENAI_NAMED = {"type": "function", "function": {"name": "get_time"}}
CHOICES: dict[str, tuple[Any, Any, Any]] = {
    "any": ("any", "required", {"type": "any"}),
    "required": ("required", "required", {"type": "any"}),
    "auto": ("auto", "auto", {"type": "auto"}),
    "none": ("none", "none", {"type": "none"}),
    "a tool": ("get_time", OPENAI_NAMED, {"type": "tool", "name": "get_time"}),
    "OpenAI's": (OPENAI_NAMED, OPENAI_NAMED, {"type": "tool", "name": "get_time"}),
    "Anthropic's": ({"type": "tool", "name": "get_time"}, OPENAI_NAMED, {"type": "tool", "name": "get_time"}),
    "Anthropic's any": ({"type": "any"}, "required", {"type": "any"}),
}


@pytest.mark.parametrize("parallel", [True, False], ids=["parallel", "one by one"])
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("wire", WIRES)
def test_a_tool_choice_arrives(
    provider: Provider, journal: list[Exchange], wire: str, choice: str, *, parallel: bool
) -> None:
    llm = RouterLLM(models=[provider.model(BY_WIRE[wire])])
    given, by_openai, by_anthropic = CHOICES[choice]

    llm.chat_with_tools(TOOLS, **WEATHER, tool_choice=given, allow_parallel_tool_calls=parallel)

    body = journal[0].body
    if wire == "openai":
        assert (body["tool_choice"], body["parallel_tool_calls"]) == (by_openai, parallel)
    elif wire == "anthropic":
        how = {} if choice == "none" else {"disable_parallel_tool_use": not parallel}
        assert body["tool_choice"] == {**by_anthropic, **how}
    else:
        assert "tool_choice" not in body


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_a_required_tool_is_called(provider: Provider, journal: list[Exchange], wire: str) -> None:
    llm = RouterLLM(models=[provider.model(BY_WIRE[wire])])

    llm.chat_with_tools(TOOLS, **WEATHER, tool_required=True)
    llm.chat_with_tools(TOOLS, **WEATHER, tool_required=True, tool_choice=None)

    wanted = "required" if wire == "openai" else {"type": "any", "disable_parallel_tool_use": True}
    assert [exchange.body["tool_choice"] for exchange in journal] == [wanted] * 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning:llama_index.core.agent.workflow.base_agent")
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning:inspect")
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_an_agent_begins_with_the_tool_it_is_to_begin_with(
    provider: Provider, journal: list[Exchange], wire: str
) -> None:
    other = {"openai": "anthropic:down-d", "anthropic": "openai:down-d"}[wire]
    llm = RouterLLM(models=provider.models(other, BY_WIRE[wire]), policy=StaticPolicy())
    agent = FunctionAgent(llm=llm, tools=TOOLS, initial_tool_choice="get_time")

    said = await agent.run("What is the weather in 'Bonn'?")

    assert str(said) == "The tool says: Bonn: noon"
    assert [exchange.status for exchange in journal] == [500, 200] * 2


def test_arguments_do_not_cost_a_connection_each(provider: Provider) -> None:
    """Ollama's integration takes them from its constructor only; a copy of it for each call would not share its client,
    which the integration makes when it is first used."""
    llm = RouterLLM(models=[Ollama("good-a", base_url=provider.url, context_window=8192)])
    before = provider.connections

    async def ask() -> None:
        for number in range(4):
            await llm.achat(ASK, seed=number)
        await client.close()

    for number in range(4):
        llm.chat(ASK, seed=number)
    (inner,) = llm._inners.values()
    client = inner.llm.async_client
    asyncio.run(ask())
    inner.llm.client.close()

    assert provider.connections - before == 2
