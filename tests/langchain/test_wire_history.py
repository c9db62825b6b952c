"""A conversation in which the provider changes, as the providers get to see it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage

from langchain_router import ChatRouter
from tests.langchain.provider import Provider
from tests.servers.provider import Exchange

OPENAI, ANTHROPIC, OLLAMA = MODELS = ("openai:good-a", "anthropic:good-b", "ollama:good-c")
TURNS = (
    ("Bonn", OPENAI),
    ("Rome", ANTHROPIC),
    ("Oslo", OLLAMA),
    ("Lima", ANTHROPIC),
    ("Kyiv", OPENAI),
    ("Bern", OLLAMA),
)
SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
KEYS = {
    "openai": {"role", "content", "tool_calls", "tool_call_id"},
    "anthropic": {"role", "content"},
    "ollama": {"role", "content", "tool_calls", "tool_call_id", "images"},
}
BLOCKS = {"openai": {"text"}, "anthropic": {"text", "tool_use", "tool_result"}, "ollama": set()}
"""What messages and their contents may be made of on each wire."""


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"{city}: sunny"


class Told(NamedTuple):
    """A tool call of the history and its result, as they stand on the wire."""

    id: str
    name: str
    args: Mapping[str, Any]
    result: str


def told(exchange: Exchange) -> list[Told]:
    """The tool calls that a provider was told of, each with the result that comes next."""
    messages = exchange.body["messages"]
    found: list[Told] = []
    for position, message in enumerate(messages):
        made = calls(exchange.wire, message)
        given = [each for after in messages[position + 1 :] for each in results(exchange.wire, after)][: len(made)]
        assert [call[0] for call in made] == [result[0] for result in given], "results do not answer their calls"
        found += [Told(*call, result[1]) for call, result in zip(made, given, strict=True)]
    return found


def calls(wire: str, message: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    if wire == "anthropic":
        return [(block["id"], block["name"], block["input"]) for block in blocks(message, "tool_use")]
    made = message.get("tool_calls") or []
    return [(id_of(wire, call, "id"), call["function"]["name"], read(call["function"]["arguments"])) for call in made]


def results(wire: str, message: Mapping[str, Any]) -> list[tuple[str, str]]:
    if wire == "anthropic":
        return [(block["tool_use_id"], block["content"]) for block in blocks(message, "tool_result")]
    return [(id_of(wire, message, "tool_call_id"), message["content"])] if message["role"] == "tool" else []


def id_of(wire: str, part: Mapping[str, Any], key: str) -> str:
    """Ollama tells calls apart by their order."""
    return "by_order" if wire == "ollama" else part[key]


def blocks(message: Mapping[str, Any], kind: str | None = None) -> list[Mapping[str, Any]]:
    content = message.get("content")
    found = content if isinstance(content, list) else []
    return [block for block in found if kind in (None, block["type"])]


def read(arguments: str | Mapping[str, Any]) -> Mapping[str, Any]:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def assert_native(exchange: Exchange) -> None:
    """Nothing but what this provider's own protocol knows."""
    for message in exchange.body["messages"]:
        assert set(message) <= KEYS[exchange.wire]
        assert {block["type"] for block in blocks(message)} <= BLOCKS[exchange.wire]
        assert all(SAFE_ID.fullmatch(call[0]) for call in calls(exchange.wire, message))


def invoke(llm: Any, history: Sequence[BaseMessage], model: str) -> AIMessage:
    return llm.invoke(history, force_model=model)


def stream(llm: Any, history: Sequence[BaseMessage], model: str) -> AIMessage:
    chunks: list[AIMessageChunk] = list(llm.stream(history, force_model=model))
    return chunks[0] + chunks[1:]


@pytest.mark.parametrize("output_version", [None, "v1"])
@pytest.mark.parametrize("ask", [invoke, stream])
@pytest.mark.parametrize("shift", [0, 1], ids=["between turns", "between call and result"])
def test_conversation_over_three_providers(
    provider: Provider,
    journal: list[Exchange],
    ask: Callable[..., AIMessage],
    shift: int,
    output_version: str | None,
) -> None:
    router = ChatRouter(models=provider.models(*MODELS), output_version=output_version)
    llm = router.bind_tools([get_weather])
    history: list[BaseMessage] = []

    for number, (city, model) in enumerate(TURNS):
        history.append(HumanMessage(f"What is the weather in '{city}'?"))
        call = ask(llm, history, model)
        assert [(made["name"], made["args"]) for made in call.tool_calls] == [("get_weather", {"city": city})]
        history += [call, ToolMessage(get_weather(city), tool_call_id=call.tool_calls[0]["id"])]
        answer = ask(llm, history, TURNS[(number + shift) % len(TURNS)][1])
        assert answer.text == f"The tool says: {city}: sunny"
        assert output_version is None or answer.content_blocks == answer.content
        history.append(answer)

    assert len(journal) == 2 * len(TURNS)
    for position, exchange in enumerate(journal):
        assert_native(exchange)
        known = [("get_weather", {"city": city}, f"{city}: sunny") for city, _ in TURNS[: (position + 1) // 2]]
        assert [each[1:] for each in told(exchange)] == known


THOUGHT = "a thought of Anthropic's"
STRANGE = {
    THOUGHT: AIMessage(
        content=[
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bonn"}},
        ],
        tool_calls=[{"name": "get_weather", "args": {"city": "Bonn"}, "id": "toolu_1"}],
        response_metadata={"model_provider": "anthropic"},
    ),
    "the Responses API": AIMessage(
        content=[
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
            {"type": "text", "text": "I look.", "annotations": [], "id": "msg_1"},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_weather", "arguments": "{}"},
        ],
        tool_calls=[{"name": "get_weather", "args": {"city": "Bonn"}, "id": "call_1"}],
        response_metadata={"model_provider": "openai-responses"},
    ),
    "standard blocks": AIMessage(
        content=[
            {"type": "reasoning", "reasoning": "Hm.", "extras": {"signature": "c2ln"}},
            {"type": "text", "text": "I look."},
            {"type": "tool_call", "id": "call_1", "name": "get_weather", "args": {"city": "Bonn"}},
        ],
        tool_calls=[{"name": "get_weather", "args": {"city": "Bonn"}, "id": "call_1"}],
        response_metadata={"model_provider": "google_genai", "output_version": "v1"},
    ),
    "an id too long": AIMessage(
        content="I look.",
        tool_calls=[{"name": "get_weather", "args": {"city": "Bonn"}, "id": "call_" + 64 * "x"}],
        response_metadata={"model_provider": "mistralai"},
    ),
    "an id of odd letters": AIMessage(
        content="I look.",
        tool_calls=[{"name": "get_weather", "args": {"city": "Bonn"}, "id": "functions.get_weather:0"}],
    ),
}


FOREIGN = [(origin, model) for origin in STRANGE for model in MODELS if (origin, model) != (THOUGHT, ANTHROPIC)]


@pytest.mark.parametrize(("origin", "target"), FOREIGN)
def test_answers_of_other_providers_are_made_readable(
    provider: Provider, journal: list[Exchange], origin: str, target: str
) -> None:
    made = STRANGE[origin]
    result = ToolMessage("Bonn: sunny", tool_call_id=made.tool_calls[0]["id"])
    history = [HumanMessage("What is the weather?"), made, result]
    before = copy.deepcopy(history)

    ChatRouter(models=provider.models(*MODELS)).bind_tools([get_weather]).invoke(history, force_model=target)

    (exchange,) = journal
    assert_native(exchange)
    assert [each[1:] for each in told(exchange)] == [("get_weather", {"city": "Bonn"}, "Bonn: sunny")]
    assert "I look." in json.dumps(exchange.body)
    assert history == before


def test_own_thoughts_are_kept(provider: Provider, journal: list[Exchange]) -> None:
    made = STRANGE[THOUGHT]
    history = [HumanMessage("What is the weather?"), made, ToolMessage("Bonn: sunny", tool_call_id="toolu_1")]

    ChatRouter(models=provider.models(*MODELS)).bind_tools([get_weather]).invoke(history, force_model=ANTHROPIC)

    (exchange,) = journal
    assert blocks(exchange.body["messages"][1]) == made.content


def test_parallel_calls_keep_their_results(provider: Provider, journal: list[Exchange]) -> None:
    """Two ids that are unsafe in the same way stay two."""
    cities = ["Bonn", "Rome"]
    made = AIMessage(
        content="",
        tool_calls=[
            {"name": "get_weather", "args": {"city": city}, "id": f"functions.get_weather:{number}"}
            for number, city in enumerate(cities)
        ],
    )
    history = [HumanMessage("And?"), made]
    history += [ToolMessage(get_weather(call["args"]["city"]), tool_call_id=call["id"]) for call in made.tool_calls]

    ChatRouter(models=provider.models(*MODELS)).bind_tools([get_weather]).invoke(history, force_model=ANTHROPIC)

    (exchange,) = journal
    assert [(each.args["city"], each.result) for each in told(exchange)] == [
        ("Bonn", "Bonn: sunny"),
        ("Rome", "Rome: sunny"),
    ]
